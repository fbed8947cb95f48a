//! What the tailnet says about its peers and about this node, as data.

mod member;
mod netmap;
mod node_status;
mod verdict;

pub use member::{Address, Member};
pub use netmap::{Netmap, PortMembers};
pub use node_status::{CertificateStatus, NodeStatus, STATES, ServiceStatus};
pub use verdict::{Authorizer, Verdict};

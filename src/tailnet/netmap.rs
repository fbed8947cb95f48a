//! Lists of all peers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::member::Member;

/// The peers of the netmap, as one of our ports sees them.
#[derive(Debug, Clone)]
pub struct PortMembers {
    /// The port of this node.
    pub port: u16,
    /// Each peer, with whether it may connect to `port`.
    pub members: Arc<Vec<Member>>,
}

/// Lists the netmap: the tailnet node, or a test.
pub trait Netmap: Send + Sync + 'static {
    /// Every peer of one netmap, as each of our TCP `ports` sees it, with what the tailnet policy grants
    /// under the app capability `capability`.
    ///
    /// # Errors
    /// The reason why the netmap can't be read.
    fn members(
        &self,
        ports: Vec<u16>,
        capability: &str,
    ) -> impl Future<Output = Result<BTreeMap<u16, Vec<Member>>, String>> + Send;
}

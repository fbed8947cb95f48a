//! The boundary: HTTP/1.1 from a peer, the policy's decision, and what is allowed on to Ollama.

pub mod headers;
mod ports;
mod refusal;
mod request;
mod rules;
mod sessions;
mod upstream;

pub(crate) use ports::auxiliary::{AuxiliaryPort, Caller, Content, Feed, Site};
pub use ports::metrics::{MetricsPort, MetricsText};
pub use ports::port::{Drained, Port, Sweep};
pub use ports::redirect::RedirectPort;
pub use request::proxy::Proxy;
pub use rules::Rules;
pub use sessions::set::{ActiveRequest, Roster, Session, Sessions};

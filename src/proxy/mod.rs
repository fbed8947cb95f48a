//! The boundary: HTTP/1.1 from peers, the decision about each request, and what is forwarded to Ollama.

pub mod headers;
mod ports;
mod refusal;
mod request;
mod rules;
mod sessions;
mod upstream;

pub use ports::accept::Drained;
pub(crate) use ports::auxiliary::{AuxiliaryPort, Content};
pub(crate) use ports::body::Body;
pub(crate) use ports::feed::Feed;
pub(crate) use ports::handler::{Caller, Client, Handler};
pub use ports::metrics::{MetricsPort, MetricsText};
pub use ports::port::{Port, Sweep};
pub use ports::redirect::RedirectPort;
pub(crate) use refusal::answer::RefusalAnswer;
pub use request::proxy::{Load, Proxy};
pub use rules::Rules;
pub(crate) use sessions::request_body::RequestBody;
pub use sessions::session::{ActiveRequest, Session};
pub use sessions::set::Sessions;

//! The boundary: HTTP/1.1 from a peer, the policy's decision, and what is allowed on to Ollama.

mod beside;
mod body;
mod cloud;
mod exchange;
mod forward;
pub mod headers;
mod kept;
mod live;
mod origins;
mod pace;
mod peek;
mod port;
mod redirect;
mod refuse;
mod rest;
mod rules;
mod scrape;
mod serve;
mod upload;
mod wire;

pub(crate) use beside::{Beside, Content, Feed, Site, Visitor};
pub use live::{Live, Request, Session};
pub use port::{Drained, Port, Sweep};
pub use redirect::Redirects;
pub use rules::Rules;
pub use scrape::{Scrapes, Text};
pub use serve::Proxy;

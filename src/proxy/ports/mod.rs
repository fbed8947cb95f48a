//! Ports of the node: the accept loop, the HTTP connection, and the trait that answers requests. The three auxiliary ports
//! (metrics, page, redirect) share [`auxiliary`]; the Ollama port is in [`request`](crate::proxy::request).

pub(crate) mod accept;
pub(crate) mod auxiliary;
pub(crate) mod body;
pub(crate) mod connection;
pub(crate) mod feed;
pub(crate) mod handler;
pub(crate) mod metrics;
pub(crate) mod port;
pub(crate) mod redirect;

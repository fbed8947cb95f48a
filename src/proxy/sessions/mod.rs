//! Sessions of peers: the client's side of a connection.

pub(crate) mod request_body;
pub(crate) mod set;
pub(crate) mod stream;
pub(crate) mod timeouts;

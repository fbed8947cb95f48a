//! Sessions: accepted connections of peers, what each may ask, and the client's side of the stream.

pub(crate) mod access;
pub(crate) mod open_request;
pub(crate) mod request_body;
pub(crate) mod session;
pub(crate) mod set;
pub(crate) mod stream;
pub(crate) mod timeouts;

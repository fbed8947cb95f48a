//! TLS on the connections of a [`Listen`](crate::listen::Listen). The handshake runs when a connection is first read, so
//! the connection is counted, checked, timed and cut like any other from the start.

mod certificate;
mod listener;
mod stream;

pub use certificate::CurrentCertificate;
pub use listener::DualListener;
pub use stream::Stream;

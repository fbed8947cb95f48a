//! TLS around what a [`Listen`](crate::listen::Listen) yields. A connection is there from its first moment on, for whoever
//! counts, judges, times and cuts connections: its handshake takes place when it is first read from.

mod certificate;
mod listener;
mod stream;

pub use certificate::CurrentCertificate;
pub use listener::DualListener;
pub use stream::Stream;

//! TLS around what a [`Listen`](crate::listen::Listen) yields. A connection is there from its first moment on, for whoever
//! counts, judges, times and cuts connections: its handshake takes place when it is first read from.

mod certificate;
mod ports;
mod stream;

pub use certificate::Shown;
pub use ports::Ports;
pub use stream::Stream;

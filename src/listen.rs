//! The seam between the tailnet and the proxy: something that yields streams whose peer is known.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::peer::Peer;

/// A connection with who is speaking.
pub struct Accepted<Io> {
    /// The byte stream.
    pub io: Io,
    /// Who is at the other end.
    pub peer: Peer,
    /// Our own address and port, to which the peer has connected.
    pub local: SocketAddr,
    /// Tells whether the peer has left, though bytes of it may still be unread.
    pub left: Left,
    /// Breaks the connection while somebody else owns the stream: reads and writes fail at once,
    /// and the peer sees a reset where the transport has one.
    pub abort: Abort,
}

impl<Io> Accepted<Io> {
    /// The same with another stream, around this one.
    pub fn map<Other>(self, other: impl FnOnce(Io, &Peer) -> Other) -> Accepted<Other> {
        let Accepted { io, peer, local, left, abort } = self;
        Accepted { io: other(io, &peer), peer, local, left, abort }
    }
}

/// See [`Accepted::left`].
pub type Left = Box<dyn Fn() -> bool + Send + Sync>;

/// See [`Accepted::abort`].
pub type Abort = Box<dyn Fn() + Send + Sync>;

/// A source of connections. The tailnet listener is one; tests hand in in-memory streams, so the
/// binary needs no development back door.
pub trait Listen: Send {
    /// The byte stream of one connection.
    type Io: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Waits for the next connection and says who is speaking. A connection whose peer cannot be
    /// told is never yielded (failing closed).
    ///
    /// # Errors
    /// An error means that the listener itself has ended; no later call can succeed.
    fn accept(&mut self) -> impl Future<Output = io::Result<Accepted<Self::Io>>> + Send;
}

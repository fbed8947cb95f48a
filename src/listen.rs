//! The interface between the tailnet and the proxy: a source of connections whose peer is known.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::peer::Peer;

/// A connection and its peer.
pub struct Accepted<Io> {
    /// The byte stream.
    pub io: Io,
    /// The peer at the other end.
    pub peer: Peer,
    /// Our address and port that the peer has connected to.
    pub local: SocketAddr,
    /// Whether the peer has disconnected. True even if bytes from it are still unread.
    pub peer_gone: PeerGone,
    /// Resets the connection, from any task: reads and writes of the stream fail at once, and the peer sees a reset if the
    /// transport has one.
    pub abort: Abort,
}

impl<Io> Accepted<Io> {
    /// The connection with its stream wrapped in another one.
    pub fn map<Other>(self, other: impl FnOnce(Io, &Peer) -> Other) -> Accepted<Other> {
        let Accepted { io, peer, local, peer_gone, abort } = self;
        Accepted { io: other(io, &peer), peer, local, peer_gone, abort }
    }
}

/// See [`Accepted::peer_gone`].
pub type PeerGone = Box<dyn Fn() -> bool + Send + Sync>;

/// See [`Accepted::abort`].
pub type Abort = Box<dyn Fn() + Send + Sync>;

/// A source of connections: the tailnet listener. Tests implement it for streams in memory; the binary has no second
/// listener.
pub trait Listen: Send {
    /// The byte stream of one connection.
    type Io: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Waits for the next connection. A connection without an identified peer is never yielded.
    ///
    /// # Errors
    /// The listener has ended: no later call can succeed.
    fn accept(&mut self) -> impl Future<Output = io::Result<Accepted<Self::Io>>> + Send;
}

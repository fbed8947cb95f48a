//! One connection in the tailnet.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream as StdStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::task::coop;

use super::Error;
use super::ffi::{self, Accepted, Claim};

/// A byte stream to a peer. Dropping it ends it in order: the peer gets what was written and then
/// the end. [`abort`](Conn::abort) breaks it instead.
///
/// A broken connection reads as [`ConnectionReset`](io::ErrorKind::ConnectionReset), never as an
/// end, so a part is never taken for the whole.
#[derive(Debug)]
pub struct Conn {
    // Fields drop in this order: the library must see the end before it forgets the connection.
    /// For what the tailnet has no room for at once; most connections never need it.
    stream: Option<UnixStream>,
    claim: Claim,
    /// Whether what is read comes through `stream`, too.
    reads_stream: bool,
    local: SocketAddr,
    /// Bytes that were written to `stream`.
    streamed: u64,
    /// Our side has ended.
    ended: bool,
}

impl Conn {
    pub(super) fn new(accepted: Accepted) -> Result<Self, Error> {
        let Accepted { mut claim, local, .. } = accepted;
        let local = local.parse().map_err(|e| Error::Other(format!("our address {local:?}: {e}")))?;
        let reads_stream = !claim.watch();
        let mut conn = Conn { stream: None, claim, reads_stream, local, streamed: 0, ended: false };
        if reads_stream {
            conn.stream().map_err(|e| Error::Other(format!("connection: {e}")))?;
        }
        Ok(conn)
    }

    fn stream(&mut self) -> io::Result<Pin<&mut UnixStream>> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => UnixStream::from_std(StdStream::from(ffi::conn_descriptor(self.claim.id)?))?,
        };
        Ok(Pin::new(self.stream.insert(stream)))
    }

    /// Our tailnet address and port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Breaks the connection: the peer sees a reset and can't take a part for the whole.
    pub fn abort(self) {
        // Before the stream closes: its end must not overtake the reset.
        ffi::conn_release(self.claim.id, true);
    }

    /// A way to watch and break this connection while somebody else owns it.
    pub fn aborter(&self) -> Aborter {
        Aborter { id: self.claim.id }
    }
}

impl Drop for Conn {
    /// What a panic cuts short must not look whole.
    fn drop(&mut self) {
        if std::thread::panicking() {
            ffi::conn_release(self.claim.id, true);
        }
    }
}

/// Watches and breaks one [`Conn`] from anywhere; holding it keeps nothing open.
#[derive(Debug, Clone)]
pub struct Aborter {
    id: u64,
}

impl Aborter {
    /// Whether the peer has ended or broken its side, though bytes of it may still be unread. For an
    /// owner that does not read for the time being. True once the connection has been dropped.
    pub fn peer_left(&self) -> bool {
        ffi::conn_peer_left(self.id)
    }

    /// Breaks the connection at once: the peer sees a reset, the owner's reads and writes fail and
    /// its task is woken. Does nothing once the connection has been dropped.
    pub fn abort(&self) {
        ffi::conn_abort(self.id);
    }
}

impl AsyncRead for Conn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.reads_stream {
            let turn = ready!(coop::poll_proceed(cx));
            ready!(self.claim.poll_read(cx, buf))?;
            turn.made_progress();
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let wanted = buf.remaining() > 0;
        ready!(self.stream()?.poll_read(cx, buf))?;
        if wanted && buf.filled().len() == before && ffi::conn_was_reset(self.claim.id) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }
}

/// Bytes go to the tailnet at once where it has room, and otherwise through a descriptor, where the
/// library waits for room.
impl AsyncWrite for Conn {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let taken = ffi::conn_write(self.claim.id, bufs, self.streamed);
        if taken > 0 {
            return Poll::Ready(Ok(taken));
        }
        let n = ready!(self.stream()?.poll_write_vectored(cx, bufs))?;
        self.streamed += n as u64;
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing waits on this side of the library.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(stream) = &mut self.stream {
            return Pin::new(stream).poll_shutdown(cx);
        }
        if !std::mem::replace(&mut self.ended, true) {
            ffi::conn_shutdown(self.claim.id);
        }
        Poll::Ready(Ok(()))
    }
}

//! One connection of a peer.

use std::io::{self, IoSlice};
use std::os::unix::net::UnixStream as StdStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::task::coop;

use super::ffi::{self, Claim};

/// A byte stream to a peer. Dropping it closes it: the peer gets the pending data and the end.
/// [`abort`](Conn::abort) resets it instead.
///
/// A reset connection reads as [`ConnectionReset`](io::ErrorKind::ConnectionReset), never as the end, so a
/// truncated stream is never taken as complete.
#[derive(Debug)]
pub struct Conn {
    // Fields drop in this order: the library must see the end before the release.
    /// For writes under backpressure; most connections never need it.
    stream: Option<UnixStream>,
    claim: Claim,
    /// Bytes written to `stream`.
    streamed: u64,
    /// Our side is shut down.
    ended: bool,
}

impl Conn {
    pub(super) fn new(claim: Claim) -> Self {
        Conn { stream: None, claim, streamed: 0, ended: false }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut UnixStream>> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => UnixStream::from_std(StdStream::from(self.claim.descriptor()?))?,
        };
        Ok(Pin::new(self.stream.insert(stream)))
    }

    /// Resets the connection.
    pub fn abort(self) {
        // Before the stream closes: its end must not overtake the reset.
        self.claim.reset();
    }

    /// A handle to watch and reset this connection while another task owns it.
    pub fn aborter(&self) -> Aborter {
        Aborter { id: self.claim.id() }
    }
}

impl Drop for Conn {
    /// A stream that a panic truncates must not look complete.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.claim.reset();
        }
    }
}

/// Watches and resets one [`Conn`] from any task. It does not keep the connection open.
#[derive(Debug, Clone)]
pub struct Aborter {
    id: u64,
}

impl Aborter {
    /// Whether the peer has half-closed or reset the connection, even if data is unread. True once the
    /// connection has been dropped.
    pub fn peer_closed(&self) -> bool {
        ffi::conn_peer_closed(self.id)
    }

    /// Resets the connection at once and wakes its owner, whose reads and writes fail. Does nothing once the
    /// connection has been dropped.
    pub fn abort(&self) {
        ffi::conn_abort(self.id);
    }
}

impl AsyncRead for Conn {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let budget = ready!(coop::poll_proceed(cx));
        ready!(self.claim.poll_read(cx, buf))?;
        budget.made_progress();
        Poll::Ready(Ok(()))
    }
}

/// Writes go to the network stack directly and, under backpressure, through a descriptor.
impl AsyncWrite for Conn {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let taken = self.claim.write(bufs, self.streamed);
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

    /// Nothing is buffered on this side of the library.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(stream) = &mut self.stream {
            return Pin::new(stream).poll_shutdown(cx);
        }
        if !self.ended {
            self.ended = true;
            self.claim.shutdown();
        }
        Poll::Ready(Ok(()))
    }
}

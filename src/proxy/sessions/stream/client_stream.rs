//! The handle of a client's stream that the HTTP library reads and writes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::policy::FramingFault;
use crate::proxy::sessions::stream::state::{State, StreamFault};

pub(crate) struct ClientStream<Io> {
    state: Arc<Mutex<State<Io>>>,
}

impl<Io> ClientStream<Io> {
    pub(super) fn new(state: Arc<Mutex<State<Io>>>) -> Self {
        ClientStream { state }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for ClientStream<Io> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state.lock();
        if !state.ahead.is_empty() {
            let n = state.ahead.len().min(buf.remaining());
            buf.put_slice(&state.ahead[..n]);
            state.ahead.drain(..n);
            if state.ahead.is_empty() {
                state.ahead = Vec::new(); // frees the memory: most connections never need it again
            }
            return Poll::Ready(Ok(()));
        }
        if state.fault == Some(StreamFault::Left) || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // The library would read on up to its own bound, and answer as if the headers were too long.
        if state.fault.is_none()
            && !state.is_answering()
            && state.heads.front() == Some(&Err(FramingFault::TargetTooLong))
        {
            state.fault = Some(StreamFault::Framing(FramingFault::TargetTooLong));
            return Poll::Ready(Ok(())); // as at the end of the stream
        }
        match state.poll_fill(cx, buf) {
            Poll::Pending => state.poll_read_timeout(cx),
            filled => filled,
        }
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for ClientStream<Io> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state.lock();
        let written = Pin::new(&mut state.io).poll_write(cx, buf);
        state.poll_write_timeout(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.state.lock();
        let written = Pin::new(&mut state.io).poll_write_vectored(cx, bufs);
        state.poll_write_timeout(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.state.lock().io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state.lock();
        let flushed = Pin::new(&mut state.io).poll_flush(cx);
        state.poll_write_timeout(flushed, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state.lock();
        let ended = Pin::new(&mut state.io).poll_shutdown(cx);
        state.poll_write_timeout(ended, cx)
    }
}

//! The handle of a client's stream that a running request holds: it notices that the client has left or is silent.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::policy::FramingFault;
use crate::proxy::sessions::stream::client_stream::ClientStream;
use crate::proxy::sessions::stream::state::{AnswerState, State, StreamFault};

/// How far a watch reads ahead, in bytes. Beyond it the library has to read first.
const AHEAD_MAX: usize = 16 << 10;

/// How long a connection that the proxy closes is still read, and how long the client may pause meanwhile. Closed at once,
/// the client's bytes would be answered with a reset, and many clients would lose the answer (RFC 9112, 9.6).
const LINGER: Duration = Duration::from_secs(10);
const LINGER_PAUSE: Duration = Duration::from_secs(2);

/// Clones watch the same stream.
pub(crate) struct Watch<Io> {
    state: Arc<Mutex<State<Io>>>,
}

impl<Io> Clone for Watch<Io> {
    fn clone(&self) -> Self {
        Watch { state: Arc::clone(&self.state) }
    }
}

/// Held while a request is being answered. The proxy waits for no other request meanwhile.
pub(crate) struct Answering(Arc<AnswerState>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.now.store(false, Ordering::Relaxed);
        if let Some(waker) = self.0.waker.lock().take() {
            waker.wake();
        }
    }
}

impl<Io> Watch<Io> {
    pub(super) fn new(state: Arc<Mutex<State<Io>>>) -> Self {
        Watch { state }
    }

    /// Marks a request as being answered until the returned value is dropped.
    pub(crate) fn answering(&self) -> Answering {
        let answering = Arc::clone(&self.state.lock().answering);
        answering.now.store(true, Ordering::Relaxed);
        Answering(answering)
    }

    /// Why the connection can't go on, if it can't.
    pub(crate) fn fault(&self) -> Option<StreamFault> {
        self.state.lock().fault
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Watch<Io> {
    /// Sends the last bytes of the connection and shuts it down, after the library is done. While other bytes wait to be
    /// sent, it sends nothing, as these would take their place.
    pub(crate) async fn send_last(self, bytes: &[u8]) {
        if self.state.lock().writes.is_running() {
            return;
        }
        let mut stream = ClientStream::new(self.state);
        if stream.write_all(bytes).await.is_ok() {
            let _ = stream.shutdown().await; // fails if the client has left
        }
    }

    /// Shuts our side down, and reads until the client has shut down its own, at most for [`LINGER`].
    pub(crate) async fn linger(self) {
        let stopping = self.state.lock().context.stopping.load(Ordering::Relaxed);
        let limit = if stopping { LINGER_PAUSE } else { LINGER };
        let mut stream = ClientStream::new(self.state);
        // The library has done so already, unless the input was no HTTP at all.
        if stream.shutdown().await.is_err() {
            return;
        }
        let ended = async {
            // On the heap: on the stack it would be part of every connection's task.
            let mut rest = vec![0; 4096];
            while let Ok(Ok(1..)) = tokio::time::timeout(LINGER_PAUSE, stream.read(&mut rest)).await {}
        };
        let _ = tokio::time::timeout(limit, ended).await;
    }
}

impl<Io: AsyncRead + Unpin> Watch<Io> {
    /// Whether the head of the next request was sound. To be called once for each request.
    ///
    /// # Errors
    /// What is wrong with the head.
    pub(crate) fn check_next_head(&self) -> Result<(), FramingFault> {
        let mut state = self.state.lock();
        // Without an entry, either the library sees a head where the framing has none, or the bytes before it, of a body
        // that was read and dropped, were malformed.
        let fault = state.body_fault.unwrap_or(FramingFault::RequestLine);
        let head = state.heads.pop_front().unwrap_or(Err(fault));
        state.attribute_body_fault();
        head
    }

    /// Waits for `work`.
    ///
    /// # Errors
    /// The client has left, is silent for too long, or has sent a malformed body.
    pub(crate) async fn unless_fault<T>(&self, work: impl Future<Output = T>) -> Result<T, StreamFault> {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|cx| match self.poll_fault(cx) {
            Poll::Ready(fault) => Poll::Ready(Err(fault)),
            Poll::Pending => work.as_mut().poll(cx).map(Ok),
        })
        .await
    }

    /// Ready once the request can't go on.
    pub(crate) fn poll_fault(&self, cx: &mut Context<'_>) -> Poll<StreamFault> {
        let mut state = self.state.lock();
        loop {
            if let Some(fault) = state.fault {
                return Poll::Ready(fault);
            }
            if state.ahead.len() >= AHEAD_MAX {
                return state.poll_peer_gone(cx);
            }
            let mut space = [std::mem::MaybeUninit::uninit(); 4096];
            let mut buf = ReadBuf::uninit(&mut space);
            match state.poll_fill(cx, &mut buf) {
                Poll::Ready(Ok(())) => state.ahead.extend_from_slice(buf.filled()),
                Poll::Ready(Err(_)) => {} // noted as a fault
                Poll::Pending => return state.poll_body_timeout(cx),
            }
        }
    }
}

//! The state that the two handles of a client's stream share: what has been read, what is wrong, and which timer runs.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::admission::Timeouts;
use crate::audit::Ended;
use crate::listen::PeerGone;
use crate::policy::{Framing, FramingFault, FramingPosition};
use crate::proxy::sessions::session::Session;
use crate::proxy::sessions::timeouts::{TimeoutKind, Timer};

/// How often the node is asked whether the peer has left while more bytes are buffered than the watch reads ahead.
const PEER_GONE_INTERVAL: Duration = Duration::from_millis(20);

/// Why a request can't go on, from the client's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StreamFault {
    /// The client has closed, half-closed or reset its connection.
    #[error("the client left")]
    Left,
    /// The request's body is malformed.
    #[error("{0}")]
    Framing(FramingFault),
    /// The client was silent for too long.
    #[error("{0}")]
    Slow(TimeoutKind),
}

/// What a stream has to know of the connection that it belongs to.
pub(crate) struct StreamContext {
    /// Whether the peer has left, although bytes from it are still unread.
    pub(crate) peer_gone: PeerGone,
    /// Cut when the client does not read its answer.
    pub(crate) session: Arc<Session>,
    pub(crate) timeouts: Timeouts,
    /// Set once the proxy stops; then no further request is waited for.
    pub(crate) stopping: Arc<AtomicBool>,
    /// Set while the client waits for `100 Continue`; then its body is not late.
    pub(crate) awaits_continue: Arc<AtomicBool>,
}

pub(super) struct State<Io> {
    pub(super) io: Io,
    pub(super) framing: Framing,
    /// One entry for each request whose head has been read and whose handler has not been called.
    pub(super) heads: VecDeque<Result<(), FramingFault>>,
    /// Bytes that the watch has read and the library has not.
    pub(super) ahead: Vec<u8>,
    /// The fault in the body of the last request that has been read.
    pub(super) body_fault: Option<FramingFault>,
    /// Why the connection can't go on.
    pub(super) fault: Option<StreamFault>,
    pub(super) context: StreamContext,
    peer_gone_timer: Option<Pin<Box<Sleep>>>,
    reads: Timer,
    pub(super) writes: Timer,
    pub(super) answering: Arc<AnswerState>,
}

/// Whether a request is being answered.
#[derive(Default)]
pub(super) struct AnswerState {
    pub(super) now: AtomicBool,
    /// Wakes the task that reads: it has to wait for the next request once this one is answered, and the library does
    /// not ask again by itself.
    pub(super) waker: Mutex<Option<Waker>>,
}

impl<Io> State<Io> {
    pub(super) fn new(io: Io, context: StreamContext) -> State<Io> {
        State {
            io,
            framing: Framing::default(),
            heads: VecDeque::new(),
            ahead: Vec::new(),
            body_fault: None,
            fault: None,
            context,
            peer_gone_timer: None,
            reads: Timer::default(),
            writes: Timer::default(),
            answering: Arc::default(),
        }
    }

    /// A fault in a body belongs to the running request, unless a later request's head has been read.
    pub(super) fn attribute_body_fault(&mut self) {
        if let (true, Some(fault)) = (self.heads.is_empty(), self.body_fault) {
            self.fault.get_or_insert(StreamFault::Framing(fault));
        }
    }

    /// Whether the last request that was read is being answered, or the client still has to read the answer.
    pub(super) fn is_answering(&self) -> bool {
        self.answering.now.load(Ordering::Relaxed) || self.writes.is_running()
    }

    fn is_stopping(&self) -> bool {
        self.context.stopping.load(Ordering::Relaxed)
    }

    /// Whether the running request lacks a part of its body. All bytes so far have been read, so the client is silent.
    fn awaits_body(&self) -> bool {
        self.framing.position() == FramingPosition::Body
            && self.heads.is_empty()
            && !self.context.awaits_continue.load(Ordering::Relaxed)
    }

    /// While a request runs or waits and nothing can be read: ready once its body has paused for too long.
    pub(super) fn poll_body_timeout(&mut self, cx: &mut Context<'_>) -> Poll<StreamFault> {
        if !self.awaits_body() {
            self.reads.stop();
            return Poll::Pending;
        }
        ready!(self.reads.poll(TimeoutKind::Body, &self.context.timeouts, cx));
        self.fault = Some(StreamFault::Slow(TimeoutKind::Body));
        Poll::Ready(StreamFault::Slow(TimeoutKind::Body))
    }

    /// Asks the node every [`PEER_GONE_INTERVAL`] whether the peer has left. Reading would not tell: too much is buffered.
    pub(super) fn poll_peer_gone(&mut self, cx: &mut Context<'_>) -> Poll<StreamFault> {
        loop {
            if (self.context.peer_gone)() {
                self.fault = Some(StreamFault::Left);
                return Poll::Ready(StreamFault::Left);
            }
            let timer =
                self.peer_gone_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(PEER_GONE_INTERVAL)));
            ready!(timer.as_mut().poll(cx));
            self.peer_gone_timer = None;
        }
    }
}

impl<Io: AsyncRead + Unpin> State<Io> {
    /// Reads from the client, checks the framing and notes the end of the stream.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        let new = &buf.filled()[before..];
        let heads = self.heads.len();
        if self.framing.position() == FramingPosition::Body && !new.is_empty() {
            self.context.awaits_continue.store(false, Ordering::Relaxed);
        }
        if result.is_err() || new.is_empty() {
            self.fault.get_or_insert(StreamFault::Left);
        } else if let Err(fault) = self.framing.feed(new, &mut self.heads) {
            self.body_fault = Some(fault);
            self.attribute_body_fault();
        }
        // Bytes of a body restart its timeout. Bytes of a head do not, and neither do empty lines before one.
        if self.framing.position() == FramingPosition::Body || self.heads.len() != heads {
            self.reads.stop();
        }
        Poll::Ready(result)
    }

    /// While the library waits for the client's next byte: ready, as at the end of the stream, once it has waited for too
    /// long.
    pub(super) fn poll_read_timeout(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let position = self.framing.position();
        // While a request is being answered, the library reads only to notice the client's end, or for more of a body, for
        // which the watch waits. While the client still has to read the last answer, the timeout of the answer runs.
        let answers = self.answering.now.load(Ordering::Relaxed);
        if answers || self.writes.is_running() && position != FramingPosition::Body {
            if !self.awaits_body() {
                self.reads.stop();
            }
            *self.answering.waker.lock() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let kind = match position {
            FramingPosition::Between | FramingPosition::Body if self.is_stopping() => {
                return Poll::Ready(Ok(()));
            }
            FramingPosition::Body => TimeoutKind::Body, // the rest of a request that has been answered
            FramingPosition::Head => TimeoutKind::Head,
            FramingPosition::Between => TimeoutKind::Request,
        };
        ready!(self.reads.poll(kind, &self.context.timeouts, cx));
        self.fault.get_or_insert(StreamFault::Slow(kind));
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> State<Io> {
    /// The result of a write, a flush or a shutdown. A client that accepts nothing for too long has its session cut.
    pub(super) fn poll_write_timeout<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if self.writes.is_running() {
                self.writes.stop();
                cx.waker().wake_by_ref(); // from now on the next request is waited for
            }
            return written;
        }
        ready!(self.writes.poll(TimeoutKind::Answer, &self.context.timeouts, cx));
        self.context.session.cut(Ended::TimedOut);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

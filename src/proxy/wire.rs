//! The client's stream, between the socket and the HTTP library.
//!
//! Two things must be known that the library keeps to itself: whether the bytes of a request were
//! ambiguous, and whether the client has left while the library has no reason to read. So every
//! byte passes through here, and a [`Watch`] reads ahead on behalf of a running request. It is also
//! the place where a client's silence can be told from the proxy's own.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Sleep;

use super::live::Session;
use super::pace::{Awaited, Timer};
use crate::admission::Pace;
use crate::audit::Ended;
use crate::listen::Left;
use crate::policy::{Framing, FramingFault, FramingPosition};

/// How far a watch reads ahead, in bytes. Past it the library has to read first.
const AHEAD_MAX: usize = 16 << 10;

/// How often it is looked whether a client has left behind more bytes than that.
const LOOK: Duration = Duration::from_millis(20);

/// How long a client that has been answered before it had sent everything may go on, and how long it
/// may pause meanwhile. Closed at once, its own bytes would be answered with a reset, which makes
/// many clients lose the answer (RFC 9112, 9.6).
const LINGER: Duration = Duration::from_secs(10);
const LINGER_PAUSE: Duration = Duration::from_secs(2);

/// What ends a request from the client's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// The client has closed, half-closed or reset its connection.
    #[error("the client left")]
    Left,
    /// The request's body is malformed.
    #[error("{0}")]
    Framing(FramingFault),
    /// The client was silent for too long.
    #[error("{0}")]
    Slow(Awaited),
}

/// The stream that the HTTP library gets.
pub(super) struct Wire<Io> {
    shared: Arc<Mutex<Shared<Io>>>,
}

/// The same stream in the hands of a running request, polled by the same task.
pub(super) struct Watch<Io> {
    shared: Arc<Mutex<Shared<Io>>>,
}

struct Shared<Io> {
    io: Io,
    framing: Framing,
    /// One entry for each request whose head has been read and whose handler has not been called.
    heads: VecDeque<Result<(), FramingFault>>,
    /// What a watch has read and the library has not.
    ahead: Vec<u8>,
    /// What is wrong with the body of the last request that has been read.
    fault: Option<FramingFault>,
    trouble: Option<Trouble>,
    /// Tells of a client that has left behind bytes that nobody reads.
    left: Left,
    look: Option<Pin<Box<Sleep>>>,
    session: Arc<Session>,
    pace: Pace,
    reads: Timer,
    writes: Timer,
    /// Whether a request is being answered, so that no other is waited for.
    busy: Arc<Answering>,
    /// Whether the proxy is to stop, so that no further request is waited for.
    stopping: Arc<AtomicBool>,
    /// Whether the client waits to be told to send its body, so that its silence is not its own.
    held_back: Arc<AtomicBool>,
}

/// Whether a request is being answered.
#[derive(Default)]
struct Answering {
    now: AtomicBool,
    /// Of the task that reads, which has to wait for the next request from the end of this one on. The
    /// library does not ask again by itself.
    waker: Mutex<Option<Waker>>,
}

/// Held while a request is being answered.
pub(super) struct Busy(Arc<Answering>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.now.store(false, Ordering::Relaxed);
        if let Some(waker) = lock(&self.0.waker).take() {
            waker.wake();
        }
    }
}

impl<Io> Wire<Io> {
    /// A client that does not read what `session` has for it is cut with it.
    pub(super) fn new(
        io: Io,
        left: Left,
        session: Arc<Session>,
        pace: Pace,
        stopping: Arc<AtomicBool>,
        held_back: Arc<AtomicBool>,
    ) -> (Self, Watch<Io>) {
        let shared = Arc::new(Mutex::new(Shared {
            io,
            framing: Framing::default(),
            heads: VecDeque::new(),
            ahead: Vec::new(),
            fault: None,
            trouble: None,
            left,
            look: None,
            session,
            pace,
            reads: Timer::default(),
            writes: Timer::default(),
            busy: Arc::default(),
            stopping,
            held_back,
        }));
        (Wire { shared: Arc::clone(&shared) }, Watch { shared })
    }
}

impl<Io> Clone for Watch<Io> {
    fn clone(&self) -> Self {
        Watch { shared: Arc::clone(&self.shared) }
    }
}

/// Never contended: library and watch run in one task.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<Io> Watch<Io> {
    /// A request is being answered as long as the returned value is held.
    pub(super) fn busy(&self) -> Busy {
        let busy = Arc::clone(&lock(&self.shared).busy);
        busy.now.store(true, Ordering::Relaxed);
        Busy(busy)
    }

    /// What has come to keep the connection from going on.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        lock(&self.shared).trouble
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Watch<Io> {
    /// Sends the last bytes of all, after the library is done. Not if others are stuck: these would
    /// take their place.
    pub(super) async fn say(self, bytes: &[u8]) {
        if lock(&self.shared).writes.is_running() {
            return;
        }
        let mut wire = Wire { shared: self.shared };
        // Nothing can be done for a client that does not listen.
        if wire.write_all(bytes).await.is_ok() {
            let _ = wire.shutdown().await;
        }
    }

    /// Ends our side, and waits until the client has ended its own, or for a while.
    pub(super) async fn linger(self) {
        let stopping = lock(&self.shared).stopping.load(Ordering::Relaxed);
        let mut wire = Wire { shared: self.shared };
        // The library has done so unless the request was no HTTP at all.
        if wire.shutdown().await.is_err() {
            return;
        }
        let ended = async {
            // Not on the stack, which would be part of every connection's task.
            let mut rest = vec![0; 4096];
            while let Ok(Ok(1..)) = tokio::time::timeout(LINGER_PAUSE, wire.read(&mut rest)).await {}
        };
        let most = if stopping { LINGER_PAUSE } else { LINGER };
        let _ = tokio::time::timeout(most, ended).await;
    }
}

impl<Io: AsyncRead + Unpin> Watch<Io> {
    /// What the bytes of the next request's head said. To be called once for each request.
    pub(super) fn next_head(&self) -> Result<(), FramingFault> {
        let mut shared = lock(&self.shared);
        // Where the library sees a head that we do not, it is the library's word that is odd.
        // Or the bytes before it, of a body that is read and dropped, were malformed.
        let fault = shared.fault.unwrap_or(FramingFault::RequestLine);
        let head = shared.heads.pop_front().unwrap_or(Err(fault));
        shared.blame();
        head
    }

    /// Waits for `work`, unless the client leaves or its request turns out to be malformed.
    pub(super) async fn unless_trouble<T>(&self, work: impl Future<Output = T>) -> Result<T, Trouble> {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|cx| match self.poll_trouble(cx) {
            Poll::Ready(trouble) => Poll::Ready(Err(trouble)),
            Poll::Pending => work.as_mut().poll(cx).map(Ok),
        })
        .await
    }

    /// Ready once the request can't go on.
    pub(super) fn poll_trouble(&self, cx: &mut Context<'_>) -> Poll<Trouble> {
        let mut shared = lock(&self.shared);
        loop {
            if let Some(trouble) = shared.trouble {
                return Poll::Ready(trouble);
            }
            if shared.ahead.len() >= AHEAD_MAX {
                return shared.poll_left(cx);
            }
            let mut space = [std::mem::MaybeUninit::uninit(); 4096];
            let mut buf = ReadBuf::uninit(&mut space);
            match shared.poll_fill(cx, &mut buf) {
                Poll::Ready(Ok(())) => shared.ahead.extend_from_slice(buf.filled()),
                Poll::Ready(Err(_)) => {} // noted as trouble
                Poll::Pending => return shared.poll_pause(cx),
            }
        }
    }
}

impl<Io> Shared<Io> {
    /// A fault in a body is the running request's, unless that is an earlier one.
    fn blame(&mut self) {
        if let (true, Some(fault)) = (self.heads.is_empty(), self.fault) {
            self.trouble.get_or_insert(Trouble::Framing(fault));
        }
    }

    /// Whether the last request that was read is being answered, or the client still has to take the answer.
    fn answers(&self) -> bool {
        self.busy.now.load(Ordering::Relaxed) || self.writes.is_running()
    }

    /// Whether the running request's body has to go on. Its bytes have all been read, so the client is silent.
    fn awaits_body(&self) -> bool {
        self.framing.position() == FramingPosition::Body
            && self.heads.is_empty()
            && !self.held_back.load(Ordering::Relaxed)
    }

    /// A request runs or waits for its turn, and there is nothing to read: whether its body may pause any longer.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<Trouble> {
        if !self.awaits_body() {
            self.reads.stop();
            return Poll::Pending;
        }
        ready!(self.reads.poll(Awaited::Body, &self.pace, cx));
        self.trouble = Some(Trouble::Slow(Awaited::Body));
        Poll::Ready(Trouble::Slow(Awaited::Body))
    }

    /// Looks every now and then whether the client has left, as no reading tells.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<Trouble> {
        loop {
            if (self.left)() {
                self.trouble = Some(Trouble::Left);
                return Poll::Ready(Trouble::Left);
            }
            let look = self.look.get_or_insert_with(|| Box::pin(tokio::time::sleep(LOOK)));
            ready!(look.as_mut().poll(cx));
            self.look = None;
        }
    }
}

impl<Io: AsyncRead + Unpin> Shared<Io> {
    /// Reads from the client, checks what comes and notes its end.
    fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        let new = &buf.filled()[before..];
        let heads = self.heads.len();
        if self.framing.position() == FramingPosition::Body && !new.is_empty() {
            self.held_back.store(false, Ordering::Relaxed);
        }
        if result.is_err() || new.is_empty() {
            self.trouble.get_or_insert(Trouble::Left);
        } else if let Err(fault) = self.framing.feed(new, &mut self.heads) {
            self.fault = Some(fault);
            self.blame();
        }
        // Bytes of a body start its time anew; those of a head do not, nor do empty lines before one.
        if self.framing.position() == FramingPosition::Body || self.heads.len() != heads {
            self.reads.stop();
        }
        Poll::Ready(result)
    }

    /// The library waits for the client's next byte: whether it may go on waiting.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let place = self.framing.position();
        // It only wants to know of the client's end, or of more of a body, which the watch waits for; or the client still has
        // to take the last answer, for which it has a time of its own.
        if self.busy.now.load(Ordering::Relaxed) || self.writes.is_running() && place != FramingPosition::Body
        {
            if !self.awaits_body() {
                self.reads.stop();
            }
            *lock(&self.busy.waker) = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let awaited = match place {
            // Of a request that has been answered: the rest of its body.
            FramingPosition::Body if self.stopping.load(Ordering::Relaxed) => return Poll::Ready(Ok(())),
            FramingPosition::Body => Awaited::Body,
            FramingPosition::Head => Awaited::Head,
            FramingPosition::Between if self.stopping.load(Ordering::Relaxed) => return Poll::Ready(Ok(())),
            FramingPosition::Between => Awaited::Request,
        };
        ready!(self.reads.poll(awaited, &self.pace, cx));
        self.trouble.get_or_insert(Trouble::Slow(awaited));
        Poll::Ready(Ok(())) // an end
    }
}

impl<Io: AsyncWrite + Unpin> Shared<Io> {
    /// What became of a write, or of what else waits until the client has taken what is there for it, unless it has
    /// taken nothing for too long. The library flushes only what has been written.
    fn taken<T>(&mut self, taken: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if taken.is_ready() {
            if self.writes.is_running() {
                self.writes.stop();
                cx.waker().wake_by_ref(); // from now on the next request is waited for
            }
            return taken;
        }
        ready!(self.writes.poll(Awaited::Answer, &self.pace, cx));
        self.session.cut(Ended::TimedOut);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Wire<Io> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.shared);
        if !shared.ahead.is_empty() {
            let n = shared.ahead.len().min(buf.remaining());
            buf.put_slice(&shared.ahead[..n]);
            shared.ahead.drain(..n);
            if shared.ahead.is_empty() {
                shared.ahead = Vec::new(); // most connections never need it again
            }
            return Poll::Ready(Ok(()));
        }
        if shared.trouble == Some(Trouble::Left) || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // The library would go on until its own bound, and answer as if the headers were too long.
        if shared.trouble.is_none()
            && !shared.answers()
            && shared.heads.front() == Some(&Err(FramingFault::TargetTooLong))
        {
            shared.trouble = Some(Trouble::Framing(FramingFault::TargetTooLong));
            return Poll::Ready(Ok(())); // an end
        }
        match shared.poll_fill(cx, buf) {
            Poll::Pending => shared.poll_patience(cx),
            filled => filled,
        }
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Wire<Io> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut shared = lock(&self.shared);
        let written = Pin::new(&mut shared.io).poll_write(cx, buf);
        shared.taken(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut shared = lock(&self.shared);
        let written = Pin::new(&mut shared.io).poll_write_vectored(cx, bufs);
        shared.taken(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        lock(&self.shared).io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.shared);
        let flushed = Pin::new(&mut shared.io).poll_flush(cx);
        shared.taken(flushed, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.shared);
        let ended = Pin::new(&mut shared.io).poll_shutdown(cx);
        shared.taken(ended, cx)
    }
}

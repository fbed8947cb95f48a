//! The body of a client's request, and what is left of it when the answer is sent before the body has arrived: a refusal,
//! or Ollama's answer to bad JSON.
//!
//! The HTTP library closes the connection if a body is not read to its end, and does not say so in the answer, so that the
//! client's next request fails. So a bounded rest is read and dropped and the connection is kept, as Go's server does. If
//! the client announces more, the answer says `Connection: close` (RFC 9112, 9.6).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::proxy::headers;

/// The largest rest that is read and dropped, in bytes. Source: `maxPostHandlerReadBytes` in Go's net/http.
const REST_MAX: u64 = 256 << 10;

/// How long reading a rest may take. Pauses have the timeout of any body.
const TIME_MAX: Duration = Duration::from_secs(10);

/// The unread rests of bodies on one client connection. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct UnreadBodies(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
    /// See [`UnreadBodies::awaits_continue`].
    awaits_continue: Arc<AtomicBool>,
}

/// How far the current request's body has been read.
#[derive(Default)]
struct State {
    /// Bytes that are announced and not read; 0 for a chunked body.
    remaining: u64,
    /// The client wants the connection closed after this request.
    is_last: bool,
    /// What the answer says about the connection; `None` before there is an answer.
    after: Option<AfterAnswer>,
    /// The rest of the body, once its request no longer reads it.
    rest: Option<Incoming>,
}

/// What happens to the connection after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AfterAnswer {
    Keep,
    Close,
}

/// The body of a client's request. Dropped before its end, it leaves the rest to the connection's [`UnreadBodies`].
pub(crate) struct RequestBody {
    /// `None` only while it is dropped.
    body: Option<Incoming>,
    unread: UnreadBodies,
}

impl UnreadBodies {
    /// Set while the client waits for `100 Continue` (RFC 9110, 10.1.1) and its body has not been asked for. The
    /// connection clears it once bytes of the body arrive.
    pub(crate) fn awaits_continue(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0.awaits_continue)
    }

    /// The body of the connection's next request.
    pub(crate) fn begin(&self, head: &Parts, body: Incoming) -> RequestBody {
        let (remaining, is_last) = (body.size_hint().lower(), is_last(head));
        *self.state() = State { remaining, is_last, after: None, rest: None };
        let expects = head.headers.contains_key(EXPECT) && !body.is_end_stream();
        self.0.awaits_continue.store(expects, Ordering::Relaxed);
        RequestBody { body: Some(body), unread: self.clone() }
    }

    /// Decides whether the connection is kept after `response`, and says so in it.
    pub(crate) fn answered<B>(&self, response: &mut Response<B>) {
        let mut state = self.state();
        let headers = response.headers_mut();
        let closes = headers.get(CONNECTION).is_some_and(|value| value == "close");
        let waits = self.0.awaits_continue.load(Ordering::Relaxed);
        if closes || state.is_last || state.remaining > REST_MAX || waits {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
            state.after = Some(AfterAnswer::Close);
            state.rest = None;
        } else {
            state.after = Some(AfterAnswer::Keep);
            self.0.changed.notify_one();
        }
    }

    /// Reads and drops rests for as long as the connection lasts, in the task that drives it. A rest that is too long or
    /// takes too long is given up, which ends the connection.
    pub(crate) async fn discard(&self) -> Infallible {
        loop {
            if let Some(body) = self.next() {
                // In a box: few connections need it, and it would be part of each one's task.
                let _ = Box::pin(tokio::time::timeout(TIME_MAX, discard_all(body))).await;
            }
            self.0.changed.notified().await;
        }
    }

    fn next(&self) -> Option<Incoming> {
        let mut state = self.state();
        if state.after == Some(AfterAnswer::Keep) { state.rest.take() } else { None }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }
}

/// Whether the client keeps the connection for no further request (RFC 9112, 9.3).
fn is_last(head: &Parts) -> bool {
    let named = |option| headers::is_named_by_connection(&head.headers, &HeaderName::from_static(option));
    if head.version == Version::HTTP_10 { !named("keep-alive") } else { named("close") }
}

/// Reads a body to its end, at most [`REST_MAX`] bytes of it.
async fn discard_all(mut body: Incoming) {
    let mut remaining = REST_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        match remaining.checked_sub(length) {
            Some(less) => remaining = less,
            None => return,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        let remaining = body.size_hint().lower();
        self.unread.state().remaining = remaining;
        self.unread.0.awaits_continue.store(false, Ordering::Relaxed);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Incoming::size_hint).unwrap_or_default()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let mut state = self.unread.state();
        if state.after != Some(AfterAnswer::Close) {
            state.rest = self.body.take().filter(|body| !body.is_end_stream());
            self.unread.0.changed.notify_one();
        }
    }
}

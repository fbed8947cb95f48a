//! The rest of a request that is answered before its body has arrived: a refusal, or Ollama's answer to bad JSON.
//!
//! The HTTP library closes the connection where a body is not read to its end, and says nothing of it in the answer: the
//! client's next request fails. So a bounded rest is read and dropped and the connection is kept, as Go's server does.
//! Where more is announced, the answer says `Connection: close` (RFC 9112, 9.6).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::Notify;

use crate::proxy::headers;

/// The largest rest that is read and dropped, in bytes. Source: `maxPostHandlerReadBytes` in Go's net/http.
const REST_MAX: u64 = 256 << 10;

/// How long reading it may take. Pauses have the limit of any body.
const TIME_MAX: Duration = Duration::from_secs(10);

/// The rests of one client connection. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Rest(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
    /// See [`Rest::held_back`].
    held_back: Arc<AtomicBool>,
}

/// How far the current request's body has been read.
#[derive(Default)]
struct State {
    /// Bytes that are announced and not read; 0 for a chunked body.
    left: u64,
    /// The client wants the connection closed after this request.
    last: bool,
    /// Whether the answer says that the connection goes on; `None` before it has been made.
    goes_on: Option<bool>,
    /// What is to be read and dropped once the answer has been made.
    body: Option<Incoming>,
}

/// The body of a client's request. Dropped before its end, it leaves the rest to the connection's [`Rest`].
pub(crate) struct RequestBody {
    /// `None` only while it is dropped.
    body: Option<Incoming>,
    rest: Rest,
}

impl Rest {
    /// Whether the client waits to be told to go on (RFC 9110, 10.1.1), and nothing has asked for its body yet. The connection
    /// takes it back once bytes of the body come.
    pub(crate) fn held_back(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0.held_back)
    }

    /// The body of the connection's next request.
    pub(crate) fn begin(&self, head: &Parts, body: Incoming) -> RequestBody {
        *self.state() =
            State { left: body.size_hint().lower(), last: is_last(head), goes_on: None, body: None };
        self.0.held_back.store(head.headers.contains_key(EXPECT) && !body.is_end_stream(), Ordering::Relaxed);
        RequestBody { body: Some(body), rest: self.clone() }
    }

    /// Decides whether the connection goes on after `response`, and says so in it.
    pub(crate) fn answered<B>(&self, response: &mut Response<B>) {
        let mut state = self.state();
        let headers = response.headers_mut();
        let ends = headers.get(CONNECTION).is_some_and(|value| value == "close");
        if ends || state.last || state.left > REST_MAX || self.0.held_back.load(Ordering::Relaxed) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
            (state.goes_on, state.body) = (Some(false), None);
        } else {
            state.goes_on = Some(true);
            self.0.changed.notify_one();
        }
    }

    /// Reads and drops rests for as long as the connection lasts, in the task that drives it. One that is too long or takes
    /// too long is given up, which ends the connection.
    pub(crate) async fn run(&self) -> Infallible {
        loop {
            if let Some(body) = self.next() {
                // Not part of every connection's task, as few need it.
                let _ = Box::pin(tokio::time::timeout(TIME_MAX, drop_all(body))).await;
            }
            self.0.changed.notified().await;
        }
    }

    fn next(&self) -> Option<Incoming> {
        let mut state = self.state();
        if state.goes_on == Some(true) { state.body.take() } else { None }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the client keeps the connection for no further request (RFC 9112, 9.3).
fn is_last(head: &Parts) -> bool {
    let named = |option| headers::is_named_by_connection(&head.headers, &HeaderName::from_static(option));
    if head.version == Version::HTTP_10 { !named("keep-alive") } else { named("close") }
}

/// Reads a body to its end, at most [`REST_MAX`] bytes of it.
async fn drop_all(mut body: Incoming) {
    let mut left = REST_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        match left.checked_sub(length) {
            Some(less) => left = less,
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
        let left = body.size_hint().lower();
        self.rest.state().left = left;
        self.rest.0.held_back.store(false, Ordering::Relaxed);
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
        let mut state = self.rest.state();
        if state.goes_on != Some(false) {
            state.body = self.body.take().filter(|body| !body.is_end_stream());
            self.rest.0.changed.notify_one();
        }
    }
}

//! The body of a request on its way to Ollama: counted, and cut off where it grows too large.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::audit::Traffic;

/// A request's body. It passes on what comes, chunk by chunk.
pub(super) struct Upload {
    body: Incoming,
    left: u64,
    traffic: Arc<Traffic>,
    too_large: TooLarge,
    /// Held as long as there is something left to pass on.
    alive: Alive,
}

/// Whether a body is still being passed on.
#[derive(Clone, Default)]
pub(super) struct Alive(Arc<()>);

impl Alive {
    /// Whether the body that shares this is gone: passed on to its end, or given up.
    pub(super) fn is_over(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

/// Whether a body has turned out to be too large, for whoever waits for the answer.
#[derive(Clone, Default)]
pub(super) struct TooLarge(Arc<AtomicBool>);

impl TooLarge {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Upload {
    /// `traffic` counts the bytes. `None` if the client has said that more than `max` will come.
    pub(super) fn new(body: Incoming, max: u64, traffic: Arc<Traffic>) -> Option<(Self, TooLarge)> {
        if body.size_hint().lower() > max {
            return None;
        }
        let too_large = TooLarge::default();
        Some((
            Upload { body, left: max, traffic, too_large: too_large.clone(), alive: Alive::default() },
            too_large,
        ))
    }
}

/// Why a body was not passed on to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    #[error("{0}")]
    Client(#[from] hyper::Error),
    #[error("the body is too large")]
    TooLarge,
}

impl Upload {
    /// Tells later whether this body is still being passed on.
    pub(super) fn alive(&self) -> Alive {
        self.alive.clone()
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
            return Poll::Ready(None);
        };
        let frame = frame?;
        let len = frame.data_ref().map_or(0, Bytes::len) as u64;
        if len > self.left {
            self.too_large.0.store(true, Ordering::Relaxed);
            return Poll::Ready(Some(Err(Cut::TooLarge)));
        }
        self.left -= len;
        self.traffic.bytes_in.fetch_add(len, Ordering::Relaxed);
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! The body of a request on its way to Ollama: counted, and cut off where it grows too large or names a second model.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::peek::Peeked;
use super::rest::RequestBody;
use crate::audit::Traffic;
use crate::policy::{BodyFault, ModelReader};

/// A request's body. It passes on what comes, chunk by chunk.
pub(super) struct Upload {
    body: RequestBody,
    /// What goes before it: what has been taken of it to learn the model.
    first: VecDeque<Frame<Bytes>>,
    /// Has taken those and goes on, where the model counts.
    reader: Option<ModelReader>,
    left: u64,
    traffic: Arc<Traffic>,
    end: End,
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

/// Why a body was cut off, for whoever waits for the answer.
#[derive(Clone, Default)]
pub(super) struct End(Arc<OnceLock<Why>>);

/// What a body was cut off for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Why {
    TooLarge,
    Doubt(BodyFault),
}

impl End {
    pub(super) fn why(&self) -> Option<Why> {
        self.0.get().copied()
    }
}

impl Upload {
    /// At most `max` bytes are passed on, and counted by `traffic`.
    pub(super) fn new(
        body: RequestBody,
        peeked: Option<Peeked>,
        max: u64,
        traffic: Arc<Traffic>,
    ) -> (Self, End) {
        let (first, reader) = peeked.map_or_else(Default::default, |p| (p.frames.into(), Some(p.reader)));
        let end = End::default();
        let alive = Alive::default();
        (Upload { body, first, reader, left: max, traffic, end: end.clone(), alive }, end)
    }
}

/// Why a body was not passed on to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    #[error("{0}")]
    Client(#[from] hyper::Error),
    #[error("the body is too large")]
    TooLarge,
    #[error("{0}")]
    Doubt(BodyFault),
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
        let frame = match self.first.pop_front() {
            Some(frame) => frame,
            None => {
                let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                    return Poll::Ready(None);
                };
                let frame = frame?;
                if let (Some(reader), Some(data)) = (&mut self.reader, frame.data_ref())
                    && let Err(doubt) = reader.feed(data)
                {
                    let _ = self.end.0.set(Why::Doubt(doubt));
                    return Poll::Ready(Some(Err(Cut::Doubt(doubt))));
                }
                frame
            }
        };
        let len = frame.data_ref().map_or(0, Bytes::len) as u64;
        if len > self.left {
            let _ = self.end.0.set(Why::TooLarge);
            return Poll::Ready(Some(Err(Cut::TooLarge)));
        }
        self.left -= len;
        self.traffic.bytes_in.fetch_add(len, Ordering::Relaxed);
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first: usize = self.first.iter().filter_map(Frame::data_ref).map(Bytes::len).sum();
        let rest = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + first as u64);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + first as u64);
        }
        hint
    }
}

//! The body of a request on its way to Ollama: counted, and cut off if it grows too large or names a second model.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::audit::Traffic;
use crate::policy::{BodyFault, ModelReader};
use crate::proxy::request::named_model::NamedModel;
use crate::proxy::sessions::request_body::RequestBody;

/// The beginning of a body, read before the rest to learn the model. Empty if no rule is about models.
#[derive(Default)]
pub(crate) struct BodyStart {
    pub(crate) frames: VecDeque<Frame<Bytes>>,
    /// Has read the frames, and reads on.
    pub(crate) reader: Option<ModelReader>,
}

/// A request's body, passed on chunk by chunk as it arrives.
pub(crate) struct Upload {
    start: BodyStart,
    rest: RequestBody,
    /// How many more bytes may pass.
    remaining: u64,
    traffic: Arc<Traffic>,
    fault: UploadFaultCell,
    /// Learns the model, if usage is counted.
    model: Option<Arc<NamedModel>>,
    /// Shared with the connection until the body has ended.
    handle: UploadHandle,
}

/// Tells a connection whether a body is still being passed on.
#[derive(Clone, Default)]
pub(crate) struct UploadHandle(Arc<()>);

impl UploadHandle {
    /// Whether the body that shares this is gone: passed on to its end, or given up.
    pub(super) fn is_over(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

/// Why a body was cut off.
#[derive(Debug, Clone, Copy)]
pub(crate) enum UploadFault {
    /// It exceeds its limit.
    TooLarge,
    /// Its model is unknown or ambiguous.
    Model(BodyFault),
}

/// Shared by a body and its request: the body's fault.
#[derive(Clone, Default)]
pub(crate) struct UploadFaultCell(Arc<OnceLock<UploadFault>>);

impl UploadFaultCell {
    /// The fault, if there was one.
    pub(crate) fn get(&self) -> Option<UploadFault> {
        self.0.get().copied()
    }
}

/// The error that ends a body early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("{0}")]
    Client(#[from] hyper::Error),
    #[error("the body was cut off")]
    CutOff,
}

impl Upload {
    /// Passes on at most `max` bytes of `start` and `rest`, counted in `traffic`.
    pub(crate) fn new(start: BodyStart, rest: RequestBody, max: u64, traffic: Arc<Traffic>) -> Self {
        let (fault, handle) = (UploadFaultCell::default(), UploadHandle::default());
        Upload { start, rest, remaining: max, traffic, fault, model: None, handle }
    }

    /// Shows the body to `model` as it passes.
    pub(crate) fn naming(self, model: Option<Arc<NamedModel>>) -> Self {
        Upload { model, ..self }
    }

    /// Where a fault will be found.
    pub(crate) fn fault(&self) -> UploadFaultCell {
        self.fault.clone()
    }

    /// Tells later whether this body is still being passed on.
    pub(super) fn handle(&self) -> UploadHandle {
        self.handle.clone()
    }

    fn cut_off(&self, fault: UploadFault) -> UploadError {
        let _ = self.fault.0.set(fault); // the first one counts
        UploadError::CutOff
    }

    /// The next frame of the body, which the reader of the model has accepted.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        if let Some(frame) = self.start.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let Some(frame) = ready!(Pin::new(&mut self.rest).poll_frame(cx)) else {
            return Poll::Ready(None);
        };
        let frame = frame?;
        if let (Some(reader), Some(data)) = (&mut self.start.reader, frame.data_ref())
            && let Err(fault) = reader.feed(data)
        {
            return Poll::Ready(Some(Err(self.cut_off(UploadFault::Model(fault)))));
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(frame) = ready!(self.poll_next(cx)) else { return Poll::Ready(None) };
        let frame = frame?;
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        let Some(remaining) = self.remaining.checked_sub(length) else {
            return Poll::Ready(Some(Err(self.cut_off(UploadFault::TooLarge))));
        };
        self.remaining = remaining;
        if let (Some(model), Some(data)) = (&self.model, frame.data_ref()) {
            model.feed(data);
        }
        self.traffic.bytes_in.fetch_add(length, Ordering::Relaxed);
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.start.frames.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let start: usize = self.start.frames.iter().filter_map(Frame::data_ref).map(Bytes::len).sum();
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + start as u64);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + start as u64);
        }
        hint
    }
}

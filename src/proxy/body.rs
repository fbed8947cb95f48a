//! Bodies of answers: a few words of the proxy's own, or what streams from Ollama.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::io::AsyncRead;

use super::exchange::{Broken, Reply};

/// The body of an answer to a client whose stream is an `Io`.
pub(super) enum Body<Io> {
    /// `None` once sent.
    Whole(Option<Bytes>),
    Stream(Box<Reply<Io>>),
}

impl<Io: AsyncRead + Unpin> http_body::Body for Body<Io> {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Body::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Body::Stream(reply) => reply.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(bytes) => bytes.is_none(),
            Body::Stream(reply) => reply.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Body::Stream(reply) => reply.size_hint(),
        }
    }
}

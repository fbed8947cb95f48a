//! Bodies of answers: a few words of the proxy's own, what streams from Ollama, or what goes on at a port
//! beside the proxy's.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::io::AsyncRead;

use crate::proxy::ports::auxiliary::Feed;
use crate::proxy::sessions::stream::{Busy, Watch};
use crate::proxy::upstream::conn::{Interrupted, Reply};

/// The body of an answer to a client whose stream is an `Io`.
pub(crate) enum Body<Io> {
    /// `None` once sent.
    Whole(Option<Bytes>),
    Stream(Box<Reply<Io>>),
    Feed(Box<Streamed<Io>>),
}

/// A feed on its way to a client, for as long as that is there.
pub(crate) struct Streamed<Io> {
    pub(crate) feed: Feed,
    pub(crate) watch: Watch<Io>,
    pub(crate) _busy: Busy,
}

impl<Io: AsyncRead + Unpin> Streamed<Io> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        if let Poll::Ready(trouble) = self.watch.poll_fault(cx) {
            return Poll::Ready(Some(Err(Interrupted::Client(trouble))));
        }
        self.feed.poll(cx).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl<Io: AsyncRead + Unpin> http_body::Body for Body<Io> {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Body::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Body::Stream(reply) => reply.poll_frame(cx),
            Body::Feed(streamed) => streamed.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(bytes) => bytes.is_none(),
            Body::Stream(reply) => reply.is_end_stream(),
            Body::Feed(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Body::Stream(reply) => reply.size_hint(),
            Body::Feed(_) => SizeHint::default(),
        }
    }
}

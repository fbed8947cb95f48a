//! Bodies of answers: a whole one that the proxy made, a stream from Ollama, or a feed of an auxiliary port.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use tokio::io::AsyncRead;

use crate::proxy::ports::feed::Feed;
use crate::proxy::refusal::answer::RefusalAnswer;
use crate::proxy::sessions::stream::watch::{Answering, Watch};
use crate::proxy::upstream::reply::{Interrupted, Reply};

/// The body of an answer to a client whose stream is an `Io`.
pub(crate) enum Body<Io> {
    /// `None` once sent.
    Whole(Option<Bytes>),
    Reply(Box<Reply<Io>>),
    Feed(Box<WatchedFeed<Io>>),
}

impl<Io> Body<Io> {
    /// A refusal as it is sent.
    pub(crate) fn refusal(answer: RefusalAnswer) -> Response<Body<Io>> {
        answer.into_response().map(|bytes| Body::Whole(Some(bytes)))
    }
}

/// A feed that ends when its client leaves.
pub(crate) struct WatchedFeed<Io> {
    pub(super) feed: Feed,
    pub(super) watch: Watch<Io>,
    pub(super) _answering: Answering,
}

impl<Io: AsyncRead + Unpin> WatchedFeed<Io> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        if let Poll::Ready(fault) = self.watch.poll_fault(cx) {
            return Poll::Ready(Some(Err(Interrupted::Client(fault))));
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
            Body::Reply(reply) => reply.poll_frame(cx),
            Body::Feed(feed) => feed.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(bytes) => bytes.is_none(),
            Body::Reply(reply) => reply.is_end_stream(),
            Body::Feed(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Body::Reply(reply) => reply.size_hint(),
            Body::Feed(_) => SizeHint::default(),
        }
    }
}

//! The body of Ollama's answer on its way to the client, chunk by chunk as it arrives.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::io::AsyncRead;

use crate::audit::Ended;
use crate::proxy::refusal::failure::Failure;
use crate::proxy::sessions::open_request::OpenRequest;
use crate::proxy::sessions::stream::state::StreamFault;
use crate::proxy::sessions::stream::watch::Watch;
use crate::proxy::upstream::answer::AnswerBody;
use crate::proxy::upstream::conn::UpstreamConn;
use crate::proxy::upstream::pool::PoolEntry;
use crate::usage::TokenCounter;

pub(crate) struct Reply<Io> {
    pub(crate) body: AnswerBody,
    /// `None` once the answer was interrupted.
    pub(crate) conn: Option<UpstreamConn>,
    /// Takes the connection after a complete answer.
    pub(crate) pool_entry: Arc<PoolEntry>,
    pub(crate) watch: Watch<Io>,
    /// Counts tokens, if they are counted.
    pub(crate) counter: Option<TokenCounter>,
    pub(crate) request: OpenRequest,
    /// `None` before the end.
    pub(crate) ended: Option<Ended>,
}

/// Why an answer ended early. The connection is broken, so that the client can't take a part for the whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Interrupted {
    #[error("{0}")]
    Client(StreamFault),
    #[error("Ollama broke off: {0}")]
    Upstream(hyper::Error),
}

type PolledFrame = Poll<Option<Result<Frame<Bytes>, Interrupted>>>;

impl<Io: AsyncRead + Unpin> Reply<Io> {
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> PolledFrame {
        if let Poll::Ready(fault) = self.watch.poll_fault(cx) {
            return self.interrupt(Failure::from(fault).ended(), Interrupted::Client(fault));
        }
        loop {
            let driver = self.conn.as_mut().map(|conn| &mut conn.driver);
            return match ready!(self.body.poll_frame(driver, cx)) {
                Some(Ok(frame)) => {
                    // Trailers are for this hop only; Ollama sends none.
                    let Ok(data) = frame.into_data() else { continue };
                    if let Some(counter) = &mut self.counter {
                        counter.feed(&data);
                    }
                    self.request.record.traffic.bytes_out.fetch_add(data.len() as u64, Ordering::Relaxed);
                    Poll::Ready(Some(Ok(Frame::data(data))))
                }
                Some(Err(error)) => self.interrupt(Ended::UpstreamFailed, Interrupted::Upstream(error)),
                None => {
                    self.ended = Some(Ended::Complete);
                    Poll::Ready(None)
                }
            };
        }
    }

    fn interrupt(&mut self, ended: Ended, why: Interrupted) -> PolledFrame {
        tracing::debug!(parent: &self.request.span, %why, "answer interrupted");
        self.conn = None; // closed: Ollama stops generating
        self.ended = Some(ended);
        Poll::Ready(Some(Err(why)))
    }
}

impl<Io> Reply<Io> {
    pub(crate) fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<Io> Drop for Reply<Io> {
    fn drop(&mut self) {
        // The HTTP library does not ask for the end of a body whose length is known and that is complete.
        let complete = self.ended == Some(Ended::Complete) || self.body.is_end_stream();
        if let Some(counter) = &self.counter {
            self.request.record.tokens = Some(counter.tokens());
            self.request.spend(counter.spent(complete));
        }
        if let Some(ended) = self.ended.or(complete.then_some(Ended::Complete)) {
            self.request.record.end(ended);
        }
        if let Some(conn) = self.conn.take().filter(|conn| complete && conn.is_reusable()) {
            self.pool_entry.put(conn);
        }
    }
}

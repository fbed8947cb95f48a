//! The body of Ollama's answer, of which the beginning is read before the answer is passed on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use crate::proxy::upstream::driver::Driver;

/// A frame of the body; `None` at its end.
pub(super) type PolledFrame = Poll<Option<Result<Frame<Bytes>, hyper::Error>>>;

pub(crate) struct AnswerBody {
    /// Frames that arrived together with the head.
    first: VecDeque<Frame<Bytes>>,
    rest: Incoming,
}

impl AnswerBody {
    /// The body `rest`, with what has arrived of it by now, at most about `max` bytes. Does not wait.
    ///
    /// # Errors
    /// The answer is broken in that part.
    pub(super) async fn begin(
        rest: Incoming,
        driver: &mut Driver,
        max: u64,
    ) -> Result<AnswerBody, hyper::Error> {
        let mut body = AnswerBody { first: VecDeque::new(), rest };
        std::future::poll_fn(|cx| {
            while body.buffered() < max {
                match body.poll_rest(Some(&mut *driver), cx) {
                    Poll::Ready(Some(Ok(frame))) => body.first.push_back(frame),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) | Poll::Pending => break,
                }
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        Ok(body)
    }

    /// Without a driver, as after an interruption, only what has already arrived is there.
    pub(super) fn poll_frame(&mut self, driver: Option<&mut Driver>, cx: &mut Context<'_>) -> PolledFrame {
        match self.first.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => self.poll_rest(driver, cx),
        }
    }

    fn poll_rest(&mut self, driver: Option<&mut Driver>, cx: &mut Context<'_>) -> PolledFrame {
        // Polled twice: the first poll of the body tells the connection that bytes are wanted.
        let polled = Pin::new(&mut self.rest).poll_frame(cx);
        let Some(driver) = driver.filter(|_| polled.is_pending()) else { return polled };
        driver.drive(cx);
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    fn buffered(&self) -> u64 {
        self.first.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum()
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let (buffered, rest) = (self.buffered(), self.rest.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + buffered);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + buffered);
        }
        hint
    }
}

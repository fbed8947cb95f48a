//! The timeouts of a client: which one applies, and the timer that runs while the proxy waits for the client.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

use crate::admission::Timeouts;
use crate::policy::Rule;

/// What the proxy waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TimeoutKind {
    /// The end of a request's head.
    #[error("the request's head was not complete in time")]
    Head,
    /// More of a request's body.
    #[error("the request's body did not continue in time")]
    Body,
    /// The client to read more of an answer.
    #[error("the client did not read the answer in time")]
    Answer,
    /// The first byte of the next request.
    #[error("the client sent no request in time")]
    Request,
}

impl TimeoutKind {
    /// The rule.
    pub(crate) fn rule(self) -> Rule {
        match self {
            TimeoutKind::Head => Rule::HeadTime,
            TimeoutKind::Body => Rule::BodyIdle,
            TimeoutKind::Answer => Rule::AnswerIdle,
            TimeoutKind::Request => Rule::ConnectionIdle,
        }
    }

    fn limit(self, timeouts: &Timeouts) -> Duration {
        match self {
            TimeoutKind::Head => timeouts.head,
            TimeoutKind::Body => timeouts.body,
            TimeoutKind::Answer => timeouts.answer,
            TimeoutKind::Request => timeouts.idle,
        }
    }
}

/// A timer for one wait at a time.
#[derive(Default)]
pub(crate) struct Timer(Option<(TimeoutKind, Pin<Box<Sleep>>)>);

impl Timer {
    /// Ready once the timeout of `kind` is over. The wait begins with the first call after [`stop`](Timer::stop), or with
    /// the first call for another kind.
    pub(crate) fn poll(&mut self, kind: TimeoutKind, timeouts: &Timeouts, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.as_ref().is_none_or(|(running, _)| *running != kind) {
            self.0 = Some((kind, Box::pin(tokio::time::sleep(kind.limit(timeouts)))));
        }
        match &mut self.0 {
            Some((_, sleep)) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// Whether a wait has begun.
    pub(crate) fn is_running(&self) -> bool {
        self.0.is_some()
    }

    /// Ends the wait.
    pub(crate) fn stop(&mut self) {
        self.0 = None;
    }
}

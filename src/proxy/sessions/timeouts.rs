//! Waiting for a client, with an end.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

use crate::admission::Timeouts;

/// What is being waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TimeoutKind {
    #[error("the request's head was not whole in time")]
    Head,
    #[error("the request's body did not go on in time")]
    Body,
    #[error("the answer was not read in time")]
    Answer,
    #[error("no request came in time")]
    Request,
}

impl TimeoutKind {
    /// The name of the rule, the same in logs and in answers.
    pub(crate) fn rule(self) -> &'static str {
        match self {
            TimeoutKind::Head => "head-time",
            TimeoutKind::Body => "body-idle",
            TimeoutKind::Answer => "answer-idle",
            TimeoutKind::Request => "connection-idle",
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

/// One wait that has an end.
#[derive(Default)]
pub(crate) struct Timer(Option<(TimeoutKind, Pin<Box<Sleep>>)>);

impl Timer {
    /// Ready once `awaited` has been waited for as long as it may. A wait begins with the first call
    /// after [`stop`](Timer::stop), or for something else.
    pub(crate) fn poll(
        &mut self,
        awaited: TimeoutKind,
        timeouts: &Timeouts,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.0.as_ref().is_none_or(|(before, _)| *before != awaited) {
            self.0 = Some((awaited, Box::pin(tokio::time::sleep(awaited.limit(timeouts)))));
        }
        match &mut self.0 {
            Some((_, sleep)) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// Whether something is being waited for.
    pub(crate) fn is_running(&self) -> bool {
        self.0.is_some()
    }

    /// It has come, or is no longer waited for.
    pub(crate) fn stop(&mut self) {
        self.0 = None;
    }
}

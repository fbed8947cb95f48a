//! A body that is made while it is sent, as for the page's events.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::mpsc;

/// A body that is made piece by piece, each after the one before has been taken.
pub(crate) struct Feed {
    /// `None` once it has ended.
    source: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    pieces: mpsc::Receiver<Bytes>,
}

impl Feed {
    /// The pieces that the future of `source` sends, until it ends. The channel holds one.
    pub(crate) fn new<F: Future<Output = ()> + Send + 'static>(
        source: impl FnOnce(mpsc::Sender<Bytes>) -> F,
    ) -> Feed {
        let (sender, pieces) = mpsc::channel(1);
        Feed { source: Some(Box::pin(source(sender))), pieces }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        // The source first, so that a new piece is sent at once.
        if self.source.as_mut().is_some_and(|source| source.as_mut().poll(cx).is_ready()) {
            self.source = None;
        }
        self.pieces.poll_recv(cx)
    }
}

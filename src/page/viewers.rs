//! The viewers of the page: how much each sees, and how many streams an identity has open.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::peer::Peer;
use crate::policy::{PageRight, Refusal};

/// Streams that one identity can have open. Browsers make six connections to one host; two are left for cancelling.
const STREAMS_PER_IDENTITY: usize = 4;

/// A peer that looks at the page, with its right to it.
#[derive(Clone, Copy)]
pub(super) struct Viewer<'a> {
    pub(super) peer: &'a Peer,
    pub(super) page: PageRight,
    /// Whether it also has the set-up.
    pub(super) has_setup: bool,
}

impl<'a> Viewer<'a> {
    /// Whether the viewer sees what belongs to other identities.
    pub(super) fn sees_all(self) -> bool {
        self.page == PageRight::Admin
    }

    /// The peer, if the viewer sees only what belongs to its identity.
    pub(super) fn limited_to(self) -> Option<&'a Peer> {
        (!self.sees_all()).then_some(self.peer)
    }
}

/// The number of open streams of each identity.
#[derive(Default)]
pub(super) struct OpenStreams(Arc<Mutex<HashMap<String, usize>>>);

/// Counts one stream as open until it is dropped.
pub(super) struct OpenStream {
    streams: Arc<Mutex<HashMap<String, usize>>>,
    identity: String,
}

impl OpenStreams {
    /// Counts one more stream.
    ///
    /// # Errors
    /// The identity of `peer` has [`STREAMS_PER_IDENTITY`] open.
    pub(super) fn open(&self, peer: &Peer) -> Result<OpenStream, Refusal> {
        let identity = peer.identity().to_owned();
        let mut streams = self.0.lock();
        let open = streams.entry(identity.clone()).or_default();
        if *open >= STREAMS_PER_IDENTITY {
            return Err(Refusal::Watching(STREAMS_PER_IDENTITY));
        }
        *open += 1;
        Ok(OpenStream { streams: Arc::clone(&self.0), identity })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut streams = self.streams.lock();
        if let Some(open) = streams.get_mut(&self.identity) {
            *open -= 1;
            if *open == 0 {
                streams.remove(&self.identity);
            }
        }
    }
}

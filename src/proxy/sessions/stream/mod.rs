//! The client's stream, between the socket and the HTTP library.
//!
//! The library does not show whether the bytes of a request were ambiguous, and it does not notice that the client has left
//! while it has no reason to read. So every byte passes through [`ClientStream`], which checks the framing, and a [`Watch`]
//! reads ahead on behalf of a running request. This is also the only place that can tell the client's silence from the
//! proxy's, so the timeouts run here.

pub(crate) mod client_stream;
pub(crate) mod state;
pub(crate) mod watch;

use std::sync::Arc;

use parking_lot::Mutex;

use client_stream::ClientStream;
use state::{State, StreamContext};
use watch::Watch;

/// The two handles of one client's stream: one for the HTTP library, one for the request that runs. Both must be polled by
/// the same task.
pub(crate) fn split<Io>(io: Io, context: StreamContext) -> (ClientStream<Io>, Watch<Io>) {
    let state = Arc::new(Mutex::new(State::new(io, context)));
    (ClientStream::new(Arc::clone(&state)), Watch::new(state))
}

//! What answers the requests of a port, and what it gets to know of the client.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Response;
use http::request::Parts;
use tokio::io::AsyncRead;

use crate::peer::Peer;
use crate::policy::{Policy, Rights};
use crate::proxy::ports::body::Body;
use crate::proxy::sessions::access::{AccessCheck, CurrentAccess};
use crate::proxy::sessions::request_body::RequestBody;
use crate::proxy::sessions::session::Session;
use crate::proxy::sessions::stream::watch::Watch;
use crate::proxy::upstream::pool::PoolEntry;

/// Answers the requests of one port.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Answers one request of `client`. Nothing has been decided about the request yet, not even whether its head is sound
    /// ([`Watch::check_next_head`]).
    fn answer<Io>(
        &self,
        client: &Client<Io>,
        head: Parts,
        body: RequestBody,
    ) -> impl Future<Output = Response<Body<Io>>> + Send
    where
        Io: AsyncRead + Send + Unpin + 'static;

    /// The place for a new client's connection to Ollama. Only the Ollama port needs one.
    fn pool_entry(&self) -> Arc<PoolEntry> {
        Arc::default()
    }
}

/// One client connection, as its handler sees it.
pub(crate) struct Client<Io> {
    pub(crate) caller: Caller,
    pub(crate) watch: Watch<Io>,
    pub(crate) pool_entry: Arc<PoolEntry>,
}

/// The peer of one session, as a port's rules see it. Clones are the same caller.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) session: Arc<Session>,
    access: AccessCheck,
}

impl Caller {
    pub(super) fn new(session: Arc<Session>, access: AccessCheck) -> Self {
        Caller { session, access }
    }

    pub(crate) fn peer(&self) -> &Arc<Peer> {
        &self.session.peer
    }

    /// What the peer may ask at this moment.
    pub(crate) fn access(&self) -> CurrentAccess {
        self.access.now(&self.session)
    }

    /// Whether the tailnet policy also lets the peer connect to `port`, at the address that it is connected to.
    pub(crate) fn may_connect(&self, port: u16) -> bool {
        let local = SocketAddr::new(self.session.local.ip(), port);
        self.access.admit(&self.access.rules(), &self.session.peer, local).is_some()
    }

    /// Decides by the rules and the rights of this moment.
    pub(crate) fn decide<T>(&self, decide: impl FnOnce(&Policy, &Rights) -> T) -> T {
        self.access().decide(decide)
    }
}

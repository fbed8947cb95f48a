//! One session: its peer, the peer's rights, and the request that is active on it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use http::Method;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::audit::{AuditSink, Ended, OpenRecord, PeerRule, Traffic};
use crate::listen::Abort;
use crate::peer::Peer;
use crate::policy::{Endpoint, Rights};

/// One accepted connection of a peer.
pub struct Session {
    pub(super) id: u64,
    /// The peer at the other end.
    pub peer: Arc<Peer>,
    /// Our address, to which the peer connected.
    pub local: SocketAddr,
    /// When the connection was accepted.
    pub since: Instant,
    access: Mutex<AccessEntry>,
    request: Mutex<Option<ActiveRequest>>,
    /// Why the session was cut, if it was.
    cut: Arc<OnceLock<Ended>>,
    cut_now: Notify,
    abort: Abort,
    audit: Arc<AuditSink>,
}

/// The rights of a session, and how recent they are.
struct AccessEntry {
    rights: Arc<Rights>,
    /// The number of sweeps that had begun when the tailnet was asked for these rights.
    as_of: u64,
}

/// A request that the policy has permitted and that has not ended.
#[derive(Debug, Clone)]
pub struct ActiveRequest {
    /// The id in its access record.
    pub id: String,
    /// The endpoint that it asks for.
    pub endpoint: Endpoint,
    /// When its head had arrived.
    pub since: Instant,
    /// Whether it has a running slot; else it waits for one.
    pub running: bool,
    /// The bytes of its bodies so far.
    pub traffic: Arc<Traffic>,
}

/// What a new verdict means for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Keep,
    Cut,
}

impl Session {
    /// A session without rights.
    pub(super) fn new(
        id: u64,
        peer: Peer,
        local: SocketAddr,
        abort: Abort,
        audit: Arc<AuditSink>,
    ) -> Session {
        Session {
            id,
            peer: Arc::new(peer),
            local,
            since: Instant::now(),
            access: Mutex::new(AccessEntry { rights: Arc::new(Rights::NONE), as_of: 0 }),
            request: Mutex::new(None),
            cut: Arc::default(),
            cut_now: Notify::new(),
            abort,
            audit,
        }
    }

    /// What the peer may ask now.
    pub fn rights(&self) -> Arc<Rights> {
        Arc::clone(&self.access.lock().rights)
    }

    /// The request that runs or waits now.
    pub fn request(&self) -> Option<ActiveRequest> {
        self.request.lock().clone()
    }

    /// The endpoint of the request that runs now.
    pub fn running(&self) -> Option<Endpoint> {
        self.request.lock().as_ref().filter(|request| request.running).map(|request| request.endpoint)
    }

    /// Shows a permitted request, which waits for a running slot.
    pub(super) fn show_waiting(&self, request: ActiveRequest) {
        *self.request.lock() = Some(request);
    }

    /// Shows that the request has its running slot.
    pub(super) fn show_running(&self) {
        if let Some(request) = &mut *self.request.lock() {
            request.running = true;
        }
    }

    /// Removes the request, which has ended.
    pub(super) fn clear_request(&self) {
        *self.request.lock() = None;
    }

    /// The access record of a new request. If the session is cut, the record says why.
    pub(crate) fn record(&self, method: &Method) -> OpenRecord {
        let (cut, audit) = (Arc::clone(&self.cut), Arc::clone(&self.audit));
        OpenRecord::new(Arc::clone(&self.peer), self.local.port(), method, cut, audit)
    }

    /// Records that the peer is refused without a request. `reason` has details for people.
    pub(crate) fn record_refusal(&self, rule: PeerRule, reason: Option<String>) {
        self.audit.peer_refused(&self.peer, self.local.port(), rule, reason);
    }

    /// Cuts the session and records why.
    pub(super) fn cut_and_record(&self, why: Ended) {
        self.audit.session_cut(&self.peer, self.local.port(), why);
        self.cut(why);
    }

    /// Breaks the connection. Later reasons are ignored.
    pub fn cut(&self, why: Ended) {
        if self.cut.set(why).is_ok() {
            (self.abort)();
            self.cut_now.notify_one();
        }
    }

    /// Cuts the session if the request with this id is active on it.
    pub(super) fn cancel(&self, id: &str, by: &str) -> bool {
        let request = self.request.lock();
        let found = request.as_ref().is_some_and(|request| request.id == id);
        if found {
            self.audit.cancelled(&self.peer, self.local.port(), id, by);
            self.cut(Ended::Cancelled); // with the lock held, so that no later request is hit
        }
        found
    }

    /// Breaks the connection and leaves the reason in its access record as it is.
    pub(crate) fn reset(&self) {
        (self.abort)();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.get().is_some()
    }

    /// Waits until the session is cut. Nothing else wakes a connection that does not read. Only one task may wait here.
    pub(crate) async fn until_cut(&self) {
        self.cut_now.notified().await;
    }

    /// Sets the rights before the session joins the others.
    pub(super) fn admit(&self, rights: Rights, as_of: u64) {
        *self.access.lock() = AccessEntry { rights: Arc::new(rights), as_of };
    }

    /// Applies the rights of sweep `number` (`None`: the peer may no longer connect), unless the session has more recent
    /// ones. From then on no request begins that they do not allow.
    pub(super) fn apply(&self, rights: Option<Rights>, number: u64) -> Outcome {
        let admitted = rights.is_some();
        let rights = Arc::new(rights.unwrap_or(Rights::NONE));
        {
            let mut access = self.access.lock();
            if access.as_of >= number {
                return Outcome::Keep;
            }
            *access = AccessEntry { rights: Arc::clone(&rights), as_of: number };
        }
        // Looked up after the change: a request that begins in between sees the new rights.
        match self.running() {
            None if admitted => Outcome::Keep,
            Some(endpoint) if admitted && rights.allows(endpoint) => Outcome::Keep,
            _ => Outcome::Cut,
        }
    }
}

//! The Ollama port: its parts and its state.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::admission::{Admission, Limits};
use crate::audit::AuditSink;
use crate::proxy::ports::port::Port;
use crate::proxy::request::listed_models::ListedModels;
use crate::proxy::request::local_models::LocalModels;
use crate::proxy::request::origins::Origins;
use crate::proxy::rules::Rules;
use crate::proxy::sessions::set::Sessions;
use crate::proxy::upstream::pool::UpstreamPool;
use crate::tailnet::{Authorizer, Member};

/// The server at the Ollama port. Clones are the same server.
#[derive(Clone)]
pub struct Proxy {
    port: Port,
    pub(super) admission: Admission,
    pub(super) local_models: Arc<LocalModels>,
    pub(super) listed_models: Arc<ListedModels>,
    pub(super) pool: UpstreamPool,
    pub(super) origins: Arc<Origins>,
}

/// How many requests are active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Requests with a running slot.
    pub running: u32,
    /// Requests that wait for one.
    pub waiting: u32,
}

impl Proxy {
    /// A server under the latest of `rules`, for the peers that `authorizer` admits.
    /// Requests and sessions are recorded in `audit`.
    pub fn new(
        rules: watch::Receiver<Arc<Rules>>,
        authorizer: Arc<dyn Authorizer>,
        audit: Arc<AuditSink>,
    ) -> Self {
        Proxy {
            port: Port::new(rules, authorizer, audit),
            admission: Admission::default(),
            local_models: Arc::default(),
            listed_models: Arc::default(),
            pool: UpstreamPool::default(),
            origins: Arc::default(),
        }
    }

    /// The Ollama port.
    pub fn port(&self) -> &Port {
        &self.port
    }

    /// The open sessions.
    pub fn sessions(&self) -> &Sessions {
        self.port.sessions()
    }

    /// Whether the server stops.
    pub fn is_stopping(&self) -> bool {
        self.port.is_stopping()
    }

    /// Where requests and sessions are recorded and counted.
    pub fn audit(&self) -> &Arc<AuditSink> {
        self.sessions().audit()
    }

    /// Whether the tailnet policy would admit any device to `local`, even one that is not among the `members` of the
    /// netmap.
    pub fn admits_strangers(&self, local: SocketAddr, members: &[Member]) -> bool {
        self.port.access().admits_strangers(local, members)
    }

    /// Waits until a running slot is free that no request waits for, under the `limits`; see
    /// [`Admission::slot_is_free`].
    pub async fn slot_is_free(&self, limits: &Limits) {
        self.admission.slot_is_free(limits).await;
    }

    /// The limits, the queue and the slots.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// The active requests.
    pub fn load(&self) -> Load {
        let (running, waiting) = self.admission.load();
        Load { running, waiting }
    }
}

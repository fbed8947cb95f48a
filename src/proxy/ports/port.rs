//! A port of the node: who may connect, which sessions are open, and the sweeps over them. These are the same on every
//! port; only the [`Handler`](crate::proxy::ports::handler::Handler) differs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::audit::{AuditSink, Ended, PeerRule};
use crate::listen::{Accepted, PeerGone};
use crate::proxy::rules::Rules;
use crate::proxy::sessions::access::AccessCheck;
use crate::proxy::sessions::set::{Entered, SessionCount, Sessions};
use crate::tailnet::{Authorizer, PortMembers};

/// A port of the node in the tailnet, or several that answer the same. Clones are the same port.
#[derive(Clone)]
pub struct Port {
    access: AccessCheck,
    sessions: Sessions,
    /// Set once the port stops; further requests are refused.
    stopping: Arc<AtomicBool>,
}

/// One check of all sessions of a port, by a list of the netmap or because there is none.
pub struct Sweep {
    port: Port,
    number: u64,
}

impl Sweep {
    /// Applies `lists`, requested since the sweep began: sessions that lost their access are cut. Returns how
    /// many.
    pub fn judge(&self, lists: &[PortMembers]) -> usize {
        self.port.sessions.sweep(self.port.access.rules().access, lists, self.number)
    }

    /// Cuts the sessions whose rights are older than this sweep. Returns how many there were.
    pub fn cut(&self, why: Ended) -> usize {
        self.port.sessions.cut_older(why, self.number)
    }
}

/// An accepted connection whose session has entered the set.
pub(super) struct Admitted<Io> {
    pub(super) io: Io,
    pub(super) peer_gone: PeerGone,
    pub(super) entered: Entered,
}

impl Port {
    pub(crate) fn new(
        rules: watch::Receiver<Arc<Rules>>,
        authorizer: Arc<dyn Authorizer>,
        audit: Arc<AuditSink>,
    ) -> Self {
        Self::with(AccessCheck::new(rules, authorizer), audit)
    }

    /// Another port under the same rules, with sessions of its own.
    pub fn another(&self) -> Port {
        Self::with(self.access.clone(), Arc::clone(self.sessions.audit()))
    }

    fn with(access: AccessCheck, audit: Arc<AuditSink>) -> Self {
        Port { access, sessions: Sessions::new(audit), stopping: Arc::default() }
    }

    pub(crate) fn access(&self) -> &AccessCheck {
        &self.access
    }

    /// The open sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Whether the port stops.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Set once the port stops.
    pub(super) fn stopping(&self) -> &Arc<AtomicBool> {
        &self.stopping
    }

    /// Begins a sweep. Its lists must be requested after that.
    pub fn sweep(&self) -> Sweep {
        Sweep { port: self.clone(), number: self.sessions.begin_sweep() }
    }

    /// Admits a connection, unless its peer has lost access since it connected, or too many are open.
    pub(super) fn admit<Io>(&self, accepted: Accepted<Io>) -> Option<Admitted<Io>> {
        let Accepted { io, peer, local, peer_gone, abort } = accepted;
        let session = self.sessions.connected(peer, local, abort);
        let peer = &session.peer;
        loop {
            let (sweeps, rules) = (self.sessions.sweeps(), self.access.rules());
            let Some(rights) = self.access.admit(&rules, peer, local) else {
                session.record_refusal(PeerRule::NoAccess, None);
                session.reset();
                return None;
            };
            let SessionCount { all, of_peer } = self.sessions.count(peer);
            if all >= rules.limits.connections || of_peer >= rules.limits.connections_per_peer {
                let reason = format!("{all} are open, {of_peer} of this peer");
                session.record_refusal(PeerRule::Connections, Some(reason));
                session.reset();
                return None;
            }
            // A sweep may have begun meanwhile; then its list may be newer than the verdict.
            if let Some(entered) = self.sessions.enter(&session, rights, sweeps) {
                return Some(Admitted { io, peer_gone, entered });
            }
        }
    }
}

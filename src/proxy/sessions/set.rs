//! The sessions of one port, and the sweeps that check them again.
//!
//! Sweeps are numbered before they request their list of the netmap, and a session joins the set only if no sweep has begun
//! since its verdict was asked for. So a list is either newer than the verdict of a session, and replaces it, or older, and
//! does not.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::audit::{AuditSink, Ended};
use crate::listen::Abort;
use crate::peer::Peer;
use crate::policy::{AccessMode, Rights};
use crate::proxy::sessions::access::rights_by;
use crate::proxy::sessions::session::{Outcome, Session};
use crate::tailnet::{Member, PortMembers};

/// The sessions of a port. Clones are the same set.
#[derive(Clone, Default)]
pub struct Sessions {
    by_id: Arc<Mutex<BTreeMap<u64, Arc<Session>>>>,
    next_id: Arc<AtomicU64>,
    /// The number of sweeps that have begun.
    sweeps: Arc<AtomicU64>,
    audit: Arc<AuditSink>,
}

/// How many sessions are open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionCount {
    pub(crate) all: usize,
    /// Of one peer.
    pub(crate) of_peer: usize,
}

impl Sessions {
    /// An empty set, whose requests and cuts are recorded in `audit`.
    pub(crate) fn new(audit: Arc<AuditSink>) -> Self {
        Sessions { audit, ..Sessions::default() }
    }

    /// Where requests and cuts are recorded.
    pub(crate) fn audit(&self) -> &Arc<AuditSink> {
        &self.audit
    }

    /// A session that has no rights yet and is not in the set.
    pub(crate) fn connected(&self, peer: Peer, local: SocketAddr, abort: Abort) -> Arc<Session> {
        let (id, audit) = (self.next_id.fetch_add(1, Ordering::Relaxed), Arc::clone(&self.audit));
        Arc::new(Session::new(id, peer, local, abort, audit))
    }

    /// Adds a session until the returned value is dropped. `as_of` is the number of sweeps that had begun when the tailnet
    /// was asked for `rights`. `None`: another sweep has begun since, so its list may be newer or older than these rights,
    /// and the caller has to ask the tailnet again.
    pub(crate) fn enter(&self, session: &Arc<Session>, rights: Rights, as_of: u64) -> Option<Entered> {
        let mut sessions = self.by_id.lock();
        if self.sweeps() != as_of {
            return None;
        }
        session.admit(rights, as_of);
        sessions.insert(session.id, Arc::clone(session));
        Some(Entered { session: Arc::clone(session), sessions: self.clone() })
    }

    /// The sessions at this moment, oldest first.
    pub fn all(&self) -> Vec<Arc<Session>> {
        self.by_id.lock().values().cloned().collect()
    }

    /// Cuts the session of the active request with this id, at the request of `by`. Returns whether there is one.
    pub fn cancel(&self, id: &str, by: &str) -> bool {
        self.all().iter().any(|session| session.cancel(id, by))
    }

    /// The number of sweeps that have begun.
    pub(crate) fn sweeps(&self) -> u64 {
        self.sweeps.load(Ordering::SeqCst)
    }

    /// Begins a sweep and returns its number. Its list must be requested after that.
    pub(crate) fn begin_sweep(&self) -> u64 {
        self.sweeps.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The open sessions, in all and of the node of `peer`.
    pub(crate) fn count(&self, peer: &Peer) -> SessionCount {
        let sessions = self.by_id.lock();
        let of_peer = sessions.values().filter(|session| session.peer.stable_id == peer.stable_id).count();
        SessionCount { all: sessions.len(), of_peer }
    }

    /// Applies the lists of sweep `number` to every session whose rights are older. A session is cut if its peer may no
    /// longer connect, or may no longer ask for the endpoint of its running request; the others have their new rights from
    /// the next request on. Sessions on ports absent from `lists` are left unchanged. Returns how many were cut.
    pub(crate) fn sweep(&self, mode: AccessMode, lists: &[PortMembers], number: u64) -> usize {
        let sessions = self.all();
        let by_port: HashMap<u16, HashMap<&str, &Member>> = lists
            .iter()
            .filter(|list| sessions.iter().any(|session| session.local.port() == list.port))
            .map(|list| (list.port, list.members.iter().map(|m| (m.stable_id.as_str(), m)).collect()))
            .collect();
        // All rights are applied before any session is cut: a cut frees a running slot, which must not go to another
        // request of the same peer.
        let mut revoked = Vec::new();
        for session in sessions.into_iter().filter(|session| !session.is_cut()) {
            let Some(members) = by_port.get(&session.local.port()) else { continue };
            let member = members.get(session.peer.stable_id.as_str()).filter(|m| m.is(&session.peer));
            let verdict = member.map(|m| m.verdict(session.peer.addr.ip(), session.local.ip()));
            let rights = verdict.and_then(|verdict| rights_by(mode, &verdict));
            if session.apply(rights, number) == Outcome::Cut {
                revoked.push(session);
            }
        }
        for session in &revoked {
            session.cut_and_record(Ended::Revoked);
        }
        revoked.len()
    }

    /// Cuts every session whose rights are older than sweep `number`. Returns how many there were.
    pub(crate) fn cut_older(&self, why: Ended, number: u64) -> usize {
        let mut sessions = self.all();
        sessions.retain(|session| !session.is_cut() && session.apply(None, number) == Outcome::Cut);
        for session in &sessions {
            session.cut_and_record(why);
        }
        sessions.len()
    }
}

/// A session in the set, until this is dropped.
pub(crate) struct Entered {
    pub(crate) session: Arc<Session>,
    sessions: Sessions,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.sessions.by_id.lock().remove(&self.session.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdict_older_than_a_sweep_does_not_enter() {
        let sessions = Sessions::default();
        let peer = Peer {
            addr: ([100, 64, 0, 2], 1).into(),
            node: String::new(),
            stable_id: String::new(),
            user: None,
            tags: Vec::new(),
            os: String::new(),
        };
        let session = sessions.connected(peer, ([100, 64, 0, 1], 2).into(), Box::new(|| {}));
        let as_of = sessions.sweeps();
        sessions.begin_sweep();
        assert!(sessions.enter(&session, Rights::NONE, as_of).is_none());
        assert!(sessions.all().is_empty());
        let entered = sessions.enter(&session, Rights::NONE, sessions.sweeps());
        assert_eq!(sessions.all().len(), 1);
        drop(entered);
        assert!(sessions.all().is_empty());
    }
}

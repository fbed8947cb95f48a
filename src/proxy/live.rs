//! The connections there are now, what runs on them, and cutting them when access is lost.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use http::Method;
use tokio::sync::Notify;

use crate::audit::{Ended, Metrics, Record, Traffic};
use crate::listen::Abort;
use crate::peer::Peer;
use crate::policy::{AccessMode, Endpoint, Rights};
use crate::tailnet::{Member, PortMembers, Verdict};

/// Every connection of a proxy. Clones are the same set.
#[derive(Clone, Default)]
pub struct Live {
    sessions: Arc<Mutex<BTreeMap<u64, Arc<Session>>>>,
    next: Arc<AtomicU64>,
    /// How many sweeps have begun; see [`Live::enter`].
    sweeps: Arc<AtomicU64>,
}

/// One client connection.
pub struct Session {
    id: u64,
    /// Who is speaking.
    pub peer: Arc<Peer>,
    /// Our address.
    pub local: SocketAddr,
    /// When it was accepted.
    pub since: Instant,
    standing: Mutex<Standing>,
    request: Mutex<Option<Request>>,
    cut: Arc<OnceLock<Ended>>,
    cut_now: Notify,
    abort: Abort,
}

/// What a peer may do, and how new that is.
struct Standing {
    rights: Arc<Rights>,
    /// How many sweeps had begun when the tailnet was asked.
    asked: u64,
}

/// A request that the policy has permitted and that has not ended.
#[derive(Debug, Clone)]
pub struct Request {
    /// As in its record.
    pub id: String,
    /// What was asked for.
    pub endpoint: Endpoint,
    /// When its head had arrived.
    pub since: Instant,
    /// Whether its turn has come.
    pub running: bool,
    /// What has passed of it.
    pub traffic: Arc<Traffic>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    /// A connection that has no rights yet and is not among the others.
    pub(super) fn connected(&self, peer: Peer, local: SocketAddr, abort: Abort) -> Arc<Session> {
        Arc::new(Session {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            peer: Arc::new(peer),
            local,
            since: Instant::now(),
            standing: Mutex::new(Standing { rights: Arc::new(Rights::NONE), asked: 0 }),
            request: Mutex::new(None),
            cut: Arc::default(),
            cut_now: Notify::new(),
            abort,
        })
    }

    /// Adds a connection, which stays until the returned value is dropped, with rights for which the
    /// tailnet was asked when `asked` sweeps had begun. `None`: another has begun since, so its list may
    /// be newer than these rights, or older. Ask again.
    pub(super) fn enter(&self, session: &Arc<Session>, rights: Rights, asked: u64) -> Option<Entered> {
        let mut sessions = lock(&self.sessions);
        if self.sweeps() != asked {
            return None;
        }
        *lock(&session.standing) = Standing { rights: Arc::new(rights), asked };
        sessions.insert(session.id, Arc::clone(session));
        Some(Entered { session: Arc::clone(session), live: self.clone() })
    }

    /// The connections at this moment, oldest first.
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        lock(&self.sessions).values().cloned().collect()
    }

    /// Breaks the connection of the request with this id, running or waiting, on the word of `by`; false if
    /// there is none.
    pub fn cancel(&self, id: &str, by: &str) -> bool {
        self.sessions().iter().any(|session| session.cancel(id, by))
    }

    /// How many sweeps have begun.
    pub(super) fn sweeps(&self) -> u64 {
        self.sweeps.load(Ordering::SeqCst)
    }

    /// A sweep begins, and only then its list is requested. Returns its number.
    pub(super) fn begin_sweep(&self) -> u64 {
        self.sweeps.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The connections there are, in all and of the node of `peer`.
    pub(super) fn count(&self, peer: &Peer) -> (usize, usize) {
        let sessions = lock(&self.sessions);
        (sessions.len(), sessions.values().filter(|s| s.peer.stable_id == peer.stable_id).count())
    }

    /// Judges every connection by the list of sweep `number`, unless its rights are newer. A session
    /// whose peer has lost access, or the endpoint of its running request, is cut; the others have
    /// their new rights from the next request on. Sessions at a port that is not in `lists` are left
    /// unchanged. Returns how many were cut.
    pub(super) fn judge(&self, access: AccessMode, lists: &[PortMembers], number: u64) -> usize {
        let sessions = self.sessions();
        let by_port: HashMap<u16, HashMap<&str, &Member>> = lists
            .iter()
            .filter(|list| sessions.iter().any(|session| session.local.port() == list.port))
            .map(|list| (list.port, list.members.iter().map(|m| (m.stable_id.as_str(), m)).collect()))
            .collect();
        // All rights are settled before any session is cut: a cut frees a turn at Ollama, which must not
        // go to another request of the same peer.
        let lost: Vec<_> = sessions
            .into_iter()
            .filter(|session| {
                let Some(by_id) = by_port.get(&session.local.port()) else { return false };
                let member = by_id.get(session.peer.stable_id.as_str()).filter(|m| m.is(&session.peer));
                let verdict =
                    member.map_or(Verdict::Refuse, |m| m.verdict(session.peer.addr.ip(), session.local.ip()));
                !session.is_cut() && !session.settle(access, &verdict, number)
            })
            .collect();
        for session in &lost {
            tracing::info!(target: "access", peer = %session.peer, "access lost: connection cut");
            session.cut(Ended::Revoked);
        }
        lost.len()
    }

    /// Cuts every connection whose rights are older than sweep `number`. Returns how many there were.
    pub(super) fn cut_older(&self, why: Ended, number: u64) -> usize {
        let mut sessions = self.sessions();
        sessions.retain(|s| !s.is_cut() && !s.settle(AccessMode::Grants, &Verdict::Refuse, number));
        for session in &sessions {
            tracing::info!(target: "access", peer = %session.peer, why = why.name(), "connection cut");
            session.cut(why);
        }
        sessions.len()
    }
}

impl Session {
    /// What the peer may do now.
    pub fn rights(&self) -> Arc<Rights> {
        Arc::clone(&lock(&self.standing).rights)
    }

    /// The request that runs or waits now.
    pub fn request(&self) -> Option<Request> {
        lock(&self.request).clone()
    }

    /// The endpoint of the request that runs now.
    pub fn running(&self) -> Option<Endpoint> {
        lock(&self.request).as_ref().filter(|r| r.running).map(|r| r.endpoint)
    }

    /// A request waits for its turn.
    pub(super) fn waits(&self, request: Request) {
        *lock(&self.request) = Some(request);
    }

    /// Its turn has come.
    pub(super) fn begin(&self) {
        if let Some(request) = &mut *lock(&self.request) {
            request.running = true;
        }
    }

    pub(super) fn done(&self) {
        *lock(&self.request) = None;
    }

    /// Of a request that has begun on this connection. It says how that was cut, should the request be cut
    /// with it.
    pub(super) fn record(&self, method: &Method, metrics: Arc<Metrics>) -> Record {
        Record::new(Arc::clone(&self.peer), self.local.port(), method, Arc::clone(&self.cut), metrics)
    }

    /// Breaks the connection. Only the first reason counts.
    pub fn cut(&self, why: Ended) {
        if self.cut.set(why).is_ok() {
            (self.abort)();
            self.cut_now.notify_one();
        }
    }

    fn cancel(&self, id: &str, by: &str) -> bool {
        let request = lock(&self.request);
        let found = request.as_ref().is_some_and(|r| r.id == id);
        if found {
            tracing::info!(target: "access", peer = %self.peer, id, by, "cancelled: connection cut");
            self.cut(Ended::Cancelled); // under the lock, so that it hits no later request
        }
        found
    }

    /// Breaks the connection without a word on how what ran on it has ended.
    pub(super) fn reset(&self) {
        (self.abort)();
    }

    fn is_cut(&self) -> bool {
        self.cut.get().is_some()
    }

    /// Waits until the connection is cut. Nothing else wakes a connection that does not read for the
    /// time being. To be waited for in one place only.
    pub(super) async fn cut_off(&self) {
        self.cut_now.notified().await;
    }

    /// Takes over the verdict of sweep `number`, unless the rights are newer; false if the connection has
    /// to be cut. From now on no request begins that the verdict does not allow.
    fn settle(&self, access: AccessMode, verdict: &Verdict, number: u64) -> bool {
        let rights = Arc::new(match verdict {
            Verdict::Admit { grants } => Rights::merge(access, grants),
            Verdict::Refuse => Rights::NONE,
        });
        {
            let mut standing = lock(&self.standing);
            if standing.asked >= number {
                return true;
            }
            *standing = Standing { rights: Arc::clone(&rights), asked: number };
        }
        // Read after that: a request that begins meanwhile sees the new rights.
        verdict.admits() && self.running().is_none_or(|endpoint| rights.allows(endpoint))
    }
}

/// A connection's place among the others.
pub(super) struct Entered {
    pub(super) session: Arc<Session>,
    live: Live,
}

impl Drop for Entered {
    fn drop(&mut self) {
        lock(&self.live.sessions).remove(&self.session.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdict_that_a_sweep_may_have_overtaken_is_asked_for_again() {
        let live = Live::default();
        let peer = Peer {
            addr: ([100, 64, 0, 2], 1).into(),
            node: String::new(),
            stable_id: String::new(),
            user: None,
            tags: Vec::new(),
            os: String::new(),
        };
        let session = live.connected(peer, ([100, 64, 0, 1], 2).into(), Box::new(|| {}));
        let asked = live.sweeps();
        live.begin_sweep();
        assert!(live.enter(&session, Rights::NONE, asked).is_none());
        assert!(live.sessions().is_empty());
        let entered = live.enter(&session, Rights::NONE, live.sweeps());
        assert_eq!(live.sessions().len(), 1);
        drop(entered);
        assert!(live.sessions().is_empty());
    }
}

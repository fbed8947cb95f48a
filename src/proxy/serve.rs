//! Connections: from the listener to the answer of each request, and their end.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use http::request::Parts;
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::body::Body;
use super::exchange::{Job, Link, Reply, Slot};
use super::forward::forward;
use super::live::{Entered, Live, Session};
use super::pace::Awaited;
use super::refuse::Failure;
use super::rules::Rules;
use super::upload::Upload;
use super::wire::{Trouble, Watch, Wire};
use crate::admission::Admission;
use crate::audit::{Ended, Metrics};
use crate::listen::{Accepted, Left, Listen};
use crate::peer::Peer;
use crate::policy::{HEAD_MAX, Refusal, Rights};
use crate::tailnet::{Member, Tailnet};

/// The most headers that a request may have.
const HEADERS_MAX: usize = 100;

/// The answer to a head that is not whole in time, of which no request can be made.
const TOO_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// What serves peers: a policy, which may change while it runs, the tailnet's word on each peer, and
/// Ollama.
#[derive(Clone)]
pub struct Proxy {
    rules: watch::Receiver<Arc<Rules>>,
    tailnet: Arc<dyn Tailnet>,
    admission: Admission,
    live: Live,
    /// Told to stop: what comes from now on is refused.
    stopping: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut, with requests still running.
    pub cut: usize,
}

impl Proxy {
    /// A proxy that obeys the latest of `rules` and what `tailnet` says.
    pub fn new(rules: watch::Receiver<Arc<Rules>>, tailnet: Arc<dyn Tailnet>) -> Self {
        let (admission, live, metrics, stopping) = Default::default();
        Proxy { rules, tailnet, admission, live, metrics, stopping }
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.borrow())
    }

    /// The connections there are.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Whether it has been told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// What has been counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether a device that the netmap does not have yet could connect to `local`: whether the tailnet
    /// policy lets in everybody.
    pub fn admits_strangers(&self, local: SocketAddr, roster: &[Member]) -> bool {
        // From the end of the range that tailnets give addresses from.
        let known = |ip: &IpAddr| roster.iter().any(|m| m.addresses.iter().any(|a| a.ip == *ip));
        let free = (2..=254).rev().map(|n| IpAddr::from([100, 127, 255, n])).find(|ip| !known(ip));
        free.is_some_and(|ip| {
            let (node, stable_id, os) = Default::default();
            let nobody = Peer { addr: (ip, 1).into(), node, stable_id, user: None, tags: Vec::new(), os };
            self.tailnet.verdict(&nobody, local).admitted
        })
    }

    /// Requests that run, and that wait for their turn.
    pub fn load(&self) -> (u32, u32) {
        self.admission.load()
    }

    /// Judges every live connection again by what the tailnet says now; see [`Live::judge`].
    pub fn judge(&self, roster: &[Member]) -> usize {
        self.live.judge(self.rules().access, roster)
    }

    /// Serves connections until `shutdown` is ready, then lets running requests end until `deadline`
    /// is ready, which is polled from then on, and cuts the rest.
    ///
    /// # Errors
    /// The listener has ended by itself.
    pub async fn serve<L>(
        &self,
        mut listener: L,
        shutdown: impl Future<Output = ()>,
        deadline: impl Future<Output = ()>,
    ) -> io::Result<Drained>
    where
        L: Listen,
        L::Io: 'static,
    {
        let graceful = GracefulShutdown::new();
        let mut tasks = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        let mut rules = self.rules.clone();
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                // Who waits may have a turn under the new limits.
                Ok(()) = rules.changed() => self.admission.limit(&rules.borrow_and_update().limits),
                accepted = listener.accept() => {
                    if let Some((io, left, entered)) = self.enter(accepted?) {
                        tasks.spawn(self.clone().connection(io, left, entered, graceful.watcher()));
                    }
                }
                Some(_) = tasks.join_next() => {}
            }
        }
        drop(listener);
        self.stopping.store(true, Ordering::Relaxed);
        let ended = async {
            graceful.shutdown().await;
            while tasks.join_next().await.is_some() {}
        };
        let in_time = tokio::select! {
            () = ended => true,
            () = deadline => false,
        };
        let sessions = self.live.sessions();
        let cut = sessions.iter().filter(|session| !in_time && session.running().is_some()).count();
        sessions.iter().for_each(|session| session.cut(Ended::Stopped));
        tasks.shutdown().await;
        Ok(Drained { cut })
    }

    /// Takes a connection in, unless its peer lost access on the way.
    fn enter<Io>(&self, accepted: Accepted<Io>) -> Option<(Io, Left, Entered)> {
        let Accepted { io, peer, local, left, abort } = accepted;
        let Rules { access, limits, .. } = &*self.rules();
        let judged = self.live.judged();
        let verdict = self.tailnet.verdict(&peer, local);
        if !verdict.admitted {
            tracing::info!(target: "access", %peer, "connection refused: the tailnet policy no longer lets the peer in");
            abort();
            return None;
        }
        let (all, of_peer) = self.live.count(&peer);
        if all >= limits.connections || of_peer >= limits.connections_per_peer {
            tracing::warn!(target: "access", %peer, all, of_peer, "connection refused: too many are open (limits.connections, limits.connections_per_peer)");
            abort();
            return None;
        }
        let rights = Rights::merge(*access, &verdict.grants);
        let entered = self.live.enter(peer, local, rights, abort);
        // Everybody else has been judged between the verdict and the entry.
        if self.live.judged() != judged {
            let session = &entered.session;
            if !session.obey(*access, &self.tailnet.verdict(&session.peer, local)) {
                return None;
            }
        }
        Some((io, left, entered))
    }

    async fn connection<Io>(self, io: Io, left: Left, entered: Entered, graceful: Watcher)
    where
        Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let session = Arc::clone(&entered.session);
        let (wire, watch) =
            Wire::new(io, left, Arc::clone(&session), self.rules().pace, Arc::clone(&self.stopping));
        let by_end = Arc::new(AtomicBool::new(false));
        let client = Arc::new(Client {
            proxy: self,
            session: Arc::clone(&session),
            watch: watch.clone(),
            slot: Slot::default(),
            by_end: Arc::clone(&by_end),
        });
        let service = service_fn(move |request| {
            let client = Arc::clone(&client);
            async move { Ok::<_, Infallible>(client.answer(request).await) }
        });
        let connection = http1::Builder::new()
            .max_headers(HEADERS_MAX)
            .max_buf_size(2 * HEAD_MAX)
            .serve_connection(TokioIo::new(wire), service);
        let served = async {
            let error = match graceful.watch(connection).await {
                Ok(()) => return watch.linger().await,
                Err(error) => error,
            };
            let peer = &session.peer;
            if watch.trouble() == Some(Trouble::Slow(Awaited::Head)) {
                tracing::info!(target: "access", %peer, rule = Awaited::Head.rule(), "slow request refused");
                watch.say(TOO_LATE).await;
            } else if error.is_parse() || error.is_parse_too_large() {
                // So malformed that no request came of it, and so no record.
                tracing::info!(target: "access", %peer, %error, "malformed request refused");
                watch.linger().await;
            } else {
                tracing::debug!(%peer, %error, "connection ended");
                if by_end.load(Ordering::Relaxed) {
                    session.reset();
                }
            }
        };
        // What cuts it has been logged with the request that it ends.
        tokio::select! {
            () = served => {}
            () = session.cut_off() => {}
        }
    }
}

/// One client connection.
struct Client<Io> {
    proxy: Proxy,
    session: Arc<Session>,
    watch: Watch<Io>,
    slot: Slot,
    /// Whether the end of the connection may be the end of an answer, as in HTTP/1.0.
    by_end: Arc<AtomicBool>,
}

impl<Io: AsyncRead + Unpin> Client<Io> {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body<Io>> {
        let (head, body) = request.into_parts();
        let metrics = Arc::clone(&self.proxy.metrics);
        let mut job = Job::new(&self.session, self.watch.busy(), &head.method, metrics);
        self.by_end.store(head.version == Version::HTTP_10, Ordering::Relaxed);
        match self.ask(&head, body, &mut job).await {
            Ok((response, link)) => {
                job.record.answered(response.status());
                let (slot, watch) = (Arc::clone(&self.slot), self.watch.clone());
                response.map(|body| Body::Stream(Box::new(Reply::new(body, link, slot, watch, job))))
            }
            Err(failure) => {
                let path = head.uri.path();
                if failure.ended() == Ended::UpstreamFailed {
                    tracing::warn!(peer = %self.session.peer, "{failure}");
                }
                match failure {
                    Failure::Left => job.record.end(Ended::ClientLeft), // nobody reads the answer
                    _ => job.record.failed(failure.status(), failure.rule(), path, failure.ended()),
                }
                failure.answer(&head.method, path).map(|bytes| Body::Whole(Some(bytes)))
            }
        }
    }

    async fn ask(
        &self,
        head: &Parts,
        body: Incoming,
        job: &mut Job,
    ) -> Result<(Response<Incoming>, Link), Failure> {
        self.watch.next_head().map_err(Failure::Framing)?;
        if self.proxy.is_stopping() {
            return Err(Failure::Stopping);
        }
        let rules = self.proxy.rules();
        let Rules { policy, limits, upstream, .. } = &*rules;
        let permit = policy.decide(&self.session.rights(), head).map_err(Failure::Refused)?;
        job.permitted(permit.endpoint());
        let grant = permit.grant();
        let (identity, asked) = (self.session.peer.identity(), Instant::now());
        let turn = self.proxy.admission.admit(limits, identity, grant, permit.computes());
        let admitted = self.watch.unless_trouble(turn).await?.map_err(Failure::Busy)?;
        job.begin(admitted, asked.elapsed());
        // While the request waited, or just now, the peer may have been judged anew; from here on
        // whoever judges sees the request running.
        if !self.session.rights().allows(permit.endpoint()) {
            return Err(Failure::Refused(Refusal::NotGranted(permit.endpoint())));
        }
        // And there may be new rules, which have the endpoint no longer.
        let now = self.proxy.rules();
        if !Arc::ptr_eq(&now, &rules) {
            now.policy.decide(&self.session.rights(), head).map_err(Failure::Refused)?;
        }
        let max_body = grant.max_body.unwrap_or(u64::MAX).min(limits.max_body);
        let too_large = || Failure::TooLarge(max_body);
        let traffic = Arc::clone(&job.record.traffic);
        let (body, grew) = Upload::new(body, max_body, traffic).ok_or_else(too_large)?;
        let answered = forward(&permit, head, body, upstream, &self.slot, &self.watch).await;
        if grew.is_set() { Err(too_large()) } else { answered }
    }
}

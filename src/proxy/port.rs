//! A port of the node: connections, from the listener to their end. What is answered on them is up to
//! a [`Handler`]; who may have one, how long they may be silent and when they are cut is the same on
//! every port.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::request::Parts;
use http::{Response, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::body::Body;
use super::kept::Slot;
use super::live::{Entered, Live, Session};
use super::pace::Awaited;
use super::rest::{RequestBody, Rest};
use super::rules::Rules;
use super::wire::{Trouble, Watch, Wire};
use crate::audit::Ended;
use crate::listen::{Accepted, Left, Listen};
use crate::panics;
use crate::peer::Peer;
use crate::policy::{FramingFault, HEAD_MAX, Rights};
use crate::tailnet::{Authorizer, PortMembers, Verdict};

/// The most headers that a request may have.
const HEADERS_MAX: usize = 100;

/// The answer to a head that is not whole in time, of which no request can be made.
const TOO_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// The answer to a request line that does not end in time, of which no request can be made either.
const TARGET_TOO_LONG: &[u8] = b"HTTP/1.1 414 URI Too Long\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// What answers the requests of a port.
pub(super) trait Handler: Send + Sync + 'static {
    /// Answers one request of `client`. Nothing has been decided about it.
    fn answer<Io>(
        &self,
        client: &Client<Io>,
        head: Parts,
        body: RequestBody,
    ) -> impl Future<Output = Response<Body<Io>>> + Send
    where
        Io: AsyncRead + Send + Unpin + 'static;

    /// Where a new client's connection to Ollama will be kept, where one is needed.
    fn slot(&self) -> Arc<Slot> {
        Arc::default()
    }
}

/// One client connection, for whoever answers its requests.
pub(super) struct Client<Io> {
    pub(super) session: Arc<Session>,
    pub(super) watch: Watch<Io>,
    /// Its connection to Ollama, where one is needed.
    pub(super) slot: Arc<Slot>,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut, with requests still running.
    pub cut: usize,
}

/// A port of the node in the tailnet, or several at which the same is answered: its connections, and the
/// rules that they are under. Clones are the same port.
#[derive(Clone)]
pub struct Port {
    rules: watch::Receiver<Arc<Rules>>,
    authorizer: Arc<dyn Authorizer>,
    live: Live,
    /// Told to stop: what comes from now on is refused.
    stopping: Arc<AtomicBool>,
}

/// One look at all sessions of a port: by a list of the netmap, or because there is none.
pub struct Sweep {
    port: Port,
    number: u64,
}

impl Sweep {
    /// Judges the sessions by `lists`, the list requested since; see `Live::judge`. Returns how many
    /// were cut.
    pub fn judge(&self, lists: &[PortMembers]) -> usize {
        self.port.live.judge(self.port.rules().access, lists, self.number)
    }

    /// Cuts the sessions whose rights are older than this sweep. Returns how many there were.
    pub fn cut(&self, why: Ended) -> usize {
        self.port.live.cut_older(why, self.number)
    }
}

impl Port {
    pub(super) fn new(rules: watch::Receiver<Arc<Rules>>, authorizer: Arc<dyn Authorizer>) -> Self {
        Port { rules, authorizer, live: Live::default(), stopping: Arc::default() }
    }

    /// Another port under the same rules, with connections of its own.
    pub fn another(&self) -> Port {
        Port::new(self.rules.clone(), Arc::clone(&self.authorizer))
    }

    pub(super) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.borrow())
    }

    /// The rules, as they come to be.
    pub(super) fn changes(&self) -> watch::Receiver<Arc<Rules>> {
        self.rules.clone()
    }

    /// The connections there are.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Whether it has been told to stop.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// What the tailnet says of a peer that connects to our address `local`.
    pub(super) fn verdict(&self, peer: &Peer, local: SocketAddr) -> Verdict {
        self.authorizer.verdict(peer, local)
    }

    /// Begins to judge all sessions again. The list to judge by must be requested after that.
    pub fn sweep(&self) -> Sweep {
        Sweep { port: self.clone(), number: self.live.begin_sweep() }
    }

    /// Serves connections until `shutdown` is ready, then lets running requests end until `deadline`
    /// is ready, which is polled from then on, and cuts the rest.
    ///
    /// # Errors
    /// The listener has ended by itself.
    pub(super) async fn serve<L: Listen>(
        &self,
        mut listener: L,
        handler: Arc<impl Handler>,
        shutdown: impl Future<Output = ()>,
        deadline: impl Future<Output = ()>,
    ) -> io::Result<Drained> {
        let graceful = GracefulShutdown::new();
        let mut tasks = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept() => {
                    if let Some((io, left, entered)) = self.enter(accepted?) {
                        let handler = Arc::clone(&handler);
                        let peer = Arc::clone(&entered.session.peer);
                        let connection = self.clone().connection(io, left, entered, handler, graceful.watcher());
                        tasks.spawn(panics::serving("a connection", peer, connection));
                    }
                }
                // One that panicked has been logged, and its connection is broken.
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

    /// Serves connections until it is dropped, and all of them with it.
    ///
    /// # Errors
    /// The listener has ended by itself.
    pub(super) async fn serve_for_good(
        &self,
        listener: impl Listen,
        handler: impl Handler,
    ) -> io::Result<Infallible> {
        match self.serve(listener, Arc::new(handler), std::future::pending(), std::future::pending()).await {
            Ok(_) => std::future::pending().await,
            Err(ended) => Err(ended),
        }
    }

    /// Takes a connection in, unless its peer lost access on the way.
    fn enter<Io>(&self, accepted: Accepted<Io>) -> Option<(Io, Left, Entered)> {
        let Accepted { io, peer, local, left, abort } = accepted;
        let session = self.live.connected(peer, local, abort);
        let peer = &session.peer;
        loop {
            let asked = self.live.sweeps();
            let Rules { access, limits, .. } = &*self.rules();
            let Verdict::Admit { grants } = self.authorizer.verdict(peer, local) else {
                tracing::info!(target: "access", %peer, "connection refused: the tailnet policy no longer lets the peer in");
                session.reset();
                return None;
            };
            let (all, of_peer) = self.live.count(peer);
            if all >= limits.connections || of_peer >= limits.connections_per_peer {
                tracing::warn!(target: "access", %peer, all, of_peer, "connection refused: too many are open (limits.connections, limits.connections_per_peer)");
                session.reset();
                return None;
            }
            let rights = Rights::merge(*access, &grants);
            if let Some(entered) = self.live.enter(&session, rights, asked) {
                return Some((io, left, entered));
            }
        }
    }

    async fn connection<Io>(
        self,
        io: Io,
        left: Left,
        entered: Entered,
        handler: Arc<impl Handler>,
        graceful: Watcher,
    ) where
        Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let session = Arc::clone(&entered.session);
        let rest = Rest::default();
        let (stopping, held_back) = (Arc::clone(&self.stopping), rest.held_back());
        let (wire, watch) = Wire::new(io, left, Arc::clone(&session), self.rules().pace, stopping, held_back);
        // Whether the end of the connection may be the end of an answer, as in HTTP/1.0.
        let by_end = Arc::new(AtomicBool::new(false));
        let client =
            Arc::new(Client { session: Arc::clone(&session), watch: watch.clone(), slot: handler.slot() });
        let (told, left_over) = (Arc::clone(&by_end), rest.clone());
        let service = service_fn(move |request: http::Request<Incoming>| {
            told.store(request.version() == Version::HTTP_10, Ordering::Relaxed);
            let (client, handler) = (Arc::clone(&client), Arc::clone(&handler));
            let ((head, body), rest) = (request.into_parts(), left_over.clone());
            // In a box of its own: the library keeps the room for it as long as the connection lasts.
            Box::pin(async move {
                let body = rest.begin(&head, body);
                let mut response = handler.answer(&client, head, body).await;
                rest.answered(&mut response);
                Ok::<_, Infallible>(response)
            })
        });
        let connection = http1::Builder::new()
            .max_headers(HEADERS_MAX)
            .max_buf_size(2 * HEAD_MAX)
            .serve_connection(TokioIo::new(wire), service);
        let served = async {
            let ended = tokio::select! {
                biased;
                ended = graceful.watch(connection) => ended,
                never = rest.run() => match never {},
            };
            let error = match ended {
                Ok(()) => return watch.linger().await,
                Err(error) => error,
            };
            let peer = &session.peer;
            if watch.trouble() == Some(Trouble::Slow(Awaited::Head)) {
                tracing::info!(target: "access", %peer, rule = Awaited::Head.rule(), "slow request refused");
                watch.say(TOO_LATE).await;
            } else if let Some(Trouble::Framing(fault @ FramingFault::TargetTooLong)) = watch.trouble() {
                tracing::info!(target: "access", %peer, error = %fault, "malformed request refused");
                watch.clone().say(TARGET_TOO_LONG).await;
                watch.linger().await;
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

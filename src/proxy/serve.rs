//! Connections: from the listener to the answer of each request, and their end.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::body::Body;
use super::exchange::{Link, Reply, Slot};
use super::forward::forward;
use super::refuse::Failure;
use super::wire::{Watch, Wire};
use crate::audit::Record;
use crate::listen::Listen;
use crate::peer::Peer;
use crate::policy::{HEAD_MAX, Policy};
use crate::upstream::Upstream;

/// How long a client may take between the end of one request and the head of the next.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);

/// The most headers that a request may have.
const HEADERS_MAX: usize = 100;

/// What serves peers: a policy, which may change while it runs, and Ollama.
#[derive(Clone)]
pub struct Proxy {
    policy: watch::Receiver<Arc<Policy>>,
    upstream: Arc<Upstream>,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut at the deadline, with requests still running.
    pub cut: usize,
}

impl Proxy {
    /// A proxy that obeys the latest policy in `policy`.
    pub fn new(policy: watch::Receiver<Arc<Policy>>, upstream: Upstream) -> Self {
        Proxy { policy, upstream: Arc::new(upstream) }
    }

    /// Serves connections until `shutdown` is ready, then lets running requests end for at most
    /// `drain` and cuts the rest.
    ///
    /// # Errors
    /// The listener has ended by itself.
    pub async fn serve<L>(
        &self,
        mut listener: L,
        shutdown: impl Future<Output = ()>,
        drain: Duration,
    ) -> io::Result<Drained>
    where
        L: Listen,
        L::Io: 'static,
    {
        let graceful = GracefulShutdown::new();
        let mut tasks = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept() => {
                    let (io, peer) = accepted?;
                    tasks.spawn(self.clone().connection(io, peer, graceful.watcher()));
                }
                Some(_) = tasks.join_next() => {}
            }
        }
        drop(listener);
        let ended = tokio::time::timeout(drain, async {
            graceful.shutdown().await;
            while tasks.join_next().await.is_some() {}
        });
        let cut = if ended.await.is_ok() { 0 } else { tasks.len() };
        tasks.shutdown().await;
        Ok(Drained { cut })
    }

    async fn connection<Io>(self, io: Io, peer: Peer, graceful: Watcher)
    where
        Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (wire, watch) = Wire::new(io);
        let client = Arc::new(Client { proxy: self, peer: Arc::new(peer), watch, slot: Slot::default() });
        let service = {
            let client = Arc::clone(&client);
            service_fn(move |request| {
                let client = Arc::clone(&client);
                async move { Ok::<_, Infallible>(client.answer(request).await) }
            })
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(HEADERS_MAX)
            .max_buf_size(2 * HEAD_MAX)
            .serve_connection(TokioIo::new(wire), service);
        // What ended it has been logged with the request that it ended.
        if let Err(error) = graceful.watch(connection).await {
            tracing::debug!(peer = %client.peer, %error, "connection ended");
        }
    }
}

/// One client connection.
struct Client<Io> {
    proxy: Proxy,
    peer: Arc<Peer>,
    watch: Watch<Io>,
    slot: Slot,
}

impl<Io: AsyncRead + Unpin> Client<Io> {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body<Io>> {
        let (head, body) = request.into_parts();
        let mut record = Record::new(Arc::clone(&self.peer), &head.method);
        match self.ask(&head, body, &mut record).await {
            Ok((response, link)) => {
                record.answered(response.status());
                response.map(|body| {
                    Body::Stream(Reply::new(body, link, Arc::clone(&self.slot), self.watch.clone(), record))
                })
            }
            Err(failure) => {
                let path = head.uri.path();
                record.failed(failure.status(), failure.rule(), path, &failure);
                failure.answer(&head.method, path).map(|bytes| Body::Whole(Some(bytes)))
            }
        }
    }

    async fn ask(
        &self,
        head: &Parts,
        body: Incoming,
        record: &mut Record,
    ) -> Result<(Response<Incoming>, Link), Failure> {
        self.watch.next_head().map_err(Failure::Framing)?;
        let policy = Arc::clone(&self.proxy.policy.borrow());
        let permit = policy.decide(&self.peer, head).map_err(Failure::Refused)?;
        record.endpoint = Some(permit.endpoint());
        forward(&permit, head, body, &self.proxy.upstream, &self.slot, &self.watch).await
    }
}

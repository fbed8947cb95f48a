//! The ports beside the proxy's own: what a [`Site`] answers there. Each has connections of its own, which
//! count towards none of the proxy's limits: whoever comes there takes nothing from those who ask Ollama.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};
use tokio::io::AsyncRead;
use tokio::sync::mpsc;

use crate::audit::Metrics;
use crate::listen::Listen;
use crate::peer::Peer;
use crate::policy::{Policy, Refusal, Rights};
use crate::proxy::ports::body::{Body, Streamed};
use crate::proxy::ports::port::{Client, Handler, Port};
use crate::proxy::refusal::failure::Failure;
use crate::proxy::sessions::request_body::RequestBody;
use crate::proxy::sessions::set::Session;

/// What is to be had at a port.
pub(crate) trait Site: Send + Sync + 'static {
    /// Answers one request. Nothing has been decided about it.
    fn answer(
        &self,
        caller: &Caller,
        head: &Parts,
    ) -> impl Future<Output = Result<Response<Content>, Refusal>> + Send;

    /// How a refusal reads in the words of `message` for whoever asks with `head`, if not as JSON: its type and
    /// its body.
    fn reads(&self, _head: &Parts, _message: &str) -> Option<(&'static str, Bytes)> {
        None
    }

    /// Adds what every answer has to say, refusals too.
    fn add_headers(&self, _: &mut HeaderMap) {}
}

/// Who asks, on one connection. Clones are the same.
#[derive(Clone)]
pub(crate) struct Caller {
    session: Arc<Session>,
    port: Port,
}

impl Caller {
    /// The peer.
    pub(crate) fn peer(&self) -> &Arc<Peer> {
        &self.session.peer
    }

    /// Decides by the rules and the rights of this moment.
    pub(crate) fn decide<T>(&self, decide: impl FnOnce(&Policy, &Rights) -> T) -> T {
        decide(&self.port.rules().policy, &self.session.rights())
    }
}

/// The body of an answer.
pub(crate) enum Content {
    Whole(Bytes),
    Feed(Feed),
}

/// A body that is made piece by piece, each once the one before has been taken.
pub(crate) struct Feed {
    /// `None` once it has ended.
    making: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    made: mpsc::Receiver<Bytes>,
}

impl Feed {
    /// What `make` puts in, until it ends. It gets a place for a piece when the last one has been taken.
    pub(crate) fn new<F: Future<Output = ()> + Send + 'static>(
        make: impl FnOnce(mpsc::Sender<Bytes>) -> F,
    ) -> Feed {
        let (place, made) = mpsc::channel(1);
        Feed { making: Some(Box::pin(make(place))), made }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        // In this order, so that what has just been made goes out at once.
        if self.making.as_mut().is_some_and(|making| making.as_mut().poll(cx).is_ready()) {
            self.making = None;
        }
        self.made.poll_recv(cx)
    }
}

/// A port with a site.
pub(crate) struct AuxiliaryPort<S> {
    port: Port,
    metrics: Arc<Metrics>,
    site: S,
}

impl<S: Site> AuxiliaryPort<S> {
    /// What is refused at `port`, `metrics` counts with the rest.
    pub(crate) fn new(port: Port, metrics: Arc<Metrics>, site: S) -> Self {
        AuxiliaryPort { port, metrics, site }
    }

    /// Serves connections until it is dropped, and all of them with it.
    ///
    /// # Errors
    /// The listener has ended by itself.
    pub(crate) async fn serve(self, listener: impl Listen) -> io::Result<Infallible> {
        let port = self.port.clone();
        port.serve_for_good(listener, self).await
    }

    async fn ask<Io: AsyncRead + Unpin>(
        &self,
        client: &Client<Io>,
        head: &Parts,
    ) -> Result<Response<Content>, Failure> {
        client.watch.next_head().map_err(Failure::Framing)?;
        let caller = Caller { session: Arc::clone(&client.session), port: self.port.clone() };
        let answered = client.watch.unless_fault(self.site.answer(&caller, head)).await?;
        answered.map_err(Failure::Refused)
    }
}

impl<S: Site> Handler for AuxiliaryPort<S> {
    async fn answer<Io>(&self, client: &Client<Io>, head: Parts, _: RequestBody) -> Response<Body<Io>>
    where
        Io: AsyncRead + Send + Unpin + 'static,
    {
        let busy = client.watch.busy();
        let mut response = match self.ask(client, &head).await {
            // Not recorded: it comes every few seconds, or for as long as somebody looks.
            Ok(response) => response.map(|content| match content {
                Content::Whole(bytes) => Body::Whole(Some(bytes)),
                Content::Feed(feed) => {
                    Body::Feed(Box::new(Streamed { feed, watch: client.watch.clone(), _busy: busy }))
                }
            }),
            Err(failure) => {
                let path = head.uri.path();
                if !matches!(failure, Failure::Left) {
                    let metrics = Arc::clone(&self.metrics);
                    let mut record = client.session.record(&head.method, metrics);
                    record.failed(failure.status(path), failure.rule(), path, failure.ended());
                }
                let mut refusal = failure.answer(&head.method, path);
                if let Some((kind, body)) = self.site.reads(&head, &failure.message(&head.method, path)) {
                    refusal.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
                    *refusal.body_mut() = body;
                }
                refusal.map(|bytes| Body::Whole(Some(bytes)))
            }
        };
        self.site.add_headers(response.headers_mut());
        response
    }
}

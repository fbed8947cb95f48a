//! The port for the metrics: `GET /metrics`, for peers whose grant has them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Response};
use hyper::body::Incoming;
use tokio::io::AsyncRead;

use super::body::Body;
use super::port::{Client, Handler, Port};
use super::refuse::Failure;
use crate::audit::{Metrics, Record};
use crate::listen::Listen;

/// Makes the text of the metrics, as they are when it is called.
pub type Text = Box<dyn Fn() -> Pin<Box<dyn Future<Output = String> + Send>> + Send + Sync>;

/// What answers at the port for the metrics. It has connections of its own, which count towards none
/// of the proxy's limits: whoever comes here takes nothing from those who ask Ollama.
pub struct Scrapes {
    port: Port,
    metrics: Arc<Metrics>,
    text: Text,
}

impl Scrapes {
    /// At `port`. What is refused there, `metrics` counts with the rest.
    pub fn new(port: Port, metrics: Arc<Metrics>, text: Text) -> Self {
        Scrapes { port, metrics, text }
    }

    /// Serves connections until it is dropped, and all of them with it.
    ///
    /// # Errors
    /// The listener has ended by itself.
    pub async fn serve(self, listener: impl Listen) -> io::Result<std::convert::Infallible> {
        let port = self.port.clone();
        port.serve_for_good(listener, self).await
    }

    async fn scrape<Io: AsyncRead + Unpin>(
        &self,
        client: &Client<Io>,
        head: &Parts,
    ) -> Result<String, Failure> {
        let Client { session, watch, .. } = client;
        watch.next_head().map_err(Failure::Framing)?;
        let decide = || self.port.rules().policy.decide_metrics(&session.rights(), head);
        decide().map_err(Failure::Refused)?;
        let text = watch.unless_trouble((self.text)()).await?;
        // Ollama is asked for it, and meanwhile the peer may have been judged anew.
        decide().map_err(Failure::Refused)?;
        Ok(text)
    }
}

impl Handler for Scrapes {
    async fn answer<Io>(&self, client: &Client<Io>, head: Parts, _: Incoming) -> Response<Body<Io>>
    where
        Io: AsyncRead + Send + Unpin + 'static,
    {
        let _busy = client.watch.busy();
        let peer = &client.session.peer;
        let failure = match self.scrape(client, &head).await {
            Ok(text) => {
                // Not recorded: it comes every few seconds, and would be counted by itself.
                tracing::debug!(target: "access", %peer, "the metrics were read");
                let mut response = Response::new(Body::Whole(Some(Bytes::from(text))));
                let kind = HeaderValue::from_static(Metrics::CONTENT_TYPE);
                response.headers_mut().insert(CONTENT_TYPE, kind);
                return response;
            }
            Err(failure) => failure,
        };
        let path = head.uri.path();
        if !matches!(failure, Failure::Left) {
            let (peer, metrics) = (Arc::clone(peer), Arc::clone(&self.metrics));
            let mut record = Record::new(peer, &head.method, client.session.cut_mark(), metrics);
            record.failed(failure.status(), failure.rule(), path, failure.ended());
        }
        failure.answer(&head.method, path).map(|bytes| Body::Whole(Some(bytes)))
    }
}

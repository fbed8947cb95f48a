//! The metrics port: `GET /metrics`, for peers whose grant has `metrics`.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Response};
use tokio::io::AsyncRead;

use crate::audit::Metrics;
use crate::listen::Listen;
use crate::policy::Refusal;
use crate::proxy::ports::auxiliary::{AuxiliaryPort, Content};
use crate::proxy::ports::body::Body;
use crate::proxy::ports::handler::{Caller, Client, Handler};
use crate::proxy::ports::port::Port;
use crate::proxy::sessions::request_body::RequestBody;

/// Makes the text of the metrics as they are at each call.
pub type MetricsText = Box<dyn Fn() -> Pin<Box<dyn Future<Output = String> + Send>> + Send + Sync>;

/// The server at the metrics port.
pub struct MetricsPort {
    auxiliary: AuxiliaryPort,
    text: MetricsText,
}

impl MetricsPort {
    /// A server at `port`.
    pub fn new(port: Port, text: MetricsText) -> Self {
        MetricsPort { auxiliary: AuxiliaryPort::new(port), text }
    }

    /// Serves connections until it is dropped, and all of them with it.
    ///
    /// # Errors
    /// The listener has ended by itself.
    pub async fn serve(self, listener: impl Listen) -> io::Result<Infallible> {
        let port = self.auxiliary.port().clone();
        port.serve_until_dropped(listener, self).await
    }

    async fn content(&self, caller: &Caller, head: &Parts) -> Result<Response<Content>, Refusal> {
        caller.decide(|policy, rights| policy.decide_metrics(rights, head))?;
        let text = (self.text)().await;
        // Again: the text waits for an answer of Ollama, and the peer may have lost its rights meanwhile.
        caller.decide(|policy, rights| policy.decide_metrics(rights, head))?;
        tracing::debug!("metrics read");
        let mut response = Response::new(Content::Whole(Bytes::from(text)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Metrics::CONTENT_TYPE));
        Ok(response)
    }
}

impl Handler for MetricsPort {
    async fn answer<Io>(&self, client: &Client<Io>, head: Parts, _: RequestBody) -> Response<Body<Io>>
    where
        Io: AsyncRead + Send + Unpin + 'static,
    {
        let answered = self.auxiliary.answer(client, &head, self.content(&client.caller, &head)).await;
        answered.unwrap_or_else(Body::refusal)
    }
}

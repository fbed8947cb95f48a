//! The port for the metrics: `GET /metrics`, for peers whose grant has them.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Response};

use crate::audit::Metrics;
use crate::listen::Listen;
use crate::policy::Refusal;
use crate::proxy::ports::auxiliary::{AuxiliaryPort, Caller, Content, Site};
use crate::proxy::ports::port::Port;

/// Makes the text of the metrics, as they are when it is called.
pub type MetricsText = Box<dyn Fn() -> Pin<Box<dyn Future<Output = String> + Send>> + Send + Sync>;

/// What answers at the port for the metrics.
pub struct MetricsPort(AuxiliaryPort<Scrape>);

impl MetricsPort {
    /// At `port`. What is refused there, `metrics` counts with the rest.
    pub fn new(port: Port, metrics: Arc<Metrics>, text: MetricsText) -> Self {
        MetricsPort(AuxiliaryPort::new(port, metrics, Scrape(text)))
    }

    /// Serves connections until it is dropped, and all of them with it.
    ///
    /// # Errors
    /// The listener has ended by itself.
    pub async fn serve(self, listener: impl Listen) -> io::Result<Infallible> {
        self.0.serve(listener).await
    }
}

struct Scrape(MetricsText);

impl Site for Scrape {
    async fn answer(&self, caller: &Caller, head: &Parts) -> Result<Response<Content>, Refusal> {
        let decide = || caller.decide(|policy, rights| policy.decide_metrics(rights, head));
        decide()?;
        let text = (self.0)().await;
        // Ollama is asked for it, and meanwhile the peer may have been judged anew.
        decide()?;
        tracing::debug!(target: "access", peer = %caller.peer(), "the metrics were read");
        let mut response = Response::new(Content::Whole(Bytes::from(text)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Metrics::CONTENT_TYPE));
        Ok(response)
    }
}

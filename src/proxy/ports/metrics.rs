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
use crate::proxy::ports::auxiliary::{Beside, Content, Site, Visitor};
use crate::proxy::ports::port::Port;

/// Makes the text of the metrics, as they are when it is called.
pub type Text = Box<dyn Fn() -> Pin<Box<dyn Future<Output = String> + Send>> + Send + Sync>;

/// What answers at the port for the metrics.
pub struct Scrapes(Beside<Scrape>);

impl Scrapes {
    /// At `port`. What is refused there, `metrics` counts with the rest.
    pub fn new(port: Port, metrics: Arc<Metrics>, text: Text) -> Self {
        Scrapes(Beside::new(port, metrics, Scrape(text)))
    }

    /// Serves connections until it is dropped, and all of them with it.
    ///
    /// # Errors
    /// The listener has ended by itself.
    pub async fn serve(self, listener: impl Listen) -> io::Result<Infallible> {
        self.0.serve(listener).await
    }
}

struct Scrape(Text);

impl Site for Scrape {
    async fn answer(&self, visitor: &Visitor, head: &Parts) -> Result<Response<Content>, Refusal> {
        let decide = || visitor.decide(|policy, rights| policy.decide_metrics(rights, head));
        decide()?;
        let text = (self.0)().await;
        // Ollama is asked for it, and meanwhile the peer may have been judged anew.
        decide()?;
        tracing::debug!(target: "access", peer = %visitor.peer(), "the metrics were read");
        let mut response = Response::new(Content::Whole(Bytes::from(text)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Metrics::CONTENT_TYPE));
        Ok(response)
    }
}

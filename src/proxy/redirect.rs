//! The port for HTTP where clients are to ask by HTTPS: each request is told where.

use std::io;
use std::sync::Arc;

use http::Response;
use http::request::Parts;
use tokio::io::AsyncRead;
use tokio::sync::watch;

use super::body::Body;
use super::port::{Client, Handler, Port};
use super::refuse::Failure;
use super::rest::RequestBody;
use crate::audit::Metrics;
use crate::listen::Listen;
use crate::tailnet::NodeStatus;

/// What answers at the port for HTTP and forwards nothing.
pub struct Redirects {
    port: Port,
    metrics: Arc<Metrics>,
    node: watch::Receiver<NodeStatus>,
    https_port: u16,
}

impl Redirects {
    /// At `port`, to `https_port` under the name in the certificate that `node` tells of. `metrics` counts what
    /// is redirected.
    pub fn new(
        port: Port,
        metrics: Arc<Metrics>,
        node: watch::Receiver<NodeStatus>,
        https_port: u16,
    ) -> Self {
        Redirects { port, metrics, node, https_port }
    }

    /// Serves connections until it is dropped, and all of them with it.
    ///
    /// # Errors
    /// The listener has ended by itself.
    pub async fn serve(self, listener: impl Listen) -> io::Result<std::convert::Infallible> {
        let port = self.port.clone();
        port.serve_for_good(listener, self).await
    }

    /// The same target by HTTPS, or why not. Where to is never the client's word, but for path and query.
    fn elsewhere<Io: AsyncRead + Unpin>(&self, client: &Client<Io>, head: &Parts) -> Failure {
        if let Err(fault) = client.watch.next_head() {
            return Failure::Framing(fault);
        }
        let rules = self.port.rules();
        let target = match rules.policy.target(head) {
            Ok((target, _)) => target,
            Err(refusal) => return Failure::Refused(refusal),
        };
        let node = self.node.borrow();
        match node.certificate.as_ref().filter(|certificate| certificate.expiry.is_some()) {
            None => Failure::NoCertificate,
            Some(certificate) => {
                let port = match self.https_port {
                    443 => String::new(),
                    port => format!(":{port}"),
                };
                Failure::Https(format!("https://{}{port}{target}", certificate.name))
            }
        }
    }
}

impl Handler for Redirects {
    async fn answer<Io>(&self, client: &Client<Io>, head: Parts, _: RequestBody) -> Response<Body<Io>>
    where
        Io: AsyncRead + Send + Unpin + 'static,
    {
        let _busy = client.watch.busy();
        let (failure, path) = (self.elsewhere(client, &head), head.uri.path());
        let mut record = client.session.record(&head.method, Arc::clone(&self.metrics));
        record.failed(failure.status(path), failure.rule(), path, failure.ended());
        failure.answer(&head.method, path).map(|bytes| Body::Whole(Some(bytes)))
    }
}

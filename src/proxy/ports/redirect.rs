//! The redirect port: plain HTTP on a node that takes HTTPS only. Every request is redirected, none is forwarded.

use std::convert::Infallible;
use std::io;

use http::Response;
use http::request::Parts;
use tokio::io::AsyncRead;
use tokio::sync::watch;

use crate::listen::Listen;
use crate::proxy::ports::auxiliary::AuxiliaryPort;
use crate::proxy::ports::body::Body;
use crate::proxy::ports::handler::{Caller, Client, Handler};
use crate::proxy::ports::port::Port;
use crate::proxy::refusal::failure::Failure;
use crate::proxy::sessions::request_body::RequestBody;
use crate::tailnet::NodeStatus;

/// The server at the redirect port.
pub struct RedirectPort {
    auxiliary: AuxiliaryPort,
    node: watch::Receiver<NodeStatus>,
    https_port: u16,
}

impl RedirectPort {
    /// A server at `port` that redirects to `https_port`, under the name in the certificate of `node`.
    pub fn new(port: Port, node: watch::Receiver<NodeStatus>, https_port: u16) -> Self {
        RedirectPort { auxiliary: AuxiliaryPort::new(port), node, https_port }
    }

    /// Serves connections until it is dropped, and all of them with it.
    ///
    /// # Errors
    /// The listener has ended by itself.
    pub async fn serve(self, listener: impl Listen) -> io::Result<Infallible> {
        let port = self.auxiliary.port().clone();
        port.serve_until_dropped(listener, self).await
    }

    /// The redirect to the same target by HTTPS, or another refusal. The client chooses path and query only.
    fn redirect(&self, caller: &Caller, head: &Parts) -> Failure {
        let target = match caller.decide(|policy, _| policy.target(head).map(|(target, _)| target)) {
            Ok(target) => target,
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

impl Handler for RedirectPort {
    async fn answer<Io>(&self, client: &Client<Io>, head: Parts, _: RequestBody) -> Response<Body<Io>>
    where
        Io: AsyncRead + Send + Unpin + 'static,
    {
        let _answering = client.watch.answering();
        let failure = match client.watch.check_next_head() {
            Ok(()) => self.redirect(&client.caller, &head),
            Err(fault) => Failure::Framing(fault),
        };
        Body::refusal(self.auxiliary.refuse(client, &head, &failure))
    }
}

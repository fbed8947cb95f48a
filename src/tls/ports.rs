//! One source of connections for the ports at which the same is answered.

use std::io;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;

use super::{Shown, Stream};
use crate::audit::AuditSink;
use crate::listen::{Accepted, Listen};

/// The port for HTTP and the one for HTTPS. Who serves both in one place counts, limits and drains their connections
/// together.
pub struct Ports<L> {
    http: Option<L>,
    https: Option<(L, TlsAcceptor, Arc<AuditSink>)>,
}

impl<L: Listen> Ports<L> {
    /// None at all.
    pub fn new() -> Self {
        Ports { http: None, https: None }
    }

    /// With `listener` for HTTP.
    pub fn http(self, listener: L) -> Self {
        Ports { http: Some(listener), ..self }
    }

    /// With `listener` for HTTPS, where `shown` says which certificate is shown. Failed handshakes are recorded in `audit`.
    ///
    /// # Errors
    /// The TLS library's, which there are none.
    pub fn https(self, listener: L, shown: Arc<Shown>, audit: Arc<AuditSink>) -> io::Result<Self> {
        let config = shown.config().map_err(io::Error::other)?;
        Ok(Ports { https: Some((listener, TlsAcceptor::from(Arc::new(config)), audit)), ..self })
    }
}

impl<L: Listen> Default for Ports<L> {
    fn default() -> Self {
        Ports::new()
    }
}

impl<L: Listen> Listen for Ports<L> {
    type Io = Stream<L::Io>;

    async fn accept(&mut self) -> io::Result<Accepted<Self::Io>> {
        let http = async {
            match &mut self.http {
                Some(listener) => Ok(listener.accept().await?.map(|io, _| Stream::plain(io))),
                None => std::future::pending().await,
            }
        };
        let https = async {
            match &mut self.https {
                Some((listener, tls, audit)) => {
                    let accepted = listener.accept().await?;
                    let port = accepted.local.port();
                    Ok(accepted.map(|io, peer| Stream::secure(io, tls, peer, port, Arc::clone(audit))))
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = http => accepted,
            accepted = https => accepted,
        }
    }
}

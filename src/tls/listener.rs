//! One source of connections for HTTP and HTTPS.

use std::io;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;

use super::stream::TlsClient;
use super::{CurrentCertificate, Stream};
use crate::audit::AuditSink;
use crate::listen::{Accepted, Listen};

/// Accepts at an HTTP listener, an HTTPS listener, or both. A server of this counts, limits and drains the connections of
/// both together.
pub struct DualListener<L> {
    http: Option<L>,
    https: Option<Https<L>>,
}

struct Https<L> {
    listener: L,
    tls: TlsAcceptor,
    audit: Arc<AuditSink>,
}

impl<L: Listen> DualListener<L> {
    /// Without a listener.
    pub fn new() -> Self {
        DualListener { http: None, https: None }
    }

    /// With `listener` for HTTP.
    pub fn http(self, listener: L) -> Self {
        DualListener { http: Some(listener), ..self }
    }

    /// With `listener` for HTTPS, which presents `certificate`. Failed handshakes are recorded in `audit`.
    ///
    /// # Errors
    /// Never in practice: the config is fixed. The TLS library's signature has an error.
    pub fn https(
        self,
        listener: L,
        certificate: Arc<CurrentCertificate>,
        audit: Arc<AuditSink>,
    ) -> io::Result<Self> {
        let config = certificate.config().map_err(io::Error::other)?;
        let tls = TlsAcceptor::from(Arc::new(config));
        Ok(DualListener { https: Some(Https { listener, tls, audit }), ..self })
    }
}

impl<L: Listen> Default for DualListener<L> {
    fn default() -> Self {
        DualListener::new()
    }
}

impl<L: Listen> Listen for DualListener<L> {
    type Io = Stream<L::Io>;

    async fn accept(&mut self) -> io::Result<Accepted<Self::Io>> {
        match (&mut self.http, &mut self.https) {
            (Some(http), None) => accept_http(http).await,
            (None, Some(https)) => accept_https(https).await,
            (Some(http), Some(https)) => tokio::select! {
                accepted = accept_http(http) => accepted,
                accepted = accept_https(https) => accepted,
            },
            (None, None) => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

async fn accept_http<L: Listen>(listener: &mut L) -> io::Result<Accepted<Stream<L::Io>>> {
    Ok(listener.accept().await?.map(|io, _| Stream::plain(io)))
}

async fn accept_https<L: Listen>(https: &mut Https<L>) -> io::Result<Accepted<Stream<L::Io>>> {
    let accepted = https.listener.accept().await?;
    let port = accepted.local.port();
    Ok(accepted.map(|io, peer| {
        let client = TlsClient { peer: peer.clone(), port, audit: Arc::clone(&https.audit) };
        Stream::secure(io, &https.tls, client)
    }))
}

//! One source of connections for the ports at which the same is answered.

use std::io;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;

use super::{CurrentCertificate, Stream};
use crate::listen::{Accepted, Listen};

/// The port for HTTP and the one for HTTPS. Who serves both in one place counts, limits and drains their connections
/// together.
pub struct DualListener<L> {
    http: Option<L>,
    https: Option<(L, TlsAcceptor)>,
}

impl<L: Listen> DualListener<L> {
    /// None at all.
    pub fn new() -> Self {
        DualListener { http: None, https: None }
    }

    /// With `listener` for HTTP.
    pub fn http(self, listener: L) -> Self {
        DualListener { http: Some(listener), ..self }
    }

    /// With `listener` for HTTPS, where `shown` says which certificate is shown.
    ///
    /// # Errors
    /// The TLS library's, which there are none.
    pub fn https(self, listener: L, shown: Arc<CurrentCertificate>) -> io::Result<Self> {
        let config = shown.config().map_err(io::Error::other)?;
        Ok(DualListener { https: Some((listener, TlsAcceptor::from(Arc::new(config)))), ..self })
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
        let http = async {
            match &mut self.http {
                Some(listener) => Ok(listener.accept().await?.map(|io, _| Stream::plain(io))),
                None => std::future::pending().await,
            }
        };
        let https = async {
            match &mut self.https {
                Some((listener, tls)) => {
                    Ok(listener.accept().await?.map(|io, peer| Stream::secure(io, tls, peer)))
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

//! The certificate that is shown, whichever is the latest.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, ServerConfig};

/// The certificate that every handshake from now on shows; none at first, and then no handshake succeeds. Connections there
/// are do not notice another one.
#[derive(Default)]
pub struct CurrentCertificate(RwLock<Option<Arc<CertifiedKey>>>);

impl CurrentCertificate {
    /// Shows this one: `chain` and `key` are PEM, the certificate itself first. False: it was shown already.
    ///
    /// # Errors
    /// Why they are none, or do not belong together; the earlier one stays.
    pub fn set(&self, chain: &str, key: &str) -> Result<bool, String> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|fault| format!("the certificate: {fault}"))?;
        // Not the parser's words, which may quote what they are about.
        let key =
            PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| "the key is no PEM".to_owned())?;
        let pair = CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(|fault| format!("the certificate and its key: {fault}"))?;
        let mut shown = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let another = shown.as_ref().is_none_or(|before| before.cert != pair.cert);
        if another {
            *shown = Some(Arc::new(pair));
        }
        Ok(another)
    }

    /// TLS 1.2 and 1.3, with HTTP/1.1 inside and nothing else.
    ///
    /// # Errors
    /// The library can't do that; it can.
    pub(super) fn config(self: Arc<Self>) -> Result<ServerConfig, Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl ResolvesServerCert for CurrentCertificate {
    /// Whatever name the client has asked for, if any: there is one only, and what it asks for by HTTP is checked there.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for CurrentCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CurrentCertificate([redacted])")
    }
}

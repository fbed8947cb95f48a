//! The certificate that the server presents, replaceable at any time.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, ServerConfig};

/// The certificate for every new handshake. Handshakes fail while there is none. Open connections keep theirs.
#[derive(Default)]
pub struct CurrentCertificate(RwLock<Option<Arc<CertifiedKey>>>);

impl CurrentCertificate {
    /// Replaces the certificate. `chain` (the certificate first) and `key` are PEM. Returns whether it is another one.
    ///
    /// # Errors
    /// They can't be parsed, or do not belong together. The earlier certificate stays.
    pub fn set(&self, chain: &str, key: &str) -> Result<bool, String> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|fault| format!("the certificate: {fault}"))?;
        // Without the parser's error, which may quote the key.
        let key =
            PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| "the key is no PEM".to_owned())?;
        let pair = CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(|fault| format!("the certificate and its key: {fault}"))?;
        let mut current = self.0.write();
        let is_new = current.as_ref().is_none_or(|before| before.cert != pair.cert);
        if is_new {
            *current = Some(Arc::new(pair));
        }
        Ok(is_new)
    }

    /// A server config for TLS 1.2 and 1.3 that offers HTTP/1.1 alone.
    ///
    /// # Errors
    /// Never in practice: the config is fixed. The TLS library's signature has an error.
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
    /// For any server name: there is one certificate, and the proxy checks the HTTP Host.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().clone()
    }
}

impl fmt::Debug for CurrentCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CurrentCertificate([redacted])")
    }
}

//! A TLS certificate of the node.

use std::fmt;

use serde::Deserialize;

use super::Error;

/// The certificate for a name of the node, with its private key.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Certificate {
    /// PEM, the leaf first.
    pub chain: String,
    /// PEM.
    pub key: String,
    /// Start of validity, as RFC 3339.
    pub issued: String,
    /// End of validity, as RFC 3339.
    pub expiry: String,
}

impl Certificate {
    pub(super) fn parse(json: &str) -> Result<Self, Error> {
        // The parser's error may quote the key.
        serde_json::from_str(json).map_err(|_| Error::Other("parse certificate: invalid JSON".to_owned()))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Certificate { issued, expiry, .. } = self;
        f.debug_struct("Certificate")
            .field("issued", issued)
            .field("expiry", expiry)
            .field("key", &"[redacted]")
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_redacts_the_key() {
        let json = r#"{"chain":"c","key":"hidden","issued":"i","expiry":"e"}"#;
        let shown = format!("{:?}", Certificate::parse(json).unwrap());
        assert!(shown.contains("[redacted]") && !shown.contains("hidden"), "{shown}");
    }
}

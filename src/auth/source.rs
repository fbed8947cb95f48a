//! Where the credential comes from.

use std::fmt;
use std::path::PathBuf;

use super::credential::Credential;
use super::keychain::Keychain;
use crate::secret::Secret;

/// Where the credential comes from. A node that has joined needs none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// This environment variable.
    Environment(&'static str, Credential),
    /// This file.
    File(PathBuf, Credential),
    /// The file that the config names does not exist. Not a fault: it may be deleted after the node has joined.
    MissingFile(PathBuf),
    /// The keychain. Its entry, which may be absent, is read only when the node has to join.
    Keychain(Keychain),
    /// No source is set.
    Unset,
}

impl CredentialSource {
    /// The auth key, if it is one.
    pub fn key(&self) -> Option<&Secret> {
        self.credential().and_then(Credential::key)
    }

    /// The OAuth client secret, if it is one.
    pub fn client_secret(&self) -> Option<&Secret> {
        self.credential().and_then(Credential::client_secret)
    }

    /// The credential, if it is known already.
    pub fn credential(&self) -> Option<&Credential> {
        match self {
            CredentialSource::Environment(_, credential) | CredentialSource::File(_, credential) => {
                Some(credential)
            }
            CredentialSource::MissingFile(_) | CredentialSource::Keychain(_) | CredentialSource::Unset => {
                None
            }
        }
    }

    /// See [`Credential::ephemeral`].
    #[must_use]
    pub(crate) fn ephemeral(self, on: bool) -> CredentialSource {
        match self {
            CredentialSource::Environment(variable, credential) => {
                CredentialSource::Environment(variable, credential.ephemeral(on))
            }
            CredentialSource::File(path, credential) => {
                CredentialSource::File(path, credential.ephemeral(on))
            }
            other => other,
        }
    }
}

impl fmt::Display for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CredentialSource::Environment(variable, c) => write!(f, "{} from {variable}", c.kind()),
            CredentialSource::File(path, c) => write!(f, "{} from {}", c.kind(), path.display()),
            CredentialSource::MissingFile(path) => {
                write!(f, "none: {} does not exist, so only a node that has joined can start", path.display())
            }
            CredentialSource::Keychain(keychain) => {
                write!(f, "{keychain}, read only when the node has to join")
            }
            CredentialSource::Unset => write!(f, "none: only a node that has joined can start"),
        }
    }
}

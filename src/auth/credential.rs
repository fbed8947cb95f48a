//! An auth key or an OAuth client secret.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::secret::Secret;

/// The environment variable for an auth key, which Tailscale's own programs read too.
pub const ENV: &str = "TS_AUTHKEY";

/// The prefix of an OAuth client secret.
const CLIENT_PREFIX: &str = "tskey-client-";

/// The kind of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    /// An auth key, for one or several nodes.
    AuthKey,
    /// The secret of an OAuth client, which creates auth keys.
    ClientSecret,
}

/// A credential that a node joins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    kind: CredentialKind,
    secret: Secret,
}

impl Credential {
    /// Its kind.
    pub fn kind(&self) -> CredentialKind {
        self.kind
    }

    /// Parses a credential whose kind is unknown. The prefix decides.
    ///
    /// # Errors
    /// The text is not a credential.
    pub fn of(text: &str) -> Result<Credential, KeyFault> {
        let is_client_secret = text.trim_start().starts_with(CLIENT_PREFIX);
        Credential::parse(
            if is_client_secret { CredentialKind::ClientSecret } else { CredentialKind::AuthKey },
            text,
        )
    }

    /// The secret itself.
    pub(super) fn expose(&self) -> &str {
        self.secret.expose()
    }

    /// The auth key, if it is one.
    pub fn key(&self) -> Option<&Secret> {
        (self.kind == CredentialKind::AuthKey).then_some(&self.secret)
    }

    /// The OAuth client secret, if it is one.
    pub fn client_secret(&self) -> Option<&Secret> {
        (self.kind == CredentialKind::ClientSecret).then_some(&self.secret)
    }

    /// Whether it has the prefix of Tailscale's credentials. Other control servers use other prefixes.
    pub(crate) fn is_tailscales(&self) -> bool {
        let prefix = match self.kind {
            CredentialKind::AuthKey => "tskey-auth-",
            CredentialKind::ClientSecret => CLIENT_PREFIX,
        };
        self.secret.expose().starts_with(prefix)
    }

    /// Whether a client secret names the API that creates its auth keys. The default is Tailscale's API.
    pub(crate) fn names_api(&self) -> bool {
        self.attributes().any(|attribute| attribute.starts_with("baseURL="))
    }

    /// The attributes of a client secret, which follow its `?`.
    fn attributes(&self) -> impl Iterator<Item = &str> {
        let attributes = self.secret.expose().split_once('?').map(|(_, attributes)| attributes);
        attributes
            .filter(|_| self.kind == CredentialKind::ClientSecret)
            .into_iter()
            .flat_map(|all| all.split('&'))
    }

    /// Adds the attribute `ephemeral` to a client secret, unless it has one. Without the attribute, Tailscale's library
    /// creates keys for ephemeral nodes, whatever the node requests.
    #[must_use]
    pub(crate) fn ephemeral(mut self, on: bool) -> Credential {
        let says_so = self.attributes().any(|attribute| attribute.starts_with("ephemeral="));
        if self.kind == CredentialKind::ClientSecret && !says_so {
            let secret = self.secret.expose();
            let separator = if secret.contains('?') { '&' } else { '?' };
            self.secret = Secret::new(format!("{secret}{separator}ephemeral={on}"));
        }
        self
    }

    /// Parses a credential of a known kind.
    pub(super) fn parse(kind: CredentialKind, text: &str) -> Result<Credential, KeyFault> {
        let secret = text.trim();
        let is_client_secret = secret.starts_with(CLIENT_PREFIX);
        match kind {
            _ if secret.is_empty() => Err(KeyFault::Empty(kind)),
            _ if !secret.bytes().all(|b| b.is_ascii_graphic()) => Err(KeyFault::Content(kind)),
            _ if secret.starts_with("tskey-api-") => Err(KeyFault::AccessToken),
            CredentialKind::AuthKey if is_client_secret => Err(KeyFault::ClientSecret),
            CredentialKind::ClientSecret if !is_client_secret => Err(KeyFault::NoClientSecret),
            _ => {
                let credential = Credential { kind, secret: Secret::new(secret.to_owned()) };
                // Tailscale's library reports an unknown attribute as if the tailnet refused the secret.
                if credential.attributes().all(is_attribute) {
                    Ok(credential)
                } else {
                    Err(KeyFault::Attribute)
                }
            }
        }
    }
}

/// Whether a client secret may have this attribute. Source: `feature/oauthkey` in Tailscale's library.
fn is_attribute(text: &str) -> bool {
    match text.split_once('=') {
        // The values that Go's strconv.ParseBool accepts.
        Some(("ephemeral" | "preauthorized", value)) => {
            matches!(
                value,
                "1" | "t" | "T" | "true" | "TRUE" | "True" | "0" | "f" | "F" | "false" | "FALSE" | "False"
            )
        }
        Some(("baseURL", url)) => !url.is_empty(),
        _ => false,
    }
}

impl fmt::Display for CredentialKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CredentialKind::AuthKey => "auth key",
            CredentialKind::ClientSecret => "OAuth client secret",
        })
    }
}

/// Why a credential can't be used. Each text continues after the name of a file or variable, and never contains the
/// value.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// Reading failed.
    #[error("can't be read: {0}")]
    Unreadable(io::Error),
    /// A folder, a pipe or a device.
    #[error("is not a regular file: name the file that holds the key")]
    NoFile,
    /// Another user owns the file, and could read or replace it.
    #[error("belongs to the user with id {uid}: chown {me} {}", quoted(.path))]
    Owner {
        /// The file.
        path: PathBuf,
        /// The id of its owner.
        uid: u32,
        /// The id of this process's user.
        me: u32,
    },
    /// Other users may read or write the file.
    #[error("has mode {mode:04o}, so other users can access it: chmod 600 {}", quoted(.path))]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is empty.
    #[error("is empty: it must hold one line with the {0}")]
    Empty(CredentialKind),
    /// It has several lines or words, or is not text.
    #[error("must hold one line with the {0}, and nothing else")]
    Content(CredentialKind),
    /// An OAuth client secret instead of an auth key.
    #[error(
        "holds an OAuth client secret: put it into TS_CLIENT_SECRET or into the file that node.client_secret_file names"
    )]
    ClientSecret,
    /// Another value instead of an OAuth client secret.
    #[error(
        "holds no OAuth client secret, which begins with tskey-client-: put an auth key into {env} or into the file that node.auth_key_file names",
        env = ENV
    )]
    NoClientSecret,
    /// An unknown attribute of a client secret.
    #[error(
        "holds an OAuth client secret with an unknown attribute: after its ? it may have ephemeral=true, preauthorized=true (or false) and baseURL=URL, joined by &"
    )]
    Attribute,
    /// A token for Tailscale's API.
    #[error("holds an API access token, which can't join a node: create an auth key instead")]
    AccessToken,
}

/// A path as one word of a shell command.
fn quoted(path: &Path) -> String {
    // Fails only for a NUL byte, which no path has.
    shlex::try_quote(&path.to_string_lossy()).unwrap_or_default().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_one_word_of_a_shell_command() {
        assert_eq!(quoted(Path::new("/a/b-c_1.key")), "/a/b-c_1.key");
        assert_eq!(quoted(Path::new("/a b/$c")), "'/a b/$c'");
    }
}

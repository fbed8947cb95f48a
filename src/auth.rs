//! The credential that the node joins with the first time: an auth key or an OAuth client secret. Finds it and checks
//! that other users can't read it.
//!
//! Source for the variables and their order: `tsnet.Server` in Tailscale's Go library. It reads the same variables by
//! itself, so all of them have to be checked here.

mod environment;
mod file;
mod keychain;

use std::fmt;
use std::path::PathBuf;

use crate::secret::Secret;
pub use environment::Environment;
pub use file::{KeyFault, read};
pub use keychain::{Keychain, KeychainFault};

/// The environment variable for an auth key, which Tailscale's own programs read too.
pub const ENV: &str = "TS_AUTHKEY";

/// The variables that may hold a credential. The first that is set is used.
const VARIABLES: [(&str, CredentialKind); 3] = [
    (ENV, CredentialKind::AuthKey),
    ("TS_AUTH_KEY", CredentialKind::AuthKey),
    ("TS_CLIENT_SECRET", CredentialKind::ClientSecret),
];

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

    fn parse(kind: CredentialKind, text: &str) -> Result<Credential, KeyFault> {
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
            CredentialSource::Environment(variable, c) => write!(f, "{} from {variable}", c.kind),
            CredentialSource::File(path, c) => write!(f, "{} from {}", c.kind, path.display()),
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

impl fmt::Display for CredentialKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CredentialKind::AuthKey => "auth key",
            CredentialKind::ClientSecret => "OAuth client secret",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn environment(set: &[(&'static str, &str)]) -> Environment {
        Environment::new(|name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v)))
    }

    #[test]
    fn first_variable_wins_and_an_empty_one_is_not_set() {
        let all = [(ENV, "a"), ("TS_AUTH_KEY", "b"), ("TS_CLIENT_SECRET", "tskey-client-c")];
        let found = environment(&all).find().unwrap().unwrap();
        assert_eq!(found.key().unwrap().expose(), "a");
        assert_eq!(found.client_secret(), None);
        assert_eq!(found.to_string(), "auth key from TS_AUTHKEY");

        let found = environment(&all[1..]).find().unwrap().unwrap();
        assert_eq!(found.key().unwrap().expose(), "b");

        let found = environment(&[(ENV, ""), all[2]]).find().unwrap().unwrap();
        assert_eq!(found.key(), None);
        assert_eq!(found.client_secret().unwrap().expose(), "tskey-client-c");
        assert_eq!(found.to_string(), "OAuth client secret from TS_CLIENT_SECRET");

        assert_eq!(environment(&[]).find().unwrap(), None);
    }

    #[test]
    fn variable_without_a_credential_is_a_fault() {
        for (variable, value, said) in [
            (ENV, " \n", "is empty"),
            (ENV, "a b", "one line"),
            (ENV, "tskey-client-a", "TS_CLIENT_SECRET"),
            (ENV, "tskey-api-a", "API access token"),
            ("TS_CLIENT_SECRET", "tskey-auth-a", "TS_AUTHKEY"),
            ("TS_CLIENT_SECRET", "tskey-client-a?b=1", "baseURL=URL"),
            ("TS_CLIENT_SECRET", "tskey-client-a?ephemeral=yes", "ephemeral=true"),
        ] {
            let (named, fault) = environment(&[(variable, value)]).find().unwrap_err();
            assert_eq!(named, variable);
            assert!(fault.to_string().contains(said), "{fault}");
        }
        use std::os::unix::ffi::OsStringExt;
        let bytes = Environment::new(|name| (name == ENV).then(|| OsString::from_vec(vec![0xff])));
        assert!(bytes.find().is_err());
    }

    #[test]
    fn client_secret_gets_the_attribute_ephemeral_unless_it_has_one() {
        for (secret, ephemeral, completed) in [
            ("tskey-client-a", false, "tskey-client-a?ephemeral=false"),
            ("tskey-client-a", true, "tskey-client-a?ephemeral=true"),
            ("tskey-client-a?preauthorized=true", false, "tskey-client-a?preauthorized=true&ephemeral=false"),
            (
                "tskey-client-a?preauthorized=1&ephemeral=true",
                false,
                "tskey-client-a?preauthorized=1&ephemeral=true",
            ),
        ] {
            let found = environment(&[("TS_CLIENT_SECRET", secret)]).find().unwrap().unwrap();
            assert_eq!(found.ephemeral(ephemeral).client_secret().unwrap().expose(), completed);
        }
        let found = environment(&[(ENV, "a")]).find().unwrap().unwrap();
        assert_eq!(found.ephemeral(true).key().unwrap().expose(), "a");
    }

    #[test]
    fn printed_forms_redact_the_secret() {
        let environment =
            environment(&[(ENV, "tskey-auth-HIDDEN"), ("TS_CLIENT_SECRET", "tskey-client-HIDDEN")]);
        let found = environment.find().unwrap();
        let printed = format!("{environment:?} {found:?} {}", found.as_ref().unwrap());
        assert!(!printed.contains("HIDDEN") && !printed.contains("tskey"), "{printed}");
    }
}

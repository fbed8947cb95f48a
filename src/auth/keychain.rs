//! The system's keychain, which may hold the credential: Keychain on macOS, a Secret Service on Linux. It may ask the
//! user to unlock it, so it is only read when the node has to join, and every call has a time limit.

use std::fmt;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::credential::{Credential, KeyFault};

/// The service name of this program's entries.
const SERVICE: &str = "remote-ollama-proxy";

/// The keychain's entry for one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keychain {
    account: String,
}

/// Why the keychain gives no credential.
#[derive(Debug, thiserror::Error)]
pub enum KeychainFault {
    /// The system's error. Usually there is no keychain, or it is locked and no user is logged in.
    #[error("the keychain can't be used: {0}")]
    Unusable(String),
    /// It did not answer in time, usually because it waits for the user.
    #[error("the keychain did not answer within {}: unlock it", crate::time::format_duration(*.0))]
    Silent(Duration),
    /// The entry is not a credential.
    #[error("the entry in the keychain {0}")]
    Key(#[from] KeyFault),
}

impl Keychain {
    /// The entry for the node with the configured name `hostname`.
    pub fn of(hostname: &str) -> Keychain {
        Keychain { account: hostname.to_owned() }
    }

    /// The credential; `None` if there is no entry.
    ///
    /// # Errors
    /// See [`KeychainFault`].
    pub fn read(&self, limit: Duration) -> Result<Option<Credential>, KeychainFault> {
        let found = self.call(limit, |entry| entry.read())?;
        Ok(found.map(|text| Credential::of(&text)).transpose()?)
    }

    /// Stores a credential, and replaces an older one.
    ///
    /// # Errors
    /// See [`KeychainFault`].
    pub fn store(&self, credential: Credential, limit: Duration) -> Result<(), KeychainFault> {
        self.call(limit, move |entry| entry.store(credential.expose()))
    }

    /// Removes the entry. Returns whether there was one.
    ///
    /// # Errors
    /// See [`KeychainFault`].
    pub fn remove(&self, limit: Duration) -> Result<bool, KeychainFault> {
        self.call(limit, |entry| entry.remove())
    }

    fn call<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(&system::Entry) -> Result<T, KeychainFault> + Send + 'static,
    ) -> Result<T, KeychainFault> {
        let account = self.account.clone();
        within(limit, move || work(&system::Entry::open(SERVICE, &account)?))
    }
}

/// The libraries have no time limit, so the work runs on its own thread, which may outlive the call.
fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> Result<T, KeychainFault> + Send + 'static,
) -> Result<T, KeychainFault> {
    let (done, waiting) = mpsc::channel();
    let work = move || {
        let _ = done.send(work()); // fails after the time limit
    };
    std::thread::Builder::new()
        .name("keychain".to_owned())
        .spawn(work)
        .map_err(|e| KeychainFault::Unusable(e.to_string()))?;
    waiting.recv_timeout(limit).unwrap_or_else(|error| {
        Err(match error {
            RecvTimeoutError::Timeout => KeychainFault::Silent(limit),
            RecvTimeoutError::Disconnected => KeychainFault::Unusable("its library panicked".to_owned()),
        })
    })
}

impl fmt::Display for Keychain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the keychain (service {SERVICE}, account {})", self.account)
    }
}

#[cfg(feature = "keychain")]
mod system {
    use std::sync::Arc;

    use keyring_core::{CredentialStore, Entry as Stored, Error};

    use super::KeychainFault;
    use crate::auth::{CredentialKind, KeyFault};

    pub(super) struct Entry(Stored);

    impl Entry {
        pub(super) fn open(service: &str, account: &str) -> Result<Entry, KeychainFault> {
            Entry::open_in(&store().map_err(unusable)?, service, account)
        }

        pub(super) fn open_in(
            store: &Arc<CredentialStore>,
            service: &str,
            account: &str,
        ) -> Result<Entry, KeychainFault> {
            Stored::new_in_store(store, service, account).map(Entry).map_err(unusable)
        }

        pub(super) fn read(&self) -> Result<Option<String>, KeychainFault> {
            match self.0.get_password() {
                Ok(text) => Ok(Some(text)),
                Err(Error::NoEntry) => Ok(None),
                Err(Error::BadEncoding(_)) => Err(KeyFault::Content(CredentialKind::AuthKey).into()),
                Err(error) => Err(unusable(error)),
            }
        }

        pub(super) fn store(&self, text: &str) -> Result<(), KeychainFault> {
            self.0.set_password(text).map_err(unusable)
        }

        pub(super) fn remove(&self) -> Result<bool, KeychainFault> {
            match self.0.delete_credential() {
                Ok(()) => Ok(true),
                Err(Error::NoEntry) => Ok(false),
                Err(error) => Err(unusable(error)),
            }
        }
    }

    #[cfg(target_os = "macos")]
    fn store() -> Result<Arc<CredentialStore>, Error> {
        Ok(apple_native_keyring_store::keychain::Store::new()?)
    }

    #[cfg(target_os = "linux")]
    fn store() -> Result<Arc<CredentialStore>, Error> {
        Ok(zbus_secret_service_keyring_store::Store::new()?)
    }

    #[cfg(not(any(target_os = "macos", target_os = "linux")))]
    fn store() -> Result<Arc<CredentialStore>, Error> {
        Err(Error::NoDefaultStore)
    }

    fn unusable(error: Error) -> KeychainFault {
        KeychainFault::Unusable(error.to_string())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn credential_is_stored_replaced_read_and_removed() {
            let store: Arc<CredentialStore> = keyring_core::mock::Store::new().unwrap();
            let entry = || Entry::open_in(&store, "s", "a").unwrap();
            assert_eq!(entry().read().unwrap(), None);
            assert!(!entry().remove().unwrap());
            for key in ["tskey-auth-a", "tskey-auth-b"] {
                entry().store(key).unwrap();
                assert_eq!(entry().read().unwrap().unwrap(), key);
            }
            assert_eq!(Entry::open_in(&store, "s", "b").unwrap().read().unwrap(), None);
            assert!(entry().remove().unwrap());
            assert_eq!(entry().read().unwrap(), None);
        }
    }
}

#[cfg(not(feature = "keychain"))]
mod system {
    use super::KeychainFault;

    /// This build has no keychain, so no value of this type exists.
    pub(super) enum Entry {}

    impl Entry {
        pub(super) fn open(_: &str, _: &str) -> Result<Entry, KeychainFault> {
            Err(KeychainFault::Unusable("this build lacks the feature `keychain`".to_owned()))
        }

        pub(super) fn read(&self) -> Result<Option<String>, KeychainFault> {
            match *self {}
        }

        pub(super) fn store(&self, _: &str) -> Result<(), KeychainFault> {
            match *self {}
        }

        pub(super) fn remove(&self) -> Result<bool, KeychainFault> {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_keychain_is_a_fault_after_the_time_limit() {
        let (hold, held) = mpsc::channel::<()>();
        let waits = move || {
            let _ = held.recv();
            Ok(())
        };
        let fault = within(Duration::from_millis(10), waits).unwrap_err();
        drop(hold);
        assert_eq!(fault.to_string(), "the keychain did not answer within 10ms: unlock it");
        assert_eq!(within(Duration::from_secs(60), || Ok(1)).unwrap(), 1);
    }
}

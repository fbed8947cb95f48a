//! What the account keeps: the node's keys, and what it joins with.

use std::fs::{Metadata, metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::Access;
use rustix::io::Errno;

use super::Finding;
use crate::audit::Journal;
use crate::auth::{Credential, Found, Kind};
use crate::config::Config;
use crate::control::{ControlTask, custom_url};
use crate::stored::{self, STATE_FILE};

pub(super) fn examine(config: &Config) -> [Finding; 2] {
    [folder(config, may_write), key(config)]
}

/// `may_write` says whether this process may write to a file, or make and replace files in a folder.
fn folder(config: &Config, may_write: fn(&Path, Access) -> Result<(), Errno>) -> Finding {
    let folder = &*config.node.state_dir;
    let shown = folder.display();
    for path in [folder.to_owned(), folder.join(STATE_FILE)] {
        match metadata(&path) {
            Ok(found) if found.mode() & 0o077 != 0 => {
                return Finding::fault(
                    "state",
                    format!(
                        "{} has mode {:04o}: whoever reads it can be this node",
                        path.display(),
                        found.mode() & 0o7777
                    ),
                    format!(
                        "chmod go= {path:?}; if somebody may have read it, {}",
                        ControlTask::Remove.at(config.node.control_url.as_deref())
                    ),
                );
            }
            Ok(found) if !is_ours(&found) => {
                return Finding::fault(
                    "state",
                    format!("{} belongs to the account with number {}", path.display(), found.uid()),
                    "run this as that account, or set node.state_dir to a folder of yours",
                );
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let what = if path == folder { "the folder" } else { "a node" };
                return Finding::good("state", format!("{shown}: {what} is made at the first start"));
            }
            Err(error) => {
                return Finding::unknown("state", format!("{}: {error}", path.display()));
            }
        }
    }
    // The file with the keys is replaced, for which the folder alone matters.
    let written = [
        (folder.to_owned(), Access::WRITE_OK | Access::EXEC_OK),
        (folder.join("lock"), Access::WRITE_OK),
        (folder.join(Journal::FILE), Access::WRITE_OK),
    ];
    for (path, access) in written {
        match may_write(&path, access) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => {
                return Finding::fault(
                    "state",
                    format!("{} can't be written: {}", path.display(), std::io::Error::from(error)),
                    format!(
                        "chmod u+w {path:?}, mount its file system for writing, or set node.state_dir to another folder"
                    ),
                );
            }
        }
    }
    Finding::good("state", format!("{shown} and the keys in it are private, and can be written"))
}

fn may_write(path: &Path, access: Access) -> Result<(), Errno> {
    rustix::fs::access(path, access)
}

fn is_ours(found: &Metadata) -> bool {
    found.uid() == rustix::process::geteuid().as_raw()
}

fn key(config: &Config) -> Finding {
    let stored = match stored::read(&config.node.state_dir) {
        Ok(stored) => stored,
        Err(error) => {
            return Finding::unknown(
                "key",
                format!("{}: {error}", config.node.state_dir.join(STATE_FILE).display()),
            );
        }
    };
    let found = &config.node.credential;
    match (stored, found.credential(), found) {
        (Some(_), Some(_), _) => Finding::warning(
            "key",
            format!("the node has joined and no longer needs what it joined with: {found}"),
            "take the key away, so that nobody can join another device with it",
        ),
        (Some(_), None, _) => Finding::good("key", "the node has joined, and no key lies about"),
        (None, Some(credential), _) => to_join_with(credential, found, config.node.control_url.as_deref()),
        (None, None, Found::NoFile(path)) => Finding::fault(
            "key",
            format!("the node has not joined, and the file with its key, {}, does not exist", path.display()),
            "put the auth key there, mode 0600, or run `remote-ollama-proxy login`",
        ),
        (None, None, Found::Keychain(_)) => Finding::unknown(
            "key",
            format!("the node joins with: {found}; it was not looked at, since it may have to be unlocked"),
        ),
        (None, None, _) => {
            Finding::fault("key", "the node has not joined, and there is nothing to join with", {
                let make = custom_url(config.node.control_url.as_deref())
                    .map(|_| format!("{} and ", ControlTask::MakeKey.at(config.node.control_url.as_deref())));
                let make = make.unwrap_or_default();
                format!(
                    "run `remote-ollama-proxy login`, or {make}set {} or node.auth_key_file",
                    crate::auth::ENV
                )
            })
        }
    }
}

/// Whether what the node is to join with has the form of such a key. Only the control server knows whether it is good.
fn to_join_with(credential: &Credential, found: &Found, control_url: Option<&str>) -> Finding {
    match (credential.kind(), custom_url(control_url)) {
        (Kind::AuthKey, Some(url)) => Finding::good(
            "key",
            format!("the node joins with: {found}; its form was not checked, since only {url} knows it"),
        ),
        (Kind::ClientSecret, Some(url)) if !credential.names_api() => Finding::fault(
            "key",
            format!(
                "the node joins with: {found}, which is exchanged at Tailscale's API for a key that {url} does not know"
            ),
            ControlTask::MakeKey.at(control_url),
        ),
        (Kind::AuthKey, None) if !credential.is_tailscales() => Finding::fault(
            "key",
            format!(
                "the node joins with: {found}, which is no auth key: those of Tailscale begin with tskey-auth-"
            ),
            ControlTask::MakeKey.at(control_url),
        ),
        _ => Finding::good("key", format!("the node joins with: {found}, which has the form of one")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::Outcome::{self, Fault, Good};
    use super::*;
    use crate::config::Override;

    /// A config with a state folder that holds a node's files, and these overrides.
    fn config(dir: &Path, pairs: &[(&'static str, &str)]) -> Config {
        let state = dir.join("state");
        std::fs::create_dir_all(&state).unwrap();
        std::fs::set_permissions(&state, PermissionsExt::from_mode(0o700)).unwrap();
        let state = ("node.state_dir", state.to_str().unwrap());
        let overrides: Vec<_> = std::iter::once(&state)
            .chain(pairs)
            .map(|(key, value)| Override { key, value: (*value).to_owned(), source: "test".to_owned() })
            .collect();
        crate::config::load(Some("/dev/null".as_ref()), &overrides, &Default::default()).unwrap()
    }

    fn private(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn read_only_state_folder_is_a_fault() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), &[]);
        let state = &config.node.state_dir;
        for name in [STATE_FILE, "lock", Journal::FILE] {
            private(&state.join(name), "{}", 0o600);
        }
        assert_eq!(folder(&config, may_write).outcome, Good);
        let read_only: fn(&Path, Access) -> Result<(), Errno> = |_, _| Err(Errno::ROFS);
        let found = folder(&config, read_only);
        assert!(found.outcome == Fault && found.reason.contains("Read-only"), "{found:?}");
        let only_the_journal: fn(&Path, Access) -> Result<(), Errno> =
            |path, _| if path.ends_with(Journal::FILE) { Err(Errno::ACCESS) } else { Ok(()) };
        let found = folder(&config, only_the_journal);
        assert!(found.outcome == Fault && found.reason.contains(Journal::FILE), "{found:?}");

        // Root may write whatever the mode says, and then nothing is wrong.
        let root = rustix::process::geteuid().is_root();
        std::fs::set_permissions(state, PermissionsExt::from_mode(0o500)).unwrap();
        let found = folder(&config, may_write);
        std::fs::set_permissions(state, PermissionsExt::from_mode(0o700)).unwrap();
        assert_eq!(found.outcome, if root { Good } else { Fault }, "{found:?}");
    }

    #[test]
    fn missing_key_names_the_control_server() {
        let dir = tempfile::tempdir().unwrap();
        let found = super::key(&config(dir.path(), &[("node.control_url", "https://h.example")]));
        let remedy = found.remedy.unwrap();
        assert!(found.outcome == Fault && remedy.contains("https://h.example"), "{remedy}");
        let found = super::key(&config(dir.path(), &[]));
        assert!(!found.remedy.unwrap().contains("auth key in"));
    }

    #[test]
    fn key_has_the_form_of_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let other = "https://h.example";
        let told = |key: &'static str, text: &str, control_url: Option<&str>| -> (Outcome, String) {
            private(&file, text, 0o600);
            let mut config = config(dir.path(), &[]);
            config.node.control_url = control_url.map(str::to_owned);
            let kind = if key == "secret" { Kind::ClientSecret } else { Kind::AuthKey };
            config.node.credential = crate::auth::read(&file, kind).unwrap();
            let found = super::key(&config);
            assert!(!format!("{found:?}").contains("HIDDEN"), "{found:?}");
            (found.outcome, found.reason)
        };
        for (kind, text, control_url, outcome) in [
            ("key", "tskey-auth-HIDDEN", None, Good),
            ("key", "tskey-auth-HIDDEN", Some("https://controlplane.tailscale.com"), Good),
            ("key", "HIDDEN", None, Fault),
            ("key", "hskey-auth-HIDDEN", None, Fault),
            ("key", "HIDDEN", Some(other), Good),
            ("secret", "tskey-client-HIDDEN", None, Good),
            ("secret", "tskey-client-HIDDEN", Some(other), Fault),
            ("secret", "tskey-client-HIDDEN?baseURL=https://h.example", Some(other), Good),
        ] {
            let (came, reason) = told(kind, text, control_url);
            assert_eq!(came, outcome, "{text} {control_url:?}: {reason}");
        }
        let (_, reason) = told("key", "HIDDEN", Some(other));
        assert!(reason.contains("not checked") && reason.contains(other), "{reason}");
    }
}

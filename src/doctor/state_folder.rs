//! The state folder: who can read and write it, and the key that the node joins with.

use std::fs::{Metadata, metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::Access;
use rustix::io::Errno;

use super::finding::Finding;
use crate::audit::Journal;
use crate::auth::{Credential, CredentialKind, CredentialSource};
use crate::config::Config;
use crate::control::{ControlTask, custom_url};
use crate::rotated;
use crate::stored::{self, STATE_FILE};

/// Says whether this process may access a path so.
type AccessCheck = fn(&Path, Access) -> Result<(), Errno>;

pub(super) fn folder(config: &Config) -> Finding {
    examine_folder(config, |path, access| rustix::fs::access(path, access))
}

fn examine_folder(config: &Config, may_access: AccessCheck) -> Finding {
    let folder = &*config.node.state_dir;
    if let Some(finding) = not_private(config, folder) {
        return finding;
    }
    // The file with the keys is replaced at each change, which takes access to the folder only.
    let written = [
        (folder.to_owned(), Access::WRITE_OK | Access::EXEC_OK),
        (folder.join("lock"), Access::WRITE_OK),
        (folder.join(Journal::FILE), Access::WRITE_OK),
    ];
    let access_log = config.access_log.as_ref().map(|log| (log.file.clone(), Access::WRITE_OK));
    for (path, access) in written.into_iter().chain(access_log) {
        match may_access(&path, access) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => {
                return Finding::fault(
                    "state",
                    format!("cannot write {}: {}", path.display(), std::io::Error::from(error)),
                    format!(
                        "chmod u+w {path:?}, mount its file system for writing, or set node.state_dir to another folder"
                    ),
                );
            }
        }
    }
    if let Some(finding) = readable_records(config) {
        return finding;
    }
    Finding::good("state", format!("{} and the keys in it are private and writable", folder.display()))
}

/// The finding if other accounts may open a file of records. The proxy creates these with mode 0600, and leaves the mode
/// of one that exists.
fn readable_records(config: &Config) -> Option<Finding> {
    let journal = config.node.state_dir.join(Journal::FILE);
    let access_log = config.access_log.as_ref().map(|log| log.file.clone());
    let files =
        std::iter::once(journal).chain(access_log).filter_map(|path| rotated::read(&path).ok()).flatten();
    let open: Vec<_> = files
        .filter(|(_, file)| file.metadata().is_ok_and(|found| found.mode() & 0o077 != 0))
        .map(|(path, _)| path)
        .collect();
    let shown: Vec<_> = open.iter().map(|path| path.display().to_string()).collect();
    let quoted: Vec<_> = open.iter().map(|path| format!("{path:?}")).collect();
    (!open.is_empty()).then(|| {
        Finding::warning(
            "state",
            format!(
                "the mode of {} lets other accounts open the records of who asked for what",
                shown.join(", ")
            ),
            format!("chmod go= {}", quoted.join(" ")),
        )
    })
}

/// The finding if the folder or the keys in it are missing, or not private to this account.
fn not_private(config: &Config, folder: &Path) -> Option<Finding> {
    for path in [folder.to_owned(), folder.join(STATE_FILE)] {
        let shown = path.display();
        match metadata(&path) {
            Ok(found) if found.mode() & 0o077 != 0 => {
                return Some(Finding::fault(
                    "state",
                    format!(
                        "{shown} has mode {:04o}: another account that reads the keys can impersonate this node",
                        found.mode() & 0o7777
                    ),
                    format!(
                        "chmod go= {path:?}; if another account may have read it, {}",
                        ControlTask::Remove.at(config.node.control_url.as_deref())
                    ),
                ));
            }
            Ok(found) if !is_ours(&found) => {
                return Some(Finding::fault(
                    "state",
                    format!("{shown} belongs to the account with the user ID {}", found.uid()),
                    "run this command as that account, or set node.state_dir to a folder of your own",
                ));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let missing = if path == folder { "the folder" } else { "a node" };
                let reason = format!("{}: the first start creates {missing}", folder.display());
                return Some(Finding::good("state", reason));
            }
            Err(error) => return Some(Finding::unknown("state", format!("{shown}: {error}"))),
        }
    }
    None
}

fn is_ours(found: &Metadata) -> bool {
    found.uid() == rustix::process::geteuid().as_raw()
}

/// Whether the node has joined, or has a key to join with.
pub(super) fn key(config: &Config) -> Finding {
    let found = &config.node.credential;
    match stored::read(&config.node.state_dir) {
        Err(error) => {
            let path = config.node.state_dir.join(STATE_FILE);
            Finding::unknown("key", format!("cannot read {}: {error}", path.display()))
        }
        Ok(Some(_)) if found.credential().is_some() => Finding::warning(
            "key",
            format!("the node has joined and no longer needs the key that it joined with: {found}"),
            "delete the key, so that it cannot be used to join another device",
        ),
        Ok(Some(_)) => Finding::good("key", "the node has joined, and no key is stored"),
        Ok(None) => key_to_join_with(found, config.node.control_url.as_deref()),
    }
}

fn key_to_join_with(found: &CredentialSource, control_url: Option<&str>) -> Finding {
    match (found.credential(), found) {
        (Some(credential), _) => key_format(credential, found, control_url),
        (None, CredentialSource::MissingFile(path)) => Finding::fault(
            "key",
            format!("the node has not joined, and the file with its key, {}, does not exist", path.display()),
            "write the auth key to that file, mode 0600, or run `remote-ollama-proxy login`",
        ),
        (None, CredentialSource::Keychain(_)) => Finding::unknown(
            "key",
            format!("the node joins with: {found}; not checked, since the keychain may have to be unlocked"),
        ),
        (None, _) => {
            let make =
                custom_url(control_url).map(|_| format!("{} and ", ControlTask::MakeKey.at(control_url)));
            let make = make.unwrap_or_default();
            Finding::fault(
                "key",
                "the node has not joined, and has no key to join with",
                format!(
                    "run `remote-ollama-proxy login`, or {make}set {} or node.auth_key_file",
                    crate::auth::ENV
                ),
            )
        }
    }
}

/// Whether the key has the format of one. Only the control server knows whether it is valid.
fn key_format(credential: &Credential, found: &CredentialSource, control_url: Option<&str>) -> Finding {
    match (credential.kind(), custom_url(control_url)) {
        (CredentialKind::AuthKey, Some(url)) => Finding::good(
            "key",
            format!("the node joins with: {found}; its format is not checked, since only {url} knows it"),
        ),
        (CredentialKind::ClientSecret, Some(url)) if !credential.names_api() => Finding::fault(
            "key",
            format!(
                "the node joins with: {found}, which Tailscale's API exchanges for a key that {url} does not accept"
            ),
            ControlTask::MakeKey.at(control_url),
        ),
        (CredentialKind::AuthKey, None) if !credential.is_tailscales() => Finding::fault(
            "key",
            format!(
                "the node joins with: {found}, which is not an auth key of Tailscale: those begin with tskey-auth-"
            ),
            ControlTask::MakeKey.at(control_url),
        ),
        _ => Finding::good("key", format!("the node joins with: {found}, which has the right format")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::finding::Outcome::{self, Fault, Good, Warning};
    use super::*;
    use crate::config::AccessLogConfig;
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
        for name in [STATE_FILE, "lock", Journal::FILE, AccessLogConfig::FILE] {
            private(&state.join(name), "{}", 0o600);
        }
        assert_eq!(folder(&config).outcome, Good);
        let read_only: AccessCheck = |_, _| Err(Errno::ROFS);
        let found = examine_folder(&config, read_only);
        assert!(found.outcome == Fault && found.reason.contains("Read-only"), "{found:?}");
        let read_only_journal: AccessCheck =
            |path, _| if path.ends_with(Journal::FILE) { Err(Errno::ACCESS) } else { Ok(()) };
        let found = examine_folder(&config, read_only_journal);
        assert!(found.outcome == Fault && found.reason.contains(Journal::FILE), "{found:?}");
        let read_only_access_log: AccessCheck =
            |path, _| if path.ends_with(AccessLogConfig::FILE) { Err(Errno::ACCESS) } else { Ok(()) };
        let found = examine_folder(&config, read_only_access_log);
        assert!(found.outcome == Fault && found.reason.contains(AccessLogConfig::FILE), "{found:?}");

        // Root may write in spite of the mode.
        let root = rustix::process::geteuid().is_root();
        std::fs::set_permissions(state, PermissionsExt::from_mode(0o500)).unwrap();
        let found = folder(&config);
        std::fs::set_permissions(state, PermissionsExt::from_mode(0o700)).unwrap();
        assert_eq!(found.outcome, if root { Good } else { Fault }, "{found:?}");
    }

    #[test]
    fn records_that_other_accounts_may_read_are_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("a.jsonl");
        let config = config(dir.path(), &[("access_log.file", outside.to_str().unwrap())]);
        let state = &config.node.state_dir;
        private(&state.join(STATE_FILE), "{}", 0o600);
        let files = [&state.join(Journal::FILE), &outside, &dir.path().join("a.jsonl.20261101T000000Z")];
        files.iter().for_each(|file| private(file, "", 0o600));
        assert_eq!(folder(&config).outcome, Good);
        for file in files {
            private(file, "", 0o640);
            let found = folder(&config);
            assert!(found.outcome == Warning && found.reason.contains(file.to_str().unwrap()), "{found:?}");
            let remedy = format!("chmod go= {file:?}");
            assert_eq!(found.remedy, Some(remedy));
            std::fs::set_permissions(file, PermissionsExt::from_mode(0o600)).unwrap();
        }
    }

    #[test]
    fn missing_key_is_a_fault_that_names_the_control_server() {
        let dir = tempfile::tempdir().unwrap();
        let found = super::key(&config(dir.path(), &[("node.control_url", "https://h.example")]));
        let remedy = found.remedy.unwrap();
        assert!(found.outcome == Fault && remedy.contains("https://h.example"), "{remedy}");
        let found = super::key(&config(dir.path(), &[]));
        assert!(!found.remedy.unwrap().contains("auth key in"));
    }

    #[test]
    fn key_of_the_wrong_format_is_a_fault() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let other = "https://h.example";
        let examine = |key: &'static str, text: &str, control_url: Option<&str>| -> (Outcome, String) {
            private(&file, text, 0o600);
            let mut config = config(dir.path(), &[]);
            config.node.control_url = control_url.map(str::to_owned);
            let kind = if key == "secret" { CredentialKind::ClientSecret } else { CredentialKind::AuthKey };
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
            let (found, reason) = examine(kind, text, control_url);
            assert_eq!(found, outcome, "{text} {control_url:?}: {reason}");
        }
        let (_, reason) = examine("key", "HIDDEN", Some(other));
        assert!(reason.contains("not checked") && reason.contains(other), "{reason}");
    }
}

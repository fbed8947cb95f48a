//! What the account keeps: the node's keys, and what it joins with.

use std::fs::{Metadata, metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Finding;
use super::enrolled::enrolled;
use crate::auth::Found;
use crate::config::Config;

/// Where tailscale's library keeps the node's keys, in the state folder.
pub(super) const KEYS: &str = "tailscaled.state";

pub(super) fn examine(config: &Config) -> [Finding; 2] {
    [folder(&config.node.state_dir), key(config)]
}

fn folder(folder: &Path) -> Finding {
    let shown = folder.display();
    for path in [folder.to_owned(), folder.join(KEYS)] {
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
                        "chmod go= {:?}; if somebody may have read it, remove the node in the admin console",
                        path
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
    Finding::good("state", format!("{shown} and the keys in it are private"))
}

fn is_ours(found: &Metadata) -> bool {
    found.uid() == rustix::process::geteuid().as_raw()
}

fn key(config: &Config) -> Finding {
    let file = config.node.state_dir.join(KEYS);
    let enrolled = match enrolled(&file) {
        Ok(enrolled) => enrolled,
        Err(error) => return Finding::unknown("key", format!("{}: {error}", file.display())),
    };
    let credential = &config.node.credential;
    match (enrolled, credential.credential(), credential) {
        (true, Some(_), _) => Finding::warning(
            "key",
            format!("the node has joined and no longer needs what it joined with: {credential}"),
            "take the key away, so that nobody can join another device with it",
        ),
        (true, None, _) => Finding::good("key", "the node has joined, and no key lies about"),
        (false, Some(_), _) => Finding::good("key", format!("the node joins with: {credential}")),
        (false, None, Found::NoFile(path)) => Finding::fault(
            "key",
            format!("the node has not joined, and the file with its key, {}, does not exist", path.display()),
            "put the auth key there, mode 0600, or run `remote-ollama-proxy login`",
        ),
        (false, None, Found::Keychain(_)) => Finding::unknown(
            "key",
            format!(
                "the node joins with: {credential}; it was not looked at, since it may have to be unlocked"
            ),
        ),
        (false, None, _) => Finding::fault(
            "key",
            "the node has not joined, and there is nothing to join with",
            format!("run `remote-ollama-proxy login`, or set {} or node.auth_key_file", crate::auth::ENV),
        ),
    }
}

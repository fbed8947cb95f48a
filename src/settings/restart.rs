//! The keys that take effect at the next start only.

use std::path::Path;

use crate::config::{AccessLogConfig, Config};

/// Keeps the values of `old` that can't change while the node runs. Returns the keys for which `new` has another value.
pub(super) fn keep(old: &Config, new: &mut Config) -> Vec<&'static str> {
    let mut restart = Vec::new();
    let access_log = changed_access_log(old, new);
    macro_rules! keep {
        ($($key:literal: $($field:ident).+;)*) => {
            $(if new.$($field).+ != old.$($field).+ {
                restart.push($key);
                new.$($field).+.clone_from(&old.$($field).+);
            })*
        };
    }
    keep! {
        "node.hostname": node.hostname;
        "node.state_dir": node.state_dir;
        "node.auth_key_file": node.auth_key_file;
        "node.client_secret_file": node.client_secret_file;
        "node.keychain": node.keychain;
        "node.control_url": node.control_url;
        "node.tags": node.tags;
        "node.service": node.service;
        "node.ephemeral": node.ephemeral;
        "node.port_mapping": node.port_mapping;
        "node.start_offline": node.start_offline;
        "node.up_timeout": node.up_timeout;
        "https": https_port;
        "listen.port": port;
        "listen.http": plain_http;
        "metrics.port": metrics_port;
        "page.port": page_port;
        "log.format": log.format;
        "log.file": log.file;
        "log.max_size": log.rotation.max_size;
        "log.max_age": log.rotation.max_age;
    }
    restart.extend(access_log);
    new.access_log.clone_from(&old.access_log);
    // The key may have been used up, or its file emptied since: that is no change of a setting.
    new.node.credential.clone_from(&old.node.credential);
    restart
}

/// The keys of `[access_log]` for which `new` has another value. A default file that only follows `node.state_dir` is
/// no change.
fn changed_access_log(old: &Config, new: &Config) -> Vec<&'static str> {
    let (was, is) = match (&old.access_log, &new.access_log) {
        (Some(was), Some(is)) => (was, is),
        (None, None) => return Vec::new(),
        (None, Some(_)) | (Some(_), None) => return vec!["access_log.enabled"],
    };
    let changed = [
        ("access_log.file", chosen_file(old, was) != chosen_file(new, is)),
        ("access_log.max_size", was.rotation.max_size != is.rotation.max_size),
        ("access_log.max_age", was.rotation.max_age != is.rotation.max_age),
    ];
    changed.into_iter().filter_map(|(key, changed)| changed.then_some(key)).collect()
}

/// The access log's file, unless it is the default.
fn chosen_file<'a>(config: &Config, log: &'a AccessLogConfig) -> Option<&'a Path> {
    let default = config.node.state_dir.join(AccessLogConfig::FILE);
    Some(&*log.file).filter(|file| *file != default)
}

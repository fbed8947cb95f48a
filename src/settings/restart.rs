//! The keys that take effect at the next start only.

use crate::config::Config;

/// Keeps the values of `old` that can't change while the node runs. Returns the keys for which `new` has another value.
pub(super) fn keep(old: &Config, new: &mut Config) -> Vec<&'static str> {
    let mut restart = Vec::new();
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
    // The key may have been used up, or its file emptied since: that is no change of a setting.
    new.node.credential.clone_from(&old.node.credential);
    restart
}

//! The account, its file descriptors, and the disk.

use std::path::Path;

use rustix::process::{Resource, getrlimit};

use super::finding::Finding;
use crate::config::{Config, PlainHttp};

/// Bytes of disk that the logs of some days can take.
const DISK_NEEDED: u64 = 200_000_000;

/// Descriptors of the process apart from connections: the logs, the async runtime, the tailnet node.
const OTHER_FILES: u64 = 100;

pub(super) fn account() -> Finding {
    if !rustix::process::geteuid().is_root() {
        return Finding::good("account", "an ordinary account, not root");
    }
    Finding::warning(
        "account",
        "this is root: an attacker who exploits a fault in the proxy would control the machine",
        "run the proxy and this command as an ordinary account; neither needs root's rights",
    )
}

pub(super) fn files(config: Option<&Config>) -> Finding {
    enough_files(getrlimit(Resource::Nofile).maximum, config)
}

/// A session at an Ollama port takes up to three descriptors: one to Ollama, and two to the node if its answers are
/// large. At an auxiliary port it takes up to two, and each of these ports admits as many sessions again. `hard` is the
/// hard limit; `None`: unlimited.
fn enough_files(hard: Option<u64>, config: Option<&Config>) -> Finding {
    let connections = config.map_or(1024, |c| c.limits.connections) as u64;
    let auxiliary = config.map(auxiliary_ports).unwrap_or_default();
    let needed = (3 + 2 * auxiliary.len() as u64) * connections + OTHER_FILES;
    let more = if auxiliary.is_empty() {
        String::new()
    } else {
        format!(", and as many at the {},", auxiliary.join(" and the "))
    };
    match hard {
        None => Finding::good("files", "this account may open any number of files"),
        Some(hard) if hard >= needed => Finding::good(
            "files",
            format!("this account may open {hard} files; the proxy needs at most {needed}"),
        ),
        Some(hard) => Finding::warning(
            "files",
            format!(
                "this account may open {hard} files, and {connections} connections{more} can take {needed}"
            ),
            "raise the limit (ulimit -H -n, or LimitNOFILE= in the unit), or lower limits.connections",
        ),
    }
}

fn auxiliary_ports(config: &Config) -> Vec<&'static str> {
    let ports = [
        ("metrics port", config.metrics_port.is_some()),
        ("page port", config.page_port.is_some()),
        ("redirect port", config.plain_http == PlainHttp::Redirect),
    ];
    ports.into_iter().filter_map(|(name, is_open)| is_open.then_some(name)).collect()
}

/// Space for the access log, the journal and log files.
pub(super) fn disk(config: &Config) -> Finding {
    let log = config.log.file.as_deref().and_then(Path::parent);
    let folder = log.unwrap_or(&config.node.state_dir);
    let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let disk = match rustix::fs::statvfs(existing) {
        Ok(disk) => disk,
        Err(error) => {
            return Finding::unknown(
                "disk",
                format!("cannot ask {} for its free space: {error}", existing.display()),
            );
        }
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let shown = format!("{} MB are free in {}", free / 1_000_000, existing.display());
    if free >= DISK_NEEDED {
        return Finding::good("disk", shown);
    }
    Finding::warning("disk", shown, "free some space: on a full disk, records and lines of the log are lost")
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;
    use crate::config::Override;

    #[test]
    fn connections_at_auxiliary_ports_need_descriptors() {
        let config = |pairs: &[(&'static str, &str)]| {
            let source = || "test".to_owned();
            let overrides: Vec<_> = pairs
                .iter()
                .map(|(key, value)| Override { key, value: (*value).to_owned(), source: source() })
                .collect();
            crate::config::load(Some("/dev/null".as_ref()), &overrides, &Default::default()).unwrap()
        };
        let (one, both) = (config(&[]), config(&[("metrics.port", "9090")]));
        let all = config(&[("metrics.port", "9090"), ("page.port", "80")]);
        for (hard, config, outcome) in [
            (3171, &one, Outcome::Warning),
            (3172, &one, Outcome::Good),
            (3172, &both, Outcome::Warning),
            (5220, &both, Outcome::Good),
            (5220, &all, Outcome::Warning),
            (7268, &all, Outcome::Good),
        ] {
            assert_eq!(enough_files(Some(hard), Some(config)).outcome, outcome, "{hard}");
        }
    }
}

//! The account and the machine.

use std::path::Path;

use rustix::process::{Resource, getrlimit};

use super::Finding;
use crate::config::{Config, PlainHttp};

/// Less than this is not enough for the logs of some days, in bytes.
const DISK_LEAST: u64 = 200_000_000;

/// What the process needs beside its connections: the log, the runtime, the tailnet node.
const FILES_BESIDE: u64 = 100;

pub(super) fn account() -> Finding {
    match rustix::process::geteuid().is_root() {
        true => Finding::warning(
            "account",
            "this is root: a fault in the proxy would be a fault with every right there is",
            "run it, and this command, as an ordinary account; it needs no right of root's",
        ),
        false => Finding::good("account", "an ordinary account, not root"),
    }
}

pub(super) fn files(config: Option<&Config>) -> Finding {
    enough_files(getrlimit(Resource::Nofile).maximum, config)
}

/// A connection takes one descriptor to Ollama, and two here if its answers are large; one at a port beside has no
/// Ollama behind it. As many of each may be open again. `hard` is the limit; `None`: there is none.
fn enough_files(hard: Option<u64>, config: Option<&Config>) -> Finding {
    let connections = config.map_or(1024, |c| c.limits.connections) as u64;
    let beside = [
        ("the metrics", config.is_some_and(|c| c.metrics_port.is_some())),
        ("the page", config.is_some_and(|c| c.page_port.is_some())),
        ("who is sent to HTTPS", config.is_some_and(|c| c.plain_http == PlainHttp::Redirect)),
    ];
    let beside: Vec<_> = beside.into_iter().filter_map(|(what, is_there)| is_there.then_some(what)).collect();
    let needed = (3 + 2 * beside.len() as u64) * connections + FILES_BESIDE;
    match hard {
        Some(hard) if hard < needed => Finding::warning(
            "files",
            format!(
                "this account may open {hard} files, and {connections} connections{} can take {needed}",
                if beside.is_empty() {
                    String::new()
                } else {
                    format!(", and as many for {},", beside.join(" and "))
                }
            ),
            "raise the limit (ulimit -H -n, or LimitNOFILE= in the unit), or lower limits.connections",
        ),
        Some(hard) => Finding::good("files", format!("{hard} may be open, {needed} are needed at most")),
        None => Finding::good("files", "any number may be open"),
    }
}

/// Free space for the access log, the journal and log files.
pub(super) fn disk(config: &Config) -> Finding {
    let log = config.log.file.as_deref().and_then(Path::parent);
    let folder = log.unwrap_or(&config.node.state_dir);
    let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::statvfs(existing) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let shown = format!("{} MB are free in {}", free / 1_000_000, existing.display());
            match free < DISK_LEAST {
                true => Finding::warning(
                    "disk",
                    shown,
                    "free some: without space no access log, journal or log file can be written",
                ),
                false => Finding::good("disk", shown),
            }
        }
        Err(error) => Finding::unknown("disk", format!("{}: {error}", existing.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;
    use crate::config::Override;

    #[test]
    fn the_connections_at_the_ports_beside_are_counted() {
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

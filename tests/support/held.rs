//! Descriptors, threads and memory of a process, by tools that Linux and macOS share.

use std::process::Command;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::http::{found, found_within};
use crate::process::Process;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    /// Resident memory, in megabytes.
    pub(crate) rss: f64,
}

pub(crate) fn held(process: &Process) -> Held {
    let pid = process.id().to_string();
    let run = |program: &str, arguments: &[&str]| {
        let out = Command::new(program).args(arguments).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    let open = run("lsof", &["-nP", "-a", "-p", &pid, "-d", "0-999999", "-F", "f"]);
    // One line per thread, below a heading.
    let threads = run("ps", &[if cfg!(target_os = "macos") { "-M" } else { "-L" }, "-p", &pid]);
    Held {
        descriptors: open.lines().filter(|l| l.starts_with('f')).count(),
        threads: threads.lines().count() - 1,
        rss: rss(process),
    }
}

/// What a proxy holds before its first request, plus the descriptor of the access log, which the first record opens.
pub(crate) fn held_before_requests(process: &Process) -> Held {
    let held = held(process);
    Held { descriptors: held.descriptors + 1, ..held }
}

/// Resident memory, in megabytes.
pub(crate) fn rss(process: &Process) -> f64 {
    let out = Command::new("ps").args(["-o", "rss=", "-p", &process.id().to_string()]).output().unwrap();
    let kilobytes: f64 = String::from_utf8(out.stdout).unwrap().trim().parse().unwrap();
    kilobytes / 1024.0
}

/// Waits until a process has at most this many descriptors; returns what it holds then.
pub(crate) async fn settled(process: &Process, descriptors: usize) -> Held {
    found("the descriptors of all connections to be closed", async || {
        Some(held(process)).filter(|held| held.descriptors <= descriptors)
    })
    .await
}

/// Waits until a process has returned memory, so that at most `most` megabytes are resident; returns what it holds then.
/// Whatever is garbage at a given moment is luck: Go returns memory gradually, and collects at least every two minutes.
pub(crate) async fn returned(process: &Process, most: f64) -> Held {
    let begun = held(process);
    let what = format!("memory to be returned, at most {most} MB: {begun:?}");
    let look = async || (rss(process) <= most).then(|| held(process));
    found_within(Duration::from_secs(180), &what, look).await
}

/// Raises the limit of descriptors for this process and its later children.
pub(crate) fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX).min(10_240); // macOS refuses more than OPEN_MAX
    if limit.current.is_some_and(|now| now < most) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum }).unwrap();
    }
}

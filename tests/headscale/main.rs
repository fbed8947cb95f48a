//! The real binary at a real Headscale, in front of a real Ollama. Headscale is built from the Go module that go.mod names,
//! unless `HEADSCALE_BIN` names another program, of 0.29 or newer. The relay is that of the test tailnet.
#![cfg(feature = "tailnet")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(dead_code, reason = "these tests use a part of tests/support")]

#[path = "../acl/dialect.rs"]
mod dialect;
#[path = "../../build/go.rs"]
mod go;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/ollama.rs"]
mod ollama;
mod policy;
#[path = "../support/process.rs"]
mod process;
mod rights;
mod server;
#[path = "../support/tailnet.rs"]
mod tailnet;

/// The sample policy, without its tests.
const SAMPLE: &str = include_str!("../../acl/headscale.hujson");

/// The same with the comment lines without a blank: the examples before `tests`, and the tests.
fn sample(examples: bool, tests: bool) -> String {
    let (rules, checks) = SAMPLE.split_once("\t\"tests\": [").unwrap();
    let part = |text: &str, on: bool| if on { uncommented(text) } else { text.to_owned() };
    format!("{}\t\"tests\": [{}", part(rules, examples), part(checks, tests))
}

fn uncommented(text: &str) -> String {
    let commented = |line: &str| line.trim_start().strip_prefix("//").is_some_and(|l| !l.starts_with(' '));
    let line = |line: &str| if commented(line) { line.replacen("//", "", 1) } else { line.to_owned() };
    text.lines().map(|l| line(l) + "\n").collect()
}

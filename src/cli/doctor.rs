//! `doctor`: the security review, with a result, a reason and a remedy for each check.

use std::fmt::Write;

use clap::Args;

use super::{ConfigArgs, complain, exit, show};
use crate::doctor::{Finding, Outcome, examine};

pub(super) const HELP: &str = "\
Exit codes:
   0 Nothing is wrong; there may be warnings
   1 Something is";

/// What `doctor` takes.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn doctor(args: &DoctorArgs) -> u8 {
    let config = args.config.load();
    let findings = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(examine(config.as_ref())),
        Err(error) => {
            complain(&format!("remote-ollama-proxy: the async runtime does not start: {error}"));
            return exit::FAILURE;
        }
    };
    let text = match args.json {
        true => format!("{:#}\n", serde_json::json!(findings)),
        false => listing(&findings),
    };
    let wrong = findings.iter().any(|finding| finding.outcome == Outcome::Fault);
    show(&text).max(if wrong { exit::FAILURE } else { exit::OK })
}

fn listing(findings: &[Finding]) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    for Finding { check, outcome, reason, remedy } in findings {
        let word = match outcome {
            Outcome::Good => "good",
            Outcome::Unknown => "unknown",
            Outcome::Warning => "WARNING",
            Outcome::Fault => "FAULT",
        };
        let _ = writeln!(text, "{word:<8} {check:<15} {reason}");
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "{:<24} -> {remedy}", "");
        }
    }
    let count = |wanted| findings.iter().filter(|finding| finding.outcome == wanted).count();
    let _ = writeln!(
        text,
        "\n{} faults, {} warnings, {} good, {} that can't be told now",
        count(Outcome::Fault),
        count(Outcome::Warning),
        count(Outcome::Good),
        count(Outcome::Unknown)
    );
    text
}

//! `doctor`: the review of the set-up, with a result, a reason and a remedy for each check.

use std::fmt::Write;
use std::io::IsTerminal;

use clap::Args;
use clap::builder::styling::{AnsiColor, Style};

use super::ask::runtime;
use super::units::count;
use super::{ConfigArgs, complain, exit, show};
use crate::doctor::{Finding, Outcome, examine};

pub(super) const HELP: &str = "\
Exit codes:
   0  No fault; there may be warnings
   1  At least one fault
   2  The command line is wrong";

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
    let findings = match runtime() {
        Ok(runtime) => runtime.block_on(examine(config.as_ref())),
        Err(error) => {
            complain(&format!("remote-ollama-proxy: {error:#}"));
            return exit::FAILURE;
        }
    };
    let text = if args.json {
        format!("{:#}\n", serde_json::json!(findings))
    } else {
        let skipped = if config.is_err() { "All checks that need the config were skipped.\n" } else { "" };
        listing(&findings, Colour::of_stdout()) + skipped
    };
    let is_faulty = findings.iter().any(|finding| finding.outcome == Outcome::Fault);
    show(&text).max(if is_faulty { exit::FAILURE } else { exit::OK })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Colour {
    Yes,
    No,
}

impl Colour {
    /// Colour for a terminal, unless `NO_COLOR` is set (no-color.org).
    fn of_stdout() -> Colour {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
        if std::io::stdout().is_terminal() && !no_color { Colour::Yes } else { Colour::No }
    }
}

fn listing(findings: &[Finding], colour: Colour) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for Finding { check, outcome, reason, remedy } in findings {
        let (word, style) = match outcome {
            Outcome::Good => ("good", AnsiColor::Green.on_default()),
            Outcome::Unknown => ("unknown", Style::new().dimmed()),
            Outcome::Warning => ("WARNING", AnsiColor::Yellow.on_default().bold()),
            Outcome::Fault => ("FAULT", AnsiColor::Red.on_default().bold()),
        };
        let style = if colour == Colour::Yes { style } else { Style::new() };
        let _ = writeln!(text, "{style}{word:<8}{style:#} {check:<15} {reason}");
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "{:<24} -> {remedy}", "");
        }
    }
    let of = |wanted| findings.iter().filter(|finding| finding.outcome == wanted).count();
    let _ = writeln!(
        text,
        "\n{}, {}, {} good, {} unknown",
        count(of(Outcome::Fault), "fault"),
        count(of(Outcome::Warning), "warning"),
        of(Outcome::Good),
        of(Outcome::Unknown)
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outcome_is_coloured_and_only_on_request() {
        let finding = |outcome| Finding { check: "state", outcome, reason: "seen".to_owned(), remedy: None };
        let findings = [Outcome::Good, Outcome::Warning, Outcome::Fault].map(finding);
        let plain = listing(&findings, Colour::No);
        assert!(
            plain.starts_with("good     state           seen\nWARNING  state           seen\n"),
            "{plain}"
        );
        assert!(!plain.contains('\x1b'), "{plain}");
        let coloured = listing(&findings, Colour::Yes);
        let first = "\x1b[32mgood    \x1b[0m state           seen\n";
        assert!(coloured.starts_with(first), "{coloured:?}");
        assert!(coloured.contains("\x1b[1m\x1b[31mFAULT   \x1b[0m state"), "{coloured:?}");
    }
}

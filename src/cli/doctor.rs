//! `doctor`: the security review, with a result, a reason and a remedy for each check.

use std::fmt::Write;
use std::io::IsTerminal;

use clap::Args;
use clap::builder::styling::{AnsiColor, Style};

use super::units::count;
use super::{ConfigArgs, complain, exit, show};
use crate::doctor::{Finding, Outcome, examine};

pub(super) const HELP: &str = "\
Exit codes:
   0  Nothing is wrong; there may be warnings
   1  Something is
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
    let findings = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(examine(config.as_ref())),
        Err(error) => {
            complain(&format!("remote-ollama-proxy: the async runtime does not start: {error}"));
            return exit::FAILURE;
        }
    };
    let text = match args.json {
        true => format!("{:#}\n", serde_json::json!(findings)),
        false => listing(&findings, wants_colour()),
    };
    let text = match config {
        Err(_) if !args.json => text + "All checks that depend on the config were left out.\n",
        _ => text,
    };
    let wrong = findings.iter().any(|finding| finding.outcome == Outcome::Fault);
    show(&text).max(if wrong { exit::FAILURE } else { exit::OK })
}

/// Whether a person looks, and has not asked for no colour (no-color.org).
fn wants_colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

fn listing(findings: &[Finding], coloured: bool) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    for Finding { check, outcome, reason, remedy } in findings {
        let (word, style) = match outcome {
            Outcome::Good => ("good", AnsiColor::Green.on_default()),
            Outcome::Unknown => ("unknown", Style::new().dimmed()),
            Outcome::Warning => ("WARNING", AnsiColor::Yellow.on_default().bold()),
            Outcome::Fault => ("FAULT", AnsiColor::Red.on_default().bold()),
        };
        let style = if coloured { style } else { Style::new() };
        let _ = writeln!(text, "{style}{word:<8}{style:#} {check:<15} {reason}");
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "{:<24} -> {remedy}", "");
        }
    }
    let of = |wanted| findings.iter().filter(|finding| finding.outcome == wanted).count();
    let _ = writeln!(
        text,
        "\n{}, {}, {} good, {} that can't be told now",
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
    fn only_the_word_is_coloured_and_only_where_that_is_wanted() {
        let finding = |outcome| Finding { check: "state", outcome, reason: "seen".to_owned(), remedy: None };
        let findings = [Outcome::Good, Outcome::Warning, Outcome::Fault].map(finding);
        let plain = listing(&findings, false);
        assert!(
            plain.starts_with("good     state           seen\nWARNING  state           seen\n"),
            "{plain}"
        );
        assert!(!plain.contains('\x1b'), "{plain}");
        let coloured = listing(&findings, true);
        let first = "\x1b[32mgood    \x1b[0m state           seen\n";
        assert!(coloured.starts_with(first), "{coloured:?}");
        assert!(coloured.contains("\x1b[1m\x1b[31mFAULT   \x1b[0m state"), "{coloured:?}");
    }
}

//! `test-event`: runs the command of `[events]` once with a sample event, and shows what became of it.

use std::fmt::Write;

use clap::Args;

use super::ask::runtime;
use super::{ConfigArgs, complain, exit, refuse, show};
use crate::config::Config;
use crate::events::{CommandRun, EventCommand, EventKind, EventReport};

pub(super) const HELP: &str = "\
The command gets an invented event with \"test\": true. It is run by this account, with the variables of this terminal that
are passed on; a service may have others.

Exit codes:
   0  The command ended with 0
   1  It failed, was killed at its time limit, or could not be started
   2  The command line is wrong
  78  The config is invalid, or sets no events.command";

/// What `test-event` takes.
#[derive(Debug, Args)]
pub(super) struct TestEventArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The event: a name as in events.on
    #[arg(default_value = "access-lost", value_parser = EventKind::named)]
    event: EventKind,
}

pub(super) fn test_event(args: &TestEventArgs) -> u8 {
    let config = match args.config.load() {
        Ok(config) => config,
        Err(faults) => return refuse(&faults),
    };
    let Some(command) = &config.events.command else {
        complain("remote-ollama-proxy: events.command is not set: nothing was run");
        return exit::CONFIG;
    };
    let report = EventReport::sample(args.event, &config.node.hostname);
    let run = match runtime() {
        Ok(runtime) => runtime.block_on(command.run(&report.line(), config.events.timeout)),
        Err(error) => {
            complain(&format!("remote-ollama-proxy: {error:#}"));
            return exit::FAILURE;
        }
    };
    let failed = if run.outcome.is_ok() { exit::OK } else { exit::FAILURE };
    show(&outcome(command, &report, &run, &config)).max(failed)
}

fn outcome(command: &EventCommand, report: &EventReport, run: &CommandRun, config: &Config) -> String {
    let ended = match &run.outcome {
        Ok(()) => "it ended with 0".to_owned(),
        Err(fault) => fault.to_string(),
    };
    let mut text = format!("command  {command}\nevent    {}", report.line());
    let limit = crate::time::format_duration(config.events.timeout);
    // Writing to a String can't fail.
    let _ = writeln!(text, "outcome  {ended}, after {} ms (limit {limit})", run.took.as_millis());
    for (name, output) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
        if !output.is_empty() {
            let _ = writeln!(text, "{name}   {output}");
        }
    }
    if !config.events.wants(report.event.occurrence.kind()) {
        let _ = writeln!(
            text,
            "note     events.on lacks this event, so the proxy does not run the command for it"
        );
    }
    text
}

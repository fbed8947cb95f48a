//! The security review behind the command `doctor`: a finding for each check, with the reason and what to do. The checks
//! read and ask; they change nothing. They run whether or not the proxy runs or has ever run.

mod advisories;
mod ask;
mod control_server;
mod events;
mod finding;
mod host;
mod node;
mod ollama;
mod power;
mod preload;
mod process;
mod reach;
mod request_log;
mod running;
mod state_folder;
mod variables;

pub use finding::{Finding, Outcome};

use crate::config::{Config, ConfigFaults};

/// Runs all checks. The findings are in the order in which an operator would fix them.
pub async fn examine(config: Result<&Config, &ConfigFaults>) -> Vec<Finding> {
    let config = match config {
        Ok(config) => config,
        Err(faults) => return without_config(faults),
    };
    let mut findings = vec![
        Finding::good("config", "it is valid"),
        host::account(),
        host::files(Some(config)),
        host::disk(config),
        state_folder::folder(config),
        state_folder::key(config),
    ];
    findings.extend(events::command(config));
    findings.extend(power::examine(config));
    findings.extend(ollama::examine(config).await);
    findings.push(request_log::examine(config.upstream.port()));
    findings.extend(running::examine(config).await);
    findings
}

/// The faults of the config, and the checks that need no config.
fn without_config(faults: &ConfigFaults) -> Vec<Finding> {
    let remedy = "correct the config, then run doctor again";
    let mut findings: Vec<_> =
        faults.faults.iter().map(|f| Finding::fault("config", f.to_string(), remedy)).collect();
    findings.extend([host::account(), host::files(None)]);
    findings.push(Finding::unknown("config", "all other checks were skipped, since they need the config"));
    findings
}

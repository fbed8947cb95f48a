//! The security review as a command: what holds, what does not, why, and what to do. Reads and asks,
//! changes nothing, and says the same whether the proxy runs or has never run, as far as it can be
//! told.

mod advisories;
mod host;
mod node;
mod ollama;
mod reach;
mod standing;
mod state;

use serde::Serialize;

use crate::config::{Config, ConfigFaults};

/// What one check has come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's name, the same in every run.
    pub check: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// What was seen.
    pub reason: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How a check came out, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Good,
    /// It can't be told now.
    Unknown,
    /// Something that may be meant and should be known.
    Warning,
    /// Something that breaks a promise or keeps the proxy from working.
    Fault,
}

impl Finding {
    fn new(check: &'static str, outcome: Outcome, reason: impl Into<String>) -> Finding {
        Finding { check, outcome, reason: reason.into(), remedy: None }
    }

    fn good(check: &'static str, reason: impl Into<String>) -> Finding {
        Finding::new(check, Outcome::Good, reason)
    }

    fn unknown(check: &'static str, reason: impl Into<String>) -> Finding {
        Finding::new(check, Outcome::Unknown, reason)
    }

    fn warning(check: &'static str, reason: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { remedy: Some(remedy.into()), ..Finding::new(check, Outcome::Warning, reason) }
    }

    fn fault(check: &'static str, reason: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { remedy: Some(remedy.into()), ..Finding::new(check, Outcome::Fault, reason) }
    }
}

/// All checks, in the order in which somebody would mend what they find.
pub async fn examine(config: Result<&Config, &ConfigFaults>) -> Vec<Finding> {
    let config = match config {
        Ok(config) => config,
        Err(faults) => {
            let fault = |fault: &_| Finding::new("config", Outcome::Fault, ToString::to_string(fault));
            let mut findings: Vec<_> = faults.faults.iter().map(fault).collect();
            findings.extend([host::account(), host::files(None)]);
            findings.push(Finding {
                remedy: Some("correct the config, then run doctor again".to_owned()),
                ..Finding::unknown("config", "every other check was left out, since it depends on the config")
            });
            return findings;
        }
    };
    let mut findings =
        vec![Finding::good("config", "it is valid"), host::account(), host::files(Some(config))];
    findings.push(host::disk(config));
    findings.extend(state::examine(config));
    findings.extend(ollama::examine(config).await);
    findings.extend(node::examine(config).await);
    findings
}

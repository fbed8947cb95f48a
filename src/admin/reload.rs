//! What has become of a new config.

use serde::{Deserialize, Serialize};

use crate::config::ConfigFaults;
use crate::settings::Reloaded;

/// The answer to `reload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// All that is wrong with the new config, a line each; with one fault the old one stays in force.
    pub faults: Vec<String>,
    /// The keys that have changed and take effect at the next start only.
    pub restart: Vec<String>,
}

impl From<Result<Reloaded, ConfigFaults>> for Reload {
    fn from(outcome: Result<Reloaded, ConfigFaults>) -> Self {
        match outcome {
            Ok(Reloaded { restart }) => {
                Reload { faults: Vec::new(), restart: restart.into_iter().map(str::to_owned).collect() }
            }
            Err(faults) => Reload {
                faults: faults.faults.iter().map(ToString::to_string).collect(),
                restart: Vec::new(),
            },
        }
    }
}

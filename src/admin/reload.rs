//! The answer to a reload of the config.

use serde::{Deserialize, Serialize};

use crate::config::Faults;
use crate::settings::Reloaded;

/// The answer to `POST /reload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// The faults of the new config, a line each. With any, the old config stays in force.
    pub faults: Vec<String>,
    /// The changed keys that take effect only at the next start.
    pub restart: Vec<String>,
}

impl From<Result<Reloaded, Faults>> for Reload {
    fn from(outcome: Result<Reloaded, Faults>) -> Self {
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

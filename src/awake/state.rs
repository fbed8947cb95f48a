//! What `status` says about sleep.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether the machine is kept awake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum AwakeState {
    /// `power.keep_awake` is false.
    #[default]
    Off,
    /// No request runs or waits, so the machine may sleep.
    NotHeld,
    /// The machine is kept from idle-sleeping.
    Held,
    /// The system gave no lock. The proxy tries again while requests run or wait.
    NotAvailable {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for AwakeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AwakeState::Off => write!(f, "off: power.keep_awake is false"),
            AwakeState::NotHeld => write!(f, "not held: no request runs or waits, so the machine may sleep"),
            AwakeState::Held => write!(f, "held: the machine does not idle-sleep"),
            AwakeState::NotAvailable { reason } => write!(f, "not available: {reason}"),
        }
    }
}

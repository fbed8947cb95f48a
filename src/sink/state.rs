//! The state of a sink, for `status`, the metrics and the page.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state of a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkState {
    /// `log`, `access` or `journal`.
    pub name: String,
    /// Where its lines go.
    pub to: String,
    /// How many lines were lost since the process started.
    pub lost: u64,
    /// When the last of them was lost, in RFC 3339; absent: none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_lost: Option<String>,
    /// Why lines are lost at present; absent: none are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Why the file can't be set aside at its maximum size; absent: it can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grows: Option<String>,
    /// Which expired file could not be removed, and why; absent: all were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unremoved: Option<String>,
}

impl SinkState {
    /// Whether no line was lost, and nothing else is wrong.
    pub fn is_sound(&self) -> bool {
        self.lost == 0 && self.fault.is_none() && self.grows.is_none() && self.unremoved.is_none()
    }
}

impl fmt::Display for SinkState {
    /// `/var/log/proxy.log: can't be written: No space left on device (os error 28); 3 lines lost, the last at …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = self.fault.iter().map(|fault| format!("can't be written: {fault}"));
        let grows = self.grows.iter().map(|why| format!("can't be set aside, so it grows: {why}"));
        let unremoved = self.unremoved.iter().map(|why| format!("an old file can't be removed: {why}"));
        let lost = self.last_lost.iter().map(|at| {
            let lines = if self.lost == 1 { "line" } else { "lines" };
            format!("{} {lines} lost, the last at {at}", self.lost)
        });
        let all: Vec<_> = fault.chain(grows).chain(unremoved).chain(lost).collect();
        write!(f, "{}: {}", self.to, if all.is_empty() { "nothing lost".to_owned() } else { all.join("; ") })
    }
}

//! The result of one check.

use serde::Serialize;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's name, the same in every run.
    pub check: &'static str,
    /// The result.
    pub outcome: Outcome,
    /// What the check saw.
    pub reason: String,
    /// What the operator can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// The result of a check, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Good,
    /// The check could not run now.
    Unknown,
    /// Possibly intended, but the operator should know.
    Warning,
    /// It breaks a promise or keeps the proxy from working.
    Fault,
}

impl Finding {
    fn new(check: &'static str, outcome: Outcome, reason: impl Into<String>) -> Finding {
        Finding { check, outcome, reason: reason.into(), remedy: None }
    }

    pub(super) fn good(check: &'static str, reason: impl Into<String>) -> Finding {
        Finding::new(check, Outcome::Good, reason)
    }

    pub(super) fn unknown(check: &'static str, reason: impl Into<String>) -> Finding {
        Finding::new(check, Outcome::Unknown, reason)
    }

    pub(super) fn warning(
        check: &'static str,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding::new(check, Outcome::Warning, reason).with_remedy(remedy)
    }

    pub(super) fn fault(
        check: &'static str,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding::new(check, Outcome::Fault, reason).with_remedy(remedy)
    }

    pub(super) fn with_remedy(self, remedy: impl Into<String>) -> Finding {
        Finding { remedy: Some(remedy.into()), ..self }
    }
}

//! What the values of our capability come to, once they are merged. This is the only place here
//! that knows what a value may say, and it asks the proxy's own policy.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::policy::{AccessMode, EndpointSet, Grant, PageRight, Priority, Rights};

/// What a source may ask, as the proxy will see it. The node's own allowlist is the outer bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MergedRights {
    /// The endpoints by name; `None`: all that the node allows.
    pub endpoints: Option<Vec<&'static str>>,
    /// The patterns of models; `None`: all that the node allows.
    pub models: Option<Vec<String>>,
    /// Requests running at once; `None`: as many as the node allows anybody.
    pub max_concurrent: Option<u32>,
    /// Requests begun within any minute; `None`: as many as the node allows anybody.
    pub requests_per_minute: Option<u32>,
    /// Tokens a day; `None`: any number.
    pub tokens_per_day: Option<u64>,
    /// Bytes of a request's body; `None`: as many as the node allows anybody.
    pub max_body: Option<u64>,
    /// `low`, `normal` or `high`.
    pub priority: &'static str,
    /// Whether the metrics may be read, at the port for them.
    pub metrics: bool,
    /// How much of the page may be seen, at the port for it; `None`: nothing.
    pub page: Option<PageRight>,
}

/// Merges the values that somebody has; `None`: they may ask nothing.
pub(super) fn merge<'a>(access: AccessMode, values: impl Iterator<Item = &'a Value>) -> Option<MergedRights> {
    let values: Vec<_> = values.cloned().collect();
    Rights::merge(access, &values).grant.map(MergedRights::from)
}

/// Why each of the values that can't be read is none, in their order.
pub(super) fn faults(values: &[Value]) -> Vec<String> {
    values.iter().filter_map(|value| Grant::parse(value).err()).collect()
}

impl From<Grant> for MergedRights {
    fn from(grant: Grant) -> MergedRights {
        let some = grant.endpoints != EndpointSet::ALL;
        MergedRights {
            endpoints: some.then(|| grant.endpoints.iter().map(|endpoint| endpoint.name()).collect()),
            models: grant.models.map(|models| models.patterns().to_vec()),
            max_concurrent: grant.max_concurrent,
            requests_per_minute: grant.requests_per_minute,
            tokens_per_day: grant.tokens_per_day,
            max_body: grant.max_body,
            priority: match grant.priority {
                Priority::Low => "low",
                Priority::Normal => "normal",
                Priority::High => "high",
            },
            metrics: grant.metrics,
            page: grant.page,
        }
    }
}

impl fmt::Display for MergedRights {
    /// What may be asked at the proxy's port: `v1_models, api_tags; at most 2 at once; at most 60 a minute; priority low`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoints {
            None => f.write_str("whatever the node allows")?,
            Some(none) if none.is_empty() => f.write_str("nothing")?,
            Some(some) => f.write_str(&some.join(", "))?,
        }
        if let Some(models) = &self.models {
            write!(f, "; models {}", models.join(", "))?;
        }
        if let Some(most) = self.max_concurrent {
            write!(f, "; at most {most} at once")?;
        }
        if let Some(most) = self.requests_per_minute {
            write!(f, "; at most {most} a minute")?;
        }
        if let Some(most) = self.tokens_per_day {
            write!(f, "; at most {most} tokens a day")?;
        }
        if let Some(most) = self.max_body {
            write!(f, "; bodies of at most {most} bytes")?;
        }
        if self.priority != "normal" {
            write!(f, "; priority {}", self.priority)?;
        }
        Ok(())
    }
}

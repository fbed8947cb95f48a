//! The values of the node's capability, merged by the proxy's own policy.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::policy::{AccessMode, EndpointSet, Grant, PageRight, Priority, Quotas, Rights};

/// What a source may request. The node's own config is the outer bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MergedRights {
    /// The names of the endpoints; `None`: all that the node allows.
    pub endpoints: Option<Vec<&'static str>>,
    /// The patterns of models; `None`: all that the node allows.
    pub models: Option<Vec<String>>,
    /// Whether it may set `keep_alive`, where the node allows it.
    pub keep_alive: bool,
    /// Whether it may set options such as `num_ctx`, which reload models, where the node allows it.
    pub load_options: bool,
    /// Requests at once; `None`: as many as the node allows.
    pub max_concurrent: Option<u32>,
    /// Requests started within any minute; `None`: as many as the node allows.
    pub requests_per_minute: Option<u32>,
    /// Requests and tokens a day, a week and a month; `None`: as many as the node allows.
    #[serde(flatten)]
    pub quotas: Quotas,
    /// Bytes of a request's body; `None`: as many as the node allows.
    pub max_body: Option<u64>,
    /// `low`, `normal` or `high`.
    pub priority: &'static str,
    /// Whether it may read the metrics.
    pub metrics: bool,
    /// How much of the page it may see; `None`: nothing.
    pub page: Option<PageRight>,
}

/// Merges the values of one source; `None`: it may request nothing.
pub(super) fn merge<'a>(access: AccessMode, values: impl Iterator<Item = &'a Value>) -> Option<MergedRights> {
    let values: Vec<_> = values.cloned().collect();
    Rights::merge(access, &values).grant.map(MergedRights::from)
}

/// Why values are invalid, in their order.
pub(super) fn faults(values: &[Value]) -> Vec<String> {
    values.iter().filter_map(|value| Grant::parse(value).err()).collect()
}

impl From<Grant> for MergedRights {
    fn from(grant: Grant) -> MergedRights {
        let some = grant.endpoints != EndpointSet::ALL;
        MergedRights {
            endpoints: some.then(|| grant.endpoints.iter().map(|endpoint| endpoint.name()).collect()),
            models: grant.models.map(|models| models.patterns().to_vec()),
            keep_alive: grant.keep_alive,
            load_options: grant.load_options,
            max_concurrent: grant.max_concurrent,
            requests_per_minute: grant.requests_per_minute,
            quotas: grant.quotas,
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
    /// What it may request at the Ollama port: `v1_models, api_tags; at most 2 at once; at most 60 a minute; priority low`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoints {
            None => f.write_str("whatever the node allows")?,
            Some(none) if none.is_empty() => f.write_str("nothing")?,
            Some(some) => f.write_str(&some.join(", "))?,
        }
        if let Some(models) = &self.models {
            write!(f, "; models {}", models.join(", "))?;
        }
        if !self.keep_alive {
            f.write_str("; no keep_alive")?;
        }
        if !self.load_options {
            f.write_str("; no load options")?;
        }
        if let Some(most) = self.max_concurrent {
            write!(f, "; at most {most} at once")?;
        }
        if let Some(most) = self.requests_per_minute {
            write!(f, "; at most {most} a minute")?;
        }
        for (quota, most) in self.quotas.limited() {
            write!(f, "; at most {most} {quota}")?;
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rights_name_what_a_grant_denies() {
        let shown = |value: Value| merge(AccessMode::Network, std::iter::once(&value)).unwrap().to_string();
        assert_eq!(shown(json!({"keep_alive": true})), "whatever the node allows");
        let narrow =
            json!({"models": ["a"], "keep_alive": false, "load_options": false, "max_concurrent": 2});
        assert_eq!(
            shown(narrow),
            "whatever the node allows; models a; no keep_alive; no load options; at most 2 at once"
        );
    }

    #[test]
    fn quotas_are_shown_as_text_and_json() {
        let values = [json!({"endpoints": ["api_tags"], "requests_per_week": 5, "tokens_per_day": 9})];
        let merged = merge(AccessMode::Network, values.iter()).unwrap();
        assert_eq!(merged.to_string(), "api_tags; at most 5 requests a week; at most 9 tokens a day");
        let json = serde_json::to_value(&merged).unwrap();
        assert_eq!((&json["tokens_per_day"], &json["requests_per_day"]), (&json!(9), &json!(null)));
    }
}

//! One grant of the tailnet policy file for this node: which requests a peer may make, and how many.
//!
//! The `app` section of a Tailscale grant has a list of JSON values under the capability's name. Each value is one
//! [`Grant`]. Source: Tailscale documentation, "Grants: app capabilities".

mod parse;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::endpoint::EndpointSet;
use super::model::Models;
use super::quota::Quotas;

/// What a peer may request. The node's own config is the outer bound: `None` means that only the config limits it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The endpoints.
    pub endpoints: EndpointSet,
    /// The models; `None`: all.
    pub models: Option<Models>,
    /// Whether requests may set `keep_alive`.
    pub keep_alive: bool,
    /// Whether requests may set options such as `num_ctx`, which reload models.
    pub load_options: bool,
    /// Requests running or waiting at once.
    pub max_concurrent: Option<u32>,
    /// Requests started within any minute.
    pub requests_per_minute: Option<u32>,
    /// Requests and tokens a day, a week and a month.
    pub quotas: Quotas,
    /// Bytes of a request's body.
    pub max_body: Option<u64>,
    /// Which requests start first when several wait.
    pub priority: Priority,
    /// Whether the peer may read the metrics, if the node has a port for them.
    pub metrics: bool,
    /// How much of the page the peer may see, if the node has a port for it; `None`: nothing.
    pub page: Option<PageRight>,
}

/// How much of the page a peer may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PageRight {
    /// What is about its own identity.
    View,
    /// Everything, and cancel running requests.
    Admin,
}

/// Which requests start first when several wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// After the others.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Before the others.
    High,
}

impl Grant {
    /// Every endpoint, without limits. The metrics and the page show how much each identity requests, so they need a grant
    /// that names them.
    pub const EVERYTHING: Grant = Grant {
        endpoints: EndpointSet::ALL,
        models: None,
        keep_alive: true,
        load_options: true,
        max_concurrent: None,
        requests_per_minute: None,
        quotas: Quotas::NONE,
        max_body: None,
        priority: Priority::Normal,
        metrics: false,
        page: None,
    };

    /// Whether a value has keys, and only those for the auxiliary ports.
    pub fn is_auxiliary_only(value: &Value) -> bool {
        let mut keys = value.as_object().into_iter().flat_map(|object| object.keys()).peekable();
        keys.peek().is_some() && keys.all(|key| matches!(key.as_str(), "metrics" | "page"))
    }

    /// The most permissive of both, field by field. A limit that one of them lacks is no limit. But a grant without
    /// endpoints lifts no limits, as limits are about requests to endpoints.
    #[must_use]
    pub fn or(self, other: Grant) -> Grant {
        let (metrics, page) = (self.metrics || other.metrics, self.page.max(other.page));
        let has_endpoints = |grant: &Grant| grant.endpoints != EndpointSet::EMPTY;
        let merged = match (has_endpoints(&self), has_endpoints(&other)) {
            (true, false) => self,
            (false, true) => other,
            _ => Grant {
                endpoints: self.endpoints.union(other.endpoints),
                models: self.models.zip(other.models).map(|(a, b)| a.union(&b)),
                keep_alive: self.keep_alive || other.keep_alive,
                load_options: self.load_options || other.load_options,
                max_concurrent: larger_limit(self.max_concurrent, other.max_concurrent),
                requests_per_minute: larger_limit(self.requests_per_minute, other.requests_per_minute),
                quotas: self.quotas.or(other.quotas),
                max_body: larger_limit(self.max_body, other.max_body),
                priority: self.priority.max(other.priority),
                metrics,
                page,
            },
        };
        Grant { metrics, page, ..merged }
    }
}

/// `None` is no limit.
fn larger_limit<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    Some(a?.max(b?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::{Endpoint, Model};

    fn grants() -> impl Strategy<Value = Grant> {
        let names: Vec<_> = Endpoint::all().collect();
        let limit = || proptest::option::of(1u32..100);
        let priority = prop_oneof![Just(Priority::Low), Just(Priority::Normal), Just(Priority::High)];
        (
            proptest::sample::subsequence(names, 0..5),
            limit(),
            limit(),
            limit(),
            proptest::option::of(0u64..100),
            priority,
            (any::<bool>(), proptest::option::of(prop_oneof![Just(PageRight::View), Just(PageRight::Admin)])),
            proptest::option::of(proptest::collection::vec("[ab*]", 1..3).prop_map(Models::of)),
            (any::<bool>(), any::<bool>()),
        )
            .prop_map(
                |(
                    names,
                    max_concurrent,
                    requests_per_minute,
                    tokens,
                    max_body,
                    priority,
                    (metrics, page),
                    models,
                    (keep_alive, load_options),
                )| Grant {
                    endpoints: names.into_iter().fold(EndpointSet::EMPTY, |s, e| s.with(e, true)),
                    models,
                    keep_alive,
                    load_options,
                    max_concurrent,
                    requests_per_minute,
                    quotas: Quotas {
                        tokens_per_day: tokens.map(u64::from),
                        requests_per_month: tokens.map(u64::from),
                        ..Quotas::NONE
                    },
                    max_body,
                    priority,
                    metrics,
                    page,
                },
            )
    }

    proptest! {
        #[test]
        fn merging_is_commutative_associative_and_idempotent(a in grants(), b in grants(), c in grants()) {
            let or = |a: &Grant, b: &Grant| a.clone().or(b.clone());
            prop_assert_eq!(or(&a, &b), or(&b, &a));
            prop_assert_eq!(or(&or(&a, &b), &c), or(&a, &or(&b, &c)));
            prop_assert_eq!(or(&a, &a), a);
        }

        #[test]
        fn another_grant_never_takes_anything_away(a in grants(), b in grants()) {
            let both = a.clone().or(b);
            prop_assert!(both.metrics >= a.metrics && both.page >= a.page);
            if a.endpoints == EndpointSet::EMPTY {
                return Ok(()); // it has no request that a limit could be about
            }
            let model = Model::parse("a").unwrap();
            let may = |grant: &Grant| grant.models.as_ref().is_none_or(|m| m.contains(&model));
            prop_assert!(may(&both) || !may(&a));
            prop_assert!(a.endpoints.iter().all(|e| both.endpoints.contains(e)));
            prop_assert!(both.max_concurrent.is_none_or(|m| a.max_concurrent.is_some_and(|n| n <= m)));
            prop_assert!(both.priority >= a.priority);
            prop_assert!(both.keep_alive >= a.keep_alive && both.load_options >= a.load_options);
        }
    }
}

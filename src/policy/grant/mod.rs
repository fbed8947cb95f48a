//! What the tailnet policy file grants a peer for this node, beyond the bare connection.
//!
//! A grant's `app` section carries a list of JSON values under the capability's name; each value is
//! one [`Grant`]. Source: Tailscale documentation, "Grants: app capabilities".

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::endpoint::{Endpoint, EndpointSet};
use super::model::Models;

/// Which requests a peer may make, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The endpoints; the config's allowlist is the outer bound.
    pub endpoints: EndpointSet,
    /// The models; `None`: every one that the node lets anybody have.
    pub models: Option<Models>,
    /// Requests running at once; `None`: as many as the node allows anybody.
    pub max_concurrent: Option<u32>,
    /// Requests begun within any minute; `None`: as many as the node allows anybody.
    pub requests_per_minute: Option<u32>,
    /// Tokens a day, in UTC, from 1; `None`: any number. Where it is set tokens are counted.
    pub tokens_per_day: Option<u64>,
    /// Bytes of a request's body; `None`: as many as the node allows anybody.
    pub max_body: Option<u64>,
    /// Who goes first when requests have to wait.
    pub priority: Priority,
    /// Whether the metrics may be read, where the node has a port for them.
    pub metrics: bool,
    /// How much of the page may be seen, where the node has a port for it; `None`: nothing.
    pub page: Option<PageRight>,
}

/// How much somebody sees of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PageRight {
    /// What is their own.
    View,
    /// Everything; and running requests may be cancelled there.
    Admin,
}

/// Who goes first when requests have to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// After the others.
    Low,
    /// As everybody.
    #[default]
    Normal,
    /// Before the others.
    High,
}

/// The value as the policy file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    endpoints: Option<Vec<String>>,
    models: Option<Vec<String>>,
    max_concurrent: Option<u32>,
    requests_per_minute: Option<u32>,
    tokens_per_day: Option<u64>,
    max_body: Option<u64>,
    #[serde(default)]
    priority: Priority,
    #[serde(default)]
    metrics: bool,
    page: Option<PageRight>,
}

impl Grant {
    /// Every endpoint, without limits of its own. The metrics and the page tell who asks how much, so nobody
    /// reads them by omission.
    pub const EVERYTHING: Grant = Grant {
        endpoints: EndpointSet::ALL,
        models: None,
        max_concurrent: None,
        requests_per_minute: None,
        tokens_per_day: None,
        max_body: None,
        priority: Priority::Normal,
        metrics: false,
        page: None,
    };

    /// Parses one value. Absent `endpoints` means all of them.
    ///
    /// # Errors
    /// The reason, naming key and value.
    pub fn parse(value: &Value) -> Result<Grant, String> {
        // serde would take an array for an object, null for an absent key and an object for a priority.
        let object = value
            .as_object()
            .ok_or_else(|| format!("{value}: want an object such as {{\"endpoints\": [\"*\"]}}"))?;
        if let Some(key) = object.iter().find_map(|(key, v)| v.is_null().then_some(key)) {
            return Err(format!("{value}: {key}: null says nothing; leave the key out"));
        }
        let other_than = |key: &str, words: &[&str]| {
            object.get(key).is_some_and(|word| !word.as_str().is_some_and(|word| words.contains(&word)))
        };
        if other_than("priority", &["high", "normal", "low"]) {
            return Err(format!("{value}: priority: want \"high\", \"normal\" or \"low\""));
        }
        if other_than("page", &["view", "admin"]) {
            return Err(format!("{value}: page: want \"view\" or \"admin\""));
        }
        let wire = Wire::deserialize(value).map_err(|e| format!("{value}: {e}"))?;
        let mut endpoints = EndpointSet::EMPTY;
        for name in wire.endpoints.unwrap_or_else(|| vec!["*".to_owned()]) {
            match Endpoint::named(&name) {
                Some(endpoint) => endpoints = endpoints.with(endpoint, true),
                None if name == "*" => endpoints = EndpointSet::ALL,
                None => return Err(format!("{value}: endpoints: there is no endpoint {name:?}")),
            }
        }
        let models = match wire.models {
            None => None,
            Some(none) if none.is_empty() => {
                return Err(format!(
                    "{value}: models: [] grants nothing; to grant nothing say \"endpoints\": []"
                ));
            }
            Some(patterns) => {
                let parsed: Result<_, _> = patterns.iter().map(|pattern| Models::pattern(pattern)).collect();
                Some(Models::of(parsed.map_err(|reason| format!("{value}: models: {reason}"))?))
            }
        };
        for (key, limit) in [
            ("max_concurrent", wire.max_concurrent.map(u64::from)),
            ("requests_per_minute", wire.requests_per_minute.map(u64::from)),
            ("tokens_per_day", wire.tokens_per_day),
        ] {
            if limit == Some(0) {
                return Err(format!(
                    "{value}: {key}: 0 grants nothing; to grant nothing say \"endpoints\": []"
                ));
            }
        }
        Ok(Grant {
            endpoints,
            models,
            max_concurrent: wire.max_concurrent,
            requests_per_minute: wire.requests_per_minute,
            tokens_per_day: wire.tokens_per_day,
            max_body: wire.max_body,
            priority: wire.priority,
            metrics: wire.metrics,
            page: wire.page,
        })
    }

    /// Whether a value has keys, and none but those for the ports beside the proxy's own.
    pub fn is_beside(value: &Value) -> bool {
        let mut keys = value.as_object().into_iter().flat_map(|object| object.keys()).peekable();
        keys.peek().is_some() && keys.all(|key| matches!(key.as_str(), "metrics" | "page"))
    }

    /// The most permissive of both, field by field. A limit that one of them lacks is no limit, unless it
    /// gives no endpoint: what is limited is what is asked of Ollama.
    #[must_use]
    pub fn or(self, other: Grant) -> Grant {
        let (metrics, page) = (self.metrics || other.metrics, self.page.max(other.page));
        let nothing = |grant: &Grant| grant.endpoints == EndpointSet::EMPTY;
        match (nothing(&self), nothing(&other)) {
            (true, false) => return Grant { metrics, page, ..other },
            (false, true) => return Grant { metrics, page, ..self },
            _ => {}
        }
        Grant {
            endpoints: self.endpoints.union(other.endpoints),
            models: self.models.zip(other.models).map(|(a, b)| a.union(&b)),
            max_concurrent: larger(self.max_concurrent, other.max_concurrent),
            requests_per_minute: larger(self.requests_per_minute, other.requests_per_minute),
            tokens_per_day: larger(self.tokens_per_day, other.tokens_per_day),
            max_body: larger(self.max_body, other.max_body),
            priority: self.priority.max(other.priority),
            metrics: self.metrics || other.metrics,
            page: self.page.max(other.page),
        }
    }
}

fn larger<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    Some(a?.max(b?))
}

/// What a peer may do that the tailnet lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum AccessMode {
    /// Everything on the allowlist; a grant, where one exists, narrows.
    #[default]
    Network,
    /// Nothing but what grants say.
    Grants,
}

/// The sum of a peer's grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// What the peer may do; `None`: nothing.
    pub grant: Option<Grant>,
    /// Why grants of the policy file were left out.
    pub faults: Vec<String>,
}

impl Rights {
    /// Nothing at all.
    pub const NONE: Rights = Rights { grant: None, faults: Vec::new() };

    /// Merges the values that the policy file has for a peer. A faulty value grants nothing, and
    /// where it is the only one the peer may do nothing: somebody meant to narrow. A value that is only
    /// about the ports beside the proxy's own gives and takes nothing of what may be asked there.
    pub fn merge(access: AccessMode, values: &[Value]) -> Rights {
        let (mut asked, mut beside, mut faults) = (None::<Grant>, None::<Grant>, Vec::new());
        for value in values {
            let sum = if Grant::is_beside(value) { &mut beside } else { &mut asked };
            match Grant::parse(value) {
                Ok(grant) => {
                    *sum = Some(match sum.take() {
                        Some(before) => before.or(grant),
                        None => grant,
                    });
                }
                Err(fault) => faults.push(fault),
            }
        }
        if access == AccessMode::Network && values.iter().all(Grant::is_beside) {
            asked = Some(Grant::EVERYTHING);
        }
        let beside = beside.map(|grant| Grant { endpoints: EndpointSet::EMPTY, ..grant });
        let grant = match (asked, beside) {
            (Some(asked), Some(beside)) => Some(asked.or(beside)),
            (asked, beside) => asked.or(beside),
        };
        Rights { grant, faults }
    }

    /// Whether a request to `endpoint` may go on.
    pub fn allows(&self, endpoint: Endpoint) -> bool {
        self.grant.as_ref().is_some_and(|g| g.endpoints.contains(endpoint))
    }

    /// Whether the metrics may be read.
    pub fn metrics(&self) -> bool {
        self.grant.as_ref().is_some_and(|g| g.metrics)
    }

    /// How much of the page may be seen.
    pub fn page(&self) -> Option<PageRight> {
        self.grant.as_ref()?.page
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::policy::Model;

    #[test]
    fn grants_parse_or_say_why_not() {
        let full = json!({"endpoints": ["api_tags", "v1_models"], "max_concurrent": 2,
            "requests_per_minute": 30, "max_body": 1_000_000, "priority": "high", "metrics": true,
            "models": ["Qwen*", "library/a", "qwen*"], "page": "view"});
        let grant = Grant::parse(&full).unwrap();
        assert_eq!(grant.endpoints.iter().map(Endpoint::name).collect::<Vec<_>>(), ["v1_models", "api_tags"]);
        assert_eq!((grant.max_concurrent, grant.priority), (Some(2), Priority::High));
        assert!(grant.metrics);
        assert_eq!(grant.page, Some(PageRight::View));
        assert_eq!(Grant::parse(&json!({"page": "admin"})).unwrap().page, Some(PageRight::Admin));
        assert_eq!(grant.models.unwrap().patterns(), ["a", "qwen*"]);
        assert!(!Grant::parse(&json!({"metrics": false})).unwrap().metrics);
        assert_eq!(Grant::parse(&json!({})).unwrap(), Grant::EVERYTHING);
        assert_eq!(Grant::parse(&json!({"endpoints": ["*"]})).unwrap(), Grant::EVERYTHING);
        for (bad, word) in [
            (json!({"endpoints": ["api_pull"]}), "api_pull"),
            (json!({"endpoint": ["*"]}), "endpoint"),
            (json!({"endpoints": "*"}), "sequence"),
            (json!({"max_concurrent": 0}), "max_concurrent"),
            (json!({"max_concurrent": -1}), "-1"),
            (json!({"tokens_per_day": 0}), "tokens_per_day: 0 grants nothing"),
            (json!({"tokens_per_day": 1.5}), "1.5"),
            (json!({"priority": "urgent"}), "urgent"),
            (json!([]), "object"),
            (json!([null, null, null, null]), "object"),
            (json!("*"), "object"),
            (json!({"endpoints": null}), "endpoints"),
            (json!({"max_concurrent": null}), "max_concurrent"),
            (json!({"priority": {"high": null}}), "priority"),
            (json!({"models": []}), "grants nothing"),
            (json!({"models": ["a", "b c"]}), "models: want a model's name"),
            (json!({"models": "*"}), "sequence"),
            (json!({"models": null}), "models"),
            (json!({"metrics": "true"}), "boolean"),
            (json!({"metrics": 1}), "boolean"),
            (json!({"metrics": null}), "metrics"),
            (json!({"metric": true}), "metric"),
            (json!({"page": true}), "page: want"),
            (json!({"page": "owner"}), "page: want \"view\" or \"admin\""),
            (json!({"priority": "urgent"}), "priority: want \"high\", \"normal\" or \"low\""),
            (json!({"page": {"admin": null}}), "page: want"),
            (json!({"page": null}), "page"),
            (json!({"page": "Admin"}), "Admin"),
            (json!({"page": "none"}), "none"),
        ] {
            let fault = Grant::parse(&bad).unwrap_err();
            assert!(fault.contains(word), "{fault}");
        }
    }

    #[test]
    fn who_has_no_grant_has_everything_or_nothing() {
        assert_eq!(Rights::merge(AccessMode::Network, &[]).grant, Some(Grant::EVERYTHING));
        assert_eq!(Rights::merge(AccessMode::Grants, &[]).grant, None);
    }

    #[test]
    fn who_has_no_grant_of_the_metrics_may_not_read_them() {
        let may = |access, values: &[Value]| Rights::merge(access, values).metrics();
        for access in [AccessMode::Network, AccessMode::Grants] {
            assert!(!may(access, &[]) && !may(access, &[json!({})]));
            assert!(!may(access, &[json!({"metrics": true, "unheard": 1})]), "a faulty grant");
            assert!(may(access, &[json!({}), json!({"endpoints": [], "metrics": true})]));
        }
    }

    #[test]
    fn who_has_no_grant_of_the_page_does_not_see_it() {
        let sees = |access, values: &[Value]| Rights::merge(access, values).page();
        for access in [AccessMode::Network, AccessMode::Grants] {
            assert_eq!(sees(access, &[]), None);
            assert_eq!(sees(access, &[json!({}), json!({"metrics": true})]), None);
            assert_eq!(sees(access, &[json!({"page": "admin", "unheard": 1})]), None, "a faulty grant");
            let faulty_beside = [json!({"page": "view"}), json!({"page": "root"}), json!({"page": 1})];
            assert_eq!(sees(access, &faulty_beside), Some(PageRight::View));
            assert_eq!(
                sees(access, &[json!({"page": "admin"}), json!({"page": "view"})]),
                Some(PageRight::Admin)
            );
        }
    }

    #[test]
    fn what_is_about_other_ports_gives_and_takes_nothing_at_ollama() {
        let merge = |access, values: &[Value]| Rights::merge(access, values).grant.unwrap();
        let beside = json!({"page": "view", "metrics": true});
        let alone = merge(AccessMode::Network, std::slice::from_ref(&beside));
        assert_eq!(alone, Grant { metrics: true, page: Some(PageRight::View), ..Grant::EVERYTHING });
        let strict = merge(AccessMode::Grants, std::slice::from_ref(&beside));
        assert_eq!(strict, Grant { endpoints: EndpointSet::EMPTY, ..alone });
        let narrow = json!({"endpoints": ["api_tags"], "max_concurrent": 1, "priority": "low"});
        for access in [AccessMode::Network, AccessMode::Grants] {
            // Nor does one that gives no endpoint lift a limit.
            for beside in [beside.clone(), json!({"endpoints": [], "page": "view", "metrics": true})] {
                let both = merge(access, &[narrow.clone(), beside]);
                let alone = Grant::parse(&narrow).unwrap();
                assert_eq!(both, Grant { metrics: true, page: Some(PageRight::View), ..alone });
            }
            // A faulty one narrows, unless it is about other ports alone.
            assert!(
                !Rights::merge(access, &[json!({"page": "view", "x": 1})])
                    .allows(Endpoint::all().next().unwrap())
            );
        }
        assert_eq!(merge(AccessMode::Network, &[json!({"page": "root"})]), Grant::EVERYTHING);
    }

    #[test]
    fn a_faulty_grant_grants_nothing() {
        for access in [AccessMode::Network, AccessMode::Grants] {
            let alone = Rights::merge(access, &[json!({"endpoint": []})]);
            assert_eq!((alone.grant, alone.faults.len()), (None, 1));
            let beside =
                Rights::merge(access, &[json!({"endpoint": []}), json!({"endpoints": ["api_tags"]})]);
            assert!(beside.allows(Endpoint::named("api_tags").unwrap()));
            assert!(!beside.allows(Endpoint::named("api_show").unwrap()));
        }
    }

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
                )| Grant {
                    endpoints: names.into_iter().fold(EndpointSet::EMPTY, |s, e| s.with(e, true)),
                    models,
                    max_concurrent,
                    requests_per_minute,
                    tokens_per_day: tokens.map(u64::from),
                    max_body,
                    priority,
                    metrics,
                    page,
                },
            )
    }

    proptest! {
        #[test]
        fn the_order_of_grants_makes_no_difference(a in grants(), b in grants(), c in grants()) {
            let or = |a: &Grant, b: &Grant| a.clone().or(b.clone());
            prop_assert_eq!(or(&a, &b), or(&b, &a));
            prop_assert_eq!(or(&or(&a, &b), &c), or(&a, &or(&b, &c)));
            prop_assert_eq!(or(&a, &a), a);
        }

        #[test]
        fn a_further_grant_takes_nothing_away(a in grants(), b in grants()) {
            let both = a.clone().or(b);
            prop_assert!(both.metrics >= a.metrics && both.page >= a.page);
            if a.endpoints == EndpointSet::EMPTY {
                return Ok(()); // it has nothing to be limited
            }
            let model = Model::parse("a").unwrap();
            let may = |grant: &Grant| grant.models.as_ref().is_none_or(|m| m.contains(&model));
            prop_assert!(may(&both) || !may(&a));
            prop_assert!(a.endpoints.iter().all(|e| both.endpoints.contains(e)));
            prop_assert!(both.max_concurrent.is_none_or(|m| a.max_concurrent.is_some_and(|n| n <= m)));
            prop_assert!(both.priority >= a.priority);
        }
    }
}

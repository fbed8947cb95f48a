//! Reading one grant from the JSON of the tailnet policy file.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Grant, PageRight, Priority};
use crate::policy::endpoint::{Endpoint, EndpointSet};
use crate::policy::model::Models;
use crate::policy::quota::Quotas;

/// The keys of a value. Absent `endpoints` means all of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    endpoints: Option<Vec<String>>,
    models: Option<Vec<String>>,
    #[serde(default = "allowed")]
    keep_alive: bool,
    #[serde(default = "allowed")]
    load_options: bool,
    max_concurrent: Option<u32>,
    requests_per_minute: Option<u32>,
    requests_per_day: Option<u64>,
    requests_per_week: Option<u64>,
    requests_per_month: Option<u64>,
    tokens_per_day: Option<u64>,
    tokens_per_week: Option<u64>,
    tokens_per_month: Option<u64>,
    max_body: Option<u64>,
    #[serde(default)]
    priority: Priority,
    #[serde(default)]
    metrics: bool,
    page: Option<PageRight>,
}

/// What an absent right is.
fn allowed() -> bool {
    true
}

impl Grant {
    /// Parses one value.
    ///
    /// # Errors
    /// The key, the reason and the whole value, such as `page: want "view" or "admin" (grant={"page":true})`.
    pub fn parse(value: &Value) -> Result<Grant, String> {
        parse(value).map_err(|reason| format!("{reason} (grant={value})"))
    }
}

fn parse(value: &Value) -> Result<Grant, String> {
    let object = value.as_object().ok_or("want an object such as {\"endpoints\": [\"*\"]}")?;
    check_types(object)?;
    let keys = Keys::deserialize(value).map_err(|error| error.to_string())?;
    check_limits(&keys)?;
    Ok(Grant {
        endpoints: keys.endpoints.as_deref().map_or(Ok(EndpointSet::ALL), endpoints)?,
        models: keys.models.as_deref().map(models).transpose()?,
        keep_alive: keys.keep_alive,
        load_options: keys.load_options,
        max_concurrent: keys.max_concurrent,
        requests_per_minute: keys.requests_per_minute,
        quotas: keys.quotas(),
        max_body: keys.max_body,
        priority: keys.priority,
        metrics: keys.metrics,
        page: keys.page,
    })
}

impl Keys {
    fn quotas(&self) -> Quotas {
        Quotas {
            requests_per_day: self.requests_per_day,
            requests_per_week: self.requests_per_week,
            requests_per_month: self.requests_per_month,
            tokens_per_day: self.tokens_per_day,
            tokens_per_week: self.tokens_per_week,
            tokens_per_month: self.tokens_per_month,
        }
    }
}

/// Refuses what serde accepts: null for an absent key, and an object with one key for an enum.
fn check_types(object: &Map<String, Value>) -> Result<(), String> {
    if let Some((key, _)) = object.iter().find(|(_, value)| value.is_null()) {
        return Err(format!("{key}: null has no meaning; leave the key out"));
    }
    let is_none_of = |key: &str, words: &[&str]| {
        object.get(key).is_some_and(|value| !value.as_str().is_some_and(|word| words.contains(&word)))
    };
    if is_none_of("priority", &["high", "normal", "low"]) {
        return Err("priority: want \"high\", \"normal\" or \"low\"".to_owned());
    }
    if is_none_of("page", &["view", "admin"]) {
        return Err("page: want \"view\" or \"admin\"".to_owned());
    }
    Ok(())
}

fn check_limits(keys: &Keys) -> Result<(), String> {
    let counts = [
        ("max_concurrent", keys.max_concurrent.map(u64::from)),
        ("requests_per_minute", keys.requests_per_minute.map(u64::from)),
    ];
    let quotas = keys.quotas().all().map(|(quota, limit)| (quota.key(), limit));
    for (key, limit) in counts.into_iter().chain(quotas) {
        if limit == Some(0) {
            return Err(format!("{key}: 0 grants nothing; to grant nothing, write \"endpoints\": []"));
        }
    }
    Ok(())
}

fn endpoints(names: &[String]) -> Result<EndpointSet, String> {
    names.iter().try_fold(EndpointSet::EMPTY, |set, name| match Endpoint::named(name) {
        Some(endpoint) => Ok(set.with(endpoint, true)),
        None if name == "*" => Ok(EndpointSet::ALL),
        None => Err(format!("endpoints: unknown endpoint {name:?}")),
    })
}

fn models(patterns: &[String]) -> Result<Models, String> {
    if patterns.is_empty() {
        return Err("models: [] grants nothing; to grant nothing, write \"endpoints\": []".to_owned());
    }
    let parsed: Result<_, _> = patterns.iter().map(|pattern| Models::pattern(pattern)).collect();
    Ok(Models::of(parsed.map_err(|reason| format!("models: {reason}"))?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn grants_parse_or_name_the_faulty_key() {
        let full = json!({"endpoints": ["api_tags", "v1_models"], "max_concurrent": 2,
            "requests_per_minute": 30, "max_body": 1_000_000, "priority": "high", "metrics": true,
            "models": ["Qwen*", "library/a", "qwen*"], "page": "view"});
        let grant = Grant::parse(&full).unwrap();
        assert_eq!(grant.endpoints.iter().map(Endpoint::name).collect::<Vec<_>>(), ["v1_models", "api_tags"]);
        assert_eq!((grant.max_concurrent, grant.priority), (Some(2), Priority::High));
        assert!(grant.metrics);
        assert_eq!(grant.page, Some(PageRight::View));
        assert_eq!(Grant::parse(&json!({"page": "admin"})).unwrap().page, Some(PageRight::Admin));
        assert_eq!(grant.models.clone().unwrap().patterns(), ["a", "qwen*"]);
        let narrow = Grant::parse(&json!({"keep_alive": false, "load_options": false})).unwrap();
        assert_eq!(narrow, Grant { keep_alive: false, load_options: false, ..Grant::EVERYTHING });
        assert!(grant.keep_alive && grant.load_options);
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
            (json!({"requests_per_month": 0}), "requests_per_month: 0 grants nothing"),
            (json!({"tokens_per_week": null}), "tokens_per_week"),
            (json!({"tokens_per_hour": 1}), "tokens_per_hour"),
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
            (json!({"keep_alive": "5m"}), "boolean"),
            (json!({"keep_alive": 0}), "boolean"),
            (json!({"keep_alive": null}), "keep_alive"),
            (json!({"load_options": ["num_ctx"]}), "boolean"),
            (json!({"num_ctx": false}), "num_ctx"),
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
}

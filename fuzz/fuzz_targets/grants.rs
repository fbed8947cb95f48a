//! Compares the parsing and merging of grants with a second, plainer version of the rules.

#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use remote_ollama_proxy::policy::{
    AccessMode, Endpoint, EndpointSet, Grant, Models, PageRight, Priority, Rights,
};
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let values = match serde_json::from_slice(input) {
        Ok(Value::Array(values)) => values,
        Ok(value) => vec![value],
        Err(_) => return,
    };
    let parsed: Vec<_> = values.iter().map(Grant::parse).collect();
    for (value, parsed) in values.iter().zip(&parsed) {
        assert_eq!(parsed.as_ref().ok(), expected(value).as_ref(), "{value}: {parsed:?}");
        let alone = Rights::merge(AccessMode::Network, std::slice::from_ref(value));
        let default = is_auxiliary_only(value).then_some(Grant::EVERYTHING);
        assert_eq!(alone.grant, parsed.as_ref().ok().cloned().or(default));
    }

    let requests: Vec<Grant> = values
        .iter()
        .zip(&parsed)
        .filter(|(value, _)| !is_auxiliary_only(value))
        .flat_map(|(_, p)| p.clone())
        .collect();
    let grants: Vec<Grant> = parsed.iter().flatten().cloned().collect();
    let faults: Vec<&String> = parsed.iter().filter_map(|p| p.as_ref().err()).collect();
    for mode in [AccessMode::Network, AccessMode::Grants] {
        let rights = Rights::merge(mode, &values);
        assert_eq!(rights.faults.iter().collect::<Vec<_>>(), faults);
        let default = (mode == AccessMode::Network && values.iter().all(is_auxiliary_only))
            .then_some(Grant::EVERYTHING);
        let merged = rights.grant.clone();
        assert_eq!(merged.is_none(), grants.is_empty() && default.is_none());
        let requests: Vec<_> = requests.iter().cloned().chain(default).collect();
        match merged {
            Some(merged) if requests.is_empty() => assert_eq!(merged.endpoints, EndpointSet::EMPTY),
            Some(ref merged) => check_sum(merged, &requests),
            None => {}
        }
        assert_eq!(rights.metrics(), grants.iter().any(|g| g.metrics));
        assert_eq!(rights.page(), grants.iter().filter_map(|g| g.page).max());
        let backwards: Vec<Value> = values.iter().rev().cloned().collect();
        assert_eq!(Rights::merge(mode, &backwards).grant, rights.grant, "the order must not matter");
    }
});

/// Whether a value is only about the auxiliary ports.
fn is_auxiliary_only(value: &Value) -> bool {
    value.as_object().is_some_and(|o| !o.is_empty() && o.keys().all(|key| key == "metrics" || key == "page"))
}

/// Checks each field of a merged grant. Grants without endpoints limit nothing if others have some.
fn check_sum(merged: &Grant, grants: &[Grant]) {
    let some: Vec<_> = grants.iter().filter(|g| g.endpoints != EndpointSet::EMPTY).cloned().collect();
    let grants = if some.is_empty() { grants } else { &some[..] };
    for endpoint in Endpoint::all() {
        let granted = grants.iter().any(|grant| grant.endpoints.contains(endpoint));
        assert_eq!(merged.endpoints.contains(endpoint), granted, "{endpoint:?}");
    }
    // `None`, which is no limit, is the largest.
    fn largest<T: Ord + Copy>(limits: impl Iterator<Item = Option<T>>) -> Option<T> {
        limits.reduce(|a, b| if a.is_none() || b.is_none() { None } else { a.max(b) }).flatten()
    }
    assert_eq!(merged.max_concurrent, largest(grants.iter().map(|g| g.max_concurrent)));
    assert_eq!(merged.requests_per_minute, largest(grants.iter().map(|g| g.requests_per_minute)));
    for (index, (quota, limit)) in merged.quotas.all().into_iter().enumerate() {
        assert_eq!(limit, largest(grants.iter().map(|g| g.quotas.all()[index].1)), "{quota}");
    }
    assert_eq!(merged.max_body, largest(grants.iter().map(|g| g.max_body)));
    assert_eq!(merged.keep_alive, grants.iter().any(|g| g.keep_alive));
    assert_eq!(merged.load_options, grants.iter().any(|g| g.load_options));
    let patterns = |grant: &Grant| grant.models.as_ref().map(|models| models.patterns().to_vec());
    let all: Option<Vec<_>> = grants.iter().map(patterns).collect();
    let all = all.map(|all| all.concat().into_iter().collect::<BTreeSet<_>>());
    assert_eq!(patterns(merged), all.map(|all| all.into_iter().collect()));
    assert_eq!(Some(merged.priority), grants.iter().map(|g| g.priority).max());
}

/// A pattern in its canonical form; `None` if no name could match it.
fn short(pattern: &str) -> Option<String> {
    let lower = pattern.to_ascii_lowercase();
    let own = lower.strip_prefix("registry.ollama.ai/").filter(|rest| rest.contains('/'));
    let rest = own.unwrap_or(&lower);
    let slashes = rest.matches('/').count();
    let is_valid = lower.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:/*".contains(c))
        && lower.len() <= 600
        && lower.matches('/').count() <= 2
        && lower.split('/').all(|part| !part.is_empty());
    let shortest = match rest.strip_prefix("library/") {
        Some(model) if slashes == 1 => model,
        _ => rest,
    };
    is_valid.then(|| shortest.to_owned())
}

fn page(value: &Value) -> Option<PageRight> {
    match value.as_str()? {
        "view" => Some(PageRight::View),
        "admin" => Some(PageRight::Admin),
        _ => None,
    }
}

/// The grant of a value; `None` if the value is faulty.
fn expected(value: &Value) -> Option<Grant> {
    let mut grant = Grant::EVERYTHING;
    let count = |value: &Value| value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
    let quota = |value: &Value| value.as_u64().filter(|n| *n > 0);
    for (key, value) in value.as_object()? {
        match key.as_str() {
            "endpoints" => {
                grant.endpoints = EndpointSet::EMPTY;
                for name in value.as_array()? {
                    let these = match name.as_str()? {
                        "*" => EndpointSet::ALL,
                        name => EndpointSet::EMPTY.with(Endpoint::named(name)?, true),
                    };
                    grant.endpoints = grant.endpoints.union(these);
                }
            }
            "models" => {
                let patterns: Vec<&str> =
                    value.as_array()?.iter().map(Value::as_str).collect::<Option<_>>()?;
                if patterns.is_empty() {
                    return None;
                }
                let short: Option<Vec<_>> = patterns.iter().map(|pattern| short(pattern)).collect();
                grant.models = Some(Models::of(short?));
            }
            "keep_alive" => grant.keep_alive = value.as_bool()?,
            "load_options" => grant.load_options = value.as_bool()?,
            "max_concurrent" => grant.max_concurrent = Some(count(value)?),
            "requests_per_minute" => grant.requests_per_minute = Some(count(value)?),
            "requests_per_day" => grant.quotas.requests_per_day = Some(quota(value)?),
            "requests_per_week" => grant.quotas.requests_per_week = Some(quota(value)?),
            "requests_per_month" => grant.quotas.requests_per_month = Some(quota(value)?),
            "tokens_per_day" => grant.quotas.tokens_per_day = Some(quota(value)?),
            "tokens_per_week" => grant.quotas.tokens_per_week = Some(quota(value)?),
            "tokens_per_month" => grant.quotas.tokens_per_month = Some(quota(value)?),
            "max_body" => grant.max_body = Some(value.as_u64()?),
            "priority" => {
                grant.priority = match value.as_str()? {
                    "low" => Priority::Low,
                    "normal" => Priority::Normal,
                    "high" => Priority::High,
                    _ => return None,
                }
            }
            "metrics" => grant.metrics = value.as_bool()?,
            "page" => grant.page = Some(page(value)?),
            _ => return None,
        }
    }
    Some(grant)
}

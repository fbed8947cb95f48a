//! The proxy's endpoints, its list of routes that are never forwarded, and docs/endpoints.md agree with the list of Ollama's
//! routes.

use http::{Method, Request};
use remote_ollama_proxy::policy::{
    AccessMode, Endpoint, EndpointSet, Hosts, MANAGEMENT, ModelRules, Policy, Refusal, Rights,
};

use crate::ollama_routes::{self, Route};
use crate::security::{rows, section};

const PAGE: &str = include_str!("../../docs/endpoints.md");

/// What the policy says about a request with every endpoint on: the endpoint's name, or the refusal.
fn decide(method: &str, path: &str) -> Result<&'static str, Refusal> {
    let mut hosts = Hosts::default();
    hosts.add("node");
    let policy =
        Policy { endpoints: EndpointSet::ALL, preflight: false, hosts, models: ModelRules::default() };
    let request = Request::builder().method(method).uri(path).header("host", "node").body(()).unwrap();
    let permit = policy.decide(&Rights::merge(AccessMode::Network, &[]), &request.into_parts().0)?;
    Ok(permit.endpoint().name())
}

/// The route that is never forwarded and includes this path.
fn never(path: &str) -> Option<&'static str> {
    match decide("GET", path) {
        Err(Refusal::Management(route)) => Some(route.path),
        _ => None,
    }
}

fn serves(route: &Route, endpoint: Endpoint) -> bool {
    route.path.replace(":model", "{model}") == endpoint.path()
}

#[test]
fn every_route_of_ollama_is_an_endpoint_or_never_forwarded() {
    for route in ollama_routes::all() {
        let methods = if route.method == "*" { vec!["GET", "POST", "DELETE"] } else { vec![route.method] };
        for method in methods {
            let decision = decide(method, &route.sample());
            assert!(
                matches!(decision, Ok(_) | Err(Refusal::Management(_))),
                "{method} {} is new: add it to src/policy/endpoint.rs: {decision:?}",
                route.path
            );
        }
    }
}

#[test]
fn every_endpoint_and_every_method_is_a_route_of_ollama() {
    let routes = ollama_routes::all();
    for endpoint in Endpoint::all() {
        let mut served: Vec<_> = routes.iter().filter(|r| serves(r, endpoint)).map(|r| r.method).collect();
        let mut methods: Vec<_> = endpoint.methods().iter().map(Method::as_str).collect();
        served.sort_unstable();
        methods.sort_unstable();
        assert_eq!(served, methods, "{endpoint:?}");
    }
    for listed in &MANAGEMENT {
        let known = routes.iter().any(|route| never(&route.sample()) == Some(listed.path));
        assert!(known, "Ollama has no {}", listed.path);
    }
}

#[test]
fn whole_folders_are_never_forwarded() {
    for path in
        ["/api/experimental", "/api/experimental/", "/api/experimental/new/x", "/api/codex/v1/responses"]
    {
        assert!(never(path).is_some(), "{path}");
    }
    assert_eq!(never("/api/experimentalx"), None);
}

/// The versions that have one of these routes, as the page writes them.
fn versions<'a>(routes: impl Iterator<Item = &'a Route>) -> String {
    let all = ollama_routes::versions();
    let at = |version: &str| all.iter().position(|v| *v == version).unwrap_or_else(|| panic!("{version}"));
    let spans: Vec<_> = routes.map(|r| (at(r.first), r.last.map_or(all.len() - 1, &at))).collect();
    let first = spans.iter().map(|span| span.0).min().unwrap();
    let last = spans.iter().map(|span| span.1).max().unwrap();
    match (first == 0, last + 1 == all.len()) {
        (true, true) => "all".to_owned(),
        (true, false) => format!("to {}", all[last]),
        (false, true) => format!("from {}", all[first]),
        (false, false) => format!("{} to {}", all[first], all[last]),
    }
}

#[test]
fn endpoints_page_has_every_endpoint_with_its_versions() {
    let routes = ollama_routes::all();
    let wanted: Vec<_> = Endpoint::all()
        .map(|endpoint| {
            vec![
                format!("`{} {}`", endpoint.allow(), endpoint.path()),
                format!("`{}`", endpoint.name()),
                if endpoint.default_on() { "on" } else { "off" }.to_owned(),
                versions(routes.iter().filter(|route| serves(route, endpoint))),
            ]
        })
        .collect();
    assert_eq!(rows(section(PAGE, "The allowlist")), wanted);
}

#[test]
fn endpoints_page_has_every_route_that_is_never_forwarded() {
    let routes = ollama_routes::all();
    let wanted: Vec<_> = MANAGEMENT
        .iter()
        .map(|listed| {
            let included = routes.iter().filter(|route| never(&route.sample()) == Some(listed.path));
            vec![format!("`{}`", listed.path), listed.harm.to_owned(), versions(included)]
        })
        .collect();
    assert_eq!(rows(section(PAGE, "Never")), wanted);
}

#[test]
fn endpoints_page_names_the_versions_that_were_read() {
    let all = ollama_routes::versions();
    let span = format!("Ollama {} to {}", all[0], all[all.len() - 1]);
    assert!(PAGE.contains(&span), "{span}");
}

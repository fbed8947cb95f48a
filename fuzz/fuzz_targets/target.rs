//! Compares the decision about a request's head with a second, plainer version of the rules.

#![no_main]

use std::sync::LazyLock;

use http::request::Parts;
use http::{Method, Request, Uri};
use libfuzzer_sys::fuzz_target;
use remote_ollama_proxy::policy::{Endpoint, EndpointSet, Permit, Policy, Refusal, Rights, Target};
use remote_ollama_proxy_fuzz::{HOSTS, Head, policy, rights};

static OPEN: LazyLock<(Policy, Rights)> =
    LazyLock::new(|| (policy(EndpointSet::ALL, true), rights(EndpointSet::ALL)));

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = str::from_utf8(input)
        && let Ok(Target { path, query }) = Target::parse(text)
    {
        let whole = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
        assert_eq!(whole, text);
    }
    let Some(head) = Head::parse(input) else { return };
    let (open, all) = &*OPEN;
    let decided = open.decide(all, &head.parts);
    match &decided {
        Ok(permit) => {
            permitted(&head, permit);
            narrowed(&head, permit.endpoint());
        }
        Err(refusal) => is_printable(refusal),
    }
    assert_eq!(
        outcome(&decided),
        outcome(&open.decide(all, &without_query(&head.parts))),
        "the query must not matter"
    );
});

/// What must hold for every permitted request.
fn permitted(head: &Head, permit: &Permit) {
    let (endpoint, parts) = (permit.endpoint(), &head.parts);
    assert_eq!(permit.target().as_str().as_bytes(), head.target, "the target was changed");
    assert_eq!(permit.method(), parts.method);

    let path = permit.target().path();
    match endpoint.path().strip_suffix("{model}") {
        None => assert_eq!(path, endpoint.path()),
        Some(prefix) => {
            let model = path.strip_prefix(prefix).expect("below the endpoint's path");
            let model = model.replace("%3A", ":").replace("%3a", ":");
            assert!(!matches!(model.as_str(), "" | "." | ".."), "{path}");
            assert!(model.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:".contains(&b)), "{path}");
        }
    }
    assert!(permit.target().as_str().bytes().all(|b| b.is_ascii_graphic() && b != b'#' && b != b'\\'));

    let header = |name| parts.headers.get(name).map(|value| value.as_bytes().to_vec());
    let takes = |method: &[u8]| endpoint.methods().iter().any(|m| m.as_str().as_bytes() == method);
    let preflight = parts.method == Method::OPTIONS
        && header("origin").is_some()
        && header("access-control-request-method").is_some_and(|method| takes(&method));
    assert!(takes(parts.method.as_str().as_bytes()) || preflight);

    let hosts: Vec<_> = parts.headers.get_all("host").iter().collect();
    let [host] = hosts[..] else { panic!("{} hosts", hosts.len()) };
    let host = host.to_str().expect("a name in ASCII").to_ascii_lowercase();
    let (name, port) = host.split_once(':').unwrap_or((&host, "0"));
    assert!(HOSTS.contains(&name.strip_suffix('.').unwrap_or(name)), "{host}");
    assert!(port.parse::<u16>().is_ok(), "{host}");
}

/// A permitted request needs its own endpoint to be on and granted, and no other.
fn narrowed(head: &Head, endpoint: Endpoint) {
    let (open, all) = &*OPEN;
    let (only, but) = (EndpointSet::EMPTY.with(endpoint, true), EndpointSet::ALL.with(endpoint, false));
    assert!(policy(only, true).decide(&rights(only), &head.parts).is_ok());
    let refusal = |policy: &Policy, rights: &Rights| policy.decide(rights, &head.parts).err();
    assert_eq!(refusal(&policy(but, true), all), Some(Refusal::Off(endpoint)));
    assert_eq!(refusal(open, &rights(but)), Some(Refusal::NotGranted(endpoint)));
    assert_eq!(refusal(open, &Rights::NONE), Some(Refusal::NotGranted(endpoint)));
    let preflight = (head.parts.method == Method::OPTIONS).then_some(Refusal::Preflight);
    assert_eq!(refusal(&policy(EndpointSet::ALL, false), all), preflight);
}

/// A refusal's text has only the proxy's own characters.
fn is_printable(refusal: &Refusal) {
    assert!(refusal.to_string().bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{refusal}");
}

fn outcome(decided: &Result<Permit, Refusal>) -> Result<Endpoint, &Refusal> {
    decided.as_ref().map(Permit::endpoint)
}

/// The same request without its query, unless the query is malformed.
fn without_query(parts: &Parts) -> Parts {
    let mut bare = Request::from_parts(parts.clone(), ());
    let is_valid = parts.uri.path_and_query().is_some_and(|target| {
        let query = target.query().unwrap_or_default();
        Target::parse(&format!("/?{query}")).is_ok()
    });
    if is_valid && parts.uri.authority().is_none() {
        *bare.uri_mut() = Uri::try_from(parts.uri.path()).expect("a path");
    }
    bare.into_parts().0
}

//! Compares our decision with Ollama's router: each permitted request must reach the handler that the permit names. So every
//! request that would reach another handler, or a redirect to one, was refused.

#![no_main]

use std::sync::{LazyLock, Mutex};

use http::{Method, Uri};
use libfuzzer_sys::fuzz_target;
use remote_ollama_proxy::policy::{EndpointSet, Permit};
use remote_ollama_proxy_fuzz::{Head, Oracle, policy, rights};

static ORACLE: LazyLock<Mutex<Oracle>> = LazyLock::new(|| Mutex::new(Oracle::start("request")));

fuzz_target!(|input: &[u8]| {
    let Some(head) = Head::parse(input) else { return };
    let Ok(permit) = policy(EndpointSet::ALL, true).decide(&rights(EndpointSet::ALL), &head.parts) else {
        return;
    };
    // The request as `proxy::forward` sends it.
    let request = format!(
        "{} {} HTTP/1.1\r\nHost: 127.0.0.1:11434\r\n\r\n",
        permit.method(),
        Uri::from(permit.target().clone())
    );
    let routed = ORACLE.lock().expect("one thread").ask(request.as_bytes());
    assert_eq!(routed, expected(&permit), "{request}");
});

/// The oracle's answer if the request reaches the handler that the permit names.
fn expected(permit: &Permit) -> String {
    // Ollama's CORS layer answers a preflight, so it must reach no handler.
    if *permit.method() == Method::OPTIONS {
        return "405".to_owned();
    }
    let (method, route) = (permit.method(), permit.endpoint().path().replace("{model}", ":model"));
    let model = match permit.endpoint().path().strip_suffix("{model}") {
        Some(prefix) => permit.target().path()[prefix.len()..].replace("%3a", ":").replace(':', "%3A"),
        None => String::new(),
    };
    format!("200 {method} {route} {model}").trim_end().to_owned()
}

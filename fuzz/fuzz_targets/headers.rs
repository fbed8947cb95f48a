//! The filter of headers: what is for one hop, or claims an identity, stays here; everything else arrives as it was.

#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use remote_ollama_proxy::proxy::headers::{request, response};

const HOP_BY_HOP: [&str; 10] = [
    "http2-settings",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const IDENTITY: [&str; 2] = ["forwarded", "x-real-ip"];
const IDENTITY_PREFIXES: [&str; 2] = ["x-forwarded-", "tailscale-"];

fuzz_target!(|input: &[u8]| {
    let from = read(input);
    let host = HeaderValue::from_static("127.0.0.1:11434");

    let to = request(&from, &host);
    let ours = |name: &str| matches!(name, "host" | "expect" | "content-length");
    let claims = |name: &str| {
        IDENTITY.contains(&name) || IDENTITY_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    compare(&from, &to, |name| !ours(name) && !claims(name), Some(&host));

    compare(&from, &response(&from), |name| name != "content-length", None);
});

/// A header for each line of the form `name: value`.
fn read(input: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in input.split(|b| *b == b'\n') {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let (name, value) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(line[colon + 1..].trim_ascii()));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// `to` must be `from` without what is for this hop or not `wanted`, in the same order, and with `host`.
fn compare(from: &HeaderMap, to: &HeaderMap, wanted: impl Fn(&str) -> bool, host: Option<&HeaderValue>) {
    let named = |name: &str| {
        from.get_all("connection").iter().any(|value| {
            value
                .as_bytes()
                .split(|b| *b == b',')
                .any(|n| n.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
        })
    };
    for name in from.keys().chain(to.keys()).map(HeaderName::as_str) {
        let passes = wanted(name) && !HOP_BY_HOP.contains(&name) && !named(name);
        let (sent, arrived): (Vec<_>, Vec<_>) =
            (from.get_all(name).iter().collect(), to.get_all(name).iter().collect());
        let expected = match host {
            Some(host) if name == "host" => vec![host],
            _ if passes => sent,
            _ => Vec::new(),
        };
        assert_eq!(arrived, expected, "{name}");
    }
}

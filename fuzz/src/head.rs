//! A request's head as the policy receives it, and the policies for it.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use remote_ollama_proxy::policy::{EndpointSet, Framing, Grant, Hosts, ModelRules, Policy, Rights};

/// The names of the node.
pub const HOSTS: [&str; 3] = ["remote-ollama-proxy", "remote-ollama-proxy.tailnet.test", "100.64.0.1"];

/// The head of one request.
pub struct Head {
    /// The target, byte for byte.
    pub target: Vec<u8>,
    /// The head as parsed by the HTTP library.
    pub parts: Parts,
}

impl Head {
    /// Reads an input: `METHOD TARGET`, then one header per line. Without a Host it gets the node's own.
    /// `None` if the framing or the HTTP library refuses it first.
    pub fn parse(input: &[u8]) -> Option<Head> {
        let mut lines = input.split(|b| *b == b'\n');
        let mut raw = [lines.next()?, b" HTTP/1.1\r\n"].concat();
        let mut has_host = false;
        for line in lines {
            has_host |= line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:"));
            raw.extend([line, b"\r\n"].concat());
        }
        if !has_host {
            raw.extend(format!("Host: {}\r\n", HOSTS[0]).into_bytes());
        }
        raw.extend(b"\r\n");

        let mut heads = Vec::new();
        Framing::default().feed(&raw, &mut heads).ok()?;
        if heads.first() != Some(&Ok(())) {
            return None;
        }
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut request = httparse::Request::new(&mut headers);
        if request.parse(&raw).ok()?.is_partial() {
            return None;
        }
        let target = request.path?.as_bytes().to_vec();
        let mut to = Request::new(());
        *to.method_mut() = Method::from_bytes(request.method?.as_bytes()).ok()?;
        *to.uri_mut() = Uri::from_maybe_shared(target.clone()).ok()?;
        for header in request.headers {
            let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
            to.headers_mut().append(name, HeaderValue::from_bytes(header.value).ok()?);
        }
        Some(Head { target, parts: to.into_parts().0 })
    }
}

/// A policy with these endpoints.
pub fn policy(endpoints: EndpointSet, preflight: bool) -> Policy {
    let mut hosts = Hosts::default();
    HOSTS.iter().for_each(|host| hosts.add(host));
    Policy { endpoints, preflight, hosts, models: ModelRules::default() }
}

/// The rights to these endpoints.
pub fn rights(endpoints: EndpointSet) -> Rights {
    Rights { grant: Some(Grant { endpoints, ..Grant::EVERYTHING }), faults: Vec::new() }
}

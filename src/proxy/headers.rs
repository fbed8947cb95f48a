//! The headers that are forwarded, in either direction: a new set of those that may pass, and the request's id.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

use crate::policy::Dialect;

/// The request's id in an answer. OpenAI's client libraries show this one.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The same, as Anthropic's API names it and its client libraries show it.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// For the next hop only (RFC 9110, 7.6.1; RFC 7540, 3.2.1; the last two by custom).
const HOP_BY_HOP: [HeaderName; 10] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// The headers for Ollama: `host` in place of the client's. The length is not among them: it follows from the body.
pub fn request(from: &HeaderMap, host: &HeaderValue) -> HeaderMap {
    let mut to = passing(from, |name| {
        !matches!(*name, HOST | EXPECT | CONTENT_LENGTH | FORWARDED) && !claims_identity(name.as_str())
    });
    to.insert(HOST, host.clone());
    to
}

/// The headers for the client. The length is not among them: it follows from the body.
pub fn response(from: &HeaderMap) -> HeaderMap {
    passing(from, |name| *name != CONTENT_LENGTH)
}

/// Puts the request's id into an answer, in place of any id that Ollama gave.
pub(crate) fn add_request_id(to: &mut HeaderMap, id: &str, dialect: Dialect) {
    to.remove(REQUEST_ID);
    let Ok(id) = HeaderValue::from_str(id) else { return };
    if dialect == Dialect::Anthropic {
        to.insert(REQUEST_ID, id.clone());
    }
    to.insert(X_REQUEST_ID, id);
}

/// Names by which proxies state a client's identity. A client could claim any identity there. This proxy states none:
/// Ollama passes the headers of `:cloud` requests on to the internet.
fn claims_identity(name: &str) -> bool {
    name.starts_with("tailscale-") || name.starts_with("x-forwarded-") || name == "x-real-ip"
}

/// Whether Connection names `name`, so that the header is not forwarded.
pub(crate) fn is_named_by_connection(from: &HeaderMap, name: &HeaderName) -> bool {
    named_by_connection(from).any(|named| named.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

fn named_by_connection(from: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = from.get_all(CONNECTION).into_iter();
    values.flat_map(|value| value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii))
}

fn passing(from: &HeaderMap, wanted: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let named: Vec<&[u8]> = named_by_connection(from).collect();
    let mut to = HeaderMap::with_capacity(from.len());
    for (name, value) in from {
        let next_hop = HOP_BY_HOP.contains(name)
            || named.iter().any(|n| n.eq_ignore_ascii_case(name.as_str().as_bytes()));
        if !next_hop && wanted(name) {
            to.append(name.clone(), value.clone());
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(n, v)| (HeaderName::from_bytes(n.as_bytes()).unwrap(), HeaderValue::from_str(v).unwrap()))
            .collect()
    }

    #[test]
    fn hop_by_hop_and_identity_headers_are_dropped() {
        let to = request(
            &map(&[
                ("host", "remote-ollama-proxy"),
                ("connection", "close, X-Private"),
                ("x-private", "1"),
                ("keep-alive", "1"),
                ("upgrade", "h2c"),
                ("te", "trailers"),
                ("expect", "100-continue"),
                ("tailscale-user-login", "root@example.com"),
                ("x-forwarded-for", "1.2.3.4"),
                ("forwarded", "for=1.2.3.4"),
                ("content-length", "3"),
                ("origin", "http://localhost"),
                ("authorization", "Bearer x"),
                ("x-custom", "a"),
            ]),
            &HeaderValue::from_static("127.0.0.1:11434"),
        );
        assert_eq!(
            to,
            map(&[
                ("origin", "http://localhost"),
                ("authorization", "Bearer x"),
                ("x-custom", "a"),
                ("host", "127.0.0.1:11434"),
            ])
        );
    }

    #[test]
    fn repeated_and_cors_headers_of_an_answer_pass() {
        let from = map(&[
            ("access-control-allow-origin", "*"),
            ("vary", "a"),
            ("vary", "b"),
            ("content-length", "3"),
            ("transfer-encoding", "chunked"),
        ]);
        let to = response(&from);
        assert_eq!(to.get_all("vary").iter().count(), 2);
        assert!(to.contains_key("access-control-allow-origin") && !to.contains_key("content-length"));
        assert!(!to.contains_key("transfer-encoding"));
    }
}

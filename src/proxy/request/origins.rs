//! Which web pages may read the proxy's own answers (the Fetch standard's CORS check): those that may read Ollama's
//! answers. Only Ollama knows its list of origins, so the proxy remembers Ollama's latest answer to each origin of each
//! identity. Until Ollama has answered a page, that page reads none of the proxy's answers.

use std::collections::HashMap;
use std::time::Duration;

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::proxy::headers;

/// How long an answer of Ollama's holds. A restart can change its list of origins. Chromium caches an answer to a
/// preflight for at most as long.
const LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);

/// The most origins remembered for one identity, and the most bytes of one.
const ORIGINS_MAX: usize = 16;
const BYTES_MAX: usize = 256;

/// The most identities whose origins are remembered. With the bounds above, the table takes less than 4 MB.
const IDENTITIES_MAX: usize = 256;

/// Ollama's answers by identity, so that no peer changes what another's pages may read.
#[derive(Debug, Default)]
pub(crate) struct Origins(Mutex<HashMap<String, ByOrigin>>);

type ByOrigin = HashMap<HeaderValue, Allowed>;

#[derive(Debug)]
struct Allowed {
    /// The value of Access-Control-Allow-Origin: the origin itself, or `*`.
    by: HeaderValue,
    since: Instant,
}

impl Origins {
    /// Remembers Ollama's `answer` to a `request` of `identity`, if Ollama has seen the request's origin.
    pub(crate) fn learn(&self, identity: &str, request: &HeaderMap, answer: &HeaderMap) {
        let Some(origin) = only(request, ORIGIN).filter(|origin| origin.len() <= BYTES_MAX) else { return };
        if headers::is_named_by_connection(request, &ORIGIN) {
            return;
        }
        let by = only(answer, ACCESS_CONTROL_ALLOW_ORIGIN).filter(|by| *by == origin || *by == "*");
        let mut identities = self.0.lock();
        let Some((origin, by)) = by.and_then(|by| Some((copy(origin)?, copy(by)?))) else {
            // An emptied entry stays: without it, an identity could come back and evict others again and again.
            if let Some(origins) = identities.get_mut(identity) {
                origins.remove(origin);
            }
            return;
        };
        if !identities.contains_key(identity) {
            if identities.len() >= IDENTITIES_MAX {
                let latest = |origins: &ByOrigin| origins.values().map(|allowed| allowed.since).max();
                evict_oldest(&mut identities, latest);
            }
            identities.insert(identity.to_owned(), ByOrigin::new());
        }
        let Some(origins) = identities.get_mut(identity) else { return };
        if origins.len() >= ORIGINS_MAX && !origins.contains_key(&origin) {
            evict_oldest(origins, |allowed| allowed.since);
        }
        origins.insert(origin, Allowed { by, since: Instant::now() });
    }

    /// Lets the page that made `request` read the proxy's own answer, which has these headers.
    pub(crate) fn allow(&self, identity: &str, request: &HeaderMap, headers: &mut HeaderMap) {
        if request.contains_key(ORIGIN) {
            headers.insert(VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = only(request, ORIGIN) else { return };
        let identities = self.0.lock();
        let allowed = identities.get(identity).and_then(|origins| origins.get(origin));
        if let Some(allowed) = allowed.filter(|allowed| allowed.since.elapsed() < LIFETIME) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed.by.clone());
        }
    }
}

fn evict_oldest<K: Clone + Eq + std::hash::Hash, V, T: Ord>(map: &mut HashMap<K, V>, age: impl Fn(&V) -> T) {
    let oldest = map.iter().min_by_key(|(_, value)| age(value)).map(|(key, _)| key.clone());
    if let Some(oldest) = oldest {
        map.remove(&oldest);
    }
}

/// The value in memory of its own. A parsed one shares the buffer of its whole head, and keeps it from being freed.
fn copy(value: &HeaderValue) -> Option<HeaderValue> {
    HeaderValue::from_bytes(value.as_bytes()).ok()
}

/// The value of a header that is there once.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_remembered_origin_keeps_no_read_buffer() {
        let buffer = Bytes::from(format!("http://localhost:1{}", "x".repeat(20_000)));
        let value = || HeaderValue::from_maybe_shared(buffer.slice(..18)).unwrap();
        let origins = Origins::default();
        let request = HeaderMap::from_iter([(ORIGIN, value())]);
        let answer = HeaderMap::from_iter([(ACCESS_CONTROL_ALLOW_ORIGIN, value())]);
        origins.learn("anna@example.com", &request, &answer);

        let mut refusal = HeaderMap::new();
        origins.allow("anna@example.com", &request, &mut refusal);
        assert_eq!(refusal[ACCESS_CONTROL_ALLOW_ORIGIN], "http://localhost:1");
        drop((request, answer));
        assert!(buffer.is_unique());
    }
}

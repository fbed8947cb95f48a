//! Which web pages may read what the proxy itself answers (the Fetch standard's CORS check): those that may read Ollama's
//! answers. Only Ollama knows which, so it is taken from its own answers to the same origin, and a page from which none
//! has come yet reads nothing.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

/// For how long an answer of Ollama's holds: its list of origins may be another after a restart. Browsers keep its answer
/// to a preflight for as long at most (Chromium).
const LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);

/// The most origins that are remembered, and the most bytes of one.
const ORIGINS_MAX: usize = 64;
const BYTES_MAX: usize = 256;

/// What Ollama has answered to whom.
#[derive(Debug, Default)]
pub(super) struct Origins(Mutex<HashMap<HeaderValue, Allowed>>);

#[derive(Debug)]
struct Allowed {
    /// The value of Access-Control-Allow-Origin: the origin itself, or `*`.
    by: HeaderValue,
    since: Instant,
}

impl Origins {
    /// Ollama has answered `request` with `answer`.
    pub(super) fn learn(&self, request: &HeaderMap, answer: &HeaderMap) {
        let Some(origin) = only(request, ORIGIN).filter(|origin| origin.len() <= BYTES_MAX) else { return };
        let by = only(answer, ACCESS_CONTROL_ALLOW_ORIGIN).filter(|by| *by == origin || *by == "*");
        let mut origins = self.lock();
        let Some(by) = by else {
            origins.remove(origin);
            return;
        };
        if origins.len() >= ORIGINS_MAX
            && !origins.contains_key(origin)
            && let Some(oldest) =
                origins.iter().min_by_key(|(_, allowed)| allowed.since).map(|(o, _)| o.clone())
        {
            origins.remove(&oldest);
        }
        origins.insert(origin.clone(), Allowed { by: by.clone(), since: Instant::now() });
    }

    /// Lets the page that has made `request` read the proxy's own answer, which has these headers.
    pub(super) fn allow(&self, request: &HeaderMap, headers: &mut HeaderMap) {
        let Some(origin) = only(request, ORIGIN) else { return };
        let origins = self.lock();
        let Some(allowed) = origins.get(origin).filter(|a| a.since.elapsed() < LIFETIME) else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed.by.clone());
        headers.insert(VARY, HeaderValue::from_static("Origin"));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<HeaderValue, Allowed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The value of a header that is there once.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

//! What is left of a client's quotas, as headers of an answer. The forms are those of the API that the client calls: OpenAI's
//! ("Rate limits" in its API documentation), or Anthropic's ("Rate limits" there). Ollama's own API has none, and gets OpenAI's.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::admission::QuotaState;
use crate::policy::{Dialect, QuotaUnit};
use crate::time::format_rfc3339_seconds;

/// The names of limit, remaining and reset.
type Names = [HeaderName; 3];

const fn names(limit: &'static str, remaining: &'static str, reset: &'static str) -> Names {
    [HeaderName::from_static(limit), HeaderName::from_static(remaining), HeaderName::from_static(reset)]
}

const OPENAI_REQUESTS: Names =
    names("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests");
const OPENAI_TOKENS: Names =
    names("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens");
const ANTHROPIC_REQUESTS: Names = names(
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
);
const ANTHROPIC_TOKENS: Names = names(
    "anthropic-ratelimit-tokens-limit",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
);

/// Adds the headers of each unit that has a quota, as of `now`. If a unit has several, they are about the one of which the
/// least is left, and of those the one that ends last. Headers that Ollama sent stay, and then none of that unit is added.
pub(super) fn add(to: &mut HeaderMap, states: &[QuotaState], dialect: Dialect, now: SystemTime) {
    for unit in [QuotaUnit::Requests, QuotaUnit::Tokens] {
        let own = states.iter().filter(|state| state.quota.unit == unit);
        let Some(state) = own.min_by_key(|state| (state.remaining(), std::cmp::Reverse(state.ends))) else {
            continue;
        };
        let (names, reset) = match (dialect, unit) {
            (Dialect::Anthropic, QuotaUnit::Requests) => {
                (ANTHROPIC_REQUESTS, format_rfc3339_seconds(state.ends))
            }
            (Dialect::Anthropic, QuotaUnit::Tokens) => (ANTHROPIC_TOKENS, format_rfc3339_seconds(state.ends)),
            (_, QuotaUnit::Requests) => (OPENAI_REQUESTS, until(state.ends, now)),
            (_, QuotaUnit::Tokens) => (OPENAI_TOKENS, until(state.ends, now)),
        };
        if names.iter().any(|name| to.contains_key(name)) {
            continue;
        }
        let Ok(reset) = HeaderValue::from_str(&reset) else { continue };
        let values = [HeaderValue::from(state.limit), HeaderValue::from(state.remaining()), reset];
        to.extend(names.into_iter().zip(values));
    }
}

/// A duration as OpenAI writes it, which is the form of Go's `time.Duration`: `1s`, `6m0s`, `26h0m5s`.
fn until(end: SystemTime, now: SystemTime) -> String {
    let left = end.duration_since(now).unwrap_or(Duration::ZERO);
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Quota, Window};

    fn at(time: &str) -> SystemTime {
        crate::time::parse_rfc3339(time).unwrap()
    }

    fn state(unit: QuotaUnit, window: Window, limit: u64, spent: u64, ends: &str) -> QuotaState {
        QuotaState { quota: Quota { unit, window }, limit, spent, ends: at(ends) }
    }

    #[test]
    fn the_scarcest_quota_of_each_unit_is_told_in_the_form_of_the_api() {
        let states = [
            state(QuotaUnit::Tokens, Window::Day, 1000, 100, "2026-11-30T00:00:00Z"),
            state(QuotaUnit::Tokens, Window::Week, 2000, 1999, "2026-11-30T00:00:00Z"),
            state(QuotaUnit::Tokens, Window::Month, 9000, 8999, "2026-12-01T00:00:00Z"),
            state(QuotaUnit::Requests, Window::Day, 5, 7, "2026-11-30T00:00:00Z"),
        ];
        let told = |dialect| {
            let mut headers = HeaderMap::new();
            add(&mut headers, &states, dialect, at("2026-11-29T12:00:00.5Z"));
            let mut lines: Vec<_> =
                headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
            lines.sort();
            lines
        };
        let openai = [
            "x-ratelimit-limit-requests: 5",
            "x-ratelimit-limit-tokens: 9000",
            "x-ratelimit-remaining-requests: 0",
            "x-ratelimit-remaining-tokens: 1",
            "x-ratelimit-reset-requests: 12h0m0s",
            "x-ratelimit-reset-tokens: 36h0m0s",
        ];
        assert_eq!(told(Dialect::OpenAi), openai);
        assert_eq!(told(Dialect::Ollama), openai);
        let anthropic = [
            "anthropic-ratelimit-requests-limit: 5",
            "anthropic-ratelimit-requests-remaining: 0",
            "anthropic-ratelimit-requests-reset: 2026-11-30T00:00:00Z",
            "anthropic-ratelimit-tokens-limit: 9000",
            "anthropic-ratelimit-tokens-remaining: 1",
            "anthropic-ratelimit-tokens-reset: 2026-12-01T00:00:00Z",
        ];
        assert_eq!(told(Dialect::Anthropic), anthropic);
    }

    #[test]
    fn durations_have_the_form_of_go() {
        let now = SystemTime::UNIX_EPOCH;
        for (millis, text) in [
            (0, "0s"),
            (999, "1s"),
            (59_000, "59s"),
            (360_000, "6m0s"),
            (3_600_000, "1h0m0s"),
            (604_800_000, "168h0m0s"),
        ] {
            assert_eq!(until(now + Duration::from_millis(millis), now), text);
        }
        assert_eq!(until(now, now + Duration::from_secs(1)), "0s");
    }
}

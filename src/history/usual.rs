//! Days on which an identity did more than usual.

use std::collections::BTreeMap;

use serde::Serialize;

use super::tally::Tally;

/// A day is unusual if it has more than this many times the usual value.
pub const FACTOR: u64 = 5;

/// The usual value is the median of at most this many earlier days. Days without a request do not count.
const DAYS: usize = 28;

/// With fewer earlier days than this, no day is unusual.
const DAYS_LEAST: usize = 3;

/// What is compared. The names are those of a [`Tally`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Requests.
    Requests,
    /// Refused attempts.
    Refused,
    /// Bytes, in both directions.
    Bytes,
    /// How long Ollama worked, in milliseconds.
    OllamaMs,
}

impl Measure {
    const ALL: [Measure; 4] = [Measure::Requests, Measure::Refused, Measure::Bytes, Measure::OllamaMs];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Requests => "requests",
            Measure::Refused => "refused",
            Measure::Bytes => "bytes",
            Measure::OllamaMs => "ollama_ms",
        }
    }

    /// A day with less than this is never unusual.
    pub fn floor(self) -> u64 {
        match self {
            Measure::Requests => 100,
            Measure::Refused => 20,
            Measure::Bytes => 10_000_000,
            Measure::OllamaMs => 600_000,
        }
    }

    fn of(self, tally: &Tally) -> u64 {
        match self {
            Measure::Requests => tally.requests,
            Measure::Refused => tally.refused,
            Measure::Bytes => tally.bytes_in.saturating_add(tally.bytes_out),
            Measure::OllamaMs => tally.ollama_ms(),
        }
    }
}

/// A day with more of something than usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Excess<D> {
    pub(super) day: D,
    pub(super) measure: Measure,
    pub(super) value: u64,
    pub(super) usual: u64,
}

/// The days from `first` on with more than usual.
pub(super) fn unusual<D: Ord + Copy>(days: &BTreeMap<D, Tally>, first: D) -> impl Iterator<Item = Excess<D>> {
    days.range(first..).flat_map(move |(day, tally)| {
        let earlier: Vec<_> = days.range(..day).rev().take(DAYS).map(|(_, tally)| tally).collect();
        let measures = if earlier.len() < DAYS_LEAST { &[][..] } else { &Measure::ALL };
        measures.iter().filter_map(move |measure| {
            let (value, usual) = (measure.of(tally), median(earlier.iter().map(|tally| measure.of(tally))));
            let is_unusual = value >= measure.floor() && value > usual.saturating_mul(FACTOR);
            is_unusual.then_some(Excess { day: *day, measure: *measure, value, usual })
        })
    })
}

/// The median; of an even number of values the larger one in the middle.
fn median(values: impl Iterator<Item = u64>) -> u64 {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn days(requests: &[u64]) -> BTreeMap<u64, Tally> {
        let tally = |requests| Tally { requests, ..Tally::default() };
        (0..).zip(requests.iter().map(|n| tally(*n))).collect()
    }

    fn found(days: &BTreeMap<u64, Tally>, first: u64) -> Vec<(u64, Measure, u64, u64)> {
        unusual(days, first).map(|e| (e.day, e.measure, e.value, e.usual)).collect()
    }

    #[test]
    fn day_is_compared_with_the_days_before_it() {
        assert_eq!(found(&days(&[20, 41, 90, 201]), 3), []);
        assert_eq!(found(&days(&[20, 40, 40, 201]), 3), [(3, Measure::Requests, 201, 40)]);
        // Not more than five times; below the floor; too few earlier days; before the span.
        assert_eq!(found(&days(&[20, 40, 40, 200]), 3), []);
        assert_eq!(found(&days(&[1, 1, 1, 99]), 3), []);
        assert_eq!(found(&days(&[1, 1, 9_999]), 0), []);
        assert_eq!(found(&days(&[20, 40, 40, 201]), 4), []);
        // A higher level stops being unusual once it is the median.
        let new = [1, 1, 1, 100, 100, 100, 100];
        assert_eq!(found(&days(&new), 0).iter().map(|found| found.0).collect::<Vec<_>>(), [3, 4, 5]);
    }

    #[test]
    fn only_the_last_days_with_requests_count() {
        let mut long = vec![100; 40];
        long.extend([10; DAYS]);
        long.push(100);
        assert_eq!(found(&days(&long), 68), [(68, Measure::Requests, 100, 10)]);
        let apart: BTreeMap<_, _> = days(&[1, 1, 1, 100]).into_iter().map(|(day, t)| (day * 30, t)).collect();
        assert_eq!(found(&apart, 0), [(90, Measure::Requests, 100, 1)]);
    }

    #[test]
    fn each_measure_has_a_floor() {
        let mut days = days(&[0, 0, 0]);
        let worked = Duration::from_secs(600);
        days.insert(
            3,
            Tally {
                requests: 99,
                refused: 20,
                bytes_in: 4_000_000,
                bytes_out: 6_000_000,
                worked,
                ..Tally::default()
            },
        );
        let names: Vec<_> = found(&days, 0).iter().map(|(_, measure, ..)| measure.name()).collect();
        assert_eq!(names, ["refused", "bytes", "ollama_ms"]);
        for measure in Measure::ALL {
            assert_eq!(serde_json::json!(measure), measure.name());
        }
    }
}

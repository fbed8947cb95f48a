//! What is counted, and by which day.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use serde::{Serialize, Serializer};

/// Counts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Requests that ended.
    pub requests: u64,
    /// Attempts that the proxy refused: requests, and peers before they sent a request.
    pub refused: u64,
    /// Requests that the proxy accepted and that failed: Ollama was down, broke off, or answered with 5xx.
    pub errors: u64,
    /// Bytes of requests' bodies that went on to Ollama.
    pub bytes_in: u64,
    /// Bytes of answers' bodies.
    pub bytes_out: u64,
    /// Tokens of prompts, as far as answers reported them, where they were counted.
    pub tokens_in: u64,
    /// Tokens of answers, in the same way.
    pub tokens_out: u64,
    /// Answers whose tokens should have been counted and that reported none.
    pub tokens_untold: u64,
    /// How long Ollama worked: the time in running slots of requests that make a model run. Two at once count twice.
    #[serde(rename = "ollama_ms", serialize_with = "millis")]
    pub worked: Duration,
}

impl Tally {
    /// Adds `more`, saturating.
    pub(super) fn add(&mut self, more: &Tally) {
        let sum = |n: &mut u64, more: u64| *n = n.saturating_add(more);
        sum(&mut self.requests, more.requests);
        sum(&mut self.refused, more.refused);
        sum(&mut self.errors, more.errors);
        sum(&mut self.bytes_in, more.bytes_in);
        sum(&mut self.bytes_out, more.bytes_out);
        sum(&mut self.tokens_in, more.tokens_in);
        sum(&mut self.tokens_out, more.tokens_out);
        sum(&mut self.tokens_untold, more.tokens_untold);
        self.worked = self.worked.saturating_add(more.worked);
    }

    /// How long Ollama worked, in milliseconds.
    pub fn ollama_ms(&self) -> u64 {
        whole_millis(&self.worked)
    }

    /// Whether tokens were counted, reported or not.
    pub fn counts_tokens(&self) -> bool {
        self.tokens_in > 0 || self.tokens_out > 0 || self.tokens_untold > 0
    }

    /// The sort key of rows: all attempts.
    pub(super) fn attempts(&self) -> u64 {
        self.requests.saturating_add(self.refused)
    }
}

/// The day in UTC of `at`.
pub(super) fn day_of(at: Timestamp) -> Date {
    Offset::UTC.to_datetime(at).date()
}

fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(whole_millis(duration))
}

fn whole_millis(duration: &Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

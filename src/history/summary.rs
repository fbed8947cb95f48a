//! What there is to tell of a span, most relevant first. docs/operations.md has it as JSON.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use super::usual::Measure;

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Its beginning.
    #[serde(serialize_with = "time")]
    pub since: SystemTime,
    /// Its end, which is no longer part of it.
    #[serde(serialize_with = "time")]
    pub until: SystemTime,
}

impl Span {
    /// Whether it has this moment.
    pub fn contains(&self, at: SystemTime) -> bool {
        (self.since..self.until).contains(&at)
    }
}

/// What happened in a span.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// When.
    #[serde(flatten)]
    pub span: Span,
    /// What it is made of.
    pub lines: Lines,
    /// Whether anything older than the span was read. If not, everybody is there for the first time.
    pub known_before: bool,
    /// All of it.
    pub total: Tally,
    /// How many requests ended how, by the words of the access log.
    pub ended: BTreeMap<&'static str, u64>,
    /// Days with more than is usual for an identity, the most unusual first.
    pub unusual: Vec<Unusual>,
    /// Devices that the log or the journal has for the first time, the latest first.
    pub first_seen: Vec<FirstSeen>,
    /// Whether there may be more of them: so many devices were read of that not all are known again.
    pub first_seen_more: bool,
    /// Access gained, changed and lost, the latest first.
    pub access: Vec<Access>,
    /// How many of those, the oldest, are left out.
    pub access_more: u64,
    /// Refused attempts, the most frequent first.
    pub refused: Vec<Refused>,
    /// How many attempts are left out there; they are counted everywhere else.
    pub refused_more: u64,
    /// Who asked, the most active first.
    pub identities: Vec<Identity>,
    /// All who are not told apart there.
    pub others: Tally,
    /// What for, the most frequent first.
    pub endpoints: Vec<Asked>,
    /// Refused attempts by rule, the most frequent first.
    #[serde(serialize_with = "by_name")]
    pub rules: Vec<(String, u64)>,
}

/// What was read.
#[derive(Debug, Default, Serialize)]
pub struct Lines {
    /// Lines, but for empty ones.
    pub read: u64,
    /// Those of them that can't be read: broken off, or not the proxy's.
    pub unreadable: u64,
    /// The first of these.
    pub first_unreadable: Option<Place>,
    /// Lines that are missing in the span, as the lines in their place say: the proxy could not write them.
    pub lost: u64,
    /// When the log begins.
    #[serde(serialize_with = "maybe_time")]
    pub log_from: Option<SystemTime>,
    /// When the journal begins.
    #[serde(serialize_with = "maybe_time")]
    pub journal_from: Option<SystemTime>,
}

/// A line of a file.
#[derive(Debug, Serialize)]
pub struct Place {
    /// What the file is called.
    pub file: String,
    /// From 1.
    pub line: u64,
}

/// What is counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Requests that ended.
    pub requests: u64,
    /// Attempts that the proxy refused: requests, and what came to none.
    pub refused: u64,
    /// Requests that were let through and failed: Ollama was down, broke off, or answered with 5xx.
    pub errors: u64,
    /// Bytes of requests' bodies that went on to Ollama.
    pub bytes_in: u64,
    /// Bytes of answers' bodies.
    pub bytes_out: u64,
    /// Tokens of prompts, of the requests whose answers told of them, where they were counted.
    pub tokens_in: u64,
    /// The same of answers.
    pub tokens_out: u64,
    /// Answers whose tokens were to be counted and that told of none: theirs are in neither.
    pub tokens_untold: u64,
    /// How long Ollama worked: from each request's turn to its end, of those that make a model run. Of two
    /// at once each counts.
    #[serde(rename = "ollama_ms", serialize_with = "millis")]
    pub worked: Duration,
}

impl Tally {
    /// Adds what was counted elsewhere. Nothing overflows.
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

    /// Whether tokens were to be counted, told or not.
    pub fn counts_tokens(&self) -> bool {
        self.tokens_in > 0 || self.tokens_out > 0 || self.tokens_untold > 0
    }

    /// By what rows are sorted: all that was tried.
    pub(super) fn attempts(&self) -> u64 {
        self.requests.saturating_add(self.refused)
    }
}

/// A user with all devices, or a tagged device.
#[derive(Debug, Serialize)]
pub struct Identity {
    /// The login name of a user, the name of a tagged device.
    pub identity: String,
    /// The login name again, or the tags.
    pub principal: String,
    /// What it did in the span.
    #[serde(flatten)]
    pub tally: Tally,
    /// When it did so first in the span,
    #[serde(serialize_with = "time")]
    pub first: SystemTime,
    /// and last.
    #[serde(serialize_with = "time")]
    pub last: SystemTime,
    /// What for, the most frequent first.
    pub endpoints: Vec<Asked>,
    /// The days that the span touches, each from its beginning: the first of them may have more than the
    /// span.
    pub days: Vec<Day>,
}

/// An endpoint, and what was done there.
#[derive(Debug, Serialize)]
pub struct Asked {
    /// Its name in the config; `none` where a request was refused before one was settled.
    pub endpoint: String,
    /// What was done there.
    #[serde(flatten)]
    pub tally: Tally,
}

/// A day in UTC.
#[derive(Debug, Serialize)]
pub struct Day {
    /// As `2026-11-24`.
    pub day: String,
    /// What was done on it.
    #[serde(flatten)]
    pub tally: Tally,
}

/// A device that nothing had been read of before.
#[derive(Debug, Serialize)]
pub struct FirstSeen {
    /// When the log or the journal first has it.
    #[serde(serialize_with = "time")]
    pub time: SystemTime,
    /// As whom it is counted, as for an [`Identity`].
    pub identity: String,
    /// Its name in the tailnet.
    pub node: String,
    /// Its user, or its tags.
    pub principal: String,
    /// What it has done since, in the span.
    #[serde(flatten)]
    pub tally: Tally,
}

/// A line of the journal.
#[derive(Debug, Serialize)]
pub struct Access {
    /// When the proxy learned of it.
    #[serde(serialize_with = "time")]
    pub time: SystemTime,
    /// `gained`, `changed` or `lost`.
    pub access: String,
    /// To which of the node's ports.
    pub port: u64,
    /// As whom the device is counted, as for an [`Identity`].
    pub identity: String,
    /// The device's name in the tailnet.
    pub node: String,
    /// Its user, or its tags.
    pub principal: String,
}

/// What a device was refused, and how often.
#[derive(Debug, Serialize)]
pub struct Refused {
    /// How often.
    pub count: u64,
    /// The rule.
    pub rule: String,
    /// As whom the device is counted, as for an [`Identity`].
    pub identity: String,
    /// The device's name in the tailnet.
    pub node: String,
    /// Its user, or its tags.
    pub principal: String,
    /// Absent where it came to no request.
    pub method: Option<String>,
    /// The endpoint by its name in the config, or else the path; absent as the method is.
    pub asked: Option<String>,
    /// The first time in the span,
    #[serde(serialize_with = "time")]
    pub first: SystemTime,
    /// and the last.
    #[serde(serialize_with = "time")]
    pub last: SystemTime,
}

impl Refused {
    /// The method and what was asked for; empty where it came to no request.
    pub fn attempt(&self) -> String {
        let words: Vec<_> = [self.method.as_deref(), self.asked.as_deref()].into_iter().flatten().collect();
        words.join(" ")
    }
}

/// More than an identity's usual.
#[derive(Debug, Serialize)]
pub struct Unusual {
    /// When, as `2026-11-24`.
    pub day: String,
    /// Whose.
    pub identity: String,
    /// As whom it acts.
    pub principal: String,
    /// Of what.
    pub measure: Measure,
    /// How much there was.
    pub value: u64,
    /// How much is usual.
    pub usual: u64,
}

const DAY: u64 = 24 * 60 * 60;

/// Which day in UTC a moment is part of, in days since 1970.
pub(super) fn day_of(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / DAY
}

/// As `2026-11-24`.
pub(super) fn day_name(day: u64) -> String {
    let begins = UNIX_EPOCH + Duration::from_secs(day * DAY);
    let mut name = humantime::format_rfc3339_seconds(begins).to_string();
    name.truncate("2026-11-24".len());
    name
}

pub(super) fn time<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*at))
}

pub(super) fn maybe_time<S: Serializer>(at: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => time(at, serializer),
        None => serializer.serialize_none(),
    }
}

fn by_name<S: Serializer>(counts: &[(String, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counts.iter().map(|(name, count)| (name, count)))
}

fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(whole_millis(duration))
}

fn whole_millis(duration: &Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! The summary of a span, the most relevant first. docs/report.md describes its JSON.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

use super::models::Used;
use super::tally::Tally;
use super::usual::Measure;
use crate::audit::ChangeKind;

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Its beginning.
    pub since: Timestamp,
    /// Its end, which is not part of it.
    pub until: Timestamp,
}

impl Span {
    /// Whether `at` is in the span.
    pub fn contains(&self, at: Timestamp) -> bool {
        (self.since..self.until).contains(&at)
    }
}

/// What happened in a span.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// When.
    #[serde(flatten)]
    pub span: Span,
    /// The lines that were read.
    pub lines: Lines,
    /// Whether anything older than the span was read. If not, every device counts as first seen.
    pub known_before: bool,
    /// All counts.
    pub total: Tally,
    /// How many requests ended how, by the names in the access log.
    pub ended: BTreeMap<&'static str, u64>,
    /// Days on which an identity did more than usual, the most unusual first.
    pub unusual: Vec<Unusual>,
    /// Devices without an earlier record in the access log or the journal, the latest first.
    pub first_seen: Vec<FirstSeen>,
    /// Whether some may be missing there: more devices were read than are recognized again.
    pub first_seen_more: bool,
    /// Access gained, changed and lost, the latest first.
    pub access: Vec<ReportedChange>,
    /// How many of the oldest are left out there.
    pub access_more: u64,
    /// Refused attempts, the most frequent first.
    pub refused: Vec<Refused>,
    /// How many attempts are left out there; they are counted everywhere else.
    pub refused_more: u64,
    /// The identities, the most active first.
    pub identities: Vec<Identity>,
    /// All identities without a row of their own.
    pub others: Tally,
    /// The endpoints, the most frequent first.
    pub endpoints: Vec<Asked>,
    /// The models, the most used first; empty unless usage was counted.
    pub models: Vec<Used>,
    /// Refused attempts by rule, the most frequent first.
    #[serde(serialize_with = "by_name")]
    pub rules: Vec<(String, u64)>,
}

/// What was read.
#[derive(Debug, Default, Serialize)]
pub struct Lines {
    /// All lines that are not empty.
    pub read: u64,
    /// Lines that are no record: cut, or not written by the proxy.
    pub unreadable: u64,
    /// The first of these.
    pub first_unreadable: Option<LinePlace>,
    /// Lines that the proxy could not write in the span, as it noted later.
    pub lost: u64,
    /// When the access log begins.
    pub log_from: Option<Timestamp>,
    /// When the journal begins.
    pub journal_from: Option<Timestamp>,
}

/// A line of a file.
#[derive(Debug, Serialize)]
pub struct LinePlace {
    /// What the file is called.
    pub file: String,
    /// From 1.
    pub line: u64,
}

/// A user with all devices, or a tagged device.
#[derive(Debug, Serialize)]
pub struct Identity {
    /// The login name of a user, the name of a tagged device.
    pub identity: String,
    /// The login name again, or the tags.
    pub principal: String,
    /// Its counts in the span.
    #[serde(flatten)]
    pub tally: Tally,
    /// Its first attempt in the span.
    pub first: Timestamp,
    /// Its last attempt in the span.
    pub last: Timestamp,
    /// Its endpoints, the most frequent first.
    pub endpoints: Vec<Asked>,
    /// Its days that the span touches. Each is counted from its start, so the first may exceed the span.
    pub days: Vec<Day>,
}

/// An endpoint and its counts.
#[derive(Debug, Serialize)]
pub struct Asked {
    /// Its name in the config. `none`: requests that were refused before the policy matched an endpoint.
    pub endpoint: String,
    /// Its counts.
    #[serde(flatten)]
    pub tally: Tally,
}

/// A day in UTC.
#[derive(Debug, Serialize)]
pub struct Day {
    /// The day.
    pub day: Date,
    /// Its counts.
    #[serde(flatten)]
    pub tally: Tally,
}

/// A device without an earlier record.
#[derive(Debug, Serialize)]
pub struct FirstSeen {
    /// Its first record in the access log or the journal.
    pub time: Timestamp,
    /// The identity that it counts as; see [`Identity`].
    pub identity: String,
    /// Its name in the tailnet.
    pub node: String,
    /// Its user, or its tags.
    pub principal: String,
    /// Its counts in the span.
    #[serde(flatten)]
    pub tally: Tally,
}

/// A change of access, from the journal.
#[derive(Debug, Serialize)]
pub struct ReportedChange {
    /// When the proxy learned of it.
    pub time: Timestamp,
    /// What changed.
    pub access: ChangeKind,
    /// The port of our node.
    pub port: u16,
    /// The identity that the device counts as; see [`Identity`].
    pub identity: String,
    /// The device's name in the tailnet.
    pub node: String,
    /// Its user, or its tags.
    pub principal: String,
}

/// Attempts of a device that one rule refused.
#[derive(Debug, Serialize)]
pub struct Refused {
    /// How often.
    pub count: u64,
    /// The rule.
    pub rule: String,
    /// The identity that the device counts as; see [`Identity`].
    pub identity: String,
    /// The device's name in the tailnet.
    pub node: String,
    /// Its user, or its tags.
    pub principal: String,
    /// The method; absent if the peer was refused before a request.
    pub method: Option<String>,
    /// The endpoint by its name in the config, or else the path; absent like the method.
    pub asked: Option<String>,
    /// The first time in the span.
    pub first: Timestamp,
    /// The last time in the span.
    pub last: Timestamp,
}

impl Refused {
    /// The method and what was asked for; empty if there was no request.
    pub fn attempt(&self) -> String {
        let words: Vec<_> = [self.method.as_deref(), self.asked.as_deref()].into_iter().flatten().collect();
        words.join(" ")
    }
}

/// More than an identity's usual.
#[derive(Debug, Serialize)]
pub struct Unusual {
    /// When.
    pub day: Date,
    /// The identity.
    pub identity: String,
    /// Its principal.
    pub principal: String,
    /// What was exceeded.
    pub measure: Measure,
    /// How much there was.
    pub value: u64,
    /// How much is usual.
    pub usual: u64,
}

fn by_name<S: Serializer>(counts: &[(String, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counts.iter().map(|(name, count)| (name, count)))
}

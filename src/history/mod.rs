//! What the access log and the journal report about a span of time: which identity asked for what, who was refused and
//! by which rule, which device is new, whose access changed, and what was unusual. Records in, a [`Summary`] out: no
//! clock, no folder, no socket.

mod line;
mod models;
mod recent;
mod rows;
mod summary;
mod tally;
mod usual;

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead};

use jiff::Timestamp;
use jiff::civil::Date;

use line::{Device, Line, Unreadable, count_record, each_line, plain};
use models::Models;
use rows::{Rows, most_first};
use tally::day_of;

use crate::audit::{
    AccessChange, AccessEvent, AccessRecord, ChangeKind, JournalEntry, LinesLost, PeerRefused, SessionCut,
};
use crate::peer::printable;

pub use models::Used;
pub use recent::{Change, Denied, Past, Recent, Recently};
pub use summary::{
    Asked, Day, FirstSeen, Identity, LinePlace, Lines, Refused, ReportedChange, Span, Summary, Unusual,
};
pub use tally::Tally;
pub use usual::{FACTOR, Measure};

/// How many identities, and how many kinds of refused attempts, have rows of their own. All others share one.
const ROWS_MAX: usize = 1000;

/// How many endpoints and rules have rows of their own. The proxy has fewer; a file that was changed may have more.
const NAMES_MAX: usize = 64;

/// How many devices are recognized when they come again.
const PEERS_MAX: usize = 50_000;

/// How many changes of access are kept: the latest.
const CHANGES_MAX: usize = 1000;

/// How many days with requests are kept of an identity: the latest.
const DAYS_MAX: usize = 400;

/// The name for the endpoint of an attempt that was refused before the policy matched one.
const NO_ENDPOINT: &str = "none";

/// Sums records up as they are read. Its memory is bounded, however much it reads. The order of records matters only
/// where a bound is reached.
pub struct History {
    span: Span,
    lines: Lines,
    total: Tally,
    ended: BTreeMap<&'static str, u64>,
    identities: Rows<Who, Known, ROWS_MAX>,
    endpoints: Endpoints,
    models: Models<Tally>,
    rules: Rows<String, u64, NAMES_MAX>,
    refused: Rows<Attempt, Times, ROWS_MAX>,
    devices: Rows<Device, Seen, PEERS_MAX>,
    changes: VecDeque<ReportedChange>,
    older_changes: u64,
}

type Endpoints = Rows<String, Tally, NAMES_MAX>;

/// An identity and the principal that it acts as. The same identity as another principal is another row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Who {
    identity: String,
    principal: String,
}

impl From<&Device> for Who {
    fn from(device: &Device) -> Self {
        Who { identity: device.identity().to_owned(), principal: device.principal.clone() }
    }
}

/// What is known of an identity. Only `days` and `last` also cover what is outside of the span.
#[derive(Debug, Default)]
struct Known {
    tally: Tally,
    times: Times,
    endpoints: Endpoints,
    days: BTreeMap<Date, Tally>,
    last: Option<Timestamp>,
}

/// What a device was refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Attempt {
    device: Device,
    rule: String,
    method: Option<String>,
    asked: Option<String>,
}

/// What is known of a device.
#[derive(Debug, Default)]
struct Seen {
    /// The time of its first record, in the span or before.
    first: Option<Timestamp>,
    tally: Tally,
}

/// How often something happened, and when first and last.
#[derive(Debug, Default, Clone, Copy)]
struct Times {
    count: u64,
    ends: Option<(Timestamp, Timestamp)>,
}

impl Times {
    fn add(&mut self, at: Timestamp) {
        self.count += 1;
        let (first, last) = self.ends.unwrap_or((at, at));
        self.ends = Some((first.min(at), last.max(at)));
    }
}

/// What a file turned out to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Records, or nothing at all.
    Records,
    /// No record, but lines of the diagnostics. Versions up to 0.1.0 kept their access log there.
    Diagnostics,
    /// Nothing that the proxy writes.
    Unknown,
}

impl History {
    /// Nothing has been read yet; the summary will be of `span`.
    pub fn new(span: Span) -> Self {
        History {
            span,
            lines: Lines::default(),
            total: Tally::default(),
            ended: BTreeMap::new(),
            identities: Rows::default(),
            endpoints: Rows::default(),
            models: Rows::default(),
            rules: Rows::default(),
            refused: Rows::default(),
            devices: Rows::default(),
            changes: VecDeque::new(),
            older_changes: 0,
        }
    }

    /// Reads all lines of `from`, which is called `name`: access logs and journals, in any mix, older ones first. Lines
    /// that are no records are counted.
    ///
    /// # Errors
    /// Reading failed; the lines before it are in the summary.
    pub fn read(&mut self, name: &str, from: impl BufRead) -> io::Result<FileKind> {
        let (mut records, mut first_other) = (0u64, None);
        each_line(from, |number, line| {
            self.lines.read += 1;
            match line {
                Line::Access(event) => self.event(*event),
                Line::Journal(entry) => self.entry(*entry),
                Line::Unreadable(why) => {
                    first_other.get_or_insert(why);
                    self.lines.unreadable += 1;
                    let place = || LinePlace { file: printable(name).into_owned(), line: number };
                    self.lines.first_unreadable.get_or_insert_with(place);
                    return;
                }
            }
            records += 1;
        })?;
        Ok(match first_other {
            Some(Unreadable::Diagnostics) if records == 0 => FileKind::Diagnostics,
            Some(Unreadable::Other) if records == 0 => FileKind::Unknown,
            _ => FileKind::Records,
        })
    }

    fn event(&mut self, event: AccessEvent) {
        let (AccessEvent::Request(AccessRecord { time, .. })
        | AccessEvent::PeerRefused(PeerRefused { time, .. })
        | AccessEvent::SessionCut(SessionCut { time, .. })
        | AccessEvent::LinesLost(LinesLost { time, .. })) = event;
        extend_back(&mut self.lines.log_from, time);
        if time >= self.span.until {
            return;
        }
        match event {
            AccessEvent::Request(record) => self.request(&record),
            AccessEvent::PeerRefused(refused) => {
                let device = Device::from(&refused.peer);
                self.count(time, &device, NO_ENDPOINT, &Tally { refused: 1, ..Tally::default() });
                let rule = refused.rule.name().to_owned();
                self.refuse(time, &Attempt { device, rule, method: None, asked: None });
            }
            AccessEvent::LinesLost(lost) => self.lose(&lost),
            // A request that the cut ended has a record of its own.
            AccessEvent::SessionCut(_) => {}
        }
    }

    fn entry(&mut self, entry: JournalEntry) {
        let (JournalEntry::Change(AccessChange { time, .. })
        | JournalEntry::LinesLost(LinesLost { time, .. })) = entry;
        extend_back(&mut self.lines.journal_from, time);
        match entry {
            _ if time >= self.span.until => {}
            JournalEntry::Change(change) => self.change(&change),
            JournalEntry::LinesLost(lost) => self.lose(&lost),
        }
    }

    fn lose(&mut self, LinesLost { time, lost, .. }: &LinesLost) {
        if *time >= self.span.since {
            self.lines.lost = self.lines.lost.saturating_add(*lost);
        }
    }

    fn request(&mut self, record: &AccessRecord) {
        let (time, device) = (record.time, Device::from(&record.peer));
        let endpoint = record.endpoint.as_deref().map(plain);
        let tally = count_record(record);
        self.count(time, &device, endpoint.as_deref().unwrap_or(NO_ENDPOINT), &tally);
        if self.span.contains(time) {
            *self.ended.entry(record.ended.name()).or_default() += 1;
            if let Some(model) = record.used_model() {
                self.models.of_model(model).add(&tally);
            }
        }
        if let Some(rule) = record.refused_by() {
            let (rule, method) = (plain(rule), Some(plain(&record.method)));
            let asked = endpoint.or(record.path.as_deref().map(plain));
            self.refuse(time, &Attempt { device, rule, method, asked });
        }
    }

    /// Counts what `device` did.
    fn count(&mut self, at: Timestamp, device: &Device, endpoint: &str, tally: &Tally) {
        let in_span = self.see(at, device);
        let (endpoint, since) = (endpoint.to_owned(), self.span.since);
        let who = Who::from(device);
        // An identity without requests in the span can be evicted: the report has nothing about it.
        self.identities.make_room(&who, |known: &Known| known.last.filter(|last| *last < since));
        let known = self.identities.of(&who);
        known.last = known.last.max(Some(at));
        known.days.entry(day_of(at)).or_default().add(tally);
        if known.days.len() > DAYS_MAX {
            known.days.pop_first();
        }
        if in_span {
            known.tally.add(tally);
            known.times.add(at);
            known.endpoints.of(&endpoint).add(tally);
            self.endpoints.of(&endpoint).add(tally);
            self.total.add(tally);
            self.devices.of(device).tally.add(tally);
        }
    }

    /// Notes that `device` has a record at `at`. Returns whether that is in the span.
    fn see(&mut self, at: Timestamp, device: &Device) -> bool {
        extend_back(&mut self.devices.of(device).first, at);
        self.span.contains(at)
    }

    fn refuse(&mut self, at: Timestamp, attempt: &Attempt) {
        if self.span.contains(at) {
            *self.rules.of(&attempt.rule) += 1;
            self.refused.of(attempt).add(at);
        }
    }

    fn change(&mut self, change: &AccessChange) {
        let AccessChange { time, access, port, ref peer, .. } = *change;
        let device = Device::from(peer);
        // `present` is no change: the proxy has started.
        if self.see(time, &device) && access != ChangeKind::Present {
            let identity = device.identity().to_owned();
            let Device { node, principal } = device;
            self.changes.push_back(ReportedChange { time, access, port, identity, node, principal });
            if self.changes.len() > CHANGES_MAX {
                self.changes.pop_front();
                self.older_changes += 1;
            }
        }
    }

    /// What was read, summed up for the span.
    pub fn summary(self) -> Summary {
        let Span { since, .. } = self.span;
        let (unusual, first_seen) = (self.unusual(), self.first_seen());
        let others = self.identities.others.tally;
        let endpoints = asked(&self.endpoints);
        let models = self.models.used(|tally| *tally);
        let (identities, refused) = (self.identities(), self.refused());
        let rules = self.rules.iter().map(|(rule, count)| (rule.clone(), *count));
        let beyond = (self.rules.others > 0).then(|| ("others".to_owned(), self.rules.others));
        let mut access: Vec<_> = self.changes.into();
        access.sort_by_key(|change| Reverse(change.time));
        let begins = [self.lines.log_from, self.lines.journal_from];
        Summary {
            span: self.span,
            known_before: begins.into_iter().flatten().any(|begins| begins < since),
            lines: self.lines,
            total: self.total,
            ended: self.ended,
            unusual,
            first_seen,
            first_seen_more: self.devices.others.first.is_some(),
            access,
            access_more: self.older_changes,
            refused,
            refused_more: self.refused.others.count,
            identities,
            others,
            endpoints,
            models,
            rules: most_first(rules.chain(beyond).collect(), |(_, count)| *count),
        }
    }

    fn unusual(&self) -> Vec<Unusual> {
        let first = day_of(self.span.since);
        let found = self.identities.iter().flat_map(|(who, known)| {
            usual::unusual(&known.days, first).map(|excess| Unusual {
                day: excess.day,
                identity: who.identity.clone(),
                principal: who.principal.clone(),
                measure: excess.measure,
                value: excess.value,
                usual: excess.usual,
            })
        });
        // By how many times the usual, in hundredths.
        most_first(found.collect(), |u| u.value.saturating_mul(100) / u.usual.max(1))
    }

    fn first_seen(&self) -> Vec<FirstSeen> {
        let first_seen = self.devices.iter().filter_map(|(device, seen)| {
            let time = seen.first.filter(|first| self.span.contains(*first))?;
            let (identity, tally) = (device.identity().to_owned(), seen.tally);
            let Device { node, principal } = device.clone();
            Some(FirstSeen { time, identity, node, principal, tally })
        });
        most_first(first_seen.collect(), |seen| seen.time)
    }

    fn refused(&self) -> Vec<Refused> {
        let refused = self.refused.iter().filter_map(|(attempt, times)| {
            let (first, last) = times.ends?;
            let (count, identity) = (times.count, attempt.device.identity().to_owned());
            let Attempt { device: Device { node, principal }, rule, method, asked } = attempt.clone();
            Some(Refused { count, rule, identity, node, principal, method, asked, first, last })
        });
        most_first(refused.collect(), |refused| refused.count)
    }

    fn identities(&self) -> Vec<Identity> {
        let first_day = day_of(self.span.since);
        let identities = self.identities.iter().filter_map(|(who, known)| {
            let (first, last) = known.times.ends?;
            let Who { identity, principal } = who.clone();
            let days = known.days.range(first_day..);
            let days = days.map(|(day, tally)| Day { day: *day, tally: *tally }).collect();
            let (tally, endpoints) = (known.tally, asked(&known.endpoints));
            Some(Identity { identity, principal, tally, first, last, endpoints, days })
        });
        most_first(identities.collect(), |identity| identity.tally.attempts())
    }
}

/// Moves `first` to `at` if that is earlier, or the first.
fn extend_back(first: &mut Option<Timestamp>, at: Timestamp) {
    *first = Some(first.map_or(at, |first| first.min(at)));
}

fn asked(endpoints: &Endpoints) -> Vec<Asked> {
    let rows = endpoints.iter().map(|(name, tally)| Asked { endpoint: name.clone(), tally: *tally });
    let others = Asked { endpoint: "others".to_owned(), tally: endpoints.others };
    let beyond = (others.tally != Tally::default()).then_some(others);
    most_first(rows.chain(beyond).collect(), |asked| asked.tally.attempts())
}

#[cfg(test)]
mod tests;

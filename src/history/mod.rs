//! What the access log and the journal tell of a span of time: who asked for what, who was refused and
//! why, who came for the first time, whose access changed, and what was more than usual. Lines in, a
//! [`Summary`] out: no clock, no folder, no socket.

mod line;
mod recent;
mod rows;
mod summary;
mod text;
mod usual;

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, Read};
use std::time::SystemTime;

use line::{Line, Peer, Request};
use rows::Rows;
use summary::{day_name, day_of};

use crate::peer::printable;

pub use recent::{Change, Denied, Past, Recent, Recently};
pub use summary::{
    Access, Asked, Day, FirstSeen, Identity, Lines, Place, Refused, Span, Summary, Tally, Unusual,
};
pub use usual::{FACTOR, Measure};

/// So many identities are told apart, and so many kinds of refused attempts; all others are counted together.
const MOST: usize = 1000;

/// So many endpoints and rules are told apart. There are fewer, unless a file is not the proxy's.
const NAMES_MAX: usize = 64;

/// So many devices are known again when they come back.
const PEERS_MAX: usize = 50_000;

/// So many changes of access are kept, the latest.
const CHANGES_MAX: usize = 1000;

/// So many days with requests are kept of an identity, the latest.
const DAYS_MAX: usize = 400;

/// Bytes of the longest line that is read. Those of requests have less than 2 kB; the journal's have a
/// peer's grants in them.
const LINE_MAX: usize = 1 << 20;

/// What stands for the endpoint where an attempt is refused before one is settled.
const NO_ENDPOINT: &str = "none";

/// Sums lines up as they are read. What it keeps is bounded, however much it reads, and the order of the
/// lines matters only where a bound is reached.
pub struct History {
    span: Span,
    lines: Lines,
    total: Tally,
    ended: BTreeMap<&'static str, u64>,
    identities: Rows<Who, Known, MOST>,
    endpoints: Endpoints,
    rules: Rows<String, u64, NAMES_MAX>,
    refused: Rows<Attempt, Times, MOST>,
    peers: Rows<Peer, Seen, PEERS_MAX>,
    changes: VecDeque<Access>,
    older_changes: u64,
}

type Endpoints = Rows<String, Tally, NAMES_MAX>;

/// An identity, as long as it acts as the same principal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Who {
    identity: String,
    principal: String,
}

/// What is known of an identity. Only its days and `last` have what is not in the span.
#[derive(Debug, Default)]
struct Known {
    tally: Tally,
    times: Times,
    endpoints: Endpoints,
    /// By days since 1970.
    days: BTreeMap<u64, Tally>,
    last: Option<SystemTime>,
}

/// What was refused to whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Attempt {
    peer: Peer,
    rule: String,
    method: Option<String>,
    asked: Option<String>,
}

/// What is known of a device.
#[derive(Debug, Default)]
struct Seen {
    /// The first time that anything tells of it, in the span or before.
    first: Option<SystemTime>,
    tally: Tally,
}

/// How often something was, and when first and last.
#[derive(Debug, Default, Clone, Copy)]
struct Times {
    count: u64,
    ends: Option<(SystemTime, SystemTime)>,
}

impl Times {
    fn add(&mut self, at: SystemTime) {
        self.count += 1;
        let (first, last) = self.ends.unwrap_or((at, at));
        self.ends = Some((first.min(at), last.max(at)));
    }
}

impl History {
    /// Nothing has been read yet; `span` is what the summary will be of.
    pub fn new(span: Span) -> Self {
        History {
            span,
            lines: Lines::default(),
            total: Tally::default(),
            ended: BTreeMap::new(),
            identities: Rows::default(),
            endpoints: Rows::default(),
            rules: Rows::default(),
            refused: Rows::default(),
            peers: Rows::default(),
            changes: VecDeque::new(),
            older_changes: 0,
        }
    }

    /// Reads all lines of `from`, which is called `name`: an access log in either format, the journal, or
    /// both mixed. Older files go first. A line that can't be read is counted as such. Whether there is one
    /// that can be read, or none at all.
    ///
    /// # Errors
    /// It can't be read; what came before is in the summary.
    pub fn read(&mut self, name: &str, from: impl BufRead) -> io::Result<bool> {
        let before = (self.lines.read, self.lines.unreadable);
        each_line(from, |number, line| {
            self.lines.read += 1;
            if let Some(line) = line {
                self.note(line);
            } else {
                self.lines.unreadable += 1;
                let place = || Place { file: printable(name).into_owned(), line: number };
                self.lines.first_unreadable.get_or_insert_with(place);
            }
        })?;
        let (read, unreadable) = (self.lines.read - before.0, self.lines.unreadable - before.1);
        Ok(read == 0 || unreadable < read)
    }

    fn note(&mut self, line: Line) {
        let (Line::Request(Request { at, .. })
        | Line::Refused { at, .. }
        | Line::Access { at, .. }
        | Line::Lost { at, .. }
        | Line::Other { at }) = line;
        let is_journal = matches!(line, Line::Access { .. } | Line::Lost { in_journal: true, .. });
        let begins = if is_journal { &mut self.lines.journal_from } else { &mut self.lines.log_from };
        *begins = Some(begins.map_or(at, |earliest| earliest.min(at)));
        if at >= self.span.until {
            return;
        }
        match line {
            Line::Request(request) => self.request(request),
            Line::Refused { peer, rule, .. } => {
                self.count(at, &peer, NO_ENDPOINT, &Tally { refused: 1, ..Tally::default() });
                self.refuse(at, &Attempt { peer, rule: rule.to_owned(), method: None, asked: None });
            }
            Line::Access { peer, access, port, .. } => self.access(at, peer, access, port),
            Line::Lost { lines, .. } if at >= self.span.since => {
                self.lines.lost = self.lines.lost.saturating_add(lines);
            }
            Line::Lost { .. } | Line::Other { .. } => {}
        }
    }

    fn request(&mut self, request: Request) {
        let (is_refused, tally) = (request.is_refused(), request.tally());
        let Request { at, peer, method, route, path, rule, ended, .. } = request;
        self.count(at, &peer, route.as_deref().unwrap_or(NO_ENDPOINT), &tally);
        if self.span.contains(at) {
            *self.ended.entry(ended.name()).or_default() += 1;
        }
        if let Some(rule) = rule
            && is_refused
        {
            self.refuse(at, &Attempt { peer, rule, method: Some(method), asked: route.or(path) });
        }
    }

    /// Counts what `peer` did.
    fn count(&mut self, at: SystemTime, peer: &Peer, endpoint: &str, tally: &Tally) {
        let seen = self.see(at, peer);
        let (endpoint, since) = (endpoint.to_owned(), self.span.since);
        let who = Who { identity: peer.identity().to_owned(), principal: peer.principal.clone() };
        // Whoever did nothing in the span gives way: nothing is to be told of them.
        self.identities.make_room(&who, |known: &Known| known.last.filter(|last| *last < since));
        let known = self.identities.of(&who);
        known.last = known.last.max(Some(at));
        known.days.entry(day_of(at)).or_default().add(tally);
        if known.days.len() > DAYS_MAX {
            known.days.pop_first();
        }
        if seen {
            known.tally.add(tally);
            known.times.add(at);
            known.endpoints.of(&endpoint).add(tally);
            self.endpoints.of(&endpoint).add(tally);
            self.total.add(tally);
            self.peers.of(peer).tally.add(tally);
        }
    }

    /// Takes note of a device; whether that is in the span.
    fn see(&mut self, at: SystemTime, peer: &Peer) -> bool {
        let seen = self.peers.of(peer);
        seen.first = Some(seen.first.map_or(at, |first| first.min(at)));
        self.span.contains(at)
    }

    fn refuse(&mut self, at: SystemTime, attempt: &Attempt) {
        if self.span.contains(at) {
            *self.rules.of(&attempt.rule) += 1;
            self.refused.of(attempt).add(at);
        }
    }

    fn access(&mut self, at: SystemTime, peer: Peer, access: String, port: u64) {
        // Who is present had access before: the proxy has started.
        if self.see(at, &peer) && access != "present" {
            let identity = peer.identity().to_owned();
            let Peer { node, principal } = peer;
            self.changes.push_back(Access { time: at, access, port, identity, node, principal });
            if self.changes.len() > CHANGES_MAX {
                self.changes.pop_front();
                self.older_changes += 1;
            }
        }
    }

    /// What there is to tell.
    pub fn summary(self) -> Summary {
        let Span { since, .. } = self.span;
        let (unusual, first_seen) = (self.unusual(), self.first_seen());
        let others = self.identities.others.tally;
        let endpoints = asked(&self.endpoints);
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
            first_seen_more: self.peers.others.first.is_some(),
            access,
            access_more: self.older_changes,
            refused,
            refused_more: self.refused.others.count,
            identities,
            others,
            endpoints,
            rules: most_first(rules.chain(beyond).collect(), |(_, count)| *count),
        }
    }

    fn unusual(&self) -> Vec<Unusual> {
        let first = day_of(self.span.since);
        let found = self.identities.iter().flat_map(|(who, known)| {
            usual::unusual(&known.days, first).map(|(day, measure, value, usual)| Unusual {
                day: day_name(day),
                identity: who.identity.clone(),
                principal: who.principal.clone(),
                measure,
                value,
                usual,
            })
        });
        // How many times the usual, in hundredths.
        most_first(found.collect(), |u| u.value.saturating_mul(100) / u.usual.max(1))
    }

    fn first_seen(&self) -> Vec<FirstSeen> {
        let first_seen = self.peers.iter().filter_map(|(peer, seen)| {
            let time = seen.first.filter(|first| self.span.contains(*first))?;
            let (identity, tally) = (peer.identity().to_owned(), seen.tally);
            let Peer { node, principal } = peer.clone();
            Some(FirstSeen { time, identity, node, principal, tally })
        });
        most_first(first_seen.collect(), |seen| seen.time)
    }

    fn refused(&self) -> Vec<Refused> {
        let refused = self.refused.iter().filter_map(|(attempt, times)| {
            let (first, last) = times.ends?;
            let (count, identity) = (times.count, attempt.peer.identity().to_owned());
            let Attempt { peer: Peer { node, principal }, rule, method, asked } = attempt.clone();
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
            let days = days.map(|(day, tally)| Day { day: day_name(*day), tally: *tally }).collect();
            let (tally, endpoints) = (known.tally, asked(&known.endpoints));
            Some(Identity { identity, principal, tally, first, last, endpoints, days })
        });
        most_first(identities.collect(), |identity| identity.tally.attempts())
    }
}

/// Has `note` take each line of `from` that is not empty, with its number from 1; without what it tells if
/// that can't be read.
///
/// # Errors
/// It can't be read; what came before was taken.
fn each_line(mut from: impl BufRead, mut note: impl FnMut(u64, Option<Line>)) -> io::Result<()> {
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        from.by_ref().take(LINE_MAX as u64).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            break;
        }
        let is_cut = bytes.len() == LINE_MAX && !bytes.ends_with(b"\n");
        if is_cut {
            from.skip_until(b'\n')?;
        }
        let text = str::from_utf8(&bytes).ok().filter(|_| !is_cut);
        let text = text.map(|text| text.trim_end_matches(['\r', '\n']));
        if text != Some("") {
            note(number, text.and_then(line::read));
        }
    }
    Ok(())
}

fn asked(endpoints: &Endpoints) -> Vec<Asked> {
    let rows = endpoints.iter().map(|(name, tally)| Asked { endpoint: name.clone(), tally: *tally });
    let others = Asked { endpoint: "others".to_owned(), tally: endpoints.others };
    let beyond = (others.tally != Tally::default()).then_some(others);
    most_first(rows.chain(beyond).collect(), |asked| asked.tally.attempts())
}

/// The rows with the most first; among equals the order stays, which is that of their names.
fn most_first<T, K: Ord>(mut rows: Vec<T>, of: impl Fn(&T) -> K) -> Vec<T> {
    rows.sort_by_key(|row| Reverse(of(row)));
    rows
}

#[cfg(test)]
mod tests;

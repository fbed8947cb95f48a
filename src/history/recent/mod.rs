//! The recent activity: what each identity asked for, the latest refusals and the latest changes of access. It gets each
//! record when it is made, and can read the files of before.

mod changes;
mod days;
mod denied;
mod models;

use std::io::{self, BufRead};

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use super::line::{Device, Line, count_record, each_line};
use super::rows::{Rows, most_first};
use super::tally::{Tally, day_of};
use super::{Used, Who, extend_back};
use crate::audit::{AccessChange, AccessEvent, AccessRecord, JournalEntry, PeerRefused, SessionCut};
use crate::peer::Peer;

use changes::Changes;
use days::{DAYS, Days, days, first_day};
use denied::DeniedList;
use models::ModelDays;

pub use changes::Change;
pub use denied::Denied;

/// How many identities have rows of their own. All others share one.
const IDENTITIES_MAX: usize = 1000;

/// The last days. Its memory is bounded, however much happens.
pub struct Recent {
    /// When the process started.
    began: Timestamp,
    /// The earliest record of the access log that was read.
    log_from: Option<Timestamp>,
    identities: Rows<Who, Days, IDENTITIES_MAX>,
    models: ModelDays,
    denied: DeniedList,
    changes: Changes,
    version: u64,
}

/// An identity's last days.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Past {
    /// The login name of a user, the name of a tagged device.
    pub identity: String,
    /// The login name again, or the tags.
    pub principal: String,
    /// The counts of all these days.
    #[serde(flatten)]
    pub tally: Tally,
    /// Requests of each day, the oldest first.
    pub days: Vec<u64>,
}

/// The last days of several identities.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Recently {
    /// The day since which requests are counted, one of `days`. It is not a time, which would tell when another
    /// identity sent a request.
    pub since: Date,
    /// The days in UTC, the oldest first.
    pub days: Vec<Date>,
    /// The most active first.
    pub identities: Vec<Past>,
    /// How many identities are left out.
    pub identities_more: usize,
}

impl Recent {
    /// How many days are kept, including today.
    pub const DAYS: u64 = DAYS;

    /// Nothing has happened yet at `now`.
    pub fn new(now: Timestamp) -> Self {
        Recent {
            began: now,
            log_from: None,
            identities: Rows::default(),
            models: ModelDays::default(),
            denied: DeniedList::default(),
            changes: Changes::default(),
            version: 0,
        }
    }

    /// Changes with every change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// A request ended.
    pub fn request(&mut self, record: &AccessRecord) {
        self.version += 1;
        let (device, first, tally) =
            (Device::from(&record.peer), first_day(record.time), count_record(record));
        let who = Who::from(&device);
        // An identity without requests on these days can be evicted.
        self.identities
            .make_room(&who, |days: &Days| days.keys().next_back().filter(|day| **day < first).copied());
        let days = self.identities.of(&who);
        days.entry(day_of(record.time)).or_default().add(&tally);
        *days = days.split_off(&first);
        self.models.request(record);
        if let Some(rule) = record.refused_by() {
            self.denied.add(Denied::new(record, device, rule));
        }
    }

    /// A peer's access version.
    pub fn change(&mut self, change: &AccessChange) {
        if let Some(change) = Change::new(change) {
            self.version += 1;
            self.changes.add(change);
        }
    }

    /// Reads an access log or a journal, older files first. Records from `until` on, and those of days that are no
    /// longer kept then, are ignored.
    ///
    /// # Errors
    /// Reading failed; the records before it count.
    pub fn read(&mut self, from: impl BufRead, until: Timestamp) -> io::Result<()> {
        let first = first_day(until);
        each_line(from, |_, line| match line {
            Line::Access(event) => self.event(&event, first, until),
            Line::Journal(entry) => match *entry {
                JournalEntry::Change(change) if change.time < until => self.change(&change),
                _ => {}
            },
            Line::Unreadable(_) => {}
        })
    }

    fn event(&mut self, event: &AccessEvent, first: Date, until: Timestamp) {
        let (AccessEvent::Request(AccessRecord { time, .. })
        | AccessEvent::PeerRefused(PeerRefused { time, .. })
        | AccessEvent::SessionCut(SessionCut { time, .. })) = event
        else {
            return;
        };
        if *time >= until {
            return;
        }
        self.extend_to(*time);
        if let AccessEvent::Request(record) = event
            && day_of(*time) >= first
        {
            self.request(record);
        }
    }

    /// Notes that the access log reaches back to `at`.
    pub fn extend_to(&mut self, at: Timestamp) {
        extend_back(&mut self.log_from, at);
    }

    /// Adds `before`, which happened earlier than everything here.
    pub fn prepend(&mut self, before: Recent) {
        let Recent { began: _, log_from, identities, models, denied, changes, version } = before;
        if let Some(from) = log_from {
            self.extend_to(from);
        }
        for (who, days) in identities.iter() {
            days.iter().for_each(|(day, tally)| self.identities.of(who).entry(*day).or_default().add(tally));
        }
        for (day, tally) in identities.others {
            self.identities.others.entry(day).or_default().add(&tally);
        }
        self.models.prepend(&models);
        self.denied.prepend(denied);
        self.changes.prepend(changes);
        self.version += version + 1;
    }

    /// The days until `now` of at most `most` identities; of the identity of `whose` alone, if given.
    pub fn days(&self, now: Timestamp, whose: Option<&Peer>, most: usize) -> Recently {
        let (first, whose) = (first_day(now), whose.map(|peer| Who::from(&Device::from(peer))));
        let rows = self.identities.iter().filter(|(who, _)| whose.as_ref().is_none_or(|own| own == *who));
        let rows = rows.filter_map(|(who, days)| past(who.clone(), days, first));
        let mut identities = most_first(rows.collect(), |past: &Past| past.tally.attempts());
        let identities_more = identities.len().saturating_sub(most);
        identities.truncate(most);
        if whose.is_none() {
            let others = Who { identity: "others".to_owned(), principal: String::new() };
            identities.extend(past(others, &self.identities.others, first));
        }
        let from = self.log_from.map_or(self.began, |from| from.min(self.began));
        Recently { since: day_of(from).max(first), days: days(first).collect(), identities, identities_more }
    }

    /// The usage by model of the days until `now`, of all identities together. At most `most` models, the most used first,
    /// and how many more there are.
    pub fn models(&self, now: Timestamp, most: usize) -> (Vec<Used>, usize) {
        let mut used = self.models.used(first_day(now));
        let more = used.len().saturating_sub(most);
        used.truncate(most);
        (used, more)
    }

    /// At most `most` of the latest refusals, the latest first, and how many more there were of identities that are
    /// not among these. Of the identity of `whose` alone, if given; otherwise a few of each identity.
    pub fn denied(&self, whose: Option<&Peer>, most: usize) -> (Vec<Denied>, u64) {
        self.denied.latest(whose, most)
    }

    /// At most `most` of the latest changes of access, the latest first, and how many more there were. Of the identity
    /// of `whose` alone, if given; changes that are no longer kept are not counted then.
    pub fn changes(&self, whose: Option<&Peer>, most: usize) -> (Vec<&Change>, u64) {
        self.changes.latest(whose, most)
    }
}

/// `None`: nothing was asked on these days.
fn past(who: Who, by_day: &Days, first: Date) -> Option<Past> {
    let mut tally = Tally::default();
    let kept: Vec<_> = days(first).map(|day| by_day.get(&day).copied().unwrap_or_default()).collect();
    kept.iter().for_each(|day| tally.add(day));
    let days = kept.iter().map(|day| day.requests).collect();
    let Who { identity, principal } = who;
    (tally != Tally::default()).then_some(Past { identity, principal, tally, days })
}

#[cfg(test)]
mod tests;

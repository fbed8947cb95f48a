//! The last days as they go by: what each identity asked for, the latest refusals, the latest changes of
//! access. It is told of each request and each change, and can read what was written before.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::line::{self, Line, Peer, Request, plain};
use super::rows::Rows;
use super::summary::{Tally, day_name, day_of, time};
use super::{Who, each_line, most_first};
use crate::audit::{Done, Standing};
use crate::peer;

/// So many identities are told apart; all others are counted together.
const IDENTITIES_MAX: usize = 1000;

/// So many refusals are kept, the latest,
const DENIED_MAX: usize = 500;

/// and of one identity so many, so that nobody pushes out what is to be told of others.
const DENIED_OF_ONE: usize = 50;

/// Where everybody's are told, so many of one identity.
const TOLD_OF_ONE: usize = 5;

/// So many changes of access are kept, the latest.
const CHANGES_MAX: usize = 200;

/// Changes of a device's access within that time are taken for one.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The last days. What it keeps is bounded, however much happens.
pub struct Recent {
    /// When it was made.
    began: SystemTime,
    /// The earliest that the log that was read tells of.
    from: Option<SystemTime>,
    /// Whether requests are in that log: otherwise it tells of none that there may have been.
    has_requests: bool,
    identities: Rows<Who, Days, IDENTITIES_MAX>,
    denied: VecDeque<Denied>,
    denied_more: u64,
    changes: VecDeque<Change>,
    changes_more: u64,
    changed: u64,
}

/// By days since 1970.
type Days = BTreeMap<u64, Tally>;

/// A request that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Denied {
    /// When.
    #[serde(serialize_with = "time")]
    pub time: SystemTime,
    /// The rule.
    pub rule: String,
    /// The device's name in the tailnet.
    pub node: String,
    /// Its user, or its tags.
    pub principal: String,
    /// At which of the node's ports; absent where the log does not say.
    pub port: Option<u64>,
    /// The method.
    pub method: String,
    /// The endpoint by its name in the config, or else the path, which may say anything.
    pub asked: String,
    /// The model that it was refused for, if it was for one.
    pub model: Option<String>,
    /// How many earlier ones of the same identity are left out.
    pub more: u64,
    /// As [`peer::Peer::identity`] has it; a tagged device's name, where only the log tells of it.
    #[serde(skip)]
    identity: String,
}

impl Denied {
    fn is_of_same(&self, other: &Denied) -> bool {
        (&self.identity, &self.principal) == (&other.identity, &other.principal)
    }

    fn is_of(&self, peer: &peer::Peer) -> bool {
        let logged = Peer::of(peer);
        self.principal == logged.principal
            && (self.identity == peer.identity() || self.identity == logged.identity())
    }
}

/// Access gained, changed or lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// When the proxy learned of it.
    #[serde(serialize_with = "time")]
    pub time: SystemTime,
    /// `gained`, `changed` or `lost`.
    pub access: String,
    /// To which of the node's ports, each once.
    pub ports: Vec<u64>,
    /// The device's name in the tailnet.
    pub node: String,
    /// Its user, or its tags.
    pub principal: String,
}

impl Change {
    /// Takes in a later one that is the same of other ports: one edit of the policy changes several.
    fn takes(&mut self, later: &Change) -> bool {
        let apart = later.time.duration_since(self.time);
        let is_same = (&self.node, &self.principal, &self.access)
            == (&later.node, &later.principal, &later.access)
            && apart.unwrap_or_else(|before| before.duration()) < AT_ONCE
            && !later.ports.iter().any(|port| self.ports.contains(port));
        if is_same {
            self.ports.extend(&later.ports);
        }
        is_same
    }
}

/// An identity's last days.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Past {
    /// The login name of a user, the name of a tagged device.
    pub identity: String,
    /// The login name again, or the tags.
    pub principal: String,
    /// All of these days.
    #[serde(flatten)]
    pub tally: Tally,
    /// Requests of each day, the oldest first.
    pub days: Vec<u64>,
}

/// What there is to tell.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Recently {
    /// The day from which on it is counted, one of these: no moment, which would be that of somebody's request.
    pub since: String,
    /// These days, in UTC, as `2026-11-24`, the oldest first.
    pub days: Vec<String>,
    /// The most active first.
    pub identities: Vec<Past>,
    /// How many more there are.
    pub identities_more: usize,
}

impl Recent {
    /// So many days are kept, today among them.
    pub const DAYS: u64 = 14;

    /// Nothing has happened yet at `now`.
    pub fn new(now: SystemTime) -> Self {
        Recent {
            began: now,
            from: None,
            has_requests: false,
            identities: Rows::default(),
            denied: VecDeque::new(),
            denied_more: 0,
            changes: VecDeque::new(),
            changes_more: 0,
            changed: 0,
        }
    }

    /// How often anything has changed.
    pub fn changed(&self) -> u64 {
        self.changed
    }

    /// A request has ended at `at`.
    pub fn ended(&mut self, at: SystemTime, done: &Done<'_>) {
        self.request(Request::of(at, done), done.peer.identity());
    }

    /// The journal has a new line; see [`crate::audit::Watcher::access`].
    pub fn access(&mut self, at: SystemTime, access: &str, port: u16, standing: &Standing) {
        let peer = Peer { node: plain(&standing.node), principal: plain(&standing.principal) };
        self.change(at, peer, access.to_owned(), port.into());
    }

    /// Reads an access log or a journal, older files first, but nothing from `until` on, nor of days that
    /// are no longer kept then.
    ///
    /// # Errors
    /// It can't be read; what came before counts.
    pub fn read(&mut self, from: impl BufRead, until: SystemTime) -> io::Result<()> {
        let first = first_day(until);
        let counts = |at: &SystemTime| *at < until && day_of(*at) >= first;
        each_line(from, |_, line| match line {
            Some(Line::Request(request)) if counts(&request.at) => {
                self.reach_back(request.at);
                self.has_requests = true;
                let identity = request.peer.identity().to_owned();
                self.request(request, &identity);
            }
            Some(Line::Access { at, peer, access, port }) if at < until => {
                self.change(at, peer, access, port);
            }
            Some(Line::Request(Request { at, .. }) | Line::Refused { at, .. }) if at < until => {
                self.reach_back(at);
                self.has_requests = true;
            }
            Some(Line::Other { at } | Line::Lost { at, in_journal: false, .. }) if at < until => {
                self.reach_back(at);
            }
            _ => {}
        })
    }

    /// The log has something of that moment.
    pub fn reach_back(&mut self, at: SystemTime) {
        self.from = Some(self.from.map_or(at, |from| from.min(at)));
    }

    /// Puts what happened `before` ahead of what it has.
    pub fn follow(&mut self, before: Recent) {
        let Recent {
            began: _,
            from,
            has_requests,
            identities,
            denied,
            denied_more,
            changes,
            changes_more,
            changed,
        } = before;
        self.has_requests |= has_requests;
        if let Some(from) = from {
            self.reach_back(from);
        }
        for (who, days) in identities.iter() {
            days.iter().for_each(|(day, tally)| self.identities.of(who).entry(*day).or_default().add(tally));
        }
        for (day, tally) in identities.others {
            self.identities.others.entry(day).or_default().add(&tally);
        }
        let (since, changes_since) = (std::mem::take(&mut self.denied), std::mem::take(&mut self.changes));
        self.denied_more += denied_more;
        self.changes_more += changes_more;
        denied.into_iter().chain(since).for_each(|denied| self.deny(denied));
        changes.into_iter().chain(changes_since).for_each(|change| self.keep(change));
        self.changed += changed + 1;
    }

    fn request(&mut self, request: Request, identity: &str) {
        self.changed += 1;
        let (first, tally, is_refused) = (first_day(request.at), request.tally(), request.is_refused());
        let Request { at, peer, port, method, route, path, rule, model, .. } = request;
        let who = Who { identity: peer.identity().to_owned(), principal: peer.principal.clone() };
        // Whoever did nothing on these days gives way.
        self.identities
            .make_room(&who, |days: &Days| days.keys().next_back().filter(|day| **day < first).copied());
        let days = self.identities.of(&who);
        days.entry(day_of(at)).or_default().add(&tally);
        *days = days.split_off(&first);
        if let Some(rule) = rule
            && is_refused
        {
            let asked = route.or(path).unwrap_or_default();
            let Peer { node, principal } = peer;
            let identity = identity.to_owned();
            self.deny(Denied {
                time: at,
                rule,
                node,
                principal,
                port,
                method,
                asked,
                model,
                more: 0,
                identity,
            });
        }
    }

    /// Of each identity the earliest that is kept tells how many were before it.
    fn deny(&mut self, mut denied: Denied) {
        let own = |other: &Denied| other.is_of_same(&denied);
        let too_many = self.denied.iter().filter(|other| own(other)).count() >= DENIED_OF_ONE;
        let gone = match too_many {
            true => self.denied.iter().position(own),
            false => (self.denied.len() >= DENIED_MAX).then_some(0),
        };
        let gone = gone.and_then(|at| self.denied.remove(at));
        if let Some(first) = self.denied.iter_mut().find(|other| other.is_of_same(&denied)) {
            first.more += std::mem::take(&mut denied.more);
        }
        self.denied.push_back(denied);
        if let Some(gone) = gone {
            let next = self.denied.iter_mut().find(|other| other.is_of_same(&gone));
            *next.map_or(&mut self.denied_more, |next| &mut next.more) += gone.more + 1;
        }
    }

    fn change(&mut self, at: SystemTime, peer: Peer, access: String, port: u64) {
        // Who is present had access before: the proxy has started.
        if access != "present" {
            self.changed += 1;
            let Peer { node, principal } = peer;
            self.keep(Change { time: at, access, ports: vec![port], node, principal });
        }
    }

    fn keep(&mut self, change: Change) {
        // Of each port the journal tells of everybody before it comes to the next.
        if self.changes.iter_mut().rev().any(|before| before.takes(&change)) {
            return;
        }
        if self.changes.len() >= CHANGES_MAX {
            self.changes.pop_front();
            self.changes_more += 1;
        }
        self.changes.push_back(change);
    }

    /// The last days until `now`, of at most `most` identities; of one peer's alone, if `whose` names it.
    pub fn days(&self, now: SystemTime, whose: Option<&peer::Peer>, most: usize) -> Recently {
        let (first, whose) = (first_day(now), whose.map(Peer::of));
        let own = |who: &Who| {
            let is = |peer: &Peer| (peer.identity(), &peer.principal) == (&who.identity, &who.principal);
            whose.as_ref().is_none_or(is)
        };
        let rows = self.identities.iter().filter(|(who, _)| own(who));
        let rows = rows.filter_map(|(who, days)| past(who.clone(), days, first));
        let mut identities = most_first(rows.collect(), |past: &Past| past.tally.attempts());
        let identities_more = identities.len().saturating_sub(most);
        identities.truncate(most);
        if whose.is_none() {
            let others = Who { identity: "others".to_owned(), principal: String::new() };
            identities.extend(past(others, &self.identities.others, first));
        }
        let from = self.from.filter(|_| self.has_requests).map_or(self.began, |from| from.min(self.began));
        Recently {
            since: day_name(day_of(from).max(first)),
            days: (first..first + Self::DAYS).map(day_name).collect(),
            identities,
            identities_more,
        }
    }

    /// At most `most` of the latest refusals, the latest first, and how many more there were of identities that
    /// are not among these; of one peer's identity alone, if `whose` names it. Otherwise a few of each identity.
    pub fn denied(&self, whose: Option<&peer::Peer>, most: usize) -> (Vec<Denied>, u64) {
        let (of_one, mut more) = if whose.is_none() { (TOLD_OF_ONE, self.denied_more) } else { (most, 0) };
        let mut told = Vec::<Denied>::new();
        for denied in self.denied.iter().rev().filter(|denied| whose.is_none_or(|peer| denied.is_of(peer))) {
            if told.len() < most && told.iter().filter(|one| one.is_of_same(denied)).count() < of_one {
                told.push(denied.clone());
            } else {
                let last = told.iter_mut().rfind(|one| one.is_of_same(denied));
                *last.map_or(&mut more, |last| &mut last.more) += denied.more + 1;
            }
        }
        (told, more)
    }

    /// The latest changes of access, the latest first, and how many more there were; of one peer's identity
    /// alone, if `whose` names it, and then it is not told how many more.
    pub fn changes(&self, whose: Option<&peer::Peer>, most: usize) -> (Vec<&Change>, u64) {
        let whose = whose.map(Peer::of);
        let own = |change: &&Change| is_own(&change.node, &change.principal, whose.as_ref());
        let all: Vec<_> = self.changes.iter().rev().filter(own).collect();
        let gone = if whose.is_none() { self.changes_more } else { 0 };
        let more = all.len().saturating_sub(most) as u64 + gone;
        (all.into_iter().take(most).collect(), more)
    }
}

/// As whom a device is counted, and acts.
fn counted_as<'a>(node: &'a str, principal: &'a str) -> (&'a str, &'a str) {
    (line::identity(node, principal), principal)
}

/// Whether a device is counted as `whose`, or nobody in particular is asked for.
fn is_own(node: &str, principal: &str, whose: Option<&Peer>) -> bool {
    whose.is_none_or(|peer| counted_as(node, principal) == counted_as(&peer.node, &peer.principal))
}

/// The first day that is kept at that moment.
fn first_day(now: SystemTime) -> u64 {
    (day_of(now) + 1).saturating_sub(Recent::DAYS)
}

fn past(who: Who, days: &Days, first: u64) -> Option<Past> {
    let mut tally = Tally::default();
    let kept = first..first + Recent::DAYS;
    days.range(kept.clone()).for_each(|(_, day)| tally.add(day));
    let days = kept.map(|day| days.get(&day).map_or(0, |tally| tally.requests)).collect();
    let Who { identity, principal } = who;
    (tally != Tally::default()).then_some(Past { identity, principal, tally, days })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn now() -> SystemTime {
        humantime::parse_rfc3339("2026-11-24T12:00:00Z").unwrap()
    }

    fn line(at: SystemTime, node: &str, principal: &str, rule: Option<&str>) -> String {
        let mut line = json!({
            "timestamp": humantime::format_rfc3339_micros(at).to_string(), "target": "access", "id": "1",
            "node": node, "principal": principal, "addr": "100.64.0.2:1", "method": "POST", "status": 200,
            "bytes_in": 10, "bytes_out": 20, "queue_ms": 0.0, "ms": 1500.0, "ended": "complete",
        });
        match rule {
            None => line["route"] = json!("v1_chat_completions"),
            Some(rule) => {
                line["path"] = json!("/x");
                line["rule"] = json!(rule);
                line["ended"] = json!("refused");
            }
        }
        format!("{line}\n")
    }

    fn peer(node: &str, user: Option<&str>) -> peer::Peer {
        peer::Peer {
            addr: ([100, 64, 0, 2], 1).into(),
            node: node.to_owned(),
            stable_id: "n1".to_owned(),
            user: user.map(str::to_owned),
            tags: if user.is_none() { vec!["tag:ci".to_owned()] } else { Vec::new() },
            os: String::new(),
        }
    }

    fn read(text: &str, until: SystemTime) -> Recent {
        let mut recent = Recent::new(until);
        recent.read(text.as_bytes(), until).unwrap();
        recent
    }

    #[test]
    fn the_last_days_are_counted_and_no_others() {
        let text = [
            line(now() - 14 * DAY, "a", "anna@example.com", None),
            line(now() - 13 * DAY, "a", "anna@example.com", None),
            line(now() - DAY, "b", "anna@example.com", None),
            line(now() - DAY, "ci", "tag:ci", Some("grant")),
            line(now(), "a", "anna@example.com", None), // by whoever writes now
        ];
        let recent = read(&text.concat(), now());
        let all = recent.days(now(), None, 50);
        assert_eq!((all.days.len(), &*all.days[0], &*all.days[13]), (14, "2026-11-11", "2026-11-24"));
        assert_eq!(all.since, all.days[0]);
        let [anna, ci] = &all.identities[..] else { panic!("{all:?}") };
        assert_eq!(
            (&*anna.identity, anna.tally.requests, anna.tally.ollama_ms()),
            ("anna@example.com", 2, 3000)
        );
        assert_eq!((anna.days[0], anna.days[12], anna.days[13]), (1, 1, 0));
        assert_eq!((&*ci.identity, ci.tally.refused), ("ci", 1));
        // A day later the first is gone.
        let later = recent.days(now() + DAY, None, 1);
        assert_eq!((later.identities[0].tally.requests, later.identities_more), (1, 1));
    }

    #[test]
    fn each_is_told_of_their_own() {
        let text = [
            line(now() - DAY, "a", "anna@example.com", Some("grant")),
            line(now() - DAY, "ci", "tag:ci", Some("management")),
            line(now() - DAY, "ci", "tag:other", Some("management")),
        ];
        let mut recent = read(&text.concat(), now());
        for (node, principal) in [("a", "anna@example.com"), ("ci", "tag:ci")] {
            let (grants, faults) = Default::default();
            let standing =
                Standing { node: node.to_owned(), principal: principal.to_owned(), grants, faults };
            recent.access(now(), "present", 80, &standing);
            recent.access(now(), "lost", 80, &standing);
        }
        for (peer, node) in [(peer("b", Some("anna@example.com")), "a"), (peer("ci", None), "ci")] {
            let past = recent.days(now(), Some(&peer), 50);
            assert_eq!((past.identities.len(), past.identities[0].tally.refused), (1, 1));
            let (denied, more) = recent.denied(Some(&peer), 50);
            assert_eq!((denied.len(), &*denied[0].node, more), (1, node, 0));
            let (changes, more) = recent.changes(Some(&peer), 50);
            assert_eq!((changes.len(), &*changes[0].node, &*changes[0].access, more), (1, node, "lost", 0));
        }
        let stranger = peer("ci2", None);
        assert!(recent.days(now(), Some(&stranger), 50).identities.is_empty());
        assert!(recent.denied(Some(&stranger), 50).0.is_empty());
    }

    #[test]
    fn one_edit_of_the_policy_is_one_change_of_each_device() {
        let mut recent = Recent::new(now());
        let of = |node: &str| Standing {
            node: node.to_owned(),
            principal: "tag:ci".to_owned(),
            grants: Vec::new(),
            faults: Vec::new(),
        };
        let at = |ms: u64| now() + Duration::from_millis(ms);
        for (ms, access, port, node) in [
            (0, "gained", 11434, "a"),
            (0, "gained", 11434, "b"),
            (5, "gained", 443, "a"),
            (5, "changed", 443, "b"),
            (9, "lost", 11434, "a"),
            (12, "gained", 11434, "a"),
            (1000, "gained", 80, "a"),
        ] {
            recent.access(at(ms), access, port, &of(node));
        }
        let (changes, more) = recent.changes(None, 50);
        let told: Vec<_> = changes.iter().map(|c| (&*c.node, &*c.access, &c.ports[..])).collect();
        let expected: [(&str, &str, &[u64]); 5] = [
            ("a", "gained", &[11434, 80]),
            ("a", "lost", &[11434]),
            ("b", "changed", &[443]),
            ("b", "gained", &[11434]),
            ("a", "gained", &[11434, 443]),
        ];
        assert_eq!((told, more), (expected.into(), 0));
    }

    #[test]
    fn nobody_pushes_out_what_is_told_of_others() {
        let mut text = line(now() - 2 * DAY, "a", "anna@example.com", Some("grant"));
        for n in 0..1000u32 {
            text += &line(now() - DAY + Duration::from_secs(n.into()), "ci", "tag:ci", Some("management"));
        }
        let recent = read(&text, now());
        let (denied, more) = recent.denied(None, 50);
        assert_eq!((denied.len(), more), (TOLD_OF_ONE + 1, 0));
        assert_eq!((&*denied[TOLD_OF_ONE - 1].node, denied[TOLD_OF_ONE - 1].more), ("ci", 995));
        assert_eq!((&*denied[TOLD_OF_ONE].node, denied[TOLD_OF_ONE].more), ("a", 0));
        let (denied, more) = recent.denied(Some(&peer("ci", None)), 50);
        assert_eq!((denied.len(), denied[49].more, more), (DENIED_OF_ONE, 950, 0));
        assert_eq!(recent.denied(Some(&peer("a", Some("anna@example.com"))), 50).1, 0);
    }

    #[test]
    fn what_is_left_out_is_counted_once() {
        let mut recent = Recent::new(now());
        let many = |at: SystemTime, count: u64, node: &dyn Fn(u64) -> String| -> String {
            let told = |n| line(at + Duration::from_secs(n), &node(n), "tag:ci", Some("grant"));
            (0..count).map(told).collect()
        };
        recent.read(many(now(), 70, &|_| "ci".to_owned()).as_bytes(), now() + DAY).unwrap();
        recent.follow(read(&many(now() - DAY, 60, &|_| "ci".to_owned()), now()));
        let (denied, more) = recent.denied(None, 50);
        let counted: Vec<_> = denied.iter().map(|denied| denied.more).collect();
        assert_eq!((counted, more), (vec![0, 0, 0, 0, 125], 0));
        // Nothing is kept of whoever was long ago.
        let later = many(now() + DAY, 600, &|n| format!("n{n}"));
        recent.read(later.as_bytes(), now() + 2 * DAY).unwrap();
        let (denied, more) = recent.denied(None, 50);
        assert_eq!((denied.len(), more), (50, 130 + 550));
    }

    #[test]
    fn what_was_before_goes_ahead() {
        let mut recent = Recent::new(now());
        let later = line(now() + Duration::from_secs(1), "a", "anna@example.com", Some("grant"));
        recent.read(later.as_bytes(), now() + DAY).unwrap();
        recent.follow(read(&line(now() - DAY, "a", "anna@example.com", Some("host")), now()));
        let (denied, _) = recent.denied(None, 50);
        let rules: Vec<_> = denied.iter().map(|denied| &*denied.rule).collect();
        assert_eq!(rules, ["grant", "host"]);
        let past = recent.days(now(), None, 50);
        assert_eq!((past.identities[0].days[12], past.identities[0].days[13]), (1, 1));
        assert_eq!(past.since, "2026-11-23");
        assert_eq!(Recent::new(now()).days(now(), None, 50).since, "2026-11-24");
    }

    #[test]
    fn it_is_counted_from_the_day_on_that_the_log_begins() {
        let other = |days: u32| {
            let at = humantime::format_rfc3339_micros(now() - days * DAY);
            format!("{{\"timestamp\":\"{at}\",\"target\":\"x\",\"message\":\"y\"}}\n")
        };
        let request = |days: u32| line(now() - days * DAY, "a", "anna@example.com", None);
        for (text, since) in [
            (other(5) + &request(2), "2026-11-19"),
            (other(20) + &request(2), "2026-11-11"),
            (request(20) + &other(2), "2026-11-11"),
            (other(5), "2026-11-24"), // it has no requests
        ] {
            assert_eq!(read(&text, now()).days(now(), None, 50).since, since, "{text}");
        }
    }
}

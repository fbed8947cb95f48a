//! `grants` and `acls`: what they let through.
//!
//! Source: Tailscale documentation, "Grants syntax" and "ACLs". Every rule adds to the others; none
//! takes anything away.

use std::fmt;

use serde::{Serialize, Serializer};

use super::answer::Answer;
use super::block::Family;
use super::device::Device;
use super::fault::Fault;
use super::names::Names;
use super::read::At;
use super::selector::Selector;
use super::traffic::{Ports, Traffic, parse_protocol};

/// One grant, or one destination of an acl: they mean the same.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) origin: Origin,
    pub(super) src: Vec<Selector>,
    pub(super) dst: Vec<Selector>,
    pub(super) ip: Vec<Traffic>,
    /// Capabilities by name, each with its values.
    pub(super) app: Vec<(String, Vec<serde_json::Value>)>,
    /// What has to be met besides, and is not judged here.
    pub(super) conditions: Vec<String>,
}

/// The entry of the file that a rule comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// `grants` or `acls`.
    pub section: &'static str,
    /// Which entry of the section, from 0.
    pub index: usize,
    /// The line where the entry begins, from 1.
    pub line: usize,
}

impl fmt::Display for Origin {
    /// `grants[2] (line 41)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}] (line {})", self.section, self.index, self.line)
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = format!("{}[{}]", self.section, self.index);
        serde_json::json!({"entry": entry, "line": self.line}).serialize(serializer)
    }
}

impl Rule {
    pub(super) fn read_grant(at: &At<'_>, index: usize, names: &Names, faults: &mut Vec<Fault>) -> Vec<Rule> {
        let fields = ["src", "dst", "ip", "app", "srcPosture", "via"];
        let [src, dst, ip, app, posture, via] = at.fields(fields, faults);
        let mut rule = Rule {
            origin: Origin { section: "grants", index, line: at.line() },
            src: selectors(at, "src", src, names, faults),
            dst: selectors(at, "dst", dst, names, faults),
            ip: Vec::new(),
            app: Vec::new(),
            conditions: conditions(posture, via, faults),
        };
        let before = faults.len();
        for (at, text) in ip.iter().flat_map(|at| at.texts(faults)).collect::<Vec<_>>() {
            match Traffic::parse(text) {
                Ok(traffic) => rule.ip.push(traffic),
                Err(reason) => faults.push(at.fault(reason)),
            }
        }
        for (name, at) in app.iter().flat_map(|at| at.entries(faults)).collect::<Vec<_>>() {
            if name.split_once('/').is_none_or(|(domain, name)| domain.is_empty() || name.is_empty()) {
                let reason = "no capability: want domain/name, such as example.com/cap/x";
                faults.push(Fault::new(at.line(), &at.key, "", reason));
            }
            rule.app.push((name.to_owned(), at.list(faults).iter().map(At::json).collect()));
        }
        if rule.ip.is_empty() && rule.app.is_empty() && faults.len() == before {
            faults.push(at.fault("neither ip nor app: the grant grants nothing"));
        }
        vec![rule]
    }

    pub(super) fn read_acl(at: &At<'_>, index: usize, names: &Names, faults: &mut Vec<Fault>) -> Vec<Rule> {
        let fields = ["action", "src|users", "dst|ports", "proto", "srcPosture"];
        let [action, src, dst, proto, posture] = at.fields(fields, faults);
        match action {
            None => faults.push(at.fault("action is missing: want \"action\": \"accept\"")),
            Some(at) if at.text(faults).is_some_and(|text| text != "accept") => {
                faults.push(at.fault("there is no action but accept; what no rule accepts is refused"));
            }
            Some(_) => {}
        }
        let origin = Origin { section: "acls", index, line: at.line() };
        let src = selectors(at, "src", src, names, faults);
        let conditions = conditions(posture, None, faults);
        let protocol = proto.as_ref().and_then(|at| at.text(faults)).unwrap_or_default();
        if let (Some(at), Err(reason)) = (&proto, protocol_or_none(protocol)) {
            faults.push(at.fault(reason));
            return Vec::new();
        }
        let mut rules = Vec::new();
        for (at, text) in somebody(at, "dst", dst, faults) {
            let read = split_target(text).and_then(|(host, ports)| {
                let parse = |ports: &str| Ports::parse(ports).and_then(|p| Traffic::new(protocol, p));
                Ok((names.selector(host)?, ports.split(',').map(parse).collect::<Result<_, _>>()?))
            });
            match read {
                Ok((dst, ip)) => {
                    let (src, conditions) = (src.clone(), conditions.clone());
                    rules.push(Rule { origin, src, dst: vec![dst], ip, app: Vec::new(), conditions });
                }
                Err(reason) => faults.push(at.fault(reason)),
            }
        }
        rules
    }

    /// Whether it is about a connection from one to the other at all.
    pub(super) fn applies(&self, src: &Device, dst: &Device, names: &Names) -> Answer {
        let family = |family| {
            let from = Answer::any(self.src.iter().map(|s| s.means(src, dst, family, names)));
            let to = Answer::any(self.dst.iter().map(|s| s.means(dst, src, family, names)));
            match (src.has(family), dst.has(family)) {
                (true, true) => from.and(to),
                _ => Answer::No,
            }
        };
        family(Family::V4).or(family(Family::V6)).and(self.condition())
    }

    /// Whether it holds whatever the device that asks is like.
    pub(super) fn condition(&self) -> Answer {
        match self.conditions.as_slice() {
            [] => Answer::Yes,
            conditions => Answer::Perhaps(conditions.to_vec()),
        }
    }

    pub(super) fn passes(&self, protocol: u8, port: u16) -> bool {
        self.ip.iter().any(|traffic| traffic.passes(protocol, port))
    }
}

/// Splits `tag:x:80,443` into host and ports. An IPv6 address may be in brackets.
pub(super) fn split_target(text: &str) -> Result<(&str, &str), String> {
    let (host, ports) =
        text.rsplit_once(':').ok_or("lacks the ports: want destination:ports, such as tag:server:443")?;
    Ok((host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host), ports))
}

fn protocol_or_none(text: &str) -> Result<(), String> {
    if text.is_empty() { Ok(()) } else { parse_protocol(text).map(drop) }
}

/// The texts of `src` or `dst`, which must not be empty.
fn somebody<'a>(
    at: &At<'a>,
    name: &str,
    field: Option<At<'a>>,
    faults: &mut Vec<Fault>,
) -> Vec<(At<'a>, &'a str)> {
    let Some(field) = field else {
        faults.push(at.fault(format!("{name} is missing: it must name somebody")));
        return Vec::new();
    };
    let before = faults.len();
    let texts = field.texts(faults);
    if texts.is_empty() && faults.len() == before {
        faults.push(field.fault("is empty: it must name somebody"));
    }
    texts
}

fn selectors<'a>(
    at: &At<'a>,
    name: &str,
    field: Option<At<'a>>,
    names: &Names,
    faults: &mut Vec<Fault>,
) -> Vec<Selector> {
    let mut selectors = Vec::new();
    for (at, text) in somebody(at, name, field, faults) {
        match names.selector(text) {
            Ok(selector) => selectors.push(selector),
            Err(reason) => faults.push(at.fault(reason)),
        }
    }
    selectors
}

fn conditions(posture: Option<At<'_>>, via: Option<At<'_>>, faults: &mut Vec<Fault>) -> Vec<String> {
    let mut list = |field: Option<At<'_>>, what: &str| {
        let texts: Vec<_> = field.iter().flat_map(|at| at.texts(faults)).map(|(_, text)| text).collect();
        (!texts.is_empty()).then(|| format!("{what} {} is not judged here", texts.join(", ")))
    };
    [list(posture, "srcPosture"), list(via, "via")].into_iter().flatten().collect()
}

//! Sections that do not decide who may connect. The names in them must exist, or Tailscale refuses the whole file.
//!
//! Source: Tailscale documentation, "Syntax reference for the tailnet policy file" (`autoApprovers`,
//! `nodeAttrs`, `ssh`, `sshTests`, `postures`) and "IP sets".

use std::collections::BTreeMap;

use super::block::Block;
use super::control_server::ControlServer;
use super::fault::FileFault;
use super::headscale;
use super::ipset::IpSet;
use super::names::Names;
use super::read::At;
use super::selector::Selector;

/// One operation of an IP set.
enum Operation {
    Add(Selector),
    Remove(Selector),
}

impl Operation {
    fn operand(&self) -> &Selector {
        match self {
            Operation::Add(operand) | Operation::Remove(operand) => operand,
        }
    }
}

impl Names {
    /// Reads the IP sets and postures, which rules may name.
    pub(super) fn define(
        &mut self,
        ipsets: Option<At<'_>>,
        postures: Option<At<'_>>,
        faults: &mut Vec<FileFault>,
    ) {
        self.define_ipsets(&entries(&ipsets, faults), faults);
        for (name, at) in entries(&postures, faults) {
            check_prefix(name, "posture:", "not a posture's name; it must begin with posture:", &at, faults);
            at.texts(faults);
            self.postures.push(name.to_owned());
        }
    }

    fn define_ipsets(&mut self, sets: &[(&str, At<'_>)], faults: &mut Vec<FileFault>) {
        let empty = |name: &str| IpSet { name: name.to_owned(), ..IpSet::default() };
        self.ipsets = sets.iter().map(|(name, _)| ((*name).to_owned(), empty(name))).collect();
        let mut operations: BTreeMap<&str, Vec<Operation>> = BTreeMap::new();
        let mut parts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, at) in sets {
            check_prefix(name, "ipset:", "not an IP set's name; it must begin with ipset:", at, faults);
            let of_set = operations.entry(name).or_default();
            for (at, text) in at.texts(faults) {
                let removed = text.strip_prefix("remove ");
                let target = text.strip_prefix("add ").or(removed).unwrap_or(text).trim();
                match self.operand(target) {
                    Ok(part) => {
                        if matches!(part, Selector::IpSet(_)) {
                            parts.entry(name).or_default().push(target);
                        }
                        of_set.push(if removed.is_some() {
                            Operation::Remove(part)
                        } else {
                            Operation::Add(part)
                        });
                    }
                    Err(reason) => faults.push(at.fault(reason)),
                }
            }
        }
        for (name, at) in sets.iter().filter(|(name, _)| includes_set(&parts, name, name)) {
            faults.push(FileFault::new(at.line(), &at.key, "", format!("{name} includes itself")));
        }
        self.evaluate_ipsets(operations);
    }

    /// Parses what an operation of an IP set adds or removes.
    fn operand(&self, text: &str) -> Result<Selector, String> {
        if let Some(host) = text.strip_prefix("host:") {
            let block = self.hosts.get(host).ok_or("unknown host; add it to hosts")?;
            return Ok(Selector::Addresses(*block, text.to_owned()));
        }
        match self.selector(text)? {
            part @ (Selector::IpSet(_) | Selector::Addresses(..) | Selector::Internet) => Ok(part),
            _ => Err("not an address; an IP set contains hosts, addresses and other IP sets".to_owned()),
        }
    }

    /// Evaluates each IP set after those that it names. One that includes itself is a fault and stays empty.
    fn evaluate_ipsets(&mut self, mut pending: BTreeMap<&str, Vec<Operation>>) {
        loop {
            let is_pending =
                |part: &Selector| matches!(part, Selector::IpSet(set) if pending.contains_key(&*set.name));
            let is_ready = |operations: &[Operation]| !operations.iter().any(|o| is_pending(o.operand()));
            let next = pending.iter().find(|(_, operations)| is_ready(operations)).map(|(name, _)| *name);
            let Some((name, operations)) = next.and_then(|name| pending.remove_entry(name)) else { return };
            let mut set = IpSet { name: name.to_owned(), ..IpSet::default() };
            for operation in &operations {
                let part = self.part(operation.operand());
                match operation {
                    Operation::Add(_) => set.add(&part),
                    Operation::Remove(_) => set.remove(&part),
                }
            }
            self.ipsets.insert(name.to_owned(), set);
        }
    }

    /// The addresses of an operand.
    fn part(&self, operand: &Selector) -> IpSet {
        match operand {
            Selector::IpSet(set) => self.ipsets.get(&set.name).cloned().unwrap_or_default(),
            part => IpSet {
                blocks: part.blocks().to_vec(),
                internet: *part == Selector::Internet,
                ..IpSet::default()
            },
        }
    }

    /// Reads which routes, exit nodes and Services are approved automatically.
    pub(super) fn approve(&mut self, approvers: Option<At<'_>>, faults: &mut Vec<FileFault>) {
        let Some(at) = approvers else { return };
        let [routes, exit_node, services] = at.fields(["routes", "exitNode", "services"], faults);
        for (route, at) in entries(&routes, faults) {
            match Block::parse_cidr(route) {
                Some(block) => self.routes.push(block),
                None => faults.push(FileFault::new(at.line(), &at.key, "", "not a CIDR such as 10.0.0.0/24")),
            }
            self.approvers(&at, faults);
        }
        for (_, at) in entries(&services, faults) {
            self.approvers(&at, faults);
        }
        exit_node.iter().for_each(|at| self.approvers(at, faults));
    }

    fn approvers(&self, at: &At<'_>, faults: &mut Vec<FileFault>) {
        for (at, text) in at.texts(faults) {
            match self.selector(text) {
                Ok(_) if self.control == ControlServer::Other && !headscale::may_own(text) => {
                    faults.push(
                        at.fault("can't approve at Headscale; want a user such as anna@, a group or a tag"),
                    );
                }
                Ok(approver) if approver.may_own() => {}
                Ok(_) => faults.push(at.fault("can't approve; want a user, group, autogroup or tag")),
                Err(reason) => faults.push(at.fault(reason)),
            }
        }
    }

    /// Checks the targets of `nodeAttrs`.
    pub(super) fn check_attributes(&self, attributes: Option<At<'_>>, faults: &mut Vec<FileFault>) {
        for entry in list(&attributes, faults) {
            for (at, text) in texts(&entry, "target", faults) {
                self.check(&at, text, faults, |target| match target {
                    Selector::Own | Selector::Internet | Selector::Service(_) => {
                        Err("can't have attributes; want devices or users")
                    }
                    Selector::Danger if self.control == ControlServer::Other => {
                        Err("can't have attributes at Headscale; want devices or users")
                    }
                    _ => Ok(()),
                });
            }
        }
    }

    /// Checks `ssh`, and the devices in `sshTests`.
    pub(super) fn check_ssh(&self, ssh: Option<At<'_>>, tests: Option<At<'_>>, faults: &mut Vec<FileFault>) {
        let source = |source: &Selector| match source {
            Selector::Any | Selector::Own | Selector::Internet => Err("can't be a source of SSH"),
            _ => Ok(()),
        };
        for entry in list(&ssh, faults) {
            let action = named(&entry, "action", faults);
            let action = action.and_then(|at| at.text(faults).map(|text| (at, text)));
            if let Some((at, _)) = action.filter(|(_, text)| !["accept", "check"].contains(text)) {
                faults.push(at.fault("not an SSH action; want accept or check"));
            }
            for (at, text) in texts(&entry, "src", faults) {
                self.check(&at, text, faults, source);
            }
            self.check_ssh_targets(&entry, faults);
            if named(&entry, "users", faults).iter().all(|at| at.texts(faults).is_empty()) {
                faults.push(entry.fault("users is missing; name the accounts"));
            }
        }
        for entry in list(&tests, faults) {
            let src = named(&entry, "src", faults);
            if let Some((at, text)) = src.and_then(|at| at.text(faults).map(|text| (at, text))) {
                self.check(&at, text, faults, source);
            }
            self.check_ssh_targets(&entry, faults);
        }
    }

    fn check_ssh_targets(&self, entry: &At<'_>, faults: &mut Vec<FileFault>) {
        for (at, text) in texts(entry, "dst", faults) {
            self.check(&at, text, faults, |target| match target {
                Selector::Any | Selector::Danger | Selector::Internet => Err("can't be a destination of SSH"),
                Selector::Addresses(block, _) if !block.is_single() => Err("can't be a destination of SSH"),
                _ => Ok(()),
            });
        }
    }

    fn check(
        &self,
        at: &At<'_>,
        text: &str,
        faults: &mut Vec<FileFault>,
        fits: impl Fn(&Selector) -> Result<(), &'static str>,
    ) {
        let fault = self.selector(text).and_then(|selector| fits(&selector).map_err(str::to_owned));
        faults.extend(fault.err().map(|reason| at.fault(reason)));
    }
}

/// Refuses a name that is not this prefix followed by more.
fn check_prefix(name: &str, prefix: &str, reason: &str, at: &At<'_>, faults: &mut Vec<FileFault>) {
    if name.strip_prefix(prefix).is_none_or(str::is_empty) {
        faults.push(FileFault::new(at.line(), &at.key, "", reason));
    }
}

/// Whether the IP set `from` includes `to`, directly or through others.
fn includes_set(parts: &BTreeMap<&str, Vec<&str>>, from: &str, to: &str) -> bool {
    let (mut seen, mut open) = (Vec::new(), vec![from]);
    while let Some(next) = open.pop() {
        for part in parts.get(next).into_iter().flatten() {
            if *part == to {
                return true;
            }
            if !seen.contains(part) {
                seen.push(part);
                open.push(part);
            }
        }
    }
    false
}

fn entries<'a>(at: &Option<At<'a>>, faults: &mut Vec<FileFault>) -> Vec<(&'a str, At<'a>)> {
    at.iter().flat_map(|at| at.entries(faults)).collect()
}

fn list<'a>(at: &Option<At<'a>>, faults: &mut Vec<FileFault>) -> Vec<At<'a>> {
    at.iter().flat_map(|at| at.list(faults)).collect()
}

/// The strings of the field with that name.
fn texts<'a>(entry: &At<'a>, name: &str, faults: &mut Vec<FileFault>) -> Vec<(At<'a>, &'a str)> {
    named(entry, name, faults).iter().flat_map(|at| at.texts(faults)).collect()
}

/// The field with that name.
fn named<'a>(entry: &At<'a>, name: &str, faults: &mut Vec<FileFault>) -> Option<At<'a>> {
    let is = |known: &&str| known.eq_ignore_ascii_case(name);
    entry.entries(faults).into_iter().find(|(known, _)| is(known)).map(|(_, at)| at)
}

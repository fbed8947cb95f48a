//! Sections that do not say who reaches the node. What they refer to has to exist: Tailscale refuses the
//! whole file otherwise.
//!
//! Source: Tailscale documentation, "Syntax reference for the tailnet policy file" (`autoApprovers`,
//! `nodeAttrs`, `ssh`, `sshTests`, `postures`) and "IP sets".

use std::collections::BTreeMap;

use super::block::Block;
use super::fault::FileFault;
use super::ipset::IpSet;
use super::names::Names;
use super::read::At;
use super::selector::Selector;

impl Names {
    /// Reads the IP sets and postures that rules may name.
    pub(super) fn define(
        &mut self,
        ipsets: Option<At<'_>>,
        postures: Option<At<'_>>,
        faults: &mut Vec<FileFault>,
    ) {
        let sets = entries(&ipsets, faults);
        let named = |name: &str| IpSet { name: name.to_owned(), ..IpSet::default() };
        self.ipsets = sets.iter().map(|(name, _)| ((*name).to_owned(), named(name))).collect();
        let mut operations: BTreeMap<&str, Vec<(bool, Selector)>> = BTreeMap::new();
        let mut parts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, at) in &sets {
            if name.strip_prefix("ipset:").is_none_or(str::is_empty) {
                faults.push(FileFault::new(
                    at.line(),
                    &at.key,
                    "",
                    "no name of an IP set: it must begin with ipset:",
                ));
            }
            let of_set = operations.entry(name).or_default();
            for (at, text) in at.texts(faults) {
                let removed = text.strip_prefix("remove ");
                let target = text.strip_prefix("add ").or(removed).unwrap_or(text).trim();
                match self.target(target) {
                    Ok(part) => {
                        if matches!(part, Selector::IpSet(_)) {
                            parts.entry(name).or_default().push(target);
                        }
                        of_set.push((removed.is_some(), part));
                    }
                    Err(reason) => faults.push(at.fault(reason)),
                }
            }
        }
        for (name, at) in sets.iter().filter(|(name, _)| leads_to(&parts, name, name)) {
            faults.push(FileFault::new(at.line(), &at.key, "", format!("{name} includes itself")));
        }
        self.work_out(operations);
        for (name, at) in entries(&postures, faults) {
            if name.strip_prefix("posture:").is_none_or(str::is_empty) {
                faults.push(FileFault::new(
                    at.line(),
                    &at.key,
                    "",
                    "no name of a posture: it must begin with posture:",
                ));
            }
            at.texts(faults);
            self.postures.push(name.to_owned());
        }
    }

    /// Reads what an operation of an IP set adds or removes.
    fn target(&self, text: &str) -> Result<Selector, String> {
        if let Some(host) = text.strip_prefix("host:") {
            let block = self.hosts.get(host).ok_or("there is no such host in hosts")?;
            return Ok(Selector::Addresses(*block, text.to_owned()));
        }
        match self.selector(text)? {
            part @ (Selector::IpSet(_) | Selector::Addresses(..) | Selector::Internet) => Ok(part),
            _ => Err("no address: an IP set has hosts, addresses and other IP sets".to_owned()),
        }
    }

    /// Works out the IP sets: each after those that it names. One that includes itself is a fault and stays
    /// empty. `true` stands for a removal.
    fn work_out(&mut self, mut open: BTreeMap<&str, Vec<(bool, Selector)>>) {
        loop {
            let names_open =
                |part: &Selector| matches!(part, Selector::IpSet(set) if open.contains_key(&*set.name));
            let is_next =
                |operations: &[(bool, Selector)]| !operations.iter().any(|(_, part)| names_open(part));
            let next = open.iter().find(|(_, operations)| is_next(operations)).map(|(name, _)| *name);
            let Some((name, operations)) = next.and_then(|name| open.remove_entry(name)) else { return };
            let mut whole = IpSet { name: name.to_owned(), ..IpSet::default() };
            for (removes, part) in operations {
                let part = match part {
                    Selector::IpSet(set) => self.ipsets.get(&set.name).cloned().unwrap_or_default(),
                    part => IpSet {
                        blocks: part.blocks().to_vec(),
                        internet: part == Selector::Internet,
                        ..IpSet::default()
                    },
                };
                if removes { whole.remove(&part) } else { whole.add(&part) }
            }
            self.ipsets.insert(name.to_owned(), whole);
        }
    }

    /// Reads which routes, exit nodes and Services are approved by themselves.
    pub(super) fn approve(&mut self, approvers: Option<At<'_>>, faults: &mut Vec<FileFault>) {
        let Some(at) = approvers else { return };
        let [routes, exit_node, services] = at.fields(["routes", "exitNode", "services"], faults);
        for (route, at) in entries(&routes, faults) {
            match Block::parse(route, false) {
                Some(block) => self.routes.push(block),
                None => faults.push(FileFault::new(at.line(), &at.key, "", "no CIDR such as 10.0.0.0/24")),
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
                Ok(approver) if approver.may_own() => {}
                Ok(_) => faults.push(at.fault("can't approve: want a user, group, autogroup or tag")),
                Err(reason) => faults.push(at.fault(reason)),
            }
        }
    }

    /// Checks whom `nodeAttrs` are for.
    pub(super) fn check_attributes(&self, attributes: Option<At<'_>>, faults: &mut Vec<FileFault>) {
        for entry in list(&attributes, faults) {
            for (at, text) in texts(&entry, "target", faults) {
                self.check(&at, text, faults, |target| match target {
                    Selector::Own | Selector::Internet | Selector::Service(_) => {
                        Err("means no devices that could have attributes")
                    }
                    _ => Ok(()),
                });
            }
        }
    }

    /// Checks `ssh`, and `sshTests` as far as they name devices.
    pub(super) fn check_ssh(&self, ssh: Option<At<'_>>, tests: Option<At<'_>>, faults: &mut Vec<FileFault>) {
        let source = |source: &Selector| match source {
            Selector::Any | Selector::Own | Selector::Internet => Err("can't be a source of SSH"),
            _ => Ok(()),
        };
        for entry in list(&ssh, faults) {
            let action = named(&entry, "action", faults);
            let action = action.and_then(|at| at.text(faults).map(|text| (at, text)));
            if let Some((at, _)) = action.filter(|(_, text)| !["accept", "check"].contains(text)) {
                faults.push(at.fault("no action of SSH: want accept or check"));
            }
            for (at, text) in texts(&entry, "src", faults) {
                self.check(&at, text, faults, source);
            }
            self.check_ssh_targets(&entry, faults);
            if named(&entry, "users", faults).iter().all(|at| at.texts(faults).is_empty()) {
                faults.push(entry.fault("users is missing: it must name the accounts"));
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

/// Whether the IP set `from` includes `to`, by way of others.
fn leads_to(parts: &BTreeMap<&str, Vec<&str>>, from: &str, to: &str) -> bool {
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

/// The texts of the field of that name.
fn texts<'a>(entry: &At<'a>, name: &str, faults: &mut Vec<FileFault>) -> Vec<(At<'a>, &'a str)> {
    named(entry, name, faults).iter().flat_map(|at| at.texts(faults)).collect()
}

/// The field of that name, if the object has one.
fn named<'a>(entry: &At<'a>, name: &str, faults: &mut Vec<FileFault>) -> Option<At<'a>> {
    let is = |known: &&str| known.eq_ignore_ascii_case(name);
    entry.entries(faults).into_iter().find(|(known, _)| is(known)).map(|(_, at)| at)
}

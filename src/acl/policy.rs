//! A policy file that was understood.

use super::answer::Answer;
use super::device::Device;
use super::expectation::Expectation;
use super::fault::{FileFault, FileFaults};
use super::hujson;
use super::names::Names;
use super::read::At;
use super::rule::{Reader, Rule};
use super::selector::Selector;
use super::warning::{Warning, WarningKind};

/// A policy file that was understood; its own tests have not run yet.
#[derive(Debug, Clone)]
pub struct PolicyFile {
    pub(super) names: Names,
    pub(super) rules: Vec<Rule>,
    pub(super) expectations: Vec<Expectation>,
    /// What was passed over.
    pub(super) notes: Vec<Warning>,
    pub(super) control: ControlServer,
}

/// Whose control server reads the file. Others understand more, and some things otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ControlServer {
    /// Tailscale's.
    #[default]
    Tailscale,
    /// Another one, such as headscale.
    Other,
}

/// Sections that are read.
const READ: [&str; 13] = [
    "groups",
    "hosts",
    "tagOwners",
    "grants",
    "acls",
    "tests",
    "defaultSrcPosture",
    "ipsets",
    "postures",
    "autoApprovers",
    "nodeAttrs",
    "ssh",
    "sshTests",
];

/// Sections that have no say in who reaches whom, and refer to nothing.
const PASSED_OVER: [&str; 4] = ["derpMap", "disableIPv4", "randomizeClientPort", "OneCGNATRoute"];

/// Reads a policy file of Tailscale's.
///
/// # Errors
/// All faults at once, in the order of the file.
pub fn parse(text: &str) -> Result<PolicyFile, FileFaults> {
    parse_for(text, ControlServer::Tailscale)
}

/// Reads a policy file for this control server.
///
/// # Errors
/// All faults at once, in the order of the file.
pub fn parse_for(text: &str, control: ControlServer) -> Result<PolicyFile, FileFaults> {
    let mut json = hujson::parse(text).map_err(FileFaults)?;
    if control == ControlServer::Other {
        json.drop_comments();
    }
    let mut faults = Vec::new();
    let policy = PolicyFile::read(&At::root(&json), control, &mut faults);
    faults.sort_by_key(|fault| fault.line);
    if faults.is_empty() { Ok(policy) } else { Err(FileFaults(faults)) }
}

impl PolicyFile {
    fn read(root: &At<'_>, control: ControlServer, faults: &mut Vec<FileFault>) -> PolicyFile {
        let mut sections = [const { None }; READ.len()];
        let mut notes = Vec::new();
        for (name, at) in root.entries(faults) {
            let is = |known: &&str| known.eq_ignore_ascii_case(name);
            match READ.iter().position(|known| known.eq_ignore_ascii_case(name)) {
                Some(i) if sections[i].is_some() => {
                    faults.push(FileFault::new(at.line(), name, "", "is there twice: write it once"));
                }
                Some(i) => sections[i] = Some(at),
                None if PASSED_OVER.iter().any(is) => {}
                None => match READ.iter().find(|known| near(known, name)) {
                    Some(known) => {
                        let reason = format!("there is no such section: {known} is meant, it seems");
                        faults.push(FileFault::new(at.line(), name, "", reason));
                    }
                    None => {
                        let text = format!("the section {name} is not known here, and was passed over");
                        notes.push(Warning::new(WarningKind::NotJudged, at.line(), text));
                    }
                },
            }
        }
        let [groups, hosts, tag_owners, grants, acls, tests, posture, ipsets, postures, rest @ ..] = sections;
        let [approvers, attributes, ssh, ssh_tests] = rest;
        if faults.is_empty() && grants.is_none() && acls.is_none() {
            faults.push(root.fault(match control {
                ControlServer::Tailscale => {
                    "neither grants nor acls: Tailscale lets everybody reach everything then; \
                     write \"grants\": [] to let nobody"
                }
                ControlServer::Other => "neither grants nor acls: then every device may reach everything",
            }));
        }
        let mut names = Names::read(groups, hosts, tag_owners, control, faults);
        names.define(ipsets, postures, faults);
        names.approve(approvers, faults);
        names.check_attributes(attributes, faults);
        names.check_ssh(ssh, ssh_tests, faults);
        let mut rules = Vec::new();
        let mut reader = Reader { names: &names, faults, notes: &mut notes };
        for (i, at) in grants.iter().flat_map(|at| at.list(reader.faults)).enumerate().collect::<Vec<_>>() {
            rules.push(reader.grant(&at, i));
        }
        for (i, at) in acls.iter().flat_map(|at| at.list(reader.faults)).enumerate().collect::<Vec<_>>() {
            rules.extend(reader.acl(&at, i));
        }
        let posture = reader.postures(posture);
        for rule in rules.iter_mut().filter(|rule| !posture.is_empty() && rule.conditions.is_empty()) {
            rule.conditions.push(format!("defaultSrcPosture {} is not judged here", posture.join(", ")));
        }
        let mut expectations = Vec::new();
        for at in tests.iter().flat_map(|at| at.list(faults)).collect::<Vec<_>>() {
            expectations.extend(Expectation::read(&at, &names, faults));
        }
        PolicyFile { names, rules, expectations, notes, control }
    }

    /// Whether one device may send packets of a protocol (by its IANA number) to a port of another.
    pub fn admits(&self, src: &Device, dst: &Device, protocol: u8, port: u16) -> Answer {
        let rules = self.rules.iter().filter(|rule| rule.passes(protocol, port));
        Answer::any(rules.map(|rule| rule.applies(src, dst, &self.names)))
    }

    /// The values that one device certainly has at another under a capability's name, in the order
    /// of the file, over whichever version of IP. They mean something only where it may connect.
    pub fn capabilities(&self, src: &Device, dst: &Device, name: &str) -> Vec<serde_json::Value> {
        let rules = self.rules.iter().filter(|rule| rule.applies(src, dst, &self.names) == Answer::Yes);
        let app = rules.flat_map(|rule| &rule.app).filter(|(capability, _)| capability == name);
        app.flat_map(|(_, values)| values.iter().cloned()).collect()
    }

    /// Whether a tag is in `tagOwners`.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.names.tags.iter().any(|known| known == tag)
    }

    pub(super) fn includes(&self, all: &[Selector], some: &Selector) -> bool {
        all.iter().any(|selector| selector.includes(some, &self.names))
    }
}

/// Whether one is the other but for a slip of one or two letters.
fn near(known: &str, name: &str) -> bool {
    let (a, b) = (known.to_lowercase(), name.to_lowercase());
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let step = (corner + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = row[j + 1];
            row[j + 1] = step;
        }
    }
    row.last().is_some_and(|distance| *distance <= 2)
}

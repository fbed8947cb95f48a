//! A policy file, parsed.

use super::answer::Answer;
use super::control_server::ControlServer;
use super::device::Device;
use super::expectation::Expectation;
use super::fault::{FileFault, FileFaults};
use super::headscale;
use super::hujson;
use super::names::Names;
use super::read::At;
use super::rule::{Reader, Rule};
use super::selector::Selector;
use super::warning::{Warning, WarningKind};

/// A policy file without faults. Its own tests have not run yet.
#[derive(Debug, Clone)]
pub struct PolicyFile {
    pub(super) names: Names,
    pub(super) rules: Vec<Rule>,
    pub(super) expectations: Vec<Expectation>,
    /// Warnings of the parser.
    pub(super) notes: Vec<Warning>,
    pub(super) control: ControlServer,
}

/// The sections that are evaluated.
const SECTIONS: [&str; 13] = [
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

/// Sections that do not affect who may connect, and refer to no names.
const IGNORED_SECTIONS: [&str; 4] = ["derpMap", "disableIPv4", "randomizeClientPort", "OneCGNATRoute"];

/// Parses a policy file for Tailscale's control server.
///
/// # Errors
/// All faults at once, in the order of the file.
pub fn parse(text: &str) -> Result<PolicyFile, FileFaults> {
    parse_for(text, ControlServer::Tailscale)
}

/// Parses a policy file for this control server.
///
/// # Errors
/// All faults at once, in the order of the file.
pub fn parse_for(text: &str, control: ControlServer) -> Result<PolicyFile, FileFaults> {
    let mut json = hujson::parse(text).map_err(FileFaults)?;
    let mut faults = Vec::new();
    if control == ControlServer::Other {
        json.drop_comments();
        headscale::check_keys(&At::root(&json), &mut faults);
    }
    let mut more = Vec::new();
    let policy = PolicyFile::read(&At::root(&json), control, &mut more);
    // An unknown key is one fault, whether or not Tailscale has it.
    more.retain(|fault| faults.iter().all(|known| known.key != fault.key));
    faults.append(&mut more);
    faults.sort_by_key(|fault| fault.line);
    if faults.is_empty() { Ok(policy) } else { Err(FileFaults(faults)) }
}

impl PolicyFile {
    fn read(root: &At<'_>, control: ControlServer, faults: &mut Vec<FileFault>) -> PolicyFile {
        let mut notes = Vec::new();
        let sections = read_sections(root, &mut notes, faults);
        let [groups, hosts, tag_owners, grants, acls, tests, posture, ipsets, postures, rest @ ..] = sections;
        let [approvers, attributes, ssh, ssh_tests] = rest;
        if faults.is_empty() && grants.is_none() && acls.is_none() {
            faults.push(root.fault(format!(
                "neither grants nor acls: {control} then lets every device reach everything; \
                 to let no device connect, write \"grants\": []"
            )));
        }
        let tag_owners: Vec<_> = tag_owners.iter().flat_map(|at| at.entries(faults)).collect();
        let mut names = Names::read(groups, hosts, &tag_owners, control, faults);
        names.check_owners(&tag_owners, faults);
        names.define(ipsets, postures, faults);
        names.approve(approvers, faults);
        names.check_attributes(attributes, faults);
        names.check_ssh(ssh, ssh_tests, faults);
        let mut reader = Reader { names: &names, faults, notes: &mut notes };
        let rules = reader.rules(grants, acls, posture);
        let mut expectations = Vec::new();
        for at in tests.iter().flat_map(|at| at.list(faults)).collect::<Vec<_>>() {
            expectations.extend(Expectation::read(&at, &names, faults));
        }
        PolicyFile { names, rules, expectations, notes, control }
    }

    /// Whether `src` may send packets of a protocol (its IANA number) to a port of `dst`.
    pub fn admits(&self, src: &Device, dst: &Device, protocol: u8, port: u16) -> Answer {
        let rules = self.rules.iter().filter(|rule| rule.passes(protocol, port));
        Answer::any(rules.map(|rule| rule.applies(src, dst, &self.names)))
    }

    /// The values of a capability that `src` certainly has at `dst`, in the order of the file, over either version of IP.
    /// They take effect only if `src` may connect.
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

/// The values of [`SECTIONS`], in that order.
fn read_sections<'a>(
    root: &At<'a>,
    notes: &mut Vec<Warning>,
    faults: &mut Vec<FileFault>,
) -> [Option<At<'a>>; SECTIONS.len()] {
    let mut sections = [const { None }; SECTIONS.len()];
    for (name, at) in root.entries(faults) {
        let is = |known: &&str| known.eq_ignore_ascii_case(name);
        if let Some(i) = SECTIONS.iter().position(is) {
            if sections[i].is_some() {
                faults.push(FileFault::new(at.line(), name, "", "appears twice; write it once"));
            } else {
                sections[i] = Some(at);
            }
        } else if IGNORED_SECTIONS.iter().any(is) {
            continue;
        } else if let Some(known) = SECTIONS.iter().find(|known| is_typo_of(known, name)) {
            let reason = format!("unknown section; did you mean {known}?");
            faults.push(FileFault::new(at.line(), name, "", reason));
        } else {
            let text = format!("unknown section {name}, skipped");
            notes.push(Warning::new(WarningKind::NotJudged, at.line(), text));
        }
    }
    sections
}

/// Whether `name` is a misspelt `known`.
fn is_typo_of(known: &str, name: &str) -> bool {
    strsim::levenshtein(&known.to_lowercase(), &name.to_lowercase()) <= 2
}

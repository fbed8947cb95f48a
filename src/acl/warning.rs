//! What a sound policy file lets through that its owner may not have meant.

use std::fmt;

use serde::Serialize;

use super::answer::Answer;
use super::policy::{ControlServer, PolicyFile};
use super::reach::{Reach, Target};
use super::rights;
use super::rule::{Origin, Rule};
use super::selector::Selector;
use super::traffic::Traffic;

/// One warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What sort it is.
    pub kind: WarningKind,
    /// The line of the file that it is about, from 1; `None` if about none in particular.
    pub line: Option<usize>,
    /// What is the case, and what to do.
    pub text: String,
}

/// The sorts of warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// A source, or several together, are every device of the tailnet.
    Anybody,
    /// A source is wider than a tag, a group or somebody named.
    WideSource,
    /// More of the node than the port is open.
    OtherPorts,
    /// The node itself reaches others.
    ReachesOthers,
    /// The node's tag is not in `tagOwners`, so no device can have it.
    TagWithoutOwner,
    /// A source is a subnet, whose clients the proxy refuses.
    SubnetSource,
    /// An entry names no source or no destination.
    GrantsNothing,
    /// A source of a test may have no device, for which headscale refuses the file.
    TestNeedsDevice,
    /// Somebody has a capability and no connection to use it on.
    CapabilityWithoutNetwork,
    /// A capability's value that this proxy can't read, which grants nothing.
    InvalidValue,
    /// A capability that looks like this proxy's and is not.
    UnknownCapability,
    /// A group or an IP set that a rule names is empty.
    EmptyGroup,
    /// Nobody reaches the node.
    Nobody,
    /// No test guards the file.
    NoTests,
    /// Something in the file was not judged.
    NotJudged,
}

impl Warning {
    pub(super) fn new(kind: WarningKind, line: usize, text: String) -> Warning {
        Warning { kind, line: Some(line), text }
    }

    fn at(kind: WarningKind, origin: Origin, text: &str) -> Warning {
        Warning::new(kind, origin.line, format!("{}[{}]: {text}", origin.section, origin.index))
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// Everything to be said about a policy for this target.
pub(super) fn warnings(
    policy: &PolicyFile,
    target: &Target,
    reach: &[&Reach],
    idle: &[Reach],
) -> Vec<Warning> {
    let mut all = policy.notes.clone();
    for tag in target.device.tags.iter().filter(|tag| !policy.has_tag(tag)) {
        let text = format!("{tag} is not in tagOwners, so no device can have it: put it there");
        all.push(Warning { kind: WarningKind::TagWithoutOwner, line: None, text });
    }
    if reach.iter().all(|row| row.subnet) {
        let text = match policy.control {
            ControlServer::Tailscale => {
                let (device, port) = (&target.device, target.port);
                format!(
                    "no device gets in on port {port}: add a grant with \"dst\": [\"{device}\"] and \"ip\": [\"tcp:{port}\"]"
                )
            }
            // What a list without entries means there, is for that server to say.
            ControlServer::Other => format!(
                "no entry lets a device reach {} on port {}: whether that closes it, the control server says",
                target.device, target.port
            ),
        };
        all.push(Warning { kind: WarningKind::Nobody, line: None, text });
    }
    let tested = policy.tested();
    if policy.control == ControlServer::Other && !tested.is_empty() {
        let text = format!(
            "Headscale refuses the file if one of these test sources has no device: {}. Run `headscale policy \
             check` first. To remove a name, take it out of groups and tests in the same edit",
            tested.join(", ")
        );
        all.push(Warning { kind: WarningKind::TestNeedsDevice, line: None, text });
    }
    if policy.expectations() == 0 {
        let text = "the file has no tests, so nothing refuses an edit that opens too much".to_owned();
        all.push(Warning { kind: WarningKind::NoTests, line: None, text });
    }
    for rule in &policy.rules {
        all.extend(about_rule(policy, target, rule));
    }
    all.extend(target.ports().filter_map(|port| together(policy, target, port)));
    for Reach { source, capabilities, .. } in idle {
        let Some(first) = capabilities.first() else { continue };
        let text =
            format!("{source} has the capability and no connection to use it on: grant \"ip\" as well");
        all.push(Warning::at(WarningKind::CapabilityWithoutNetwork, first.origin, &text));
    }
    all.sort_by_key(|warning| (warning.line, warning.kind));
    all.dedup();
    all
}

/// That the sources of all entries that open a port come to everybody, though none does alone.
fn together(policy: &PolicyFile, target: &Target, port: u16) -> Option<Warning> {
    let rules = policy.rules.iter().filter(|rule| rule.passes(super::TCP, port));
    let sources: Vec<_> =
        rules.filter(|rule| target.is_meant_by(policy, rule)).flat_map(|rule| &rule.src).collect();
    let all = list(&sources);
    let text = format!(
        "port {port}: every device of the tailnet is let in, by {all} together: name a tag or a group instead"
    );
    Selector::are_everything(&sources).then_some(Warning { kind: WarningKind::Anybody, line: None, text })
}

fn about_rule(policy: &PolicyFile, target: &Target, rule: &Rule) -> Vec<Warning> {
    let mut all = Vec::new();
    let mut warn = |kind, text: String| all.push(Warning::at(kind, rule.origin, &text));
    if target.is_meant_by(policy, rule) {
        let opens = |port| rule.ip.iter().any(|traffic| traffic.passes(super::TCP, port));
        let opens = target.ports().any(opens);
        for src in rule.src.iter().filter(|_| opens) {
            if src.is_subnet() {
                warn(
                    WarningKind::SubnetSource,
                    format!("{src} {SUBNET}: run Tailscale on the clients themselves"),
                );
            }
            if let Some(whom) = src.wide() {
                let kind = if src.is_everything() { WarningKind::Anybody } else { WarningKind::WideSource };
                warn(kind, format!("{src} lets in {whom}: name a tag or a group instead"));
            }
        }
        let is_just_that = |traffic: &&Traffic| target.ports().any(|port| traffic.is_just(port));
        let more: Vec<_> = rule.ip.iter().filter(|traffic| !is_just_that(traffic)).collect();
        if !more.is_empty() {
            let (src, more) = (list(&rule.src), list(&more));
            let want: Vec<_> = target.ports().map(|port| format!("\"tcp:{port}\"")).collect();
            let (want, is) = (want.join(", "), if want.len() == 1 { "is" } else { "are" });
            warn(WarningKind::OtherPorts, format!("{src} may reach {more} of the node: {want} {is} enough"));
        }
        for src in &rule.src {
            if src.is_nobody(&policy.names) {
                warn(WarningKind::EmptyGroup, format!("nobody is in {src}"));
            }
        }
    }
    if target.is_meant_by(policy, rule) || target.is_own(rule) {
        for (name, values) in &rule.app {
            if *name == target.capability {
                for fault in rights::faults(values) {
                    warn(WarningKind::InvalidValue, format!("a value that grants nothing: {fault}"));
                }
            } else if is_like(name, &target.capability) {
                let text = format!("{name} means nothing to the node, which reads {}", target.capability);
                warn(WarningKind::UnknownCapability, text);
            }
        }
    }
    let (dst, ip) = (list(&rule.dst), list(&rule.ip));
    let sure = match target.may_begin(policy, rule) {
        _ if rule.ip.is_empty() => return all,
        Answer::No => return all,
        Answer::Perhaps(_) => "perhaps ",
        Answer::Yes => "",
    };
    let text = format!(
        "{sure}the node itself may connect to {dst} on {ip}, which it never needs: {}",
        match target.device.user() {
            Some(user) =>
                format!("the entry is for every device of {user}; a node with a tag is not one of them"),
            None => format!("take {} out of \"src\"", target.device),
        }
    );
    all.push(Warning::at(WarningKind::ReachesOthers, rule.origin, &text));
    all
}

/// What becomes of clients in a subnet.
const SUBNET: &str = "is outside the tailnet: its clients come through a subnet router, the proxy can't tell \
                      which of them asks, and refuses them";

/// Whether a name has the domain or the last part of ours, without being it.
fn is_like(name: &str, ours: &str) -> bool {
    let parts = |name: &str| {
        let lower = name.to_lowercase();
        let domain = lower.split('/').next().unwrap_or_default().to_owned();
        (domain, lower.rsplit('/').next().unwrap_or_default().to_owned())
    };
    let ((domain, last), (our_domain, our_last)) = (parts(name), parts(ours));
    domain == our_domain || last == our_last
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

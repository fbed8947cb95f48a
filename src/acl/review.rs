//! What a valid policy file allows and its author may not have intended.

use std::fmt;

use super::TCP;
use super::answer::Answer;
use super::control_server::ControlServer;
use super::policy::PolicyFile;
use super::report::{Reach, Target};
use super::rights;
use super::rule::Rule;
use super::selector::Selector;
use super::traffic::Traffic;
use super::warning::{Warning, WarningKind};

/// All warnings about a policy file for this target, in the order of the file.
pub(super) fn warnings(
    policy: &PolicyFile,
    target: &Target,
    reach: &[&Reach],
    idle: &[Reach],
) -> Vec<Warning> {
    let mut all = policy.notes.clone();
    all.extend(about_file(policy, target, reach));
    for rule in &policy.rules {
        if target.is_meant_by(policy, rule) {
            all.extend(about_access(policy, target, rule));
        }
        if target.is_meant_by(policy, rule) || target.is_own(rule) {
            all.extend(about_capabilities(target, rule));
        }
        all.extend(about_own_connections(policy, target, rule));
    }
    all.extend(target.ports().filter_map(|port| about_port(policy, target, port)));
    for Reach { source, capabilities, .. } in idle {
        let Some(first) = capabilities.first() else { continue };
        let text = format!("{source} has the capability but can't connect; grant \"ip\" as well");
        all.push(Warning::at(WarningKind::CapabilityWithoutNetwork, first.origin, &text));
    }
    all.sort_by_key(|warning| (warning.line, warning.kind));
    all.dedup();
    all
}

/// Warnings about the file as a whole.
fn about_file(policy: &PolicyFile, target: &Target, reach: &[&Reach]) -> Vec<Warning> {
    let mut all = Vec::new();
    let mut warn = |kind, text| all.push(Warning { kind, line: None, text });
    for tag in target.device.tags.iter().filter(|tag| !policy.has_tag(tag)) {
        let text = format!("{tag} is not in tagOwners, so no device can have it; add it there");
        warn(WarningKind::TagWithoutOwner, text);
    }
    if reach.iter().all(|row| row.subnet) {
        let (device, port) = (&target.device, target.port);
        let text = format!(
            "no device can connect to port {port}; add a grant with \"dst\": [\"{device}\"] and \"ip\": [\"tcp:{port}\"]"
        );
        warn(WarningKind::Unreachable, text);
    }
    let tested = policy.tested_sources();
    if policy.control == ControlServer::Other && !tested.is_empty() {
        let text = format!(
            "Headscale refuses the file if one of these test sources has no device: {}. Run `headscale policy \
             check` first. To remove a name, take it out of groups and tests in the same edit",
            tested.join(", ")
        );
        warn(WarningKind::TestNeedsDevice, text);
    }
    if policy.expectations() == 0 {
        let server = policy.control;
        let text = format!("the file has no tests, so {server} accepts an edit that admits too many devices");
        warn(WarningKind::NoTests, text);
    }
    all
}

/// Warns if the sources of all entries that open a port together include every device, and no source does alone.
fn about_port(policy: &PolicyFile, target: &Target, port: u16) -> Option<Warning> {
    let rules = policy.rules.iter().filter(|rule| rule.passes(TCP, port));
    let sources: Vec<_> =
        rules.filter(|rule| target.is_meant_by(policy, rule)).flat_map(|rule| &rule.src).collect();
    let all = list(&sources);
    let text = format!(
        "port {port}: {all} together admit every device of the tailnet; use a tag or a group instead"
    );
    Selector::are_everything(&sources).then_some(Warning {
        kind: WarningKind::WholeTailnet,
        line: None,
        text,
    })
}

/// Warnings about a rule that lets sources connect to the target.
fn about_access(policy: &PolicyFile, target: &Target, rule: &Rule) -> Vec<Warning> {
    let mut all = Vec::new();
    let mut warn = |kind, text: String| all.push(Warning::at(kind, rule.origin, &text));
    let is_open = target.ports().any(|port| rule.passes(TCP, port));
    for src in rule.src.iter().filter(|_| is_open) {
        if src.is_subnet() {
            warn(WarningKind::SubnetSource, format!("{src} {SUBNET}; run Tailscale on the clients"));
        }
        if let Some(whom) = src.wide() {
            let kind = if src.is_everything() { WarningKind::WholeTailnet } else { WarningKind::WideSource };
            warn(kind, format!("{src} admits {whom}; use a tag or a group instead"));
        }
    }
    let is_needed = |traffic: &&Traffic| target.ports().any(|port| traffic.is_just(port));
    let more: Vec<_> = rule.ip.iter().filter(|traffic| !is_needed(traffic)).collect();
    if !more.is_empty() {
        let (src, more) = (list(&rule.src), list(&more));
        let want: Vec<_> = target.ports().map(|port| format!("\"tcp:{port}\"")).collect();
        let (want, is) = (want.join(", "), if want.len() == 1 { "is" } else { "are" });
        warn(WarningKind::OtherPorts, format!("{src} may connect to {more} of the node; {want} {is} enough"));
    }
    for src in rule.src.iter().filter(|src| src.is_empty(&policy.names)) {
        warn(WarningKind::EmptyGroup, format!("{src} is empty"));
    }
    all
}

/// Warnings about the capabilities that a rule grants at the target.
fn about_capabilities(target: &Target, rule: &Rule) -> Vec<Warning> {
    let mut all = Vec::new();
    for (name, values) in &rule.app {
        if *name == target.capability {
            for fault in rights::faults(values) {
                let text = format!("invalid value, which grants nothing: {fault}");
                all.push(Warning::at(WarningKind::InvalidValue, rule.origin, &text));
            }
        } else if is_like(name, &target.capability) {
            let text = format!("the node ignores {name}; it reads {}", target.capability);
            all.push(Warning::at(WarningKind::UnknownCapability, rule.origin, &text));
        }
    }
    all
}

/// Warns if a rule lets the target itself open connections.
fn about_own_connections(policy: &PolicyFile, target: &Target, rule: &Rule) -> Option<Warning> {
    if rule.ip.is_empty() {
        return None;
    }
    let perhaps = match target.may_connect(policy, rule) {
        Answer::No => return None,
        Answer::Perhaps(_) => "perhaps ",
        Answer::Yes => "",
    };
    let remedy = match target.device.user() {
        Some(user) => {
            format!("the entry is for every device of {user}; a node with a tag is not one of them")
        }
        None => format!("take {} out of \"src\"", target.device),
    };
    let (dst, ip) = (list(&rule.dst), list(&rule.ip));
    let text =
        format!("{perhaps}the node itself may connect to {dst} on {ip}, which it never needs: {remedy}");
    Some(Warning::at(WarningKind::ReachesOthers, rule.origin, &text))
}

/// Why a subnet as a source is useless.
const SUBNET: &str = "is outside of the tailnet: its clients connect through a subnet router, the proxy can't \
                      identify them, and refuses them";

/// Whether another capability has the domain or the last part of ours.
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

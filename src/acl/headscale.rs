//! What Headscale's reader of policy files refuses and Tailscale's does not. One such entry has Headscale refuse the whole
//! file.
//!
//! Source: `hscontrol/policy/v2/types.go` in github.com/juanfont/headscale, v0.29.2: the types `Policy`, `ACL`, `Grant`,
//! `NodeAttrGrant` (`ipPool` is refused too), `AutoApproverPolicy`, `SSH`, `PolicyTest` and `SSHPolicyTest`, read with
//! `RejectUnknownMembers`; `parseAlias`, `parseOwner`, `parseAutoApprover`, `Protocol.validate`, `splitDestinationAndPort`,
//! `validateTestDestination`, `tailscaleCapAllowlist` and `nodeAttrUnsupportedCaps`.

use std::net::{IpAddr, Ipv6Addr};

use super::fault::FileFault;
use super::read::At;

/// The sections, and the keys in the entries of those that have fixed keys.
const SECTIONS: [(&str, &[&str]); 11] = [
    ("groups", &[]),
    ("hosts", &[]),
    ("tagOwners", &[]),
    ("acls", &["action", "proto", "src", "dst"]),
    ("grants", &["src", "dst", "ip", "app", "via"]),
    ("nodeAttrs", &["target", "attr"]),
    ("autoApprovers", &["routes", "exitNode"]),
    ("ssh", &["action", "src", "dst", "users", "checkPeriod", "acceptEnv"]),
    ("tests", &["src", "proto", "accept", "deny"]),
    ("sshTests", &["src", "dst", "accept", "deny", "check"]),
    ("randomizeClientPort", &[]),
];

/// `autogroup:nonroot` is for the accounts of SSH only.
const AUTOGROUPS: [&str; 5] = ["internet", "member", "tagged", "self", "danger-all"];

/// Those that Tailscale has too, without `fc`.
const PROTOCOLS: [&str; 13] =
    ["icmp", "igmp", "ipv4", "ip-in-ip", "tcp", "egp", "igp", "udp", "gre", "esp", "ah", "ipv6-icmp", "sctp"];

/// The capabilities of `tailscale.com` that a grant may have.
const TAILSCALE_CAPABILITIES: [&str; 5] = ["drive", "kubernetes", "relay", "tsidp", "webui"];

/// Finds the sections and keys that Headscale does not know, and keys that an entry has twice.
pub(super) fn check_keys(root: &At<'_>, faults: &mut Vec<FileFault>) {
    // The reader that comes afterwards reports values of a wrong type.
    let mut ignored = Vec::new();
    for (name, section) in root.entries(&mut ignored) {
        let Some((_, keys)) = SECTIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
            faults.push(unknown(&section, "section"));
            continue;
        };
        if name.eq_ignore_ascii_case("randomizeClientPort") && !section.json().is_boolean() {
            faults.push(section.fault("want true or false"));
        }
        if keys.is_empty() {
            continue;
        }
        let entries = if section.is_list() { section.list(&mut ignored) } else { vec![section] };
        entries.iter().for_each(|entry| check_entry(entry, keys, faults));
    }
}

fn check_entry(entry: &At<'_>, keys: &[&str], faults: &mut Vec<FileFault>) {
    let mut seen = Vec::new();
    for (key, at) in entry.entries(&mut Vec::new()) {
        let key = key.to_ascii_lowercase();
        if !keys.iter().any(|known| known.eq_ignore_ascii_case(&key)) {
            faults.push(unknown(&at, "key"));
        } else if seen.contains(&key) {
            faults.push(FileFault::new(at.line(), &at.key, "", "appears twice; write it once"));
        }
        seen.push(key);
    }
}

fn unknown(at: &At<'_>, what: &str) -> FileFault {
    let reason = format!("Headscale has no such {what}, and refuses the whole file; remove it");
    FileFault::new(at.line(), &at.key, "", reason)
}

/// Refuses an entry of `src`, `dst` or another list of names.
pub(super) fn check_name(text: &str) -> Result<(), String> {
    let (kind, name) = text.split_once(':').unwrap_or(("", text));
    match kind {
        "autogroup" if !AUTOGROUPS.contains(&name) => {
            Err(format!("Headscale has no such autogroup; want one of {}", AUTOGROUPS.join(", ")))
        }
        "svc" => Err("Headscale has no Services; name the tag of the node".to_owned()),
        "ipset" => Err("Headscale has no IP sets; name hosts or addresses".to_owned()),
        // Headscale reads the next two as the name of one user, whom it does not find.
        "user" => Err("Headscale has no user:*@domain; name users, a group or autogroup:member".to_owned()),
        "group" if name.contains('@') => {
            Err("Headscale has no groups of an identity provider; list the users in groups".to_owned())
        }
        _ if is_range(text) => Err("Headscale has no ranges of addresses; want a CIDR".to_owned()),
        _ => Ok(()),
    }
}

fn is_range(text: &str) -> bool {
    let is_address = |part: &str| part.parse::<IpAddr>().is_ok();
    text.split_once('-').is_some_and(|(first, last)| is_address(first) && is_address(last))
}

/// Whether Headscale lets this own tags, or approve routes.
pub(super) fn may_own(text: &str) -> bool {
    !text.starts_with("autogroup:")
}

/// Refuses an entry of a grant's `ip`, in which Headscale does not ignore case.
pub(super) fn check_ip(text: &str) -> Result<(), String> {
    match text.split_once(':') {
        Some(("*", ports)) => Err(format!("Headscale has no protocol *; write \"{ports}\" alone")),
        Some((protocol, _)) => check_exact(protocol),
        None => Ok(()),
    }
}

/// Refuses a `proto`.
pub(super) fn check_protocol(text: &str) -> Result<(), String> {
    check_exact(&text.to_lowercase())
}

fn check_exact(protocol: &str) -> Result<(), String> {
    let is_number = protocol.bytes().all(|b| b.is_ascii_digit()) && !protocol.starts_with('0');
    if is_number || PROTOCOLS.contains(&protocol) {
        return Ok(());
    }
    let known = PROTOCOLS.join(", ");
    Err(format!("Headscale has no protocol {protocol:?}; want one of {known}, or a number without leading 0"))
}

/// Refuses a destination with ports.
pub(super) fn check_target(text: &str) -> Result<(), String> {
    let Some((host, ports)) = text.rsplit_once(':') else { return Ok(()) };
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if inside.is_some_and(|host| host.parse::<Ipv6Addr>().is_err()) {
        return Err("Headscale wants brackets around IPv6 addresses only; remove them".to_owned());
    }
    if ports != "*" && ports.split(',').any(|part| part == "*") {
        return Err("Headscale wants * alone, not in a list of ports".to_owned());
    }
    Ok(())
}

/// Refuses a destination in a test.
pub(super) fn check_test_target(text: &str) -> Result<(), String> {
    match text.contains('/') {
        true => Err("Headscale wants one address in a test; write it without /".to_owned()),
        false => check_target(text),
    }
}

/// Refuses the name of a capability.
pub(super) fn check_capability(name: &str) -> Result<(), String> {
    let Some(path) = name.strip_prefix("tailscale.com/") else { return Ok(()) };
    if path.strip_prefix("cap/").is_some_and(|cap| TAILSCALE_CAPABILITIES.contains(&cap)) {
        return Ok(());
    }
    let known = TAILSCALE_CAPABILITIES.join(", ");
    Err(format!(
        "Headscale has no such capability of tailscale.com; want tailscale.com/cap/ and one of {known}"
    ))
}

/// Refuses an attribute in `nodeAttrs`.
pub(super) fn check_attribute(text: &str) -> Result<(), String> {
    match text {
        "funnel" => Err("Headscale has no Funnel; remove it".to_owned()),
        _ => Ok(()),
    }
}

/// Refuses the subnet of an entry in `autoApprovers.routes`.
pub(super) fn check_route(text: &str) -> Result<(), String> {
    match text.contains('/') {
        true => Ok(()),
        false => {
            Err(format!("Headscale wants a CIDR; write {text}/{}", if text.contains(':') { 128 } else { 32 }))
        }
    }
}

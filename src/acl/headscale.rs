//! What Headscale's reader of policy files refuses and Tailscale's does not. One such entry has Headscale refuse the whole
//! file.
//!
//! Source: `hscontrol/policy/v2/types.go` in github.com/juanfont/headscale, v0.29.2: the types `Policy`, `ACL`, `Grant`,
//! `NodeAttrGrant` (`ipPool` is refused too), `AutoApproverPolicy`, `SSH`, `PolicyTest` and `SSHPolicyTest`, read with
//! `RejectUnknownMembers`; `parseAlias`, `parseOwner` and `parseAutoApprover`.

use std::net::IpAddr;

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

/// Finds the sections and keys that Headscale does not know.
pub(super) fn check_keys(root: &At<'_>, faults: &mut Vec<FileFault>) {
    // The reader that comes afterwards reports values of a wrong type.
    let mut ignored = Vec::new();
    for (name, section) in root.entries(&mut ignored) {
        let Some((_, keys)) = SECTIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
            faults.push(unknown(&section, "section"));
            continue;
        };
        if keys.is_empty() {
            continue;
        }
        let entries = if section.is_list() { section.list(&mut ignored) } else { vec![section] };
        for (key, at) in entries.iter().flat_map(|entry| entry.entries(&mut ignored)).collect::<Vec<_>>() {
            if !keys.iter().any(|known| known.eq_ignore_ascii_case(key)) {
                faults.push(unknown(&at, "key"));
            }
        }
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

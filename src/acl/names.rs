//! The sections that define names: groups, hosts, tags.

use std::collections::BTreeMap;

use super::block::Block;
use super::fault::FileFault;
use super::ipset::IpSet;
use super::policy::ControlServer;
use super::read::At;
use super::selector::Selector;

/// The autogroups that Headscale supports. Source: `hscontrol/policy/v2/types.go` in
/// github.com/juanfont/headscale (`autogroups`). Its `parseOwner` refuses all of them.
const HEADSCALE: [&str; 5] = ["internet", "member", "tagged", "self", "danger-all"];

/// The names that the file defines.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    pub(super) groups: BTreeMap<String, Vec<String>>,
    pub(super) hosts: BTreeMap<String, Block>,
    /// The tags in `tagOwners`.
    pub(super) tags: Vec<String>,
    pub(super) ipsets: BTreeMap<String, IpSet>,
    pub(super) postures: Vec<String>,
    /// Subnets that are approved automatically when a router offers them.
    pub(super) routes: Vec<Block>,
    /// The server that reads the file.
    control: ControlServer,
}

impl Names {
    pub(super) fn read(
        groups: Option<At<'_>>,
        hosts: Option<At<'_>>,
        tag_owners: Option<At<'_>>,
        control: ControlServer,
        faults: &mut Vec<FileFault>,
    ) -> Names {
        let mut names = Names { control, ..Names::default() };
        for (name, at) in groups.iter().flat_map(|at| at.entries(faults)).collect::<Vec<_>>() {
            names.read_group(name, &at, faults);
        }
        for (name, at) in hosts.iter().flat_map(|at| at.entries(faults)).collect::<Vec<_>>() {
            names.read_host(name, &at, faults);
        }
        let owners: Vec<_> = tag_owners.iter().flat_map(|at| at.entries(faults)).collect();
        // A tag may own a tag, so read all tags before the owners.
        for (tag, at) in &owners {
            match is_tag(tag) {
                true => names.tags.push((*tag).to_owned()),
                false => faults.push(FileFault::new(
                    at.line(),
                    &at.key,
                    "",
                    "not a tag's name; want tag: followed by letters, digits and dashes, with a letter first",
                )),
            }
        }
        for (_, at) in &owners {
            names.read_owners(at, faults);
        }
        names
    }

    fn read_group(&mut self, name: &str, at: &At<'_>, faults: &mut Vec<FileFault>) {
        if name.strip_prefix("group:").is_none_or(str::is_empty) {
            faults.push(FileFault::new(
                at.line(),
                &at.key,
                "",
                "not a group's name; it must begin with group:",
            ));
        }
        let mut members = Vec::new();
        for (at, member) in at.texts(faults) {
            match self.is_user(member) {
                true => members.push(member.to_lowercase()),
                false => faults.push(at.fault(
                    "not a login name such as anna@example.com; a group has no other members, \
                     and no other groups",
                )),
            }
        }
        self.groups.insert(name.to_owned(), members);
    }

    fn read_host(&mut self, name: &str, at: &At<'_>, faults: &mut Vec<FileFault>) {
        if name.is_empty() || name.contains([':', '@', '*', '/']) {
            faults.push(FileFault::new(
                at.line(),
                &at.key,
                "",
                "not a host's name; it must not be empty or contain : @ * or /",
            ));
        }
        match at.text(faults).map(|text| Block::parse_cidr(text)) {
            Some(Some(block)) => {
                self.hosts.insert(name.to_owned(), block);
            }
            Some(None) => faults.push(at.fault("not an address or CIDR such as 100.64.0.7 or 10.0.0.0/24")),
            None => {}
        }
    }

    fn read_owners(&self, at: &At<'_>, faults: &mut Vec<FileFault>) {
        for (at, text) in at.texts(faults) {
            match self.selector(text) {
                Ok(_) if self.control == ControlServer::Other && text.starts_with("autogroup:") => {
                    faults.push(
                        at.fault("can't own a tag at Headscale; want a user such as anna@, a group or a tag"),
                    );
                }
                Ok(owner) if owner.may_own() => {}
                Ok(_) => faults.push(at.fault("can't own a tag; want a user, group, autogroup or tag")),
                Err(reason) => faults.push(at.fault(reason)),
            }
        }
    }

    /// Parses one entry of `src` or `dst`. An unknown name is a fault, as it is nearly always a typo, and the rule would
    /// silently never apply.
    pub(super) fn selector(&self, text: &str) -> Result<Selector, String> {
        let (kind, name) = text.split_once(':').unwrap_or(("", text));
        Ok(match kind {
            "tag" if self.tags.iter().any(|tag| tag == text) => Selector::Tag(text.to_owned()),
            "tag" => return Err("unknown tag; add it to tagOwners".to_owned()),
            "group" if self.groups.contains_key(text) => Selector::Group(text.to_owned()),
            // Source: "Synced groups": those of an identity provider have its domain in their name.
            "group" if self.is_user(name) => Selector::Synced(text.to_owned()),
            "group" => return Err("unknown group; add it to groups".to_owned()),
            "autogroup" if self.control == ControlServer::Other && !HEADSCALE.contains(&name) => {
                return Err(format!("Headscale has no such autogroup; want one of {}", HEADSCALE.join(", ")));
            }
            "autogroup" => return Selector::autogroup(name),
            "user" => match name.strip_prefix("*@").filter(|domain| !domain.is_empty()) {
                Some(domain) => Selector::Domain(domain.to_lowercase()),
                None => return Err("write user:*@domain, or a login name without user:".to_owned()),
            },
            "ipset" => match self.ipsets.get(text) {
                Some(set) => Selector::IpSet(set.clone()),
                None => return Err("unknown IP set; add it to ipsets".to_owned()),
            },
            "svc" if !name.is_empty() => Selector::Service(text.to_owned()),
            _ if text == "*" => Selector::Any,
            _ if self.is_user(text) => Selector::User(text.to_lowercase()),
            _ => match self.hosts.get(text).copied().or_else(|| Block::parse_range(text)) {
                Some(block) => Selector::Addresses(block, text.to_owned()),
                None => {
                    return Err("unknown name; want a user, group, tag, autogroup, host, address, CIDR or \
                                range"
                        .to_owned());
                }
            },
        })
    }

    /// Parses one entry of a rule's `src`.
    pub(super) fn source(&self, text: &str) -> Result<Selector, String> {
        match self.selector(text)? {
            Selector::Own | Selector::Internet => {
                Err(format!("{text} can't be a source, only a destination; use users, a group or a tag"))
            }
            source => Ok(source),
        }
    }

    /// Parses one entry of a rule's `dst`.
    pub(super) fn destination(&self, text: &str) -> Result<Selector, String> {
        match self.selector(text)? {
            Selector::Any => Ok(Selector::Anywhere),
            Selector::Danger => Err("autogroup:danger-all can't be a destination, only a source".to_owned()),
            Selector::Addresses(block, _) if block.is_everything() => {
                Err("for every address, write \"*\", or \"autogroup:internet\" for those behind exit nodes"
                    .to_owned())
            }
            destination => Ok(destination),
        }
    }

    /// Whether a text is a login name: `anna@example.com`, `anna@github`, `anna@passkey`, and for other control servers than
    /// Tailscale's also `anna@`.
    fn is_user(&self, text: &str) -> bool {
        let Some((name, domain)) = text.split_once('@') else { return false };
        let is_complete = !domain.is_empty() || self.control == ControlServer::Other;
        is_complete && !name.is_empty() && !domain.contains('@') && !text.contains([':', '*', ' ', '/'])
    }

    pub(super) fn members(&self, group: &str) -> &[String] {
        self.groups.get(group).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Whether a text is a tag's name. Source: Tailscale documentation, "Tags".
pub(super) fn is_tag(text: &str) -> bool {
    text.strip_prefix("tag:").is_some_and(|name| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}

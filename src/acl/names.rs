//! The sections that define names: groups, hosts, tags.

use std::collections::BTreeMap;

use super::block::Block;
use super::control_server::ControlServer;
use super::fault::FileFault;
use super::ipset::IpSet;
use super::read::At;

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
    pub(super) control: ControlServer,
}

impl Names {
    /// Reads the names. `check_owners` checks the owners of the tags afterwards, as a tag may own a tag.
    pub(super) fn read(
        groups: Option<At<'_>>,
        hosts: Option<At<'_>>,
        tag_owners: &[(&str, At<'_>)],
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
        for (tag, at) in tag_owners {
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
        match at.text(faults).map(Block::parse_cidr) {
            Some(Some(block)) => {
                self.hosts.insert(name.to_owned(), block);
            }
            Some(None) => faults.push(at.fault("not an address or CIDR such as 100.64.0.7 or 10.0.0.0/24")),
            None => {}
        }
    }

    /// Whether a text is a login name: `anna@example.com`, `anna@github`, `anna@passkey`, and for other control servers than
    /// Tailscale's also `anna@`.
    pub(super) fn is_user(&self, text: &str) -> bool {
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

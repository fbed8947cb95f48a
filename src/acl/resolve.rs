//! Resolving an entry of `src` or `dst` by the names of the file.

use super::block::Block;
use super::control_server::ControlServer;
use super::fault::FileFault;
use super::headscale;
use super::names::Names;
use super::read::At;
use super::selector::Selector;

impl Names {
    /// Checks the owners of each tag.
    pub(super) fn check_owners(&self, tag_owners: &[(&str, At<'_>)], faults: &mut Vec<FileFault>) {
        for (_, at) in tag_owners {
            for (at, text) in at.texts(faults) {
                match self.selector(text) {
                    Ok(_) if self.control == ControlServer::Other && !headscale::may_own(text) => {
                        faults.push(at.fault(
                            "can't own a tag at Headscale; want a user such as anna@, a group or a tag",
                        ));
                    }
                    Ok(owner) if owner.may_own() => {}
                    Ok(_) => faults.push(at.fault("can't own a tag; want a user, group, autogroup or tag")),
                    Err(reason) => faults.push(at.fault(reason)),
                }
            }
        }
    }

    /// Parses one entry of `src` or `dst`. An unknown name is a fault, as it is nearly always a typo, and the rule would
    /// silently never apply.
    pub(super) fn selector(&self, text: &str) -> Result<Selector, String> {
        if self.control == ControlServer::Other {
            headscale::check_name(text)?;
        }
        let (kind, name) = text.split_once(':').unwrap_or(("", text));
        Ok(match kind {
            "tag" if self.tags.iter().any(|tag| tag == text) => Selector::Tag(text.to_owned()),
            "tag" => return Err("unknown tag; add it to tagOwners".to_owned()),
            "group" if self.groups.contains_key(text) => Selector::Group(text.to_owned()),
            // Source: "Synced groups": those of an identity provider have its domain in their name.
            "group" if self.is_user(name) => Selector::Synced(text.to_owned()),
            "group" => return Err("unknown group; add it to groups".to_owned()),
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
}

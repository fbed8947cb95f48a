//! One entry of `src` or `dst`: which devices it includes.
//!
//! Source: Tailscale documentation, "Syntax reference for the tailnet policy file", `src`, `dst`
//! and "Autogroups".

use std::fmt;

use super::answer::Answer;
use super::block::{self, Block, Family};
use super::device::{Addresses, Device};
use super::ipset::IpSet;
use super::names::Names;

/// A selector whose names the file defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selector {
    /// `*` as a source: the whole tailnet, its approved subnets, and users with whom a device was shared.
    Any,
    /// `*` as a destination: every address.
    Anywhere,
    /// `autogroup:danger-all`: every device, outside of the tailnet too.
    Danger,
    Tag(String),
    Group(String),
    /// A group of the identity provider. The file does not list its members.
    Synced(String),
    User(String),
    /// `user:*@domain`.
    Domain(String),
    Member,
    Tagged,
    /// `autogroup:admin` and other roles. The file does not say which users have them.
    Role(String),
    /// `autogroup:self`: the devices of the user that connects.
    Own,
    /// `autogroup:shared`: users with whom a device of the tailnet was shared.
    Shared,
    /// `autogroup:internet`: addresses behind exit nodes.
    Internet,
    /// A block of addresses, and its name in the file.
    Addresses(Block, String),
    /// `svc:`: a Service.
    Service(String),
    /// `ipset:`.
    IpSet(IpSet),
}

const ROLES: [&str; 6] = ["owner", "admin", "it-admin", "network-admin", "billing-admin", "auditor"];

impl Selector {
    pub(super) fn autogroup(name: &str) -> Result<Selector, String> {
        Ok(match name {
            // The second is the older name.
            "member" | "members" => Selector::Member,
            "tagged" => Selector::Tagged,
            "self" => Selector::Own,
            "shared" => Selector::Shared,
            "internet" => Selector::Internet,
            "danger-all" => Selector::Danger,
            role if ROLES.contains(&role) => Selector::Role(role.to_owned()),
            _ => {
                return Err(format!("unknown autogroup; want one of {}", ROLES.join(", "))
                    + ", member, tagged, self, shared, internet, danger-all");
            }
        })
    }

    pub(super) fn may_own(&self) -> bool {
        use Selector::*;
        matches!(self, Tag(_) | Group(_) | Synced(_) | User(_) | Domain(_) | Member | Tagged | Role(_))
    }

    /// Whether it includes users only, so it may be a source for `autogroup:self`.
    pub(super) fn is_of_users(&self) -> bool {
        use Selector::*;
        matches!(self, Group(_) | Synced(_) | User(_) | Domain(_) | Member | Role(_))
    }

    /// Whether it is a subnet without addresses of nodes. Its clients connect through a subnet router, so the proxy can't
    /// identify them.
    pub(super) fn is_subnet(&self) -> bool {
        let is_of_addresses = match self {
            Selector::IpSet(set) => !set.is_empty(),
            _ => matches!(self, Selector::Addresses(..)),
        };
        is_of_addresses && !self.blocks().iter().any(Block::overlaps_tailnet)
    }

    /// Its addresses, without those of `autogroup:internet` in an IP set.
    pub(super) fn blocks(&self) -> &[Block] {
        match self {
            Selector::Addresses(block, _) => std::slice::from_ref(block),
            Selector::IpSet(set) => &set.blocks,
            _ => &[],
        }
    }

    /// Whether it is an empty group or IP set.
    pub(super) fn is_empty(&self, names: &Names) -> bool {
        match self {
            Selector::Group(group) => names.members(group).is_empty(),
            Selector::IpSet(set) => set.is_empty(),
            _ => false,
        }
    }

    /// Whether it consists of single addresses.
    pub(super) fn is_single(&self) -> bool {
        let of_addresses = matches!(self, Selector::Addresses(..) | Selector::IpSet(_));
        of_addresses && self.blocks().iter().all(Block::is_single)
    }

    /// What it includes, if it is wider than a list of tags, groups, users or addresses.
    pub(super) fn wide(&self) -> Option<&'static str> {
        match self {
            Selector::Any => {
                Some("every device of the tailnet, and every user with whom a device was shared")
            }
            Selector::Danger => Some("every device, outside of the tailnet too"),
            Selector::Member => Some("every user of the tailnet, also invited ones"),
            Selector::Tagged => Some("every device with any tag"),
            Selector::Domain(_) => Some("every user of that domain"),
            Selector::Shared => Some("every user with whom a device was shared"),
            _ if self.blocks().iter().any(|block| !block.is_single() && block.overlaps_tailnet()) => {
                Some("every device with such an address")
            }
            _ => None,
        }
    }

    /// Whether it includes every device of the tailnet, also future ones.
    pub(super) fn is_everything(&self) -> bool {
        match self {
            Selector::Any | Selector::Danger => true,
            _ => Block::cover_tailnet(self.blocks()),
        }
    }

    /// Whether the selectors together, but none alone, include every device of the tailnet.
    pub(super) fn are_everything(all: &[&Selector]) -> bool {
        let blocks: Vec<_> = all.iter().flat_map(|selector| selector.blocks()).copied().collect();
        // A device has a user or a tag.
        let either = all.contains(&&Selector::Member) && all.contains(&&Selector::Tagged);
        !all.iter().any(|selector| selector.is_everything()) && (either || Block::cover_tailnet(&blocks))
    }

    /// Whether it includes `device`, for packets of `family` with `other` at the other end.
    pub(super) fn means(&self, device: &Device, other: &Device, family: Family, names: &Names) -> Answer {
        let user = device.user();
        let if_user = |f: &dyn Fn(&str) -> bool| Answer::from(user.is_some_and(f));
        let known = match self {
            Selector::Any => return in_tailnet(device, family, names),
            Selector::Anywhere | Selector::Danger => Answer::Yes,
            Selector::Tag(tag) => device.tags.contains(tag).into(),
            Selector::Tagged => (!device.tags.is_empty()).into(),
            Selector::Group(group) => {
                names.members(group).iter().map(|m| user_is(user, m)).fold(Answer::No, Answer::or)
            }
            Selector::User(name) => user_is(user, name),
            Selector::Domain(domain) => {
                if_user(&|u| u.split_once('@').is_some_and(|(_, d)| d.eq_ignore_ascii_case(domain)))
            }
            Selector::Member => if_user(&|_| true),
            Selector::Own => if_user(&|u| other.user().is_some_and(|o| o.eq_ignore_ascii_case(u))),
            Selector::Synced(_) if user.is_none() => Answer::No,
            Selector::Synced(group) => Answer::perhaps(format!("the file does not say who is in {group}")),
            Selector::Role(_) if user.is_none() => Answer::No,
            Selector::Role(role) => match &device.roles {
                Some(roles) => roles.contains(role).into(),
                None => Answer::perhaps(format!("the file does not say who is in autogroup:{role}")),
            },
            Selector::Shared | Selector::Internet => Answer::No,
            Selector::Addresses(_, name) => return in_blocks(self.blocks(), name, device, family),
            Selector::IpSet(set) => return in_set(set, device, family),
            Selector::Service(name) => (device.service.as_ref() == Some(name)).into(),
        };
        // An address in the tailnet can belong to any device.
        if known == Answer::No && device.is_bare() && device.may_be_in_tailnet() {
            return Answer::perhaps(format!("the file does not say whether {self} includes {device}"));
        }
        known
    }

    /// Whether it certainly includes every device that `other` includes.
    pub(super) fn includes(&self, other: &Selector, names: &Names) -> bool {
        use Selector::*;
        let in_domain = |user: &str, domain: &str| user.split_once('@').is_some_and(|(_, d)| d == domain);
        match (self, other) {
            (Danger | Anywhere, _) => true,
            (Any, Danger | Anywhere) => false,
            (Any, Addresses(block, _)) => block.overlaps_tailnet(),
            (Any, IpSet(set)) => !set.internet && set.blocks.iter().all(Block::overlaps_tailnet),
            (Any, _) => true,
            (Addresses(..) | IpSet(_), IpSet(set)) if set.internet => self == other,
            (Addresses(..) | IpSet(_), Addresses(..) | IpSet(_)) => {
                Block::difference(other.blocks(), self.blocks()).is_empty()
            }
            (Addresses(..) | IpSet(_), Danger | Any | Anywhere) => false,
            (Addresses(..) | IpSet(_), _) => self.is_everything(),
            (Member, User(_) | Domain(_) | Role(_) | Synced(_)) => true,
            (Member, Group(_)) => true,
            (Tagged, Tag(_)) => true,
            (Domain(domain), User(user)) => in_domain(user, domain),
            (Domain(domain), Group(group)) => names.members(group).iter().all(|m| in_domain(m, domain)),
            (Group(group), User(user)) => names.members(group).contains(user),
            (Group(all), Group(some)) => {
                names.members(some).iter().all(|member| names.members(all).contains(member))
            }
            (User(user), Group(group)) => names.members(group).iter().all(|member| member == user),
            _ => self == other,
        }
    }
}

/// Whether a user has that login name, without regard to case. Other control servers than Tailscale's also have names such
/// as `anna@`, which may be the same user as `anna@example.com`.
fn user_is(user: Option<&str>, name: &str) -> Answer {
    let Some(user) = user else { return Answer::No };
    if user.eq_ignore_ascii_case(name) {
        return Answer::Yes;
    }
    let local = |name: &str| name.split('@').next().unwrap_or_default().to_lowercase();
    if (user.ends_with('@') || name.ends_with('@')) && local(user) == local(name) {
        Answer::perhaps(format!("the file does not say whether {user} and {name} are the same user"))
    } else {
        Answer::No
    }
}

/// Whether `*` as a source includes a device.
fn in_tailnet(device: &Device, family: Family, names: &Names) -> Answer {
    let Addresses::Known(addresses) = &device.addresses else { return Answer::Yes };
    let of_family = || addresses.iter().filter(|address| block::family(**address) == family);
    let routed = |address: &_| names.routes.iter().any(|route| route.contains(*address));
    if of_family().any(|address| block::is_in_tailnet(*address)) {
        return Answer::Yes;
    }
    match of_family().find(|address| routed(address)) {
        Some(address) => Answer::perhaps(format!("* means {address} only where a route to it is approved")),
        None => Answer::No,
    }
}

fn in_blocks(blocks: &[Block], name: &str, device: &Device, family: Family) -> Answer {
    let blocks: Vec<_> = blocks.iter().filter(|block| block.family() == family).copied().collect();
    match &device.addresses {
        Addresses::Known(addresses) => {
            addresses.iter().any(|a| blocks.iter().any(|block| block.contains(*a))).into()
        }
        _ if Block::cover_tailnet(&blocks) => Answer::Yes,
        Addresses::Unknown if blocks.iter().any(Block::overlaps_tailnet) => {
            Answer::perhaps(format!("it depends on whether the address of {device} is in {name}"))
        }
        Addresses::Unknown | Addresses::Unnamed => Answer::No,
    }
}

fn in_set(set: &IpSet, device: &Device, family: Family) -> Answer {
    let outside = |address: &_| block::family(*address) == family && !block::is_in_tailnet(*address);
    let known = in_blocks(&set.blocks, &set.name, device, family);
    match &device.addresses {
        Addresses::Known(addresses) if set.internet && addresses.iter().any(outside) => {
            known.or(Answer::perhaps(format!("autogroup:internet in {} is not evaluated here", set.name)))
        }
        _ => known,
    }
}

impl fmt::Display for Selector {
    /// As the policy file writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Selector::*;
        match self {
            Any | Anywhere => f.write_str("*"),
            Danger => f.write_str("autogroup:danger-all"),
            Domain(domain) => write!(f, "user:*@{domain}"),
            Member => f.write_str("autogroup:member"),
            Tagged => f.write_str("autogroup:tagged"),
            Role(role) => write!(f, "autogroup:{role}"),
            Own => f.write_str("autogroup:self"),
            Shared => f.write_str("autogroup:shared"),
            Internet => f.write_str("autogroup:internet"),
            Tag(text) | Group(text) | Synced(text) | User(text) => f.write_str(text),
            Addresses(_, text) | Service(text) => f.write_str(text),
            IpSet(set) => f.write_str(&set.name),
        }
    }
}

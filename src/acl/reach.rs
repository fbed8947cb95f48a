//! Who gets in to a node.

use serde::Serialize;
use serde_json::Value;

use super::answer::Answer;
use super::block::Family;
use super::device::{Addresses, Device};
use super::policy::PolicyFile;
use super::rights::{self, MergedRights};
use super::rule::{Origin, Rule};
use super::selector::Selector;
use super::traffic::TCP;
use super::warning::{self, Warning};
use crate::policy::AccessMode;

/// The node that is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its tags or its user, and its addresses if they are known.
    pub device: Device,
    /// The Service that it hosts, `svc:` and a name: another address, at which it listens on `port`.
    pub service: Option<String>,
    /// The TCP port that it listens on.
    pub port: u16,
    /// Another one at which the same is answered, by HTTPS, if it has one.
    pub https: Option<u16>,
    /// The one for the metrics, if it has one.
    pub metrics: Option<u16>,
    /// The one for the page, if it has one.
    pub page: Option<u16>,
    /// The name of the capability that it reads.
    pub capability: String,
    /// What it lets those ask who have no value of the capability.
    pub access: AccessMode,
}

/// One source, as the policy file names it, that gets in. A device that several sources mean has
/// what they have together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// Such as `tag:ai-client`, `group:ai-admins`, `anna@example.com`, `*`, `10.0.0.0/8`.
    pub source: String,
    /// The members of a group, as far as the file has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// The entries of the file that let it in.
    pub through: Vec<Origin>,
    /// Why it may not get in after all; empty if it certainly does.
    #[serde(rename = "unless", skip_serializing_if = "Vec::is_empty")]
    pub perhaps: Vec<String>,
    /// Whether it is a subnet, outside the tailnet: then the proxy refuses its clients, which it can't tell
    /// apart.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub subnet: bool,
    /// The values that it has under the target's capability.
    pub capabilities: Vec<Capability>,
    /// What those values come to; `None`: it may ask nothing.
    pub rights: Option<MergedRights>,
}

/// A value of a capability, and the entry that grants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Capability {
    /// The entry of the file.
    pub origin: Origin,
    /// The value as it stands there.
    pub value: Value,
}

/// Who gets in, and what to think about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Every source that gets in, in the order of the file.
    pub reach: Vec<Reach>,
    /// The same, of the port at the addresses of the Service that the node hosts.
    pub service: Vec<Reach>,
    /// The same, of the other port for HTTPS.
    pub https: Vec<Reach>,
    /// The same, of the port for the metrics.
    pub metrics: Vec<Reach>,
    /// The same, of the port for the page.
    pub page: Vec<Reach>,
    /// In the order of the file.
    pub warnings: Vec<Warning>,
}

impl PolicyFile {
    /// Which sources can connect to `target`, through which entries of the file, with which
    /// capability values.
    pub fn reach(&self, target: &Target) -> Report {
        let mut sources: Vec<&Selector> = Vec::new();
        for source in self.rules.iter().flat_map(|rule| &rule.src) {
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        // A user's node is reached by that user where `autogroup:self` is a destination.
        let owner = target.device.user().map(|user| Selector::User(user.to_lowercase()));
        if let Some(owner) = owner.as_ref().filter(|owner| !sources.contains(owner))
            && self.rules.iter().any(|rule| rule.dst.contains(&Selector::Own))
        {
            sources.push(owner);
        }
        let (reach, mut idle) = self.rows(&sources, target, target.port);
        let service = target.as_service().map(|service| self.rows(&sources, &service, target.port));
        let (service, shut_out) = service.unwrap_or_default();
        if target.service.is_some() {
            idle.retain(|row| shut_out.iter().any(|other| other.source == row.source));
        }
        let mut at = |port: Option<u16>| {
            let Some(port) = port else { return Vec::new() };
            let (there, shut_out) = self.rows(&sources, target, port);
            idle.retain(|row| shut_out.iter().any(|other| other.source == row.source));
            there
        };
        let (https, metrics, page) = (at(target.https), at(target.metrics), at(target.page));
        let by_any: Vec<_> = [&reach, &service, &https].into_iter().flatten().collect();
        let warnings = warning::warnings(self, target, &by_any, &idle);
        Report { reach, service, https, metrics, page, warnings }
    }

    /// Who gets in to a port of the target, and who has its capability and does not.
    fn rows(&self, sources: &[&Selector], target: &Target, port: u16) -> (Vec<Reach>, Vec<Reach>) {
        let (mut reach, mut idle): (Vec<Reach>, Vec<Reach>) = (Vec::new(), Vec::new());
        for source in sources {
            let (answer, row) = self.row(source, target, port);
            match answer {
                Answer::No if row.capabilities.is_empty() => {}
                Answer::No => idle.push(row),
                Answer::Yes | Answer::Perhaps(_) => reach.push(row),
            }
        }
        for member in self.members_with_more(sources, target, port, &reach) {
            reach.push(member);
        }
        (reach, idle)
    }

    fn row(&self, source: &Selector, target: &Target, port: u16) -> (Answer, Reach) {
        let members = match source {
            Selector::Group(group) => self.names.members(group).to_vec(),
            _ => Vec::new(),
        };
        let nobody = source.is_nobody(&self.names);
        let (mut answer, mut through, mut capabilities) = (Answer::No, Vec::new(), Vec::new());
        for rule in self.rules.iter().filter(|_| !nobody) {
            let named = self.names_source(rule, source, target);
            let applies = target.answer(self, rule, source).and(rule.condition()).and(named);
            if applies == Answer::No {
                continue;
            }
            if rule.passes(TCP, port) {
                through.push(rule.origin);
                answer = answer.or(applies);
            }
            let ours = rule.app.iter().filter(|(name, _)| *name == target.capability);
            let values = ours.flat_map(|(_, values)| values.iter().cloned());
            capabilities.extend(values.map(|value| Capability { origin: rule.origin, value }));
        }
        through.dedup();
        let subnet = source.is_subnet();
        let rights = rights::merge(target.access, capabilities.iter().map(|c| &c.value)).filter(|_| !subnet);
        let perhaps = match &answer {
            Answer::Perhaps(reasons) => reasons.clone(),
            Answer::Yes | Answer::No => Vec::new(),
        };
        (
            answer,
            Reach { source: source.to_string(), members, through, perhaps, subnet, capabilities, rights },
        )
    }

    /// Whether the rule is for `source`. Which roles the node's owner has, the file does not say.
    fn names_source(&self, rule: &Rule, source: &Selector, target: &Target) -> Answer {
        let owner = matches!(source, Selector::User(user) if target.is_of(user));
        match owner && rule.dst.contains(&Selector::Own) {
            true => {
                let device = target.device.clone();
                let means = |family| {
                    Answer::any(rule.src.iter().map(|src| src.means(&device, &device, family, &self.names)))
                };
                means(Family::V4).or(means(Family::V6))
            }
            false => self.includes(&rule.src, source).into(),
        }
    }

    /// Members of groups, not named one by one in any rule, who have more than one of the groups
    /// gives: they are in several.
    fn members_with_more(
        &self,
        sources: &[&Selector],
        target: &Target,
        port: u16,
        reach: &[Reach],
    ) -> Vec<Reach> {
        let mut users: Vec<Selector> = Vec::new();
        for user in reach.iter().flat_map(|row| &row.members).cloned().map(Selector::User) {
            if !users.contains(&user) && !sources.contains(&&user) {
                users.push(user);
            }
        }
        let same = |a: &Reach, b: &Reach| {
            (&a.through, &a.perhaps, &a.capabilities) == (&b.through, &b.perhaps, &b.capabilities)
        };
        let rows = users.iter().map(|user| self.row(user, target, port).1);
        rows.filter(|row| !reach.iter().any(|group| group.members.contains(&row.source) && same(group, row)))
            .collect()
    }
}

impl Target {
    /// The ports that are to be reached.
    pub(super) fn ports(&self) -> impl Iterator<Item = u16> + Clone {
        [Some(self.port), self.https, self.metrics, self.page].into_iter().flatten()
    }

    fn is_of(&self, user: &str) -> bool {
        self.device.user().is_some_and(|owner| owner.eq_ignore_ascii_case(user))
    }

    /// Whether the rule lets the owner reach it, as one of their own devices.
    pub(super) fn is_own(&self, rule: &Rule) -> bool {
        self.device.user().is_some() && rule.dst.contains(&Selector::Own)
    }

    /// The Service that it hosts, as a target of its own.
    fn as_service(&self) -> Option<Target> {
        let service = self.service.as_ref()?;
        Some(Target { device: Device::service(service.as_str()), service: None, ..self.clone() })
    }

    /// Whether the rule is about connections to it, at its own addresses or those of its Service.
    pub(super) fn is_meant_by(&self, policy: &PolicyFile, rule: &Rule) -> bool {
        let is_meant =
            |target: &Target| rule.src.iter().any(|source| target.answer(policy, rule, source) != Answer::No);
        is_meant(self) || self.as_service().is_some_and(|service| is_meant(&service))
    }

    /// Whether the rule's destinations mean it, when `source` asks.
    fn answer(&self, policy: &PolicyFile, rule: &Rule, source: &Selector) -> Answer {
        let other = match source {
            Selector::User(user) => Device::of_user(user),
            _ => Device::tagged([""; 0]),
        };
        let means = |family| {
            Answer::any(rule.dst.iter().map(|dst| dst.means(&self.device, &other, family, &policy.names)))
        };
        means(Family::V4).or(means(Family::V6))
    }

    /// Whether the rule lets it begin connections of its own. A single address, which is seldom
    /// that of the very node, counts only if the node's are known.
    pub(super) fn may_begin(&self, policy: &PolicyFile, rule: &Rule) -> Answer {
        let other = Device::tagged([""; 0]);
        let known = matches!(self.device.addresses, Addresses::Known(_));
        let sources = || rule.src.iter().filter(|src| known || !src.is_single());
        let means =
            |family| Answer::any(sources().map(|src| src.means(&self.device, &other, family, &policy.names)));
        means(Family::V4).or(means(Family::V6)).and(rule.condition())
    }
}

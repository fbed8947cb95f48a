//! Which sources can connect to a node.

use super::answer::Answer;
use super::block::Family;
use super::device::{Addresses, Device};
use super::policy::PolicyFile;
use super::report::{Capability, Reach, Report, Target};
use super::review;
use super::rights;
use super::rule::Rule;
use super::selector::Selector;
use super::traffic::TCP;

impl PolicyFile {
    /// Evaluates which sources can connect to `target`, by which entries of the file, with which capability values.
    pub fn reach(&self, target: &Target) -> Report {
        let mut sources: Vec<&Selector> = Vec::new();
        for source in self.rules.iter().flat_map(|rule| &rule.src) {
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        // With `autogroup:self` as a destination, a user reaches their own node.
        let owner = target.device.user().map(|user| Selector::User(user.to_lowercase()));
        if let Some(owner) = owner.as_ref().filter(|owner| !sources.contains(owner))
            && self.rules.iter().any(|rule| rule.dst.contains(&Selector::Own))
        {
            sources.push(owner);
        }
        let (reach, mut idle) = self.rows(&sources, target, target.port);
        let service = target.as_service().map(|service| self.rows(&sources, &service, target.port));
        let (service, unable) = service.unwrap_or_default();
        if target.service.is_some() {
            idle.retain(|row| unable.iter().any(|other| other.source == row.source));
        }
        let mut at = |port: Option<u16>| {
            let Some(port) = port else { return Vec::new() };
            let (there, unable) = self.rows(&sources, target, port);
            idle.retain(|row| unable.iter().any(|other| other.source == row.source));
            there
        };
        let (https, metrics, page) = (at(target.https), at(target.metrics), at(target.page));
        let by_any: Vec<_> = [&reach, &service, &https].into_iter().flatten().collect();
        let warnings = review::warnings(self, target, &by_any, &idle);
        Report { reach, service, https, metrics, page, warnings }
    }

    /// The sources that can connect to a port of the target, and those that can't but have its capability.
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
        let is_empty = source.is_empty(&self.names);
        let (mut answer, mut through, mut capabilities) = (Answer::No, Vec::new(), Vec::new());
        for rule in self.rules.iter().filter(|_| !is_empty) {
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

    /// Whether the rule is for `source`. The file does not say which roles the node's owner has.
    fn names_source(&self, rule: &Rule, source: &Selector, target: &Target) -> Answer {
        let owner = matches!(source, Selector::User(user) if target.is_owned_by(user));
        if owner && rule.dst.contains(&Selector::Own) {
            let device = &target.device;
            let means = |family| {
                Answer::any(rule.src.iter().map(|src| src.means(device, device, family, &self.names)))
            };
            means(Family::V4).or(means(Family::V6))
        } else {
            self.includes(&rule.src, source).into()
        }
    }

    /// Members of several groups that together have more than each group, and that no rule names themselves.
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
    /// The ports that clients connect to.
    pub(super) fn ports(&self) -> impl Iterator<Item = u16> + Clone {
        [Some(self.port), self.https, self.metrics, self.page].into_iter().flatten()
    }

    fn is_owned_by(&self, user: &str) -> bool {
        self.device.user().is_some_and(|owner| owner.eq_ignore_ascii_case(user))
    }

    /// Whether the rule lets the owner connect to the target as one of their own devices.
    pub(super) fn is_own(&self, rule: &Rule) -> bool {
        self.device.user().is_some() && rule.dst.contains(&Selector::Own)
    }

    /// The Service that the node hosts, as a target.
    fn as_service(&self) -> Option<Target> {
        let service = self.service.as_ref()?;
        Some(Target { device: Device::service(service.as_str()), service: None, ..self.clone() })
    }

    /// Whether the rule is about connections to the target or to its Service.
    pub(super) fn is_meant_by(&self, policy: &PolicyFile, rule: &Rule) -> bool {
        let is_meant =
            |target: &Target| rule.src.iter().any(|source| target.answer(policy, rule, source) != Answer::No);
        is_meant(self) || self.as_service().is_some_and(|service| is_meant(&service))
    }

    /// Whether the rule's destinations include the target for connections from `source`.
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

    /// Whether the rule lets the target itself open connections. A single address as a source counts only if the target's
    /// addresses are known, as it is seldom one of them.
    pub(super) fn may_connect(&self, policy: &PolicyFile, rule: &Rule) -> Answer {
        let other = Device::tagged([""; 0]);
        let known = matches!(self.device.addresses, Addresses::Known(_));
        let sources = || rule.src.iter().filter(|src| known || !src.is_single());
        let means =
            |family| Answer::any(sources().map(|src| src.means(&self.device, &other, family, &policy.names)));
        means(Family::V4).or(means(Family::V6)).and(rule.condition())
    }
}

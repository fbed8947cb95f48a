//! The rules of `grants` and `acls`.
//!
//! Source: Tailscale documentation, "Grants syntax" and "ACLs". Rules only add
//! to each other.

use super::answer::Answer;
use super::block::Family;
use super::device::Device;
use super::fault::FileFault;
use super::headscale;
use super::names::Names;
use super::origin::Origin;
use super::read::At;
use super::selector::Selector;
use super::traffic::{Ports, Traffic, parse_protocol};
use super::warning::{Warning, WarningKind};

/// One grant, or one destination of an acl: they mean the same.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) origin: Origin,
    pub(super) src: Vec<Selector>,
    pub(super) dst: Vec<Selector>,
    pub(super) ip: Vec<Traffic>,
    /// Capabilities by name, each with its values.
    pub(super) app: Vec<(String, Vec<serde_json::Value>)>,
    /// Conditions of the rule that are not evaluated here.
    pub(super) conditions: Vec<String>,
}

/// Reads rules, and collects faults and warnings.
pub(super) struct Reader<'a> {
    pub(super) names: &'a Names,
    pub(super) faults: &'a mut Vec<FileFault>,
    /// Warnings about entries without effect.
    pub(super) notes: &'a mut Vec<Warning>,
}

impl Reader<'_> {
    /// All rules, with the default posture on those that have no conditions.
    pub(super) fn rules(
        &mut self,
        grants: Option<At<'_>>,
        acls: Option<At<'_>>,
        default_posture: Option<At<'_>>,
    ) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (i, at) in grants.iter().flat_map(|at| at.list(self.faults)).enumerate().collect::<Vec<_>>() {
            rules.push(self.grant(&at, i));
        }
        for (i, at) in acls.iter().flat_map(|at| at.list(self.faults)).enumerate().collect::<Vec<_>>() {
            rules.extend(self.acl(&at, i));
        }
        let posture = self.postures(default_posture);
        for rule in rules.iter_mut().filter(|rule| !posture.is_empty() && rule.conditions.is_empty()) {
            rule.conditions.push(format!("defaultSrcPosture {} is not evaluated here", posture.join(", ")));
        }
        rules
    }

    fn grant(&mut self, at: &At<'_>, index: usize) -> Rule {
        let fields = ["src", "dst", "ip", "app", "srcPosture", "via"];
        let [src, dst, ip, app, posture, via] = at.fields(fields, self.faults);
        let src = self.sources(at, src);
        let mut rule = Rule {
            origin: Origin { section: "grants", index, line: at.line() },
            dst: self.destinations(at, dst, &src),
            src,
            ip: Vec::new(),
            app: Vec::new(),
            conditions: self.conditions(posture, via),
        };
        let before = self.faults.len();
        for (at, text) in ip.iter().flat_map(|at| at.texts(self.faults)).collect::<Vec<_>>() {
            let known = self.names.control.check_dialect(headscale::check_ip, text);
            match known.and_then(|()| Traffic::parse(text)) {
                Ok(traffic) => rule.ip.push(traffic),
                Err(reason) => self.faults.push(at.fault(reason)),
            }
        }
        for (name, at) in app.iter().flat_map(|at| at.entries(self.faults)).collect::<Vec<_>>() {
            let known = self.names.control.check_dialect(headscale::check_capability, name);
            if let Err(reason) = known.and_then(|()| check_capability(name)) {
                self.faults.push(FileFault::new(at.line(), &at.key, "", reason));
            }
            rule.app.push((name.to_owned(), at.list(self.faults).iter().map(At::json).collect()));
        }
        if rule.ip.is_empty() && rule.app.is_empty() && self.faults.len() == before {
            self.faults.push(at.fault("neither ip nor app: the grant grants nothing"));
        }
        if !rule.app.is_empty() && rule.dst.contains(&Selector::Internet) {
            self.faults.push(at.fault("autogroup:internet can't be a destination of a grant with app"));
        }
        rule
    }

    fn acl(&mut self, at: &At<'_>, index: usize) -> Vec<Rule> {
        let fields = ["action", "src|users", "dst|ports", "proto", "srcPosture"];
        let [action, src, dst, proto, posture] = at.fields(fields, self.faults);
        match action {
            None => self.faults.push(at.fault("action is missing; want \"action\": \"accept\"")),
            Some(at) if at.text(self.faults).is_some_and(|text| text != "accept") => {
                self.faults
                    .push(at.fault("the only action is accept; traffic that no rule accepts is denied"));
            }
            Some(_) => {}
        }
        let origin = Origin { section: "acls", index, line: at.line() };
        let src = self.sources(at, src);
        let conditions = self.conditions(posture, None);
        let protocol = proto.as_ref().and_then(|at| at.text(self.faults)).unwrap_or_default();
        let control = self.names.control;
        let known = control.check_dialect(headscale::check_protocol, protocol);
        if let (Some(at), Err(reason)) = (&proto, known.and_then(|()| parse_protocol(protocol))) {
            self.faults.push(at.fault(reason));
            return Vec::new();
        }
        let mut rules = Vec::new();
        for (at, text) in self.texts(at, "dst", dst) {
            let known = control.check_dialect(headscale::check_target, text);
            let read = known.and_then(|()| split_target(text)).and_then(|(host, ports)| {
                let parse = |ports: &str| Ports::parse(ports).and_then(|p| Traffic::new(protocol, p));
                Ok((self.names.destination(host)?, ports.split(',').map(parse).collect::<Result<_, _>>()?))
            });
            // In acls, but not in grants, Tailscale accepts `*` with `autogroup:self`: there it means all users.
            let fits = |dst: &Selector| fits(src.iter().filter(|src| **src != Selector::Any), dst);
            match read.and_then(|(dst, ip)| fits(&dst).map(|()| (dst, ip))) {
                Ok((dst, ip)) => {
                    let (src, conditions) = (src.clone(), conditions.clone());
                    rules.push(Rule { origin, src, dst: vec![dst], ip, app: Vec::new(), conditions });
                }
                Err(reason) => self.faults.push(at.fault(reason)),
            }
        }
        rules
    }

    /// The strings of `src` or `dst`.
    fn texts<'a>(&mut self, at: &At<'a>, name: &str, field: Option<At<'a>>) -> Vec<(At<'a>, &'a str)> {
        let before = self.faults.len();
        let texts: Vec<_> = field.iter().flat_map(|field| field.texts(self.faults)).collect();
        if texts.is_empty() && self.faults.len() == before {
            let text = format!("{}: {name} names no device, so the entry grants nothing", at.key);
            self.notes.push(Warning::new(WarningKind::GrantsNothing, at.line(), text));
        }
        texts
    }

    fn sources<'a>(&mut self, at: &At<'a>, field: Option<At<'a>>) -> Vec<Selector> {
        let mut sources = Vec::new();
        for (at, text) in self.texts(at, "src", field) {
            match self.names.source(text) {
                Ok(source) => sources.push(source),
                Err(reason) => self.faults.push(at.fault(reason)),
            }
        }
        sources
    }

    fn destinations<'a>(&mut self, at: &At<'a>, field: Option<At<'a>>, src: &[Selector]) -> Vec<Selector> {
        let mut destinations = Vec::new();
        for (at, text) in self.texts(at, "dst", field) {
            match self.names.destination(text).and_then(|dst| fits(src.iter(), &dst).map(|()| dst)) {
                Ok(destination) => destinations.push(destination),
                Err(reason) => self.faults.push(at.fault(reason)),
            }
        }
        destinations
    }

    fn conditions(&mut self, posture: Option<At<'_>>, via: Option<At<'_>>) -> Vec<String> {
        let via: Vec<_> = via.iter().flat_map(|at| at.texts(self.faults)).collect();
        for (at, text) in &via {
            match self.names.selector(text) {
                Ok(Selector::Tag(_)) => {}
                Ok(_) => self.faults.push(at.fault("not a tag; traffic goes only via devices with a tag")),
                Err(reason) => self.faults.push(at.fault(reason)),
            }
        }
        let postures = self.postures(posture);
        let via: Vec<_> = via.into_iter().map(|(_, text)| text).collect();
        let condition = |what: &str, texts: &[&str]| {
            (!texts.is_empty()).then(|| format!("{what} {} is not evaluated here", texts.join(", ")))
        };
        [condition("srcPosture", &postures), condition("via", &via)].into_iter().flatten().collect()
    }

    /// The names of postures, all of which must be in `postures`.
    fn postures<'a>(&mut self, field: Option<At<'a>>) -> Vec<&'a str> {
        let texts: Vec<_> = field.iter().flat_map(|at| at.texts(self.faults)).collect();
        for (at, text) in &texts {
            if !self.names.postures.iter().any(|known| known == text) {
                self.faults.push(at.fault("unknown posture; add it to postures"));
            }
        }
        texts.into_iter().map(|(_, text)| text).collect()
    }
}

/// Checks that `autogroup:self` as the destination has only users as sources.
fn fits<'a>(mut src: impl Iterator<Item = &'a Selector>, dst: &Selector) -> Result<(), String> {
    match src.find(|src| *dst == Selector::Own && !src.is_of_users()) {
        Some(src) => Err(format!(
            "autogroup:self needs users, groups or autogroups of users as src, and src has {src}"
        )),
        None => Ok(()),
    }
}

/// Tailscale's own capabilities that a policy file may grant.
/// Source: Tailscale documentation, "Grants: application capabilities", and the files of Tailscale's programs
/// golink, tsidp and setec.
const TAILSCALE_CAPABILITIES: [&str; 8] =
    ["drive", "golink", "kubernetes", "relay", "secrets", "tailsql", "tsidp", "webui"];

/// Checks that a policy file may grant a capability.
fn check_capability(name: &str) -> Result<(), String> {
    let (domain, path) = name.split_once('/').unwrap_or_default();
    let label = |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if path.is_empty() || !domain.contains('.') || !domain.split('.').all(label) {
        return Err("not a capability's name; want domain/name, such as example.com/cap/x".to_owned());
    }
    let domain = domain.to_ascii_lowercase();
    let own = path.strip_prefix("cap/").is_some_and(|cap| TAILSCALE_CAPABILITIES.contains(&cap));
    if (domain == "tailscale.com" && !own) || domain.ends_with(".tailscale.com") {
        return Err("Tailscale reserves this capability; use a domain of yours".to_owned());
    }
    Ok(())
}

impl Rule {
    /// Whether the rule applies to connections from `src` to `dst`.
    pub(super) fn applies(&self, src: &Device, dst: &Device, names: &Names) -> Answer {
        let family = |family| {
            let from = Answer::any(self.src.iter().map(|s| s.means(src, dst, family, names)));
            let to = Answer::any(self.dst.iter().map(|s| s.means(dst, src, family, names)));
            match (src.has(family), dst.has(family)) {
                (true, true) => from.and(to),
                _ => Answer::No,
            }
        };
        family(Family::V4).or(family(Family::V6)).and(self.condition())
    }

    /// Whether the rule has no conditions.
    pub(super) fn condition(&self) -> Answer {
        match self.conditions.as_slice() {
            [] => Answer::Yes,
            conditions => Answer::Perhaps(conditions.to_vec()),
        }
    }

    pub(super) fn passes(&self, protocol: u8, port: u16) -> bool {
        self.ip.iter().any(|traffic| traffic.passes(protocol, port))
    }
}

/// Splits `tag:x:80,443` into host and ports. An IPv6 address may be in brackets.
pub(super) fn split_target(text: &str) -> Result<(&str, &str), String> {
    let (host, ports) =
        text.rsplit_once(':').ok_or("has no ports; want destination:ports, such as tag:server:443")?;
    Ok((host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host), ports))
}

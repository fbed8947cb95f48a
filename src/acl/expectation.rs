//! Reading the file's own `tests`.
//!
//! Source: Tailscale documentation, "Syntax reference for the tailnet policy file", "Tests".

use super::control_server::ControlServer;
use super::device::{Addresses, Device};
use super::fault::FileFault;
use super::headscale;
use super::names::Names;
use super::read::At;
use super::rule::split_target;
use super::selector::Selector;
use super::traffic::{Ports, TCP, WITH_PORTS, parse_protocol};

/// The protocols that a test is about if it names none.
const DEFAULT_PROTOCOLS: [u8; 2] = [TCP, 17];

/// One destination that a test names.
#[derive(Debug, Clone)]
pub(super) struct Expectation {
    pub(super) key: String,
    pub(super) line: usize,
    /// The source, as written.
    pub(super) source: String,
    /// Source and destination, as written.
    pub(super) text: String,
    /// With `accept`, each of these must reach each target; else none may reach any.
    pub(super) sources: Vec<Device>,
    pub(super) targets: Vec<Device>,
    /// Whether the file does not say what one of the names means.
    pub(super) unknown: bool,
    pub(super) protocols: Vec<u8>,
    pub(super) port: u16,
    pub(super) accept: bool,
}

impl Expectation {
    /// Reads one test.
    pub(super) fn read(at: &At<'_>, names: &Names, faults: &mut Vec<FileFault>) -> Vec<Expectation> {
        let fields = ["src|user", "accept|allow", "deny", "proto", "srcPostureAttrs"];
        let [src, accept, deny, proto, _] = at.fields(fields, faults);
        let Some(protocols) = protocols(proto.as_ref(), names.control, faults) else { return Vec::new() };
        // Headscale refuses empty lists too.
        let is_empty = |at: &At<'_>| {
            names.control == ControlServer::Other && at.is_list() && at.list(&mut Vec::new()).is_empty()
        };
        if accept.iter().chain(&deny).all(is_empty) {
            faults.push(at.fault("neither accept nor deny: the test tests nothing"));
        }
        let Some(src) = src else {
            faults.push(at.fault("src is missing; want a user, group, tag, host or address"));
            return Vec::new();
        };
        let Some(name) = src.text(faults) else { return Vec::new() };
        let sources = match devices(name, names).and_then(check_sources) {
            Ok(sources) => sources,
            Err(reason) => {
                faults.push(src.fault(reason));
                return Vec::new();
            }
        };
        let mut expectations = Vec::new();
        for (field, accept) in [(accept, true), (deny, false)] {
            for (at, text) in field.iter().flat_map(|at| at.texts(faults)).collect::<Vec<_>>() {
                match read_target(text, names) {
                    Ok((targets, port)) => expectations.push(Expectation {
                        key: at.key.clone(),
                        line: at.line(),
                        source: name.to_owned(),
                        text: format!("{name} → {text}"),
                        unknown: sources.is_none() || targets.is_none(),
                        sources: sources.clone().unwrap_or_default(),
                        targets: targets.unwrap_or_default(),
                        protocols: protocols.clone(),
                        port,
                        accept,
                    }),
                    Err(reason) => faults.push(at.fault(reason)),
                }
            }
        }
        expectations
    }
}

/// The protocols that a test is about; `None` after a fault.
fn protocols(field: Option<&At<'_>>, control: ControlServer, faults: &mut Vec<FileFault>) -> Option<Vec<u8>> {
    let Some((at, text)) = field.and_then(|at| Some((at, at.text(faults)?))) else {
        return Some(DEFAULT_PROTOCOLS.to_vec());
    };
    let known = control.check_dialect(headscale::check_protocol, text);
    let reason = match known.and_then(|()| parse_protocol(text)) {
        Ok(None) => return Some(DEFAULT_PROTOCOLS.to_vec()),
        Ok(Some(protocol)) if WITH_PORTS.contains(&protocol) => return Some(vec![protocol]),
        Ok(Some(_)) => "a test is about tcp, udp or sctp: other protocols have no ports".to_owned(),
        Err(reason) => reason,
    };
    faults.push(at.fault(reason));
    None
}

/// Reads `host:port`; the devices are `None` if the file does not say which they are.
fn read_target(text: &str, names: &Names) -> Result<(Option<Vec<Device>>, u16), String> {
    names.control.check_dialect(headscale::check_test_target, text)?;
    let (host, port) = split_target(text)?;
    let port = Ports::parse(port)?.single().ok_or("a test names one port")?;
    Ok((devices(host, names)?, port))
}

/// Refuses Services as sources.
fn check_sources(devices: Option<Vec<Device>>) -> Result<Option<Vec<Device>>, String> {
    if devices.iter().flatten().any(|device| device.service.is_some()) {
        return Err("a Service opens no connections; use it as a destination".to_owned());
    }
    Ok(devices)
}

/// The devices that a name in a test stands for: a typical one, or one for each member of a group, so an empty group fails
/// no test. `None`: the file does not say.
fn devices(name: &str, names: &Names) -> Result<Option<Vec<Device>>, String> {
    let typical = |device: Device| device.with(Addresses::Unnamed);
    Ok(Some(match names.selector(name)? {
        Selector::Tag(tag) => vec![typical(Device::tagged([tag]))],
        Selector::User(user) => vec![typical(Device::of_user(user))],
        Selector::Group(group) => {
            names.members(&group).iter().map(|user| typical(Device::of_user(user))).collect()
        }
        Selector::Service(name) => vec![typical(Device::service(name))],
        Selector::Addresses(block, _) if block.is_single() => vec![Device::at(block.first())],
        Selector::Addresses(..) => return Err("a test is about one address, not about several".to_owned()),
        Selector::Synced(_) | Selector::IpSet(_) => return Ok(None),
        _ => {
            return Err("a test is about a user, group, tag, host, address or, as a destination, a Service"
                .to_owned());
        }
    }))
}

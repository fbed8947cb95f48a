//! Protocols and ports.
//!
//! Source: Tailscale documentation, "Syntax reference for the tailnet policy file", `proto` and
//! `ports`, and "Grants syntax", `ip`; `ParseProtoPortRanges` and package `ipproto` in Tailscale's
//! Go code.

use std::fmt;

/// TCP's number, which is what HTTP goes over.
pub const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;
const ICMP: [u8; 2] = [1, 58];

/// The protocols that have ports. The file's own tests may name only these.
pub(super) const WITH_PORTS: [u8; 3] = [TCP, UDP, SCTP];

/// Protocols by name, in any case, with their IANA numbers. 99 is Tailscale's own choice.
const NAMES: [(&str, u8); 17] = [
    ("ah", 51),
    ("dccp", 33),
    ("egp", 8),
    ("esp", 50),
    ("gre", 47),
    ("icmp", 1),
    ("icmpv4", 1),
    ("icmpv6", 58),
    ("igmp", 2),
    ("igp", 9),
    ("ip-in-ip", 4),
    ("ipv4", 4),
    ("ipv6-icmp", 58),
    ("sctp", SCTP),
    ("tcp", TCP),
    ("tsmp", 99),
    ("udp", UDP),
];

/// One entry of a grant's `ip`, or the protocol and one of the ports of an acl.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Traffic {
    /// `None`: TCP and UDP.
    protocol: Option<u8>,
    ports: Ports,
    /// The protocol as written.
    name: String,
}

/// The ports from `first` to `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    first: u16,
    last: u16,
}

impl Traffic {
    /// Parses an entry of `ip`: `*`, `443`, `80-443`, `tcp:443`, `udp:*`, `*:443`.
    pub(super) fn parse(text: &str) -> Result<Traffic, String> {
        match text.split_once(':') {
            None | Some(("*", _)) => Traffic::new("", Ports::parse(text.strip_prefix("*:").unwrap_or(text))?),
            Some(("", _)) => {
                Err(format!("{text:?} has no protocol; write \"tcp{text}\", or the ports alone"))
            }
            Some((protocol, ports)) => Traffic::new(protocol, Ports::parse(ports)?),
        }
    }

    /// `protocol` is a name, a number, or empty for TCP and UDP.
    pub(super) fn new(protocol: &str, ports: Ports) -> Result<Traffic, String> {
        let number = parse_protocol(protocol)?;
        if number.is_some_and(|number| !WITH_PORTS.contains(&number)) && ports != Ports::ALL {
            return Err(format!("{protocol} has no ports; write \"{protocol}:*\""));
        }
        Ok(Traffic { protocol: number, ports, name: protocol.to_lowercase() })
    }

    /// Whether it includes packets of this protocol to this port. Any entry includes ICMP.
    pub(super) fn passes(&self, protocol: u8, port: u16) -> bool {
        if ICMP.contains(&protocol) {
            return true;
        }
        let named = self.protocol.map_or([TCP, UDP].contains(&protocol), |number| number == protocol);
        named && (!WITH_PORTS.contains(&protocol) || self.ports.contains(port))
    }

    /// Whether it includes only TCP to this port.
    pub(super) fn is_just(&self, port: u16) -> bool {
        self.protocol == Some(TCP) && self.ports == Ports { first: port, last: port }
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ports { first, last } = self.ports;
        if !self.name.is_empty() {
            write!(f, "{}:", self.name)?;
        }
        match self.ports {
            Ports::ALL => f.write_str("*"),
            _ if first == last => write!(f, "{first}"),
            _ => write!(f, "{first}-{last}"),
        }
    }
}

impl Ports {
    const ALL: Ports = Ports { first: 0, last: u16::MAX };

    /// Parses `*`, `443` or `80-443`. Only `*` includes port 0.
    pub(super) fn parse(text: &str) -> Result<Ports, String> {
        if text == "*" {
            return Ok(Ports::ALL);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (number(first), number(last)) {
            (Some(first), Some(last)) if 0 < first && first <= last => Ok(Ports { first, last }),
            _ => Err(format!(
                "{text:?} is not a port; want *, a number from 1 to 65535, or a range such as 8000-8010"
            )),
        }
    }

    pub(super) fn single(self) -> Option<u16> {
        (self.first == self.last).then_some(self.first)
    }

    fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

/// Parses a protocol's name or number. An empty text and 0 mean TCP and UDP.
pub(super) fn parse_protocol(text: &str) -> Result<Option<u8>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let named = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, number)| *number);
    match named.or_else(|| number(text).and_then(|number| number.try_into().ok())) {
        Some(0) => Ok(None),
        Some(number) => Ok(Some(number)),
        None => {
            Err(format!("{text:?} is not a protocol; want a name such as tcp or udp, or a number up to 255"))
        }
    }
}

/// Parses digits only, where Rust accepts a sign too.
fn number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

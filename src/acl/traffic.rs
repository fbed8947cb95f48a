//! Protocols and ports.
//!
//! Source: Tailscale documentation, "Syntax reference for the tailnet policy file", `proto` and
//! `ports`, and "Grants syntax", `ip`.

use std::fmt;

/// TCP's number, which is what HTTP goes over.
pub const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;
const ICMP: [u8; 2] = [1, 58];

/// Names with their numbers at IANA.
const NAMES: [(&str, &[u8]); 12] = [
    ("icmp", &ICMP),
    ("igmp", &[2]),
    ("ipv4", &[4]),
    ("ip-in-ip", &[4]),
    ("tcp", &[TCP]),
    ("egp", &[8]),
    ("igp", &[9]),
    ("udp", &[UDP]),
    ("gre", &[47]),
    ("esp", &[50]),
    ("ah", &[51]),
    ("sctp", &[SCTP]),
];

/// One entry of a grant's `ip`, or the protocol and one of the ports of an acl.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Empty: TCP and UDP.
    protocols: &'static [u8],
    ports: Ports,
    /// The protocol as written, for showing.
    name: String,
}

/// Ports from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    first: u16,
    last: u16,
}

impl Traffic {
    /// Reads an entry of `ip`: `*`, `443`, `80-443`, `tcp:443`, `udp:*`.
    pub(super) fn parse(text: &str) -> Result<Traffic, String> {
        match text.split_once(':') {
            Some((protocol, ports)) => Traffic::new(protocol, Ports::parse(ports)?),
            None => Traffic::new("", Ports::parse(text)?),
        }
    }

    /// `protocol` is a name, a number, or empty for TCP and UDP.
    pub(super) fn new(protocol: &str, ports: Ports) -> Result<Traffic, String> {
        let protocols = if protocol.is_empty() { &[] } else { parse_protocol(protocol)? };
        if !protocols.is_empty() && !protocols.iter().any(|p| has_ports(*p)) && ports != Ports::ALL {
            return Err(format!("{protocol} has no ports: write \"{protocol}:*\""));
        }
        Ok(Traffic { protocols, ports, name: protocol.to_owned() })
    }

    /// Whether it lets packets of this protocol through to this port. Whoever may send anything
    /// else may send ICMP as well.
    pub(super) fn passes(&self, protocol: u8, port: u16) -> bool {
        if ICMP.contains(&protocol) {
            return true;
        }
        let named = if self.protocols.is_empty() { &[TCP, UDP] } else { self.protocols };
        named.contains(&protocol) && (!has_ports(protocol) || self.ports.contains(port))
    }

    /// Whether it lets nothing through but TCP to this port.
    pub(super) fn is_just(&self, port: u16) -> bool {
        self.protocols == [TCP] && self.ports == Ports { first: port, last: port }
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

    /// Reads `*`, `443` or `80-443`.
    pub(super) fn parse(text: &str) -> Result<Ports, String> {
        if text == "*" {
            return Ok(Ports::ALL);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Ports { first, last }),
            _ => Err(format!(
                "{text:?} is no port: want *, a number up to 65535, or a range such as 8000-8010"
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

/// Reads a protocol's name or number.
pub(super) fn parse_protocol(text: &str) -> Result<&'static [u8], String> {
    static NUMBERS: [u8; 256] = {
        let mut numbers = [0; 256];
        let mut i = 0;
        while i < 256 {
            numbers[i] = i as u8;
            i += 1;
        }
        numbers
    };
    if let Some((_, numbers)) = NAMES.iter().find(|(name, _)| *name == text) {
        return Ok(numbers);
    }
    match number(text) {
        Some(n @ 1..=255) => Ok(&NUMBERS[usize::from(n)..=usize::from(n)]),
        _ => {
            Err(format!("{text:?} is no protocol: want a name such as tcp or udp, or a number from 1 to 255"))
        }
    }
}

fn has_ports(protocol: u8) -> bool {
    [TCP, UDP, SCTP].contains(&protocol)
}

/// Digits only: Rust would take a sign as well.
fn number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

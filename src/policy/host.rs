//! The names that a client may use for this node. Ollama's protection against DNS rebinding (CVE-2024-28224) checks the Host
//! header, which the proxy rewrites. So the proxy has to check it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

/// The node's host names and addresses, without ports, in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(BTreeSet<String>);

impl Hosts {
    /// Adds a name such as `remote-ollama-proxy` or an address such as `100.64.0.1` or `fd7a::1`.
    pub fn add(&mut self, name: &str) {
        // An address has many spellings; keep one.
        let name = match name.parse::<IpAddr>() {
            Ok(ip) => ip.to_string(),
            Err(_) => name.trim_end_matches('.').to_ascii_lowercase(),
        };
        if !name.is_empty() {
            self.0.insert(name);
        }
    }

    /// Adds a MagicDNS name and its first label, which clients use most.
    pub fn add_dns_name(&mut self, name: &str) {
        self.add(name);
        self.add(name.split('.').next().unwrap_or_default());
    }

    /// Adds an address.
    pub fn add_ip(&mut self, ip: IpAddr) {
        self.add(&ip.to_string());
    }

    /// Whether a Host header's value names this node. The port is not compared: port forwarding changes it, and a DNS
    /// rebinding attacker controls the name only.
    pub fn contains(&self, host: &[u8]) -> bool {
        let Some((host, port)) = host_and_port(host) else { return false };
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return false;
        }
        match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(ip) => ip.parse::<Ipv6Addr>().is_ok_and(|ip| self.0.contains(&ip.to_string())),
            None => self.0.contains(&host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()),
        }
    }

    /// The names, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// Whether a Host header's value is a host with an optional port (RFC 9110, 7.2). An empty host is none.
pub(super) fn is_host(value: &[u8]) -> bool {
    host_and_port(value).is_some()
}

/// Splits a value into the host, with brackets if it is an IPv6 address, and the digits after `:`, if there is one.
fn host_and_port(value: &[u8]) -> Option<(&str, Option<&str>)> {
    let value = std::str::from_utf8(value).ok()?;
    let end =
        if value.starts_with('[') { value.find(']')? + 1 } else { value.find(':').unwrap_or(value.len()) };
    let (host, rest) = value.split_at(end);
    let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
    let is_valid_host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(ip) => ip.parse::<Ipv6Addr>().is_ok(),
        None => is_reg_name(host),
    };
    let is_valid_port = port.unwrap_or_default().bytes().all(|b| b.is_ascii_digit());
    (is_valid_host && is_valid_port).then_some((host, port))
}

/// Whether a text is a name or an IPv4 address, which has the same characters (RFC 3986, 3.2.2). Empty is neither.
fn is_reg_name(host: &str) -> bool {
    let is_encoded =
        |at: usize| host.as_bytes().get(at + 1..at + 3).is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit));
    let is_valid = |(at, b): (usize, u8)| match b {
        b'%' => is_encoded(at),
        _ => b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&b),
    };
    !host.is_empty() && host.bytes().enumerate().all(is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_hosts_are_refused() {
        for host in ["a", "a:80", "a:", "a,b", "a%2fb", "127.0.0.1", "[::1]:80", "a.", "_x"] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for other in [
            "",
            ":80",
            "a@b",
            "a/b",
            "a, b",
            "a b",
            "a:+80",
            "a:-1",
            "a:8x",
            "a:80:80",
            "a#",
            "a?",
            "a\\",
            "a%2",
            "a%zz",
            "\u{e9}",
            "[::",
            "::1",
            "[::1",
            "[::1]80",
            "[a]",
            "[::1%25x]",
            "x[::1]",
            "http://a",
            "\"a\"",
            "a\tb",
        ] {
            assert!(!is_host(other.as_bytes()), "{other}");
        }
        assert!(!is_host(b"\xff"));
    }

    #[test]
    fn own_names_match_in_every_spelling_and_no_others_do() {
        let mut hosts = Hosts::default();
        hosts.add_dns_name("Remote-Ollama-Proxy.tail1234.ts.net.");
        hosts.add_ip("100.64.0.1".parse().unwrap());
        hosts.add_ip("fd7a:115c:a1e0::1".parse().unwrap());
        for own in [
            "remote-ollama-proxy",
            "remote-ollama-proxy:11434",
            "REMOTE-OLLAMA-PROXY.",
            "remote-ollama-proxy.tail1234.ts.net:80",
            "100.64.0.1:11434",
            "[fd7a:115c:a1e0::1]:11434",
            "[fd7a:115c:a1e0:0::1]",
        ] {
            assert!(hosts.contains(own.as_bytes()), "{own}");
        }
        for other in [
            "",
            "localhost",
            "127.0.0.1:11434",
            "evil.example",
            "remote-ollama-proxy.evil.example",
            "x@remote-ollama-proxy",
            "remote-ollama-proxy:x",
            "remote-ollama-proxy:+80",
            "remote-ollama-proxy:",
            "remote-ollama-proxy:99999",
            "[fd7a::2]",
            "[::",
            "remote-ollama-proxy/..",
            "remote-ollama-proxy,evil",
            "remote-ollama-proxy..",
        ] {
            assert!(!hosts.contains(other.as_bytes()), "{other}");
        }
        assert!(!hosts.contains(b"\xff"));
    }
}

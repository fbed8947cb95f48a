//! The names a client may call this node by. Ollama's own guard against DNS rebinding
//! (CVE-2024-28224) rests on the Host header, which the proxy rewrites: so the proxy guards.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use http::uri::Authority;

/// Host names and addresses that are ours, without ports, in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(BTreeSet<String>);

impl Hosts {
    /// Adds a name such as `remote-ollama-proxy` or an address such as `100.64.0.1` or `fd7a::1`.
    pub fn add(&mut self, name: &str) {
        // An address has many spellings.
        let name = match name.parse::<IpAddr>() {
            Ok(ip) => ip.to_string(),
            Err(_) => name.trim_end_matches('.').to_ascii_lowercase(),
        };
        if !name.is_empty() {
            self.0.insert(name);
        }
    }

    /// Adds a MagicDNS name and, since clients use it most, its first label.
    pub fn add_dns_name(&mut self, name: &str) {
        self.add(name);
        self.add(name.split('.').next().unwrap_or_default());
    }

    /// Adds an address.
    pub fn add_ip(&mut self, ip: IpAddr) {
        self.add(&ip.to_string());
    }

    /// Whether a Host header's value names one of them. The port is not compared: a forwarded port
    /// changes it, and a rebinding attacker controls the name only.
    pub fn contains(&self, host: &[u8]) -> bool {
        let Ok(authority) = Authority::try_from(host) else {
            return false;
        };
        let port = authority.as_str().len() > authority.host().len();
        if authority.as_str().contains('@') || port && authority.port_u16().is_none() {
            return false;
        }
        let host = authority.host().to_ascii_lowercase();
        match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            // As parsed, since an IPv6 address has many spellings.
            Some(ip) => ip.parse::<Ipv6Addr>().is_ok_and(|ip| self.0.contains(&ip.to_string())),
            None => self.0.contains(host.strip_suffix('.').unwrap_or(&host)),
        }
    }

    /// The names, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_in_every_spelling_and_nobody_elses() {
        let mut hosts = Hosts::default();
        hosts.add_dns_name("Remote-Ollama-Proxy.tail1234.ts.net.");
        hosts.add_ip("100.64.0.1".parse().unwrap());
        hosts.add_ip("fd7a:115c:a1e0::1".parse().unwrap());
        for ours in [
            "remote-ollama-proxy",
            "remote-ollama-proxy:11434",
            "REMOTE-OLLAMA-PROXY.",
            "remote-ollama-proxy.tail1234.ts.net:80",
            "100.64.0.1:11434",
            "[fd7a:115c:a1e0::1]:11434",
            "[fd7a:115c:a1e0:0::1]",
        ] {
            assert!(hosts.contains(ours.as_bytes()), "{ours}");
        }
        for other in [
            "",
            "localhost",
            "127.0.0.1:11434",
            "evil.example",
            "remote-ollama-proxy.evil.example",
            "x@remote-ollama-proxy",
            "remote-ollama-proxy:x",
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

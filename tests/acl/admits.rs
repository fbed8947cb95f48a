//! Which device reaches which other, rule by rule.

use remote_ollama_proxy::acl::{Addresses, Answer, Device, PolicyFile, TCP, parse};

const UDP: u8 = 17;

/// The definitions that the policies here share.
pub(crate) const NAMES: &str = r#"
    "groups": {"group:dev": ["anna@example.com", "ben@example.com"], "group:none": []},
    "autoApprovers": {"routes": {"10.0.0.0/8": ["tag:server"]}},
    "hosts": {"printer": "100.64.0.77", "lab": "100.64.7.0/24"},
    "postures": {"posture:x": ["node:os == 'macos'"]}, "ipsets": {"ipset:office": ["add 192.0.2.0/24"], "ipset:lab": ["add host:lab", "remove 100.64.7.8-100.64.7.15", "add 100.64.7.9"], "ipset:web": ["add autogroup:internet"]},
    "tagOwners": {"tag:server": ["group:dev"], "tag:client": ["tag:server"], "tag:ci": []},"#;

pub(crate) fn with(sections: &str) -> PolicyFile {
    let text = format!("{{{NAMES}{sections}}}");
    parse(&text).unwrap_or_else(|faults| panic!("{sections}:\n{faults}"))
}

/// `tag:a,tag:b`, a user, or an address.
fn device(name: &str) -> Device {
    match name {
        _ if name.starts_with("tag:") => Device::tagged(name.split(',')),
        _ if name.starts_with("svc:") => Device::service(name),
        _ if name.contains('@') => Device::of_user(name),
        _ => Device::at(name.parse().unwrap()),
    }
}

fn admits(policy: &PolicyFile, src: &str, dst: &str, protocol: u8, port: u16) -> &'static str {
    match policy.admits(&device(src), &device(dst), protocol, port) {
        Answer::Yes => "yes",
        Answer::No => "no",
        Answer::Perhaps(reasons) => {
            assert!(!reasons.is_empty());
            "perhaps"
        }
    }
}

#[test]
fn rules_admit_their_sources_to_their_destinations() {
    for (src, dst, cases) in [
        ("*", "*", "anna@example.com>tag:server=yes tag:server>carl@other.test=yes"),
        (
            "tag:client",
            "tag:server",
            "tag:client>tag:server=yes tag:server,tag:client>tag:server=yes tag:client>tag:ci,tag:server=yes \
             tag:server>tag:client=no anna@example.com>tag:server=no",
        ),
        (
            "group:dev",
            "tag:server",
            "anna@example.com>tag:server=yes ben@example.com>tag:server=yes carl@other.test>tag:server=no \
             tag:client>tag:server=no",
        ),
        ("group:none", "tag:server", "anna@example.com>tag:server=no tag:client>tag:server=no"),
        (
            "anna@example.com",
            "ben@example.com",
            "anna@example.com>ben@example.com=yes ben@example.com>anna@example.com=no",
        ),
        ("user:*@example.com", "tag:server", "ada@example.com>tag:server=yes carl@other.test>tag:server=no"),
        ("user:*@ample.com", "tag:server", "ada@example.com>tag:server=no"),
        (
            "autogroup:member",
            "autogroup:tagged",
            "carl@other.test>tag:ci=yes tag:client>tag:server=no anna@example.com>ben@example.com=no",
        ),
        ("autogroup:members", "*", "carl@other.test>tag:ci=yes tag:client>tag:server=no"),
        (
            "autogroup:member",
            "autogroup:self",
            "anna@example.com>anna@example.com=yes anna@example.com>ben@example.com=no tag:ci>tag:ci=no",
        ),
        ("autogroup:danger-all", "tag:server", "anna@example.com>tag:server=yes 192.0.2.1>tag:server=yes"),
        // The evaluation does not guess what the file leaves open.
        ("autogroup:admin", "tag:server", "anna@example.com>tag:server=perhaps tag:client>tag:server=no"),
        (
            "group:ops@example.com",
            "tag:server",
            "anna@example.com>tag:server=perhaps tag:client>tag:server=no",
        ),
        ("ipset:office", "tag:server", "192.0.2.9>tag:server=yes tag:client>tag:server=no"),
        (
            "ipset:lab",
            "tag:server",
            "100.64.7.7>tag:server=yes 100.64.7.8>tag:server=no 100.64.7.9>tag:server=yes \
             100.64.7.15>tag:server=no 100.64.7.16>tag:server=yes tag:client>tag:server=perhaps",
        ),
        ("tag:client", "ipset:web", "tag:client>192.0.2.1=perhaps tag:client>tag:server=no"),
        ("tag:client", "svc:web", "tag:client>tag:server=no"),
        ("autogroup:shared", "tag:server", "anna@example.com>tag:server=no"),
        // Addresses of devices that are otherwise unknown, and the reverse.
        (
            "*",
            "printer",
            "tag:client>100.64.0.77=yes tag:client>100.64.0.78=no tag:client>tag:server=perhaps",
        ),
        ("lab", "*", "100.64.7.9>tag:server=yes 100.64.8.1>tag:server=no tag:client>tag:server=perhaps"),
        ("100.64.0.1-100.64.0.3", "*", "100.64.0.2>tag:server=yes 100.64.0.4>tag:server=no"),
        // As a source, `*` is the tailnet and approved subnets; as a destination it is every address.
        ("*", "tag:server", "192.0.2.1>tag:server=no 10.1.2.3>tag:server=perhaps 100.115.92.7>tag:server=no"),
        ("*", "*", "tag:client>192.0.2.1=yes 192.0.2.1>tag:client=no"),
        // Addresses that no node has.
        ("100.100.100.100", "tag:server", "tag:client>tag:server=no"),
        ("100.115.92.0/23", "tag:server", "tag:client>tag:server=no"),
        ("tag:client", "fd7a:115c:a1e0:b1a::/64", "tag:client>tag:server=no"),
        ("fd7a:115c:a1e0::53", "tag:server", "tag:client>tag:server=no"),
        ("100.115.91.0/24", "tag:server", "tag:client>tag:server=perhaps"),
        // Login names are compared without case.
        (
            "Anna@Example.com",
            "tag:server",
            "anna@example.com>tag:server=yes ANNA@example.com>tag:server=yes ben@example.com>tag:server=no",
        ),
        ("group:dev", "tag:server", "Ben@Example.COM>tag:server=yes"),
        ("user:*@EXAMPLE.com", "tag:server", "ada@Example.com>tag:server=yes"),
        ("autogroup:member", "autogroup:self", "Anna@example.com>anna@example.com=yes"),
        ("tag:client", "svc:web", "tag:client>svc:web=yes tag:client>svc:other=no tag:client>tag:server=no"),
        ("tag:client", "*", "tag:client>svc:web=yes"),
        ("0.0.0.0/0", "tag:server", "anna@example.com>tag:server=yes 192.0.2.1>tag:server=yes"),
        ("100.64.0.0/10", "tag:server", "tag:client>tag:server=yes 192.0.2.1>tag:server=no"),
        ("fd7a:115c:a1e0::/48", "tag:server", "tag:client>tag:server=yes 100.64.0.1>tag:server=no"),
        ("192.168.0.0/16", "tag:server", "192.168.1.1>tag:server=yes tag:client>tag:server=no"),
        // An address inside the tailnet may be a client's; one outside is not.
        ("tag:client", "tag:server", "100.64.0.9>tag:server=perhaps 192.0.2.1>tag:server=no"),
    ] {
        let grant =
            with(&format!(r#""grants": [{{"src": ["{src}"], "dst": ["{dst}"], "ip": ["tcp:443"]}}]"#));
        let acl = with(&format!(
            r#""acls": [{{"action": "accept", "proto": "tcp", "users": ["{src}"], "ports": ["{dst}:443"]}}]"#
        ));
        for (kind, policy) in [("grant", &grant), ("acl", &acl)] {
            for case in cases.split_whitespace() {
                let (pair, want) = case.split_once('=').unwrap();
                let (from, to) = pair.split_once('>').unwrap();
                assert_eq!(admits(policy, from, to, TCP, 443), want, "{kind} {src} to {dst}: {pair}");
                assert_eq!(admits(policy, from, to, TCP, 442), "no", "{kind} {src} to {dst}: {pair} at 442");
            }
        }
    }
}

#[test]
fn rules_admit_their_protocols_and_ports() {
    for (ip, yes, no) in [
        ("*", "6:1 17:65535 1:0", "132:1 47:0"),
        ("*:*", "6:1 17:65535 1:0", "132:1 47:0"),
        ("*:443", "6:443 17:443 1:0", "6:444 132:443"),
        ("TCP:443", "6:443", "17:443 6:442"),
        ("0:443", "6:443 17:443", "6:442"),
        ("ICMP:*", "1:0 58:0", "6:1 17:1"),
        ("icmpv4:*", "1:0", "6:1"),
        ("icmpv6:*", "58:0", "6:1"),
        ("ipv6-icmp:*", "58:0", "6:1"),
        ("dccp:*", "33:0", "6:1"),
        ("tsmp:*", "99:0", "6:1"),
        ("ip-in-ip:*", "4:0", "6:1"),
        ("255:*", "255:0", "6:1"),
        ("443", "6:443 17:443 1:0", "6:444 132:443"),
        ("80-443", "6:80 17:443", "6:79 6:444"),
        ("tcp:443", "6:443 1:0 58:0", "17:443 6:442"),
        ("udp:*", "17:1", "6:1"),
        ("17:53", "17:53", "6:53"),
        ("sctp:9", "132:9 1:0", "132:8 6:9"),
        ("icmp:*", "1:0 58:0", "6:1 17:1"),
        ("gre:*", "47:0", "6:1"),
    ] {
        let policy = with(&format!(r#""grants": [{{"src": ["*"], "dst": ["*"], "ip": ["{ip}"]}}]"#));
        for (cases, want) in [(yes, "yes"), (no, "no")] {
            for case in cases.split(' ') {
                let (protocol, port) = case.split_once(':').unwrap();
                let (protocol, port) = (protocol.parse().unwrap(), port.parse().unwrap());
                assert_eq!(admits(&policy, "tag:client", "tag:server", protocol, port), want, "{ip}: {case}");
            }
        }
    }
    let acl = with(r#""acls": [{"action": "accept", "src": ["*"], "dst": ["lab:1,3-5", "[fd7a::1]:7"]}]"#);
    for (to, port, want) in
        [("100.64.7.1", 4, "yes"), ("100.64.7.1", 2, "no"), ("fd7a::1", 7, "yes"), ("fd7a::2", 7, "no")]
    {
        for protocol in [TCP, UDP] {
            assert_eq!(
                admits(&acl, "fd7a:115c:a1e0::5", to, protocol, port),
                if to.contains('.') { "no" } else { want }
            );
        }
        let from = if to.contains('.') { "100.64.0.1" } else { "fd7a:115c:a1e0::5" };
        assert_eq!(admits(&acl, from, to, TCP, port), want, "{to} {port}");
    }
}

#[test]
fn unevaluated_conditions_leave_the_answer_open() {
    let grant = r#""src": ["tag:client"], "dst": ["tag:server"], "ip": ["tcp:443"]"#;
    for (sections, want) in [
        (format!(r#""grants": [{{{grant}, "srcPosture": ["posture:x"]}}]"#), "perhaps"),
        (format!(r#""grants": [{{{grant}, "via": ["tag:ci"]}}]"#), "perhaps"),
        (format!(r#""grants": [{{{grant}, "via": [], "srcPosture": []}}]"#), "yes"),
        (format!(r#""grants": [{{{grant}}}], "defaultSrcPosture": ["posture:x"]"#), "perhaps"),
        // A rule without such a condition decides.
        (format!(r#""grants": [{{{grant}, "via": ["tag:ci"]}}, {{{grant}}}]"#), "yes"),
    ] {
        let policy = with(&sections);
        assert_eq!(admits(&policy, "tag:client", "tag:server", TCP, 443), want, "{sections}");
        assert_eq!(admits(&policy, "tag:ci", "tag:server", TCP, 443), "no", "{sections}");
    }
}

#[test]
fn roles_decide_if_they_are_known() {
    let policy = with(r#""grants": [{"src": ["autogroup:admin"], "dst": ["tag:server"], "ip": ["*"]}]"#);
    let anna = |roles: &[&str]| Device {
        roles: Some(roles.iter().map(ToString::to_string).collect()),
        ..Device::of_user("anna@example.com")
    };
    let server = Device::tagged(["tag:server"]).with(Addresses::Unnamed);
    assert_eq!(policy.admits(&anna(&["admin"]), &server, TCP, 1), Answer::Yes);
    assert_eq!(policy.admits(&anna(&["auditor"]), &server, TCP, 1), Answer::No);
}

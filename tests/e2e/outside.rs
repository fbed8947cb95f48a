//! The process from outside: its sockets and its remote addresses, by the kernel's records (lsof, strace).

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;

#[cfg(target_os = "linux")]
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::http::*;
use crate::ollama;
use crate::tailnet::{Start, Tailnet, World};

/// The internet sockets of a process: protocol (`TCP`, `UDP`), name (`127.0.0.1:1->127.0.0.1:2`) and
/// state. lsof is part of macOS.
fn sockets(pid: u32) -> Vec<(String, String)> {
    let out = Command::new("lsof")
        .args(["-nP", "-a", "-p", &pid.to_string(), "-i", "-F", "PTn"])
        .output()
        .expect("lsof is needed: sudo apt-get install lsof");
    let text = String::from_utf8(out.stdout).unwrap();
    let (mut found, mut protocol) = (Vec::new(), String::new());
    for line in text.lines() {
        match line.split_at(1) {
            ("P", value) => value.clone_into(&mut protocol),
            ("n", value) => found.push((protocol.clone(), value.to_owned())),
            ("T", "ST=LISTEN") => found.last_mut().unwrap().0.push_str(" LISTEN"),
            _ => {}
        }
    }
    assert!(!found.is_empty(), "lsof shows no socket of process {pid}: {text}");
    found
}

/// Options that add ports: metrics on their own port, and a Service.
const CONFIG: &str = "metrics.port = 9090\nnode.service = \"svc:ollama\"\nshutdown.handover = \"0s\"\n";

/// `tag:ai-client` may also connect to port 9090, read the metrics there, and use the Service.
fn with_all() -> Value {
    json!({
        "tagOwners": {"tag:ai-server": [], "tag:ai-client": []},
        "autoApprovers": {"services": {"svc:ollama": ["tag:ai-server"]}},
        "grants": [{
            "src": ["tag:ai-client"], "dst": ["tag:ai-server"], "ip": ["tcp:11434", "tcp:9090"],
            "app": {"remote-ollama-proxy.internal/cap/ollama": [{"metrics": true}]},
        }, {
            "src": ["tag:ai-client"], "dst": ["svc:ollama"], "ip": ["tcp:11434"],
        }],
    })
}

/// A request of `laptop` through the Service.
async fn asks_the_service(tailnet: &Tailnet) {
    tailnet.api("PUT", "/services/ollama", Value::Null).await;
    let led = async || tailnet.api("GET", "/services/ollama", Value::Null).await["led"]["laptop"].is_string();
    eventually("a host", led).await;
    let service = tailnet.forward("laptop", "ollama:11434").await;
    let mut client = Client::new(TcpStream::connect(service).await.unwrap());
    client.send("GET /api/tags HTTP/1.1\r\nHost: ollama\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 200);
}

#[tokio::test]
async fn process_has_no_tcp_listener_and_udp_for_wireguard_only() {
    // With a certificate where possible; see main.rs.
    let https = cfg!(target_os = "linux");
    let mut world = World::new(ollama::url(), &format!("{CONFIG}https.enabled = {https}\n")).await;
    world.tailnet.api("PUT", "/policy", with_all()).await;
    if https {
        world.tailnet.api("PUT", "/settings", json!({"certificates": true})).await;
        world.proxy.process.line(&["got a certificate for HTTPS"]).await;
    }
    let metrics = world.tailnet.forward("laptop", "remote-ollama-proxy:9090").await;
    let mut client = Client::new(TcpStream::connect(metrics).await.unwrap());
    client.send(get("/metrics")).await;
    assert_eq!(client.answer().await.status(), 200);
    let mut client = world.connect().await;
    client.send(get("/api/tags")).await;
    assert_eq!(client.answer().await.status(), 200);
    asks_the_service(&world.tailnet).await;
    let sockets = sockets(world.proxy.process.id());
    let (udp, tcp): (Vec<_>, Vec<_>) = sockets.iter().partition(|(protocol, _)| protocol.starts_with("UDP"));
    // One for each address family: magicsock, WireGuard's transport.
    assert!((1..=2).contains(&udp.len()), "{sockets:?}");
    let acme = world.tailnet.ports["acme"].as_str().unwrap();
    let known = [
        &world.tailnet.control["http://".len()..],
        world.tailnet.ports["derp"].as_str().unwrap(),
        &ollama::url()["http://".len()..],
        acme.split('/').nth(2).unwrap(),
    ];
    assert!(tcp.len() >= 3, "{sockets:?}");
    for (protocol, name) in tcp {
        let to = name.split_once("->").map(|(_, to)| to);
        assert!(
            protocol == "TCP" && to.is_some_and(|to| known.contains(&to)),
            "{protocol} {name}: {sockets:?}"
        );
    }
}

/// The addresses that a traced system call names.
#[cfg(target_os = "linux")]
fn addresses(call: &str) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for part in call.split("sa_family=AF_INET").skip(1) {
        let between = |from: &str, to: &str| part.split_once(from)?.1.split_once(to).map(|(v, _)| v);
        let port = between("port=htons(", ")").and_then(|p| p.parse().ok());
        let ip: Option<IpAddr> = between("inet_addr(\"", "\")")
            .or_else(|| between("AF_INET6, \"", "\""))
            .and_then(|ip| ip.parse().ok());
        match (ip, port) {
            (Some(ip), Some(port)) => found.push(SocketAddr::new(ip.to_canonical(), port)),
            _ => panic!("an address that this test can't read: {call}"),
        }
    }
    found
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn traffic_goes_only_to_control_relay_peers_and_ollama() {
    check_destinations(false).await;
}

/// The ACME server looks for the DNS record of the proof.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn https_adds_only_the_acme_server_and_the_resolver() {
    check_destinations(true).await;
}

/// The resolver of this machine.
#[cfg(target_os = "linux")]
fn resolvers() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let ips = text.lines().filter_map(|line| line.strip_prefix("nameserver")?.trim().parse().ok());
    // Go's default without a configured resolver.
    let local = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
    ips.chain(local).map(|ip| SocketAddr::new(ip, 53)).collect()
}

/// A tracer that writes the proxy's network system calls to a file.
#[cfg(target_os = "linux")]
fn traced(to: &std::path::Path) -> Vec<String> {
    assert!(
        Command::new("strace").arg("-V").output().is_ok(),
        "strace is needed: sudo apt-get install strace"
    );
    let strace = ["strace", "-f", "-yy", "-s", "16", "-e", "trace=%network,write,writev", "-o"];
    strace.into_iter().map(str::to_owned).chain([to.display().to_string()]).collect()
}

/// Stops the traced process.
#[cfg(target_os = "linux")]
async fn stop_traced(process: &mut crate::process::Process) {
    let tracer = process.id();
    let traced = std::fs::read_to_string(format!("/proc/{tracer}/task/{tracer}/children")).unwrap();
    let traced = rustix::process::Pid::from_raw(traced.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(traced, Signal::TERM).unwrap();
    process.ended_with(0).await;
}

/// The TCP destinations of a traced process.
#[cfg(target_os = "linux")]
fn connected(trace: &std::path::Path) -> BTreeSet<SocketAddr> {
    let text = std::fs::read_to_string(trace).unwrap();
    let calls = text.lines().filter_map(|line| Some(line.split_once(' ')?.1.trim_start()));
    let connects = calls.filter(|call| call.starts_with("connect(") && call.contains("<TCP"));
    connects.flat_map(addresses).collect()
}

/// Tailscale's library asks Tailscale's relays for the address of an unreachable control server.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn absent_control_server_is_not_replaced_by_another() {
    let tailnet = Tailnet::new().await;
    let trace = tailnet.dir.path().join("trace");
    let key = Some(tailnet.key(json!({})).await);
    let port = tailnet.control.rsplit_once(':').unwrap().1;
    // By name: the library does not look up an address.
    let control = format!("http://localhost:{port}");
    let start = Start { key, control, under: traced(&trace), ..Start::new(&tailnet, ollama::url()) };
    let mut proxy = start.up().await;
    tailnet.api("POST", "/control/stop", Value::Null).await;
    proxy.process.line(&["not healthy", "the control server can't be reached"]).await;
    stop_traced(&mut proxy.process).await;
    let connected = connected(&trace);
    assert!(connected.iter().any(|to| to.port().to_string() == port), "{connected:?}");
    assert!(connected.iter().all(|to| to.ip().is_loopback()), "{connected:?}");
}

/// The same for a name without an address. Resolvers are not asked for names in `.onion` (RFC 7686).
#[cfg(target_os = "linux")]
#[tokio::test]
async fn unresolvable_control_server_is_not_replaced_by_another() {
    let tailnet = Tailnet::new().await;
    let trace = tailnet.dir.path().join("trace");
    let start = Start {
        key: Some("tskey-auth-unused".to_owned()),
        control: "https://control.onion".to_owned(),
        config: "node.up_timeout = \"8s\"\n".to_owned(),
        under: traced(&trace),
        ..Start::new(&tailnet, ollama::url())
    };
    let mut process = start.process();
    process.ended_with(69).await;
    process.line(&["the control server can't be reached", "the system's DNS has no address for it"]).await;
    let connected = connected(&trace);
    assert!(connected.iter().all(|to| to.ip().is_loopback()), "{connected:?}");
}

#[cfg(target_os = "linux")]
async fn check_destinations(https: bool) {
    let tailnet = Tailnet::new().await;
    let trace = tailnet.dir.path().join("trace");
    let key = Some(tailnet.key(json!({})).await);
    let config = format!("{CONFIG}https.enabled = {https}\n");
    let mut proxy =
        Start { key, under: traced(&trace), config, ..Start::new(&tailnet, ollama::url()) }.up().await;

    tailnet.api("PUT", "/policy", with_all()).await;
    if https {
        tailnet.api("PUT", "/settings", json!({"certificates": true})).await;
        proxy.process.line(&["got a certificate for HTTPS"]).await;
    }
    tailnet.client("laptop", &["tag:ai-client"]).await;
    let metrics = tailnet.forward("laptop", "remote-ollama-proxy:9090").await;
    let mut client = Client::new(TcpStream::connect(metrics).await.unwrap());
    client.send(get("/metrics")).await;
    assert_eq!(client.answer().await.status(), 200);
    let at = tailnet.forward("laptop", "remote-ollama-proxy:11434").await;
    let body =
        json!({"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "stream": true}).to_string();
    for request in [get("/api/tags"), post("/v1/chat/completions", &body), get("/api/pull")] {
        let mut client = Client::new(TcpStream::connect(at).await.unwrap());
        client.send(request).await;
        client.answer().await;
    }
    asks_the_service(&tailnet).await;
    // Other parts of the tailnet: the UDP ports of its STUN server and of its nodes.
    let peers: BTreeSet<u16> = sockets(tailnet.id())
        .iter()
        .filter(|(protocol, _)| protocol == "UDP")
        .filter_map(|(_, name)| name.rsplit_once(':')?.1.parse().ok())
        .collect();
    let port = |url: &str| url.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    let acme = tailnet.ports["acme"].as_str().unwrap().strip_suffix("/dir").unwrap();
    let servers: BTreeSet<u16> = [&tailnet.control, tailnet.ports["derp"].as_str().unwrap(), ollama::url()]
        .into_iter()
        .chain(https.then_some(acme))
        .map(port)
        .collect();
    let resolvers = if https { resolvers() } else { Vec::new() };
    stop_traced(&mut proxy.process).await;

    let text = std::fs::read_to_string(&trace).unwrap();
    let own: BTreeSet<IpAddr> = own_addresses();
    let (mut connected, mut sent) = (BTreeSet::new(), BTreeSet::new());
    for call in text.lines() {
        let Some((_, call)) = call.split_once(' ') else { continue };
        let call = call.trim_start();
        assert!(!call.starts_with("listen(") || call.contains("<UNIX"), "a listener: {call}");
        let named = addresses(call);
        if call.starts_with("connect(") && call.contains("<TCP") {
            connected.extend(named);
        } else if call.starts_with("send") {
            sent.extend(named);
        } else if call.starts_with("write") && call.contains("<UDP") {
            let known = resolvers.iter().any(|at| call.contains(&format!("->{at}]")));
            assert!(known, "a datagram to {call}");
        }
    }
    assert!(connected.len() == servers.len() && !sent.is_empty(), "{connected:?} {sent:?}");
    for to in &connected {
        assert!(to.ip().is_loopback() && servers.contains(&to.port()), "a connection to {to}");
    }
    for to in &sent {
        assert!(
            own.contains(&to.ip()) && peers.contains(&to.port()),
            "a datagram to {to}: {peers:?} {own:?}"
        );
    }
}

/// The addresses of this machine, where every peer is.
#[cfg(target_os = "linux")]
fn own_addresses() -> BTreeSet<IpAddr> {
    let out = Command::new("hostname").arg("-I").output().expect("hostname is needed");
    let text = String::from_utf8(out.stdout).unwrap();
    let mut own: BTreeSet<IpAddr> = text.split_whitespace().filter_map(|ip| ip.parse().ok()).collect();
    own.extend([IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])]);
    own
}

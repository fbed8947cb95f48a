//! The sample policy in a real tailnet: it admits the clients that it names and refuses others. Each result is compared
//! with the evaluation that `acl --check` uses.

use std::net::SocketAddr;

use remote_ollama_proxy::acl::{Addresses, Answer, Device, PolicyFile, TCP, parse};
use remote_ollama_proxy::config::CAPABILITY;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::http::*;
use crate::recorder::Recorder;
use crate::tailnet::{Proxy, Start, Tailnet};

const SAMPLE: &str = include_str!("../../acl/policy.hujson");

/// A client, and its tag or user.
const DEVICES: [(&str, &str); 6] = [
    ("laptop", "tag:ai-client"),
    ("admin", "alice@example.com"),
    ("ci", "tag:ai-ci"),
    ("guest", "guest@example.com"),
    ("colleague", "bob@example.com"),
    ("stranger", "mallory@example.com"),
];

/// A tailnet with the sample policy, a proxy and a client for each of `DEVICES`.
struct Fixture {
    proxy: Proxy,
    tailnet: Tailnet,
}

impl Fixture {
    async fn new(recorder: &Recorder) -> Fixture {
        let tailnet = Tailnet::new().await;
        let (status, text) = put(&tailnet, SAMPLE).await;
        assert_eq!(status, 200, "{text}");
        let key = Some(tailnet.key(json!({})).await);
        let proxy = Start { key, ..Start::new(&tailnet, &recorder.url) }.up().await;
        for (hostname, who) in DEVICES {
            let owner = if who.starts_with("tag:") { json!([who]) } else { json!(who) };
            let key = if owner.is_array() { "tags" } else { "user" };
            tailnet.api("POST", "/clients", json!({"hostname": hostname, key: owner})).await;
        }
        Fixture { proxy, tailnet }
    }

    /// Checks that `policy` predicts each device's access to these ports. Returns the admitted devices.
    async fn check_access(&self, policy: &PolicyFile, ports: &[u16]) -> Vec<&'static str> {
        let server = Device::tagged(["tag:ai-server"]).with(Addresses::Unnamed);
        let mut admitted = Vec::new();
        for (hostname, who) in DEVICES {
            let device = if who.starts_with("tag:") { Device::tagged([who]) } else { Device::of_user(who) };
            for port in ports.iter().copied() {
                let answer = policy.admits(&device.clone().with(Addresses::Unnamed), &server, TCP, port);
                assert!(!matches!(answer, Answer::Perhaps(_)), "{who}: {answer:?}");
                self.check_dial(hostname, port, answer == Answer::Yes).await;
                if answer == Answer::Yes {
                    assert_eq!(port, 11434, "{who}");
                    admitted.push(hostname);
                }
            }
        }
        admitted
    }

    async fn check_dial(&self, hostname: &str, port: u16, admitted: bool) {
        self.tailnet.dials_until(hostname, &format!("remote-ollama-proxy:{port}"), admitted).await;
    }

    async fn status(&self, at: SocketAddr, target: &str) -> u16 {
        let mut client = Client::new(TcpStream::connect(at).await.unwrap());
        client.send(get(target)).await;
        client.answer().await.status()
    }
}

/// Applies the file unchanged, with its comments. Returns the answer's status and text.
async fn put(tailnet: &Tailnet, policy: &str) -> (u16, String) {
    let api = tailnet.ports["api"].as_str().unwrap().trim_start_matches("http://");
    let mut client = Client::new(TcpStream::connect(api).await.unwrap());
    let head = format!("PUT /policy HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", policy.len());
    client.send(head + policy).await;
    let answer = client.answer().await;
    (answer.status(), answer.text().to_owned())
}

#[tokio::test]
async fn sample_policy_admits_exactly_the_devices_that_it_names() {
    let recorder = Recorder::new().await;
    let mut fixture = Fixture::new(&recorder).await;
    let policy = parse(SAMPLE).unwrap();
    let admitted = fixture.check_access(&policy, &[11434, 22]).await;
    assert_eq!(admitted, ["laptop", "admin", "ci", "guest"]);
    // The server's tag grants nothing: a device with this tag reaches no other device, not even a server.
    fixture.tailnet.client("taken-over", &["tag:ai-server"]).await;
    for to in ["remote-ollama-proxy:11434", "laptop:22", "ci:11434", "admin:22"] {
        assert_eq!(fixture.tailnet.dials("taken-over", to).await["ok"], false, "{to}");
    }
    for (from, to) in
        [("laptop", "ci:11434"), ("ci", "laptop:22"), ("admin", "laptop:22"), ("guest", "admin:22")]
    {
        assert_eq!(fixture.tailnet.dials(from, to).await["ok"], false, "{from} to {to}");
    }
    // The grant of CI arrives as it is in the file.
    let line = fixture.proxy.process.line(&["\"journal\"", "\"gained\"", "ci.tailnet.test"]).await;
    let text: Value = serde_json::from_str(&line).unwrap();
    let granted: Value = serde_json::from_str(text["grants"].as_str().unwrap()).unwrap();
    let (ci, server) = (Device::tagged(["tag:ai-ci"]), Device::tagged(["tag:ai-server"]));
    assert_eq!(granted, json!(policy.capabilities(&ci, &server, CAPABILITY)));
    assert_eq!(granted[0]["max_concurrent"], 2, "{text}");
    // "app" narrows only ci and guest.
    for (hostname, tags) in [("laptop", 200), ("admin", 200), ("ci", 403), ("guest", 403)] {
        let at = fixture.tailnet.forward(hostname, "remote-ollama-proxy:11434").await;
        assert_eq!(fixture.status(at, "/v1/models").await, 200, "{hostname}");
        assert_eq!(fixture.status(at, "/api/tags").await, tags, "{hostname}");
        assert_eq!(fixture.status(at, "/api/ps").await, 403, "{hostname}");
    }
}

#[tokio::test]
async fn removed_guest_loses_access_and_others_keep_it() {
    let recorder = Recorder::new().await;
    let mut fixture = Fixture::new(&recorder).await;
    let at = fixture.tailnet.forward("guest", "remote-ollama-proxy:11434").await;
    let mut open = Client::new(TcpStream::connect(at).await.unwrap());
    open.send(get("/v1/models")).await;
    assert_eq!(open.answer().await.status(), 200);

    let without = SAMPLE.replace("\"guest@example.com\"", "");
    assert_ne!(without, SAMPLE);
    assert_eq!(put(&fixture.tailnet, &without).await.0, 200);
    // The open connection ends too.
    fixture.proxy.process.line(&["connection cut", "guest.tailnet.test"]).await;
    let admitted = fixture.check_access(&parse(&without).unwrap(), &[11434]).await;
    assert_eq!(admitted, ["laptop", "admin", "ci"]);
}

#[tokio::test]
async fn policies_with_faults_are_refused_by_the_tailnet_too() {
    let tailnet = Tailnet::new().await;
    for (what, to) in
        [("\"tcp:11434\"", "\"*\""), ("[\"tag:ai-ci\"]", "[\"tag:ai-c\"]"), ("\"dst\":", "\"dest\":")]
    {
        let policy = SAMPLE.replacen(what, to, 1);
        assert!(parse(&policy).map_or(true, |policy| !policy.failures().is_empty()), "{what}");
        assert_eq!(put(&tailnet, &policy).await.0, 400, "{what}");
    }
    assert_eq!(put(&tailnet, SAMPLE).await.0, 200);
}

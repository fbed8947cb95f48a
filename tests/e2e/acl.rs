//! The sample policy in a real tailnet: it admits the clients that it names, refuses others, and each result is what
//! `acl --check` reports.

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

struct Scene {
    proxy: Proxy,
    tailnet: Tailnet,
}

impl Scene {
    async fn new(recorder: &Recorder) -> Scene {
        let tailnet = Tailnet::new().await;
        let (status, text) = put(&tailnet, SAMPLE).await;
        assert_eq!(status, 200, "{text}");
        let key = Some(tailnet.key(json!({})).await);
        let proxy = Start { key, ..Start::new(&tailnet, &recorder.url) }.up().await;
        for (hostname, who) in DEVICES {
            let whose = if who.starts_with("tag:") { json!([who]) } else { json!(who) };
            let key = if whose.is_array() { "tags" } else { "user" };
            tailnet.api("POST", "/clients", json!({"hostname": hostname, key: whose})).await;
        }
        Scene { proxy, tailnet }
    }

    /// Every device is admitted or not, as `policy` says, at the port and at another one.
    async fn is_as(&self, policy: &PolicyFile, ports: &[u16]) -> Vec<&'static str> {
        let server = Device::tagged(["tag:ai-server"]).with(Addresses::Unnamed);
        let mut admitted = Vec::new();
        for (hostname, who) in DEVICES {
            let device = if who.starts_with("tag:") { Device::tagged([who]) } else { Device::of_user(who) };
            for port in ports.iter().copied() {
                let answer = policy.admits(&device.clone().with(Addresses::Unnamed), &server, TCP, port);
                assert!(!matches!(answer, Answer::Perhaps(_)), "{who}: {answer:?}");
                self.dials(hostname, port, answer == Answer::Yes).await;
                if answer == Answer::Yes {
                    assert_eq!(port, 11434, "{who}");
                    admitted.push(hostname);
                }
            }
        }
        admitted
    }

    async fn dials(&self, hostname: &str, port: u16, wanted: bool) {
        self.tailnet.dials_until(hostname, &format!("remote-ollama-proxy:{port}"), wanted).await;
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
async fn sample_policy_admits_exactly_whom_it_names() {
    let recorder = Recorder::new().await;
    let mut scene = Scene::new(&recorder).await;
    let policy = parse(SAMPLE).unwrap();
    let admitted = scene.is_as(&policy, &[11434, 22]).await;
    assert_eq!(admitted, ["laptop", "admin", "ci", "guest"]);
    // The server's tag grants nothing: a device with it reaches no other device, not even a server.
    scene.tailnet.client("taken-over", &["tag:ai-server"]).await;
    for to in ["remote-ollama-proxy:11434", "laptop:22", "ci:11434", "admin:22"] {
        assert_eq!(scene.tailnet.dials("taken-over", to).await["ok"], false, "{to}");
    }
    for (from, to) in
        [("laptop", "ci:11434"), ("ci", "laptop:22"), ("admin", "laptop:22"), ("guest", "admin:22")]
    {
        assert_eq!(scene.tailnet.dials(from, to).await["ok"], false, "{from} to {to}");
    }
    // The grant of CI arrives as it is in the file.
    let line = scene.proxy.process.line(&["\"journal\"", "\"gained\"", "ci.tailnet.test"]).await;
    let text: Value = serde_json::from_str(&line).unwrap();
    let granted: Value = serde_json::from_str(text["grants"].as_str().unwrap()).unwrap();
    let (ci, server) = (Device::tagged(["tag:ai-ci"]), Device::tagged(["tag:ai-server"]));
    assert_eq!(granted, json!(policy.capabilities(&ci, &server, CAPABILITY)));
    assert_eq!(granted[0]["max_concurrent"], 2, "{text}");
    // "app" narrows this client, and no other.
    for (hostname, tags) in [("laptop", 200), ("admin", 200), ("ci", 403), ("guest", 403)] {
        let at = scene.tailnet.forward(hostname, "remote-ollama-proxy:11434").await;
        assert_eq!(scene.status(at, "/v1/models").await, 200, "{hostname}");
        assert_eq!(scene.status(at, "/api/tags").await, tags, "{hostname}");
        assert_eq!(scene.status(at, "/api/ps").await, 403, "{hostname}");
    }
}

#[tokio::test]
async fn removed_guest_loses_access_and_others_keep_it() {
    let recorder = Recorder::new().await;
    let mut scene = Scene::new(&recorder).await;
    let at = scene.tailnet.forward("guest", "remote-ollama-proxy:11434").await;
    let mut open = Client::new(TcpStream::connect(at).await.unwrap());
    open.send(get("/v1/models")).await;
    assert_eq!(open.answer().await.status(), 200);

    let without = SAMPLE.replace("\"guest@example.com\"", "");
    assert_ne!(without, SAMPLE);
    assert_eq!(put(&scene.tailnet, &without).await.0, 200);
    // The open connection ends too.
    scene.proxy.process.line(&["connection cut", "guest.tailnet.test"]).await;
    let admitted = scene.is_as(&parse(&without).unwrap(), &[11434]).await;
    assert_eq!(admitted, ["laptop", "admin", "ci"]);
}

#[tokio::test]
async fn refused_policies_are_refused_by_the_tailnet_too() {
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

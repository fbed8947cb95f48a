//! What peers may do at a node of Headscale, and how they lose it.

use std::net::SocketAddr;

use serde_json::json;
use tokio::net::TcpStream;

use crate::http::*;
use crate::server::Headscale;
use crate::tailnet::{Elsewhere, Proxy, Start};
use crate::{ollama, sample};

/// The proxy's address, as it joins first.
const NODE: &str = "100.64.0.1";

struct Scene {
    proxy: Proxy,
    headscale: Headscale,
}

/// A Headscale with the sample and its examples, and the proxy with a tagged key.
async fn scene() -> Scene {
    let headscale = Headscale::new().await;
    headscale.policy("set", &sample(true, false)).await.unwrap();
    let start = Start {
        control: headscale.url.clone(),
        key: Some(headscale.key("tag:ai-server").await),
        config: "metrics.port = 9090\npage.port = 80\n".to_owned(),
        ..Start::new(&headscale.tailnet, ollama::url())
    };
    let proxy = start.up().await;
    assert!(proxy.listening["addresses"].as_str().unwrap().contains(NODE), "{}", proxy.listening);
    Scene { proxy, headscale }
}

impl Scene {
    async fn peer(&self, owner: &str, port: u16) -> Elsewhere {
        let key = self.headscale.key(owner).await;
        Elsewhere::join(&self.headscale.url, &key, &format!("{NODE}:{port}")).await
    }
}

/// The status of the answer, or 0 without one: a packet filter drops the connection, and the forward ends it.
async fn status(at: SocketAddr, path: &str) -> u16 {
    let mut client = Client::new(TcpStream::connect(at).await.unwrap());
    client.send(get(path)).await;
    match client.head().await {
        Some(head) => head.split(' ').nth(1).unwrap().parse().unwrap(),
        None => 0,
    }
}

async fn streaming(at: SocketAddr) -> Client<TcpStream> {
    let body = json!({"model": "tiny", "messages": [{"role": "user", "content": "go!"}], "stream": true});
    let mut client = Client::new(TcpStream::connect(at).await.unwrap());
    client.send(post("/v1/chat/completions", &body.to_string())).await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"));
    client.chunk().await.unwrap();
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_have_the_rights_of_the_sample() {
    let scene = scene().await;
    for (owner, port, answers) in [
        ("tag:ai-client", 11434, &[("/v1/models", 200), ("/api/tags", 200), ("/api/delete", 403)][..]),
        ("tag:ai-ci", 11434, &[("/v1/models", 200), ("/api/tags", 403)]),
        ("1", 11434, &[("/v1/models", 200), ("/api/tags", 200)]),
        ("2", 11434, &[("/v1/models", 200), ("/api/tags", 403)]),
        ("tag:ai-metrics", 9090, &[("/metrics", 200)]),
        ("1", 80, &[("/", 200)]),
    ] {
        let peer = scene.peer(owner, port).await;
        for (path, wanted) in answers {
            assert_eq!(status(peer.at, path).await, *wanted, "{owner} {port} {path}");
        }
    }
    // The user bob is in no group.
    let bob = scene.peer("3", 11434).await;
    assert_eq!(status(bob.at, "/v1/models").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn edit_of_the_policy_cuts_a_stream_if_its_tests_allow_it() {
    let mut scene = scene().await;
    let mut peers = Vec::new();
    for owner in ["tag:ai-client", "tag:ai-ci", "1", "2", "3"] {
        peers.push(scene.peer(owner, 11434).await);
    }
    scene.headscale.policy("set", &sample(false, true)).await.unwrap();
    let mut stream = streaming(peers[3].at).await;
    // Headscale refuses the edit, as tests have a source without a device.
    let without_guest = |text: String| text.replace("[\"guest@\"]", "[]");
    let refused = scene.headscale.policy("set", &without_guest(sample(false, true))).await.unwrap_err();
    assert!(refused.contains("\"group:ai-guests\" resolved to no IP addresses"), "{refused}");
    stream.chunk().await.unwrap();
    scene.headscale.policy("set", &without_guest(sample(false, false))).await.unwrap();
    scene.proxy.process.line(&["\"revoked\"", "\"guest\""]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_node_recovers_when_headscale_disables_its_expiry() {
    let mut scene = scene().await;
    let node = scene.headscale.node("remote-ollama-proxy").await;
    let peer = scene.peer("tag:ai-client", 11434).await;
    scene.headscale.does(&["nodes", "expire", "--identifier", &node]).await;
    let process = &mut scene.proxy.process;
    process.line(&["peers can't reach the node", "headscale nodes expire --identifier ID --disable"]).await;
    scene.headscale.does(&["nodes", "expire", "--identifier", &node, "--disable"]).await;
    process.lines(&["the tailnet node is running"], 2).await;
    eventually("an answer after the recovery", async || status(peer.at, "/v1/models").await == 200).await;
}

//! Access is revoked in the tailnet, and open sessions end.

use std::time::Instant;

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::http::*;
use crate::ollama;
use crate::recorder::Recorder;
use crate::tailnet::World;
use crate::who::{until, who};

const CAPABILITY: &str = "remote-ollama-proxy.internal/cap/ollama";

/// `tag:ai-client` and `tag:ai-ci` may connect, with this grant for `tag:ai-ci`.
fn policy(sources: &[&str], ci: &Value) -> Value {
    json!({
        "tagOwners": {"tag:ai-server": [], "tag:ai-client": [], "tag:ai-ci": []},
        "grants": [
            {"src": sources, "dst": ["tag:ai-server"], "ip": ["tcp:11434"]},
            {"src": ["tag:ai-ci"], "dst": ["tag:ai-server"], "app": {CAPABILITY: ci}},
            // Another rule makes them visible to each other, as most nodes of a tailnet are.
            {"src": ["tag:ai-client", "tag:ai-ci"], "dst": ["tag:ai-server"], "ip": ["icmp:*"]},
        ],
    })
}

const BOTH: &[&str] = &["tag:ai-client", "tag:ai-ci"];

/// An endless stream on its own connection.
async fn streaming(at: std::net::SocketAddr) -> Client<TcpStream> {
    let body = json!({"model": "tiny", "messages": [{"role": "user", "content": "go!"}], "stream": true});
    let mut client = Client::new(TcpStream::connect(at).await.unwrap());
    client.send(post("/v1/chat/completions", &body.to_string())).await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"));
    client.chunk().await.unwrap();
    client
}

struct Scene {
    world: World,
    recorder: Recorder,
    ci: std::net::SocketAddr,
}

async fn scene() -> Scene {
    let recorder = Recorder::in_front_of(ollama::parallel_url()).await;
    let world = World::new(&recorder.url, "").await;
    world.tailnet.api("PUT", "/policy", policy(BOTH, &json!([]))).await;
    world.tailnet.client("ci", &["tag:ai-ci"]).await;
    let ci = world.tailnet.forward("ci", "remote-ollama-proxy:11434").await;
    Scene { world, recorder, ci }
}

impl Scene {
    async fn open(&self, connections: u64) {
        self.recorder.has_open(connections).await;
    }

    /// Checks that only the stream of `ci` is cut, and Ollama freed. `sees_end`: whether the tailnet still carries packets
    /// to `ci`, so that it sees the end.
    async fn cuts(&mut self, what: &str, sees_end: bool, change: impl AsyncFnOnce(&World)) {
        let mut kept = streaming(self.world.at).await;
        let mut lost = streaming(self.ci).await;
        self.open(2).await;
        let begun = Instant::now();
        change(&self.world).await;
        self.open(1).await;
        println!("{what}: Ollama free after {} ms", begun.elapsed().as_millis());
        if sees_end {
            assert!(!lost.rest().await.ends_with(b"0\r\n\r\n"), "{what}: a clean end");
            println!("{what}: the client knows after {} ms", begun.elapsed().as_millis());
        }
        kept.chunk().await.unwrap();
        drop(kept);
        self.open(0).await;
        self.world.proxy.process.line(&["\"revoked\"", "ci.tailnet.test"]).await;
    }
}

#[tokio::test]
async fn peer_removed_from_the_policy_is_cut_mid_stream() {
    let mut scene = scene().await;
    scene
        .cuts("rule removed", true, async |world| {
            world.tailnet.api("PUT", "/policy", policy(&["tag:ai-client"], &json!([]))).await;
        })
        .await;
    assert_eq!(scene.world.tailnet.dials("ci", "remote-ollama-proxy:11434").await["ok"], false);
    scene.world.proxy.process.line(&["\"journal\"", "\"lost\"", "ci.tailnet.test"]).await;
    // The peer regains access by an edit of the policy file.
    scene.world.tailnet.api("PUT", "/policy", policy(BOTH, &json!([]))).await;
    scene.world.tailnet.dials_until("ci", "remote-ollama-proxy:11434", true).await;
    scene.world.proxy.process.line(&["\"journal\"", "\"gained\"", "ci.tailnet.test"]).await;
}

/// The drain lasts as long as the config says, a day at most.
#[tokio::test]
async fn revoked_peer_is_cut_during_drain() {
    let mut scene = scene().await;
    let (mut kept, mut lost) = (streaming(scene.world.at).await, streaming(scene.ci).await);
    scene.open(2).await;
    scene.world.proxy.process.signal(rustix::process::Signal::TERM);
    scene.world.proxy.process.line(&["draining running requests"]).await;
    scene.world.tailnet.api("PUT", "/policy", policy(&["tag:ai-client"], &json!([]))).await;
    scene.open(1).await;
    assert!(!lost.rest().await.ends_with(b"0\r\n\r\n"), "a clean end");
    kept.chunk().await.unwrap();
}

#[tokio::test]
async fn narrower_grant_cuts_running_requests() {
    let mut scene = scene().await;
    let narrow = json!([{"endpoints": ["v1_models"]}]);
    scene
        .cuts("grant narrowed", true, async |world| {
            world.tailnet.api("PUT", "/policy", policy(BOTH, &narrow)).await;
        })
        .await;
    let mut client = Client::new(TcpStream::connect(scene.ci).await.unwrap());
    client.send(get("/v1/models")).await;
    assert_eq!(client.answer().await.status(), 200);
    client.send(get("/api/tags")).await;
    assert!(client.answer().await.text().contains("(rule: grant)"));
}

/// The proxy's own key expires. From then on the network carries no packet, so no client sees the end.
#[tokio::test]
async fn expired_own_key_cuts_all_sessions_and_is_reported() {
    let mut scene = scene().await;
    let _streams = (streaming(scene.world.at).await, streaming(scene.ci).await);
    scene.open(2).await;
    let begun = Instant::now();
    let path = "/nodes/remote-ollama-proxy/key-expiry";
    scene.world.tailnet.api("POST", path, json!({"in": "-1s"})).await;
    scene.open(0).await;
    println!("own key expired: Ollama free after {} ms", begun.elapsed().as_millis());
    let process = &mut scene.world.proxy.process;
    process.line(&["sessions cut: the node is no longer in the tailnet", "its key has expired"]).await;
    for client in ["laptop.tailnet.test", "ci.tailnet.test"] {
        process.line(&["\"out-of-tailnet\"", client]).await;
    }
    let who = who(&scene.world.tailnet, &[]).await;
    assert_eq!(who.status.code(), Some(69));
    let shown = String::from_utf8(who.stdout).unwrap();
    assert!(shown.contains("no peer can connect: the node is no longer in the tailnet"), "{shown}");

    // After its key is extended, peers have access again.
    scene.world.tailnet.api("POST", path, json!({"in": "240h"})).await;
    until(&scene.world.tailnet, "a peer that may connect", |answer| {
        answer["peers"].as_array().unwrap().iter().any(|peer| peer["may_connect"] == true)
    })
    .await;
    streaming(scene.ci).await;
}

#[tokio::test]
async fn removed_peer_is_cut() {
    let mut scene = scene().await;
    scene
        .cuts("node removed", false, async |world| {
            world.tailnet.api("DELETE", "/nodes/ci", Value::Null).await;
        })
        .await;
}

#[tokio::test]
async fn peer_with_an_expired_key_is_cut() {
    let mut scene = scene().await;
    scene
        .cuts("key expired", false, async |world| {
            world.tailnet.api("POST", "/nodes/ci/expire", Value::Null).await;
        })
        .await;
}

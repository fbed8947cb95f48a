//! Access is taken away in the tailnet, and what is open ends.

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
            // Seen by each other for another reason, as most nodes of a tailnet are.
            {"src": ["tag:ai-client", "tag:ai-ci"], "dst": ["tag:ai-server"], "ip": ["icmp:*"]},
        ],
    })
}

const BOTH: &[&str] = &["tag:ai-client", "tag:ai-ci"];

/// A stream without end on a connection of its own.
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
        soon("so many connections to Ollama", async {
            while self.recorder.open() != connections {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// The stream of `ci` is cut, and only that; Ollama is rid of it. `told`: whether the tailnet still
    /// carries packets to `ci`, so that it can see the end.
    async fn cuts(&mut self, what: &str, told: bool, change: impl AsyncFnOnce(&World)) {
        let mut kept = streaming(self.world.at).await;
        let mut lost = streaming(self.ci).await;
        self.open(2).await;
        let begun = Instant::now();
        change(&self.world).await;
        self.open(1).await;
        println!("{what}: Ollama free after {} ms", begun.elapsed().as_millis());
        if told {
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
async fn a_peer_that_the_policy_no_longer_admits_is_cut_in_mid_stream() {
    let mut scene = scene().await;
    scene
        .cuts("rule removed", true, async |world| {
            world.tailnet.api("PUT", "/policy", policy(&["tag:ai-client"], &json!([]))).await;
        })
        .await;
    assert_eq!(scene.world.tailnet.dials("ci", "remote-ollama-proxy:11434").await["ok"], false);
    scene.world.proxy.process.line(&["\"journal\"", "\"lost\"", "ci.tailnet.test"]).await;
    // And back in: an edit of the policy file is all it takes.
    scene.world.tailnet.api("PUT", "/policy", policy(BOTH, &json!([]))).await;
    soon("access again", async {
        while scene.world.tailnet.dials("ci", "remote-ollama-proxy:11434").await["ok"] != true {}
    })
    .await;
    scene.world.proxy.process.line(&["\"journal\"", "\"gained\"", "ci.tailnet.test"]).await;
}

/// Which may take as long as the config says, a day at most.
#[tokio::test]
async fn a_peer_is_cut_while_the_proxy_waits_for_the_others_to_end() {
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
async fn a_narrower_grant_cuts_what_it_no_longer_has() {
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

/// The proxy's own key expires. The network carries no packet from then on, so no client is told.
#[tokio::test]
async fn node_whose_own_key_expires_cuts_all_sessions_and_says_why() {
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
    let told = String::from_utf8(who.stdout).unwrap();
    assert!(told.contains("no peer can connect: the node is no longer in the tailnet"), "{told}");

    // Its key is extended, and those who have access have it again.
    scene.world.tailnet.api("POST", path, json!({"in": "240h"})).await;
    until(&scene.world.tailnet, "a peer that may connect", |answer| {
        answer["peers"].as_array().unwrap().iter().any(|peer| peer["may_connect"] == true)
    })
    .await;
    streaming(scene.ci).await;
}

#[tokio::test]
async fn a_node_that_is_removed_is_cut() {
    let mut scene = scene().await;
    scene
        .cuts("node removed", false, async |world| {
            world.tailnet.api("DELETE", "/nodes/ci", Value::Null).await;
        })
        .await;
}

#[tokio::test]
async fn a_node_whose_key_expires_is_cut() {
    let mut scene = scene().await;
    scene
        .cuts("key expired", false, async |world| {
            world.tailnet.api("POST", "/nodes/ci/expire", Value::Null).await;
        })
        .await;
}

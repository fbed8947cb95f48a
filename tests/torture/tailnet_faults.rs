//! Faults of the tailnet: its relay, its control server and the peers' networks go down and return, while the proxy
//! serves and streams lose nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::figures::{self, Meant, figure};
use crate::http::{Client, get, soon};
use crate::tailnet::World;
use crate::ticker::{Ask, Flow, Ticker, ask};

const PART: &str = "Tailnet faults";

struct Scene {
    ticker: Ticker,
    world: World,
    /// Another client, called `other`.
    other: SocketAddr,
}

async fn scene() -> Scene {
    let ticker = Ticker::new().await;
    let world = World::new(&ticker.url, "").await;
    let other = client(&world, "other").await;
    Scene { ticker, world, other }
}

async fn client(world: &World, name: &str) -> SocketAddr {
    world.tailnet.client(name, &["tag:ai-client"]).await;
    world.tailnet.forward(name, "remote-ollama-proxy:11434").await
}

async fn stream(at: SocketAddr) -> Flow {
    Flow::of(ask(at, Ask::Lines).await).await
}

/// Checks that a request on a new connection is answered.
async fn is_served(at: SocketAddr) {
    let mut client = Client::new(soon("a connection", TcpStream::connect(at)).await.unwrap());
    client.send(get("/api/version")).await;
    assert_eq!(client.answer().await.status(), 200);
}

async fn does(world: &World, path: &str) {
    world.tailnet.api("POST", path, Value::Null).await;
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[tokio::test]
async fn streams_survive_a_relay_outage() {
    let _alone = figures::alone().await;
    let scene = scene().await;
    let mut direct = stream(scene.world.at).await;
    does(&scene.world, "/clients/other/relay-only").await;
    let mut relayed = stream(scene.other).await;

    does(&scene.world, "/relay/stop").await;
    direct.goes_on("without the relay", 250).await; // five seconds
    is_served(scene.world.at).await;
    does(&scene.world, "/relay/start").await;
    let begun = Instant::now();
    relayed.goes_on("now that the relay is back", 1).await;
    figure(PART, "relay back: stream over it goes on", ms(begun.elapsed()), "ms", Meant::AtMost(10_000.0));
    relayed.goes_on("now that the relay is back", 250).await;
    direct.goes_on("now that the relay is back", 50).await;
    is_served(scene.other).await;
    let gap = ms(direct.read().gap);
    figure(PART, "relay down and up: longest gap of a direct stream", gap, "ms", Meant::AtMost(1000.0));
}

/// How long the control server is down. An environment variable makes it minutes.
fn control_down() -> Duration {
    let seconds =
        std::env::var("CONTROL_DOWN_SECONDS").map_or(60, |s| s.parse().expect("a number of seconds"));
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn streams_survive_a_control_outage_and_later_changes_apply() {
    let _alone = figures::alone().await;
    let scene = scene().await;
    let mut kept = stream(scene.world.at).await;
    let lost = stream(scene.other).await;

    let (begun, mut served) = (Instant::now(), 0);
    does(&scene.world, "/control/stop").await;
    while begun.elapsed() < control_down() {
        is_served(scene.other).await;
        served += 1;
        kept.goes_on("without control", 5).await;
    }
    figure(PART, "control down: requests served meanwhile", f64::from(served), "", Meant::Told);
    let gap = ms(kept.read().gap);
    figure(PART, "control down: longest gap of a stream", gap, "ms", Meant::AtMost(1000.0));

    // Only `laptop` may connect now.
    let nodes = scene.world.tailnet.api("GET", "/nodes", Value::Null).await;
    let laptop = nodes.as_array().unwrap().iter().find(|n| n["name"] == "laptop").unwrap();
    let policy = json!({
        "tagOwners": {"tag:ai-server": [], "tag:ai-client": []},
        "hosts": {"laptop": laptop["addresses"][0]},
        "grants": [
            {"src": ["laptop"], "dst": ["tag:ai-server"], "ip": ["tcp:11434"]},
            {"src": ["tag:ai-client"], "dst": ["tag:ai-server"], "ip": ["icmp:*"]},
        ],
    });
    scene.world.tailnet.api("PUT", "/policy", policy).await;
    let begun = Instant::now();
    does(&scene.world, "/control/start").await;
    lost.breaks(Duration::from_secs(120)).await;
    let seconds = begun.elapsed().as_secs_f64();
    // Before its try number n, Tailscale waits n² times 5 to 15 ms. After a minute n is 24 to 30, so it waits 3 to 14 s.
    figure(PART, "control back: a policy change takes effect", seconds, "s", Meant::AtMost(15.0));
    kept.goes_on("now that control is back", 50).await;
    is_served(scene.world.at).await;
}

#[tokio::test]
async fn stream_survives_a_roaming_client() {
    let _alone = figures::alone().await;
    let scene = scene().await;
    let mut stays = stream(scene.world.at).await;
    let mut roams = stream(scene.other).await;
    for _ in 0..2 {
        does(&scene.world, "/clients/other/roam").await;
        roams.goes_on("from another address", 250).await;
        is_served(scene.other).await;
    }
    stays.goes_on("while another client roams", 5).await;
    figure(PART, "roaming: longest gap of the stream", ms(roams.read().gap), "ms", Meant::AtMost(10_000.0));
    figure(
        PART,
        "roaming: longest gap of another's stream",
        ms(stays.read().gap),
        "ms",
        Meant::AtMost(1000.0),
    );
}

/// Nodes join and leave, and the policy changes. Peers that are not affected notice nothing.
#[tokio::test]
async fn stream_survives_netmap_changes() {
    let _alone = figures::alone().await;
    let scene = scene().await;
    let mut streams = [stream(scene.world.at).await, stream(scene.other).await];
    let tailnet = &scene.world.tailnet;
    // Clients keep their rights, by alternating rules.
    let policy = |ip: &str| {
        json!({
            "tagOwners": {"tag:ai-server": [], "tag:ai-client": []},
            "grants": [{"src": ["tag:ai-client"], "dst": ["tag:ai-server"], "ip": [ip]}],
        })
    };
    for _ in 0..10 {
        let passes = client(&scene.world, "passes-by").await;
        is_served(passes).await;
        tailnet.api("PUT", "/policy", policy("tcp:*")).await;
        is_served(passes).await;
        tailnet.api("DELETE", "/clients/passes-by", Value::Null).await;
        tailnet.api("DELETE", "/nodes/passes-by", Value::Null).await;
        tailnet.api("PUT", "/policy", policy("tcp:11434")).await;
    }
    for stream in &mut streams {
        stream.goes_on("after all that", 50).await;
    }
    let gap = streams.iter().map(|s| s.read().gap).max().unwrap();
    figure(
        PART,
        "forty changes of the tailnet: longest gap of a stream",
        ms(gap),
        "ms",
        Meant::AtMost(1000.0),
    );
}

/// A running request of a vanished client ends, streamed or not. A connected client that does not read for as long
/// loses nothing.
#[tokio::test]
async fn request_of_a_vanished_client_ends() {
    let _alone = figures::alone().await;
    let scene = scene().await;
    let third = client(&scene.world, "third").await;
    let long = Duration::from_secs(300);
    let unread = ask(scene.world.at, Ask::Flood).await;
    let mut streamed = ask(scene.other, Ask::Lines).await;
    streamed.head().await.unwrap();
    streamed.chunk().await.unwrap();
    let _waits = ask(third, Ask::Silence).await;
    scene.ticker.runs(Ask::Silence, 1, long).await;

    let begun = Instant::now();
    does(&scene.world, "/clients/other/abandon").await;
    does(&scene.world, "/clients/third/abandon").await;
    let free = async |ask, what: &str| {
        scene.ticker.runs(ask, 0, long).await;
        let what = format!("client vanished {what}: Ollama free after");
        figure(PART, &what, begun.elapsed().as_secs_f64(), "s", Meant::AtMost(90.0));
    };
    tokio::join!(free(Ask::Lines, "in mid-stream"), free(Ask::Silence, "while it waited"));

    Flow::of(unread).await.goes_on("for a client that reads again", 1000).await;
}

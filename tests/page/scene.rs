//! The scene of the tests: a proxy with a page, past records, and users.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use remote_ollama_proxy::history::Recent;
use serde_json::{Value, json};
use tokio::net::{TcpStream, UnixStream};

use crate::browser::Browser;
use crate::http::*;
use crate::ollama;
use crate::tailnet::{Proxy, Start, Tailnet, World};

/// A path that a browser could read as markup.
const HOSTILE: &str = "/<img src=x onerror=alert(1)>";

/// The proxy's name in the tailnet.
pub(crate) const NAME: &str = "remote-ollama-proxy";

/// Alice sees everything, Bob his own requests, the build machine nothing.
pub(crate) fn policy(alice: &str) -> Value {
    let grant = |src: &str, ports: &[&str], value: Value| {
        let app = json!({"remote-ollama-proxy.internal/cap/ollama": [value]});
        json!({"src": [src], "dst": ["tag:ai-server"], "ip": ports, "app": app})
    };
    let some =
        json!({"endpoints": ["v1_chat_completions", "v1_models"], "max_concurrent": 2, "page": "view"});
    let ci = json!({"endpoints": ["v1_chat_completions"], "max_concurrent": 2, "requests_per_minute": 60, "requests_per_day": 500, "priority": "low"});
    json!({
        "groups": {"group:ai-admins": ["alice@example.com"]},
        "tagOwners": {"tag:ai-server": [], "tag:ai-client": [], "tag:ai-ci": []},
        "grants": [
            {"src": ["tag:ai-client"], "dst": ["tag:ai-server"], "ip": ["tcp:11434"]},
            grant("group:ai-admins", &["tcp:11434", "tcp:80"], json!({"page": alice})),
            grant("bob@example.com", &["tcp:11434", "tcp:80"], some),
            grant("tag:ai-ci", &["tcp:11434"], ci),
        ],
    })
}

fn rfc3339(at: SystemTime) -> String {
    format!("{:.3}", jiff::Timestamp::try_from(at).unwrap())
}

pub(crate) struct Scene {
    pub(crate) world: World,
}

impl Scene {
    pub(crate) async fn new() -> Scene {
        Scene::with(policy("admin"), "").await
    }

    /// With the set-up for peers. The kiosk may use all endpoints that are on, Bob two of them, and the build machine one,
    /// without the list of models.
    pub(crate) async fn with_setup() -> Scene {
        let mut policy = policy("admin");
        for grant in [0, 3] {
            policy["grants"][grant]["ip"] = json!(["tcp:11434", "tcp:80"]);
        }
        Scene::with(policy, "page.setup = true").await
    }

    async fn with(policy: Value, settings: &str) -> Scene {
        let tailnet = Tailnet::new().await;
        tailnet.api("PUT", "/policy", policy).await;
        let upstream = ollama::start().await;
        let log = tailnet.dir.path().join("past.jsonl");
        std::fs::write(&log, past()).unwrap();
        let key = Some(tailnet.key(json!({})).await);
        let config = format!(
            "page.port = 80\nlimits.running = 3\nmetrics.usage = true\nmodels.preload = [\"qwen3:30b\"]\n\
             access_log.file = {log:?}\n{settings}"
        );
        let start = Start { key, config, ..Start::new(&tailnet, &upstream) };
        let process = start.process();
        for (name, who) in [
            ("studio", json!({"user": "alice@example.com"})),
            ("bobs-laptop", json!({"user": "bob@example.com"})),
            ("build-7", json!({"tags": ["tag:ai-ci"]})),
            ("kiosk", json!({"tags": ["tag:ai-client"]})),
        ] {
            let mut client = who;
            client["hostname"] = json!(name);
            tailnet.api("POST", "/clients", client).await;
        }
        let socket = start.state.join("admin.sock");
        eventually("the admin socket", async || UnixStream::connect(&socket).await.is_ok()).await;
        let proxy = Proxy { process, listening: Value::Null };
        let world = World { proxy, tailnet, at: ([127, 0, 0, 1], 1).into() };
        world
            .until("all four peers", "/who", |who| {
                who["peers"]
                    .as_array()
                    .is_some_and(|peers| peers.iter().filter(|p| p["may_connect"] == true).count() == 4)
            })
            .await;
        let expires = json!({"in": "1030h"});
        world.tailnet.api("POST", &format!("/nodes/{NAME}/key-expiry"), expires).await;
        Scene { world }
    }

    /// Where a client forwards to one of the proxy's ports.
    pub(crate) async fn forward(&self, client: &str, port: u16) -> SocketAddr {
        self.world.tailnet.forward(client, &format!("{NAME}:{port}")).await
    }

    /// A connection of a client to the proxy's own port.
    pub(crate) async fn connect(&self, client: &str) -> Client<TcpStream> {
        let at = self.forward(client, 11434).await;
        Client::new(soon("a connection", TcpStream::connect(at)).await.unwrap())
    }

    /// A chat that runs until it is cut or its client disconnects.
    pub(crate) async fn chat(&self, client: &str) -> Client<TcpStream> {
        let mut connection = self.connect(client).await;
        connection
            .send(post("/v1/chat/completions", &format!("{{\"prompt\":{:?}}}", "x".repeat(3000))))
            .await;
        let head = soon("an answer", connection.head()).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        connection
    }

    /// A browser on a client with the page open, and the address of the page there.
    pub(crate) async fn open(&self, client: &str) -> (Browser, String) {
        let at = self.forward(client, 80).await;
        let url = format!("http://{NAME}:{}/", at.port());
        let browser = Browser::new(NAME).await;
        browser.go(&url).await;
        browser.until("the stream", "document.getElementById('stream').textContent === 'Live'").await;
        (browser, url)
    }

    /// A browser on a client with the set-up open. What a button says stays until the test calls `later()`.
    pub(crate) async fn open_setup(&self, client: &str) -> Browser {
        let at = self.forward(client, 80).await;
        let browser = Browser::new(NAME).await;
        browser.go(&format!("http://{NAME}:{}/setup", at.port())).await;
        browser.until("the buttons", "document.querySelector('.lines button:not([hidden])')").await;
        let held = "const run = setTimeout; window.setTimeout = (what, ms) => ms === 4000 ? (window.later = what) : run(what, ms);";
        browser.script(held).await;
        browser
    }
}

/// An access log of two weeks, which depends on the date only.
fn past() -> String {
    let (mut log, now) = (String::new(), SystemTime::now());
    let people = [
        ("studio", "alice@example.com", 34, 41_000, 9),
        ("bobs-laptop", "bob@example.com", 21, 26_000, 5),
        ("build-7", "tag:ai-ci", 47, 7_000, 2),
        ("kiosk", "tag:ai-client", 6, 3_000, 1),
    ];
    for day in (1..Recent::DAYS).rev() {
        for (at, (node, principal, most, ms, kb)) in people.into_iter().enumerate() {
            // Changing numbers, fewer at weekends, with some gaps.
            let wave = (day * 7 + at as u64 * 5) % 11;
            let requests = if wave == 0 { 0 } else { most * (2 + wave) / 12 };
            for n in 0..requests {
                let ago = Duration::from_secs(day * 86_400 - n * 60 - at as u64);
                let time = rfc3339(now - ago);
                // The kiosk requests streams without token counts.
                let tokens = match node {
                    "kiosk" => r#""tokens":{}"#.to_owned(),
                    _ => format!(r#""tokens":{{"input":{},"output":{}}}"#, 180 + 13 * n, 90 * kb + 17 * n),
                };
                writeln!(
                    log,
                    r#"{{"event":"request","time":"{time}","id":"a-{n}","node":"{node}.tailnet.test","stable_id":"past-{node}","principal":"{principal}","addr":"100.64.0.2:5","port":11434,"method":"POST","endpoint":"v1_chat_completions","status":200,"model":"qwen3:8b","bytes_in":{},"bytes_out":{},{tokens},"queue_ms":1.5,"first_byte_ms":200.0,"ms":{}.5,"ended":"complete"}}"#,
                    700 * kb + n, 3100 * kb + 11 * n, ms + 97 * n
                )
                .unwrap();
            }
        }
    }
    for (hours, node, principal, method, path, rule, status) in [
        (53, "build-7", "tag:ai-ci", "POST", "/api/pull", "management", 403),
        (29, "kiosk", "tag:ai-client", "GET", "/v1/v1/models", "allowlist", 403),
        (7, "kiosk", "tag:ai-client", "GET", HOSTILE, "target", 403),
        (5, "build-7", "tag:ai-ci", "POST", "/api/chat", "grant", 403),
        (2, "bobs-laptop", "bob@example.com", "DELETE", "/api/delete", "management", 403),
    ] {
        let time = rfc3339(now - Duration::from_secs(hours * 3600));
        writeln!(
            log,
            r#"{{"event":"request","time":"{time}","id":"r-{hours}","node":"{node}.tailnet.test","stable_id":"past-{node}","principal":"{principal}","addr":"100.64.0.2:5","port":11434,"method":"{method}","path":"{path}","status":{status},"rule":"{rule}","bytes_in":0,"bytes_out":0,"ms":0.5,"ended":"refused"}}"#
        )
        .unwrap();
    }
    log
}

//! The page port. This module has the fixture of its tests.

use std::sync::Arc;
use std::time::SystemTime;

use remote_ollama_proxy::admin::Admin;
use remote_ollama_proxy::awake::AwakeState;
use remote_ollama_proxy::config::{self, Override};
use remote_ollama_proxy::listen::Accepted;
use remote_ollama_proxy::page::{Page, RecentActivity};
use remote_ollama_proxy::peer::Peer;
use remote_ollama_proxy::preload::{PreloadState, PreloadedModel};
use remote_ollama_proxy::proxy::Port;
use remote_ollama_proxy::settings::{Settings, Source};
use remote_ollama_proxy::sink::{Output, Sinks};
use remote_ollama_proxy::tailnet::{Address, Member, NodeStatus, PortMembers};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};

use crate::support::*;

mod contents;
mod requests;
mod setup;
mod streams;

const NO_OLLAMA: &str = "http://127.0.0.1:1";

/// The page port of a running proxy.
struct Site {
    connect: mpsc::Sender<Accepted<DuplexStream>>,
    port: Port,
    recent: Arc<RecentActivity>,
    sinks: Sinks,
    _node: watch::Sender<NodeStatus>,
    members: watch::Sender<Arc<Vec<Member>>>,
    preload: watch::Sender<Vec<PreloadedModel>>,
}

/// An output on a full disk.
struct NoRoom;

impl Output for NoRoom {
    fn append(&mut self, _: &[u8]) -> std::io::Result<()> {
        Err(std::io::ErrorKind::StorageFull.into())
    }
}

fn bob() -> Peer {
    Peer {
        addr: "100.64.0.3:50000".parse().unwrap(),
        node: "bobs-phone.tailnet.test".to_owned(),
        stable_id: "n3".to_owned(),
        user: Some("bob@example.com".to_owned()),
        ..peer()
    }
}

fn member(peer: Peer, grants: Vec<Value>) -> Member {
    Member {
        node: peer.node,
        stable_id: peer.stable_id,
        user: peer.user,
        addresses: vec![Address { ip: peer.addr.ip(), at: None, admitted: true, grants }],
        ..Member::default()
    }
}

impl Site {
    fn of(running: &Running) -> Site {
        Site::with(running, &[("upstream.url", NO_OLLAMA)])
    }

    /// The same with more settings.
    fn with(running: &Running, settings: &[(&'static str, &str)]) -> Site {
        let pair = |(key, value): (&'static str, &str)| Override {
            key,
            value: value.to_owned(),
            source: "test".to_owned(),
        };
        let pairs: Vec<_> = [("page.port", "80")].iter().chain(settings).copied().map(pair).collect();
        let config = config::load(Some("/dev/null".as_ref()), &pairs, &Default::default()).unwrap();
        let load = || Err(config::load(Some("/nowhere".as_ref()), &[], &Default::default()).unwrap_err());
        let source = Source { load: Box::new(load), set_log_level: Box::new(|_| {}) };
        let status = NodeStatus { state: "Running".to_owned(), ..NodeStatus::default() };
        let node = watch::Sender::new(NodeStatus { addresses: vec![[100, 64, 0, 1].into()], ..status });
        let list = vec![member(peer(), vec![]), member(bob(), vec![json!({"page": "view"})])];
        let members = watch::Sender::new(Arc::new(list));
        let preload = watch::Sender::default();
        let sinks = Sinks { log: sink("log", NoRoom), access: None, journal: sink("journal", NoRoom) };
        let admin = Arc::new(Admin {
            settings: Arc::new(Settings::new(config, source)),
            proxy: running.proxy.clone(),
            members: [11434, 80].map(|port| (port, members.subscribe())).into(),
            node: node.subscribe(),
            preload: preload.subscribe(),
            awake: watch::Sender::new(AwakeState::default()).subscribe(),
            started: SystemTime::now(),
            sinks: sinks.clone(),
        });
        let recent = Arc::clone(&running.recent);
        let port = running.proxy.port().another();
        let (connect, incoming) = mpsc::channel(64);
        tokio::spawn(Page::new(port.clone(), admin, Arc::clone(&recent)).serve(Memory(incoming)));
        Site { connect, port, recent, sinks, _node: node, members, preload }
    }

    async fn client(&self) -> Client<DuplexStream> {
        connect(&self.connect, "100.64.0.1:80".parse().unwrap()).await
    }

    /// One request on a connection of its own.
    async fn ask(&self, request: &str) -> Answer {
        let mut client = self.client().await;
        client.send(request).await;
        client.answer().await
    }

    /// The page's stream.
    async fn watch(&self) -> Stream {
        let mut client = self.client().await;
        client.send(get("/events")).await;
        let head = client.head().await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("text/event-stream"), "{head}");
        Stream { client, known: json!({}) }
    }

    /// The status of a new stream, which the client closes at once.
    async fn stream_status(&self) -> u16 {
        let mut client = self.client().await;
        client.send(get("/events")).await;
        client.head().await.and_then(|head| head.split(' ').nth(1)?.parse().ok()).unwrap()
    }

    /// Re-checks the page's sessions; returns how many were cut.
    fn sweep(&self, running: &Running) -> usize {
        self.port.sweep().judge(&[PortMembers { port: 80, members: running.members().into() }])
    }

    /// Waits until this many connections are open.
    async fn has(&self, connections: usize) {
        let held = async || self.port.sessions().all().len() == connections;
        eventually("that many connections", held).await;
    }
}

/// The state of the page.
struct Stream {
    client: Client<DuplexStream>,
    known: Value,
}

impl Stream {
    /// The next event, or `None` at the end.
    async fn next(&mut self) -> Option<String> {
        let chunk = self.client.chunk().await.filter(|chunk| !chunk.is_empty())?;
        let text = String::from_utf8(chunk).unwrap();
        let data = text.strip_prefix("data: ").unwrap();
        let event: Value = serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap();
        for (name, section) in event.as_object().unwrap() {
            self.known[name] = section.clone();
        }
        Some(text)
    }

    async fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> String {
        let mut text = String::new();
        while text.is_empty() || !wanted(&self.known) {
            text += &self.next().await.unwrap_or_else(|| panic!("the stream has ended without {what}"));
        }
        text
    }

    fn nodes(&self, section: &str) -> Vec<&str> {
        let rows = self.known[section]["rows"].as_array().unwrap();
        rows.iter().map(|row| row["node"].as_str().unwrap()).collect()
    }
}

fn request(method: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: remote-ollama-proxy:11434\r\n{more}\r\n")
}

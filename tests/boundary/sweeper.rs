//! The sweeper when the netmap is late or unreadable, and when the node is out of the tailnet.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use remote_ollama_proxy::audit::{AuditSink, Journal};
use remote_ollama_proxy::auth::Environment;
use remote_ollama_proxy::rotated::RotatedFile;
use remote_ollama_proxy::settings::{Settings, Source};
use remote_ollama_proxy::sweeper::{Sweeper, WatchedPorts};
use remote_ollama_proxy::tailnet::{Member, Netmap, NodeStatus};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::support::*;

/// A netmap with one peer. The test sets how it answers.
struct StubNetmap {
    members: Vec<Member>,
    requests: AtomicUsize,
    /// How the next requests are answered.
    mode: watch::Receiver<AnswerMode>,
    /// The ports of the last request.
    ports: Mutex<Vec<u16>>,
}

#[derive(Clone, Copy, PartialEq)]
enum AnswerMode {
    Immediate,
    Error,
    Pending,
}

impl Netmap for StubNetmap {
    async fn members(&self, ports: Vec<u16>, _: &str) -> Result<BTreeMap<u16, Vec<Member>>, String> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.ports.lock().unwrap().clone_from(&ports);
        let mut mode = self.mode.clone();
        let mode = *mode.wait_for(|mode| *mode != AnswerMode::Pending).await.unwrap();
        match mode {
            AnswerMode::Error => Err("the netmap changed during the request".to_owned()),
            _ => Ok(ports.into_iter().map(|port| (port, self.members.clone())).collect()),
        }
    }
}

/// A running proxy and sweeper.
struct Fixture {
    ollama: Ollama,
    proxy: Running,
    netmap: Arc<StubNetmap>,
    mode: watch::Sender<AnswerMode>,
    node_status: watch::Sender<NodeStatus>,
    members: watch::Receiver<Arc<Vec<Member>>>,
    sweeper: Arc<Sweeper<StubNetmap>>,
    _state: tempfile::TempDir,
}

async fn fixture() -> Fixture {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let state = tempfile::tempdir().unwrap();
    let mut config =
        remote_ollama_proxy::config::load(Some("/dev/null".as_ref()), &[], &Environment::default()).unwrap();
    config.node.state_dir = state.path().to_owned();
    let source = Source { load: Box::new(|| unreachable!()), set_log_level: Box::new(|_| {}) };
    let (mode, answers) = watch::channel(AnswerMode::Immediate);
    let netmap = Arc::new(StubNetmap {
        members: proxy.members(),
        requests: AtomicUsize::default(),
        mode: answers,
        ports: Mutex::default(),
    });
    let mut watched = WatchedPorts::default();
    watched.add(proxy.proxy.port(), [11434, 443]);
    let members = watched.members()[&11434].clone();
    let node_status = watch::Sender::new(status("Running"));
    let journal = sink("journal", RotatedFile::new(&state.path().join(Journal::FILE), Journal::ROTATION));
    let sweeper = Arc::new(Sweeper {
        settings: Arc::new(Settings::new(config, source)),
        netmap: Arc::clone(&netmap),
        ports: watched,
        node_status: node_status.subscribe(),
        changed: Arc::default(),
        audit: Arc::new(AuditSink::new(None, Some(journal), None)),
    });
    let running = Arc::clone(&sweeper);
    tokio::spawn(async move { running.run().await });
    let fixture = Fixture { ollama, proxy, netmap, mode, node_status, members, sweeper, _state: state };
    fixture.lists(1).await;
    fixture
}

fn status(state: &str) -> NodeStatus {
    NodeStatus { state: state.to_owned(), ..NodeStatus::default() }
}

impl Fixture {
    /// Waits until the sweeper lists this many peers.
    async fn lists(&self, peers: usize) {
        let mut members = self.members.clone();
        soon("a list of that many peers", members.wait_for(|members| members.len() == peers)).await.unwrap();
    }

    fn ended(&self, reason: &str) -> bool {
        self.proxy.counted().contains(&format!("ended=\"{reason}\""))
    }
}

#[tokio::test]
async fn one_netmap_request_serves_all_ports() {
    let fixture = fixture().await;
    assert_eq!(fixture.netmap.requests.load(Ordering::SeqCst), 1);
    assert_eq!(*fixture.netmap.ports.lock().unwrap(), [443, 11434]);
}

#[tokio::test(start_paused = true)]
async fn unreadable_netmap_cuts_sessions_after_two_seconds() {
    for mode in [AnswerMode::Pending, AnswerMode::Error] {
        let fixture = fixture().await;
        let (mut client, mut upstream) = fixture.proxy.stream(&fixture.ollama).await;
        fixture.mode.send_replace(mode);
        let start = Instant::now();
        fixture.sweeper.changed.notify_one();
        client.rest().await;
        assert_eq!(start.elapsed().as_secs(), 2);
        upstream.rest().await;
        fixture.proxy.has(0).await;
        assert!(fixture.ended("unconfirmed"), "{}", fixture.proxy.counted());
    }
}

#[tokio::test(start_paused = true)]
async fn netmap_read_within_two_seconds_cuts_no_session() {
    let fixture = fixture().await;
    let (mut client, mut upstream) = fixture.proxy.stream(&fixture.ollama).await;
    for mode in [AnswerMode::Pending, AnswerMode::Error] {
        fixture.mode.send_replace(mode);
        let requests = fixture.netmap.requests.load(Ordering::SeqCst);
        fixture.sweeper.changed.notify_one();
        pass(Duration::from_millis(1_500)).await;
        assert!(fixture.netmap.requests.load(Ordering::SeqCst) > requests);
        fixture.mode.send_replace(AnswerMode::Immediate);
        pass(Duration::from_secs(3)).await;
        upstream.send("2\r\non\r\n").await;
        assert_eq!(client.chunk().await.unwrap(), b"on");
    }
}

/// Otherwise a peer whose key expires would keep its session for 20 times the length of the outage.
#[tokio::test(start_paused = true)]
async fn next_sweep_after_an_outage_is_not_delayed() {
    for mode in [AnswerMode::Pending, AnswerMode::Error] {
        let fixture = fixture().await;
        fixture.mode.send_replace(mode);
        fixture.sweeper.changed.notify_one();
        pass(Duration::from_secs(60)).await;
        fixture.mode.send_replace(AnswerMode::Immediate);
        fixture.lists(1).await;
        pass(Duration::from_secs(1)).await;
        let requests = fixture.netmap.requests.load(Ordering::SeqCst);
        // A request that took a minute counts as 2 s, the time after which sessions were cut.
        pass(Duration::from_secs(if mode == AnswerMode::Pending { 40 } else { 5 })).await;
        assert!(fixture.netmap.requests.load(Ordering::SeqCst) > requests);
    }
}

#[tokio::test]
async fn node_out_of_the_tailnet_cuts_all_sessions_and_lists_no_peer() {
    let fixture = fixture().await;
    // Also while a netmap is pending.
    for mode in [AnswerMode::Immediate, AnswerMode::Pending] {
        let (mut client, mut upstream) = fixture.proxy.stream(&fixture.ollama).await;
        fixture.mode.send_replace(mode);
        let requests = fixture.netmap.requests.load(Ordering::SeqCst);
        fixture.sweeper.changed.notify_one();
        eventually("another netmap request", async || {
            fixture.netmap.requests.load(Ordering::SeqCst) > requests
        })
        .await;
        fixture.node_status.send_replace(status("NeedsLogin"));
        client.rest().await;
        upstream.rest().await;
        fixture.lists(0).await;
        fixture.proxy.has(0).await;
        assert!(fixture.ended("out-of-tailnet"), "{}", fixture.proxy.counted());
        fixture.mode.send_replace(AnswerMode::Immediate);
        fixture.node_status.send_replace(status("Running"));
        fixture.lists(1).await;
    }
}

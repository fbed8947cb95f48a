//! Sweeps whose netmap arrives late or not at all, and a node that is out of the tailnet.

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

/// A netmap with one peer, which answers as the test sets it.
struct Lists {
    roster: Vec<Member>,
    asked: AtomicUsize,
    /// How the next requests are answered.
    answers: watch::Receiver<Answers>,
    ports: Mutex<Vec<u16>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Answers {
    AtOnce,
    WithAnError,
    Never,
}

impl Netmap for Lists {
    async fn members(&self, ports: Vec<u16>, _: &str) -> Result<BTreeMap<u16, Vec<Member>>, String> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.ports.lock().unwrap().clone_from(&ports);
        let mut answers = self.answers.clone();
        let answer = *answers.wait_for(|answers| *answers != Answers::Never).await.unwrap();
        match answer {
            Answers::WithAnError => Err("the netmap has moved".to_owned()),
            _ => Ok(ports.into_iter().map(|port| (port, self.roster.clone())).collect()),
        }
    }
}

struct Scene {
    ollama: Ollama,
    proxy: Running,
    lists: Arc<Lists>,
    answers: watch::Sender<Answers>,
    situation: watch::Sender<NodeStatus>,
    roster: watch::Receiver<Arc<Vec<Member>>>,
    judge: Arc<Sweeper<Lists>>,
    _state: tempfile::TempDir,
}

async fn scene() -> Scene {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let state = tempfile::tempdir().unwrap();
    let mut config =
        remote_ollama_proxy::config::load(Some("/dev/null".as_ref()), &[], &Environment::default()).unwrap();
    config.node.state_dir = state.path().to_owned();
    let source = Source { load: Box::new(|| unreachable!()), set_log_level: Box::new(|_| {}) };
    let (answers, answered) = watch::channel(Answers::AtOnce);
    let lists = Arc::new(Lists {
        roster: proxy.members(),
        asked: AtomicUsize::default(),
        answers: answered,
        ports: Mutex::default(),
    });
    let mut watched = WatchedPorts::default();
    watched.add(proxy.proxy.port(), [11434, 443]);
    let roster = watched.members()[&11434].clone();
    let situation = watch::Sender::new(standing("Running"));
    let journal = sink("journal", RotatedFile::new(&state.path().join(Journal::FILE), Journal::ROTATION));
    let judge = Arc::new(Sweeper {
        settings: Arc::new(Settings::new(config, source)),
        netmap: Arc::clone(&lists),
        ports: watched,
        node_status: situation.subscribe(),
        changed: Arc::default(),
        audit: Arc::new(AuditSink::new(None, Some(journal), None)),
    });
    let running = Arc::clone(&judge);
    tokio::spawn(async move { running.run().await });
    let scene = Scene { ollama, proxy, lists, answers, situation, roster, judge, _state: state };
    scene.lists_again(1).await;
    scene
}

fn standing(state: &str) -> NodeStatus {
    NodeStatus { state: state.to_owned(), ..NodeStatus::default() }
}

impl Scene {
    /// Waits until the roster has so many peers.
    async fn lists_again(&self, peers: usize) {
        let mut roster = self.roster.clone();
        soon("a roster with that many peers", roster.wait_for(|roster| roster.len() == peers)).await.unwrap();
    }

    fn ended(&self, how: &str) -> bool {
        self.proxy.counted().contains(&format!("ended=\"{how}\""))
    }
}

#[tokio::test]
async fn one_netmap_request_serves_all_ports() {
    let scene = scene().await;
    assert_eq!(scene.lists.asked.load(Ordering::SeqCst), 1);
    assert_eq!(*scene.lists.ports.lock().unwrap(), [443, 11434]);
}

#[tokio::test(start_paused = true)]
async fn unreadable_netmap_cuts_sessions_after_two_seconds() {
    for answers in [Answers::Never, Answers::WithAnError] {
        let scene = scene().await;
        let (mut client, mut upstream) = scene.proxy.stream(&scene.ollama).await;
        scene.answers.send_replace(answers);
        let begun = Instant::now();
        scene.judge.changed.notify_one();
        client.rest().await;
        assert_eq!(begun.elapsed().as_secs(), 2);
        upstream.rest().await;
        scene.proxy.has(0).await;
        assert!(scene.ended("unconfirmed"), "{}", scene.proxy.counted());
    }
}

#[tokio::test(start_paused = true)]
async fn netmap_read_within_two_seconds_cuts_no_session() {
    let scene = scene().await;
    let (mut client, mut upstream) = scene.proxy.stream(&scene.ollama).await;
    for answers in [Answers::Never, Answers::WithAnError] {
        scene.answers.send_replace(answers);
        let asked = scene.lists.asked.load(Ordering::SeqCst);
        scene.judge.changed.notify_one();
        pass(Duration::from_millis(1_500)).await;
        assert!(scene.lists.asked.load(Ordering::SeqCst) > asked);
        scene.answers.send_replace(Answers::AtOnce);
        pass(Duration::from_secs(3)).await;
        upstream.send("2\r\non\r\n").await;
        assert_eq!(client.chunk().await.unwrap(), b"on");
    }
}

/// Otherwise a peer whose key expires would keep its session for 20 times the length of the outage.
#[tokio::test(start_paused = true)]
async fn next_sweep_after_an_outage_is_not_delayed() {
    for answers in [Answers::Never, Answers::WithAnError] {
        let scene = scene().await;
        scene.answers.send_replace(answers);
        scene.judge.changed.notify_one();
        pass(Duration::from_secs(60)).await;
        scene.answers.send_replace(Answers::AtOnce);
        scene.lists_again(1).await;
        pass(Duration::from_secs(1)).await;
        let asked = scene.lists.asked.load(Ordering::SeqCst);
        // A request that took a minute counts as 2 s, the time after which sessions were cut.
        pass(Duration::from_secs(if answers == Answers::Never { 40 } else { 5 })).await;
        assert!(scene.lists.asked.load(Ordering::SeqCst) > asked);
    }
}

#[tokio::test]
async fn node_out_of_the_tailnet_cuts_all_sessions_and_lists_no_peer() {
    let scene = scene().await;
    // Also while a netmap is pending.
    for answers in [Answers::AtOnce, Answers::Never] {
        let (mut client, mut upstream) = scene.proxy.stream(&scene.ollama).await;
        scene.answers.send_replace(answers);
        let asked = scene.lists.asked.load(Ordering::SeqCst);
        scene.judge.changed.notify_one();
        eventually("another list", async || scene.lists.asked.load(Ordering::SeqCst) > asked).await;
        scene.situation.send_replace(standing("NeedsLogin"));
        client.rest().await;
        upstream.rest().await;
        scene.lists_again(0).await;
        scene.proxy.has(0).await;
        assert!(scene.ended("out-of-tailnet"), "{}", scene.proxy.counted());
        scene.answers.send_replace(Answers::AtOnce);
        scene.situation.send_replace(standing("Running"));
        scene.lists_again(1).await;
    }
}

//! Judging by lists of the netmap that come late, or not at all, and while the node is out of the tailnet.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use remote_ollama_proxy::audit::Journal;
use remote_ollama_proxy::auth::Environment;
use remote_ollama_proxy::rotated::RotatedFile;
use remote_ollama_proxy::settings::{Settings, Source};
use remote_ollama_proxy::sweeper::{Sweeper, WatchedPorts};
use remote_ollama_proxy::tailnet::{Member, Netmap, NodeStatus};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::support::*;

/// The netmap has the one peer, and is read as the test has it.
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
    let proxy = Running::new(policy(), &ollama.url);
    let state = tempfile::tempdir().unwrap();
    let mut config =
        remote_ollama_proxy::config::load(Some("/dev/null".as_ref()), &[], &Environment::default()).unwrap();
    config.node.state_dir = state.path().to_owned();
    let source = Source { load: Box::new(|| unreachable!()), log: Box::new(|_| {}) };
    let (answers, answered) = watch::channel(Answers::AtOnce);
    let lists = Arc::new(Lists {
        roster: proxy.word.members(),
        asked: AtomicUsize::default(),
        answers: answered,
        ports: Mutex::default(),
    });
    let mut watched = WatchedPorts::default();
    watched.add(proxy.proxy.port(), [11434, 443]);
    let roster = watched.members()[&11434].clone();
    let situation = watch::Sender::new(standing("Running"));
    let judge = Arc::new(Sweeper {
        settings: Arc::new(Settings::new(config, source)),
        netmap: Arc::clone(&lists),
        ports: watched,
        node_status: situation.subscribe(),
        changed: Arc::default(),
        journal: sink("journal", RotatedFile::new(&state.path().join(Journal::FILE), Journal::ROTATION)),
        watcher: None,
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
async fn one_list_serves_all_ports() {
    let scene = scene().await;
    assert_eq!(scene.lists.asked.load(Ordering::SeqCst), 1);
    assert_eq!(*scene.lists.ports.lock().unwrap(), [443, 11434]);
}

#[tokio::test(start_paused = true)]
async fn sessions_are_cut_once_the_netmap_could_not_be_read_for_two_seconds() {
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
async fn netmap_that_is_read_within_two_seconds_cuts_no_session() {
    let scene = scene().await;
    let (mut client, mut upstream) = scene.proxy.stream(&scene.ollama).await;
    for answers in [Answers::Never, Answers::WithAnError] {
        scene.answers.send_replace(answers);
        let asked = scene.lists.asked.load(Ordering::SeqCst);
        scene.judge.changed.notify_one();
        sleep(Duration::from_millis(1_500)).await;
        assert!(scene.lists.asked.load(Ordering::SeqCst) > asked);
        scene.answers.send_replace(Answers::AtOnce);
        sleep(Duration::from_secs(3)).await;
        upstream.send("2\r\non\r\n").await;
        assert_eq!(client.chunk().await.unwrap(), b"on");
    }
}

/// Otherwise a peer whose key expires by the clock alone would keep its session for twenty times the outage.
#[tokio::test(start_paused = true)]
async fn next_sweep_after_an_outage_comes_as_soon_as_after_a_quick_list() {
    for answers in [Answers::Never, Answers::WithAnError] {
        let scene = scene().await;
        scene.answers.send_replace(answers);
        scene.judge.changed.notify_one();
        sleep(Duration::from_secs(60)).await;
        scene.answers.send_replace(Answers::AtOnce);
        scene.lists_again(1).await;
        sleep(Duration::from_secs(1)).await;
        let asked = scene.lists.asked.load(Ordering::SeqCst);
        // One list that took a minute itself counts as 2 s, after which sessions were cut.
        sleep(Duration::from_secs(if answers == Answers::Never { 40 } else { 5 })).await;
        assert!(scene.lists.asked.load(Ordering::SeqCst) > asked);
    }
}

#[tokio::test]
async fn node_out_of_the_tailnet_cuts_all_sessions_and_no_peer_is_listed_until_it_is_back() {
    let scene = scene().await;
    // While a list is waited for, too.
    for answers in [Answers::AtOnce, Answers::Never] {
        let (mut client, mut upstream) = scene.proxy.stream(&scene.ollama).await;
        scene.answers.send_replace(answers);
        let asked = scene.lists.asked.load(Ordering::SeqCst);
        scene.judge.changed.notify_one();
        soon("another list", async {
            while scene.lists.asked.load(Ordering::SeqCst) == asked {
                tokio::task::yield_now().await;
            }
        })
        .await;
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

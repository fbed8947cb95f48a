use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::sync::oneshot;

use super::super::{Events, LogLost, Occurrence, OllamaDown, OllamaUp};
use super::*;
use crate::auth::Environment;

/// A folder with the command `notify`, and the events for it.
struct Scene {
    dir: tempfile::TempDir,
    events: Events,
    incoming: Option<Incoming>,
    _config: watch::Sender<Arc<Config>>,
}

impl Scene {
    /// `script` runs with the folder as `$1`.
    fn new(script: &str) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let notify = dir.path().join("notify");
        std::fs::write(&notify, format!("#!/bin/sh\ncd \"$1\" || exit\n{script}\n")).unwrap();
        std::fs::set_permissions(&notify, std::fs::Permissions::from_mode(0o700)).unwrap();
        let file = dir.path().join("config.toml");
        let text = format!("[events]\ncommand = [{notify:?}, {:?}]\ntimeout = \"10m\"\n", dir.path());
        std::fs::write(&file, text).unwrap();
        let config = crate::config::load(Some(&file), &[], &Environment::default()).unwrap();
        let config = watch::Sender::new(Arc::new(config));
        let (events, incoming) = Events::new(config.subscribe());
        Scene { dir, events, incoming: Some(incoming), _config: config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn lose(&self, log: &str) {
        let log = LogLost { log: log.to_owned(), to: "/a".to_owned(), lost: 1, error: None };
        self.events.raise(Occurrence::LogLost(log));
    }

    fn run(&mut self, stop: impl Future<Output = ()> + Send + 'static) -> impl Future<Output = ()> + 'static {
        let node = watch::Sender::new(NodeStatus::default());
        run_events(self.incoming.take().unwrap(), node.subscribe(), stop)
    }

    /// Runs the command for all events so far, and returns what it has put together in `out`.
    async fn told(mut self) -> Vec<Value> {
        let run = self.run(std::future::pending());
        let Scene { dir, events, .. } = self;
        drop(events); // the runner ends once all events are told
        run.await;
        lines(&dir.path().join("out"))
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

#[tokio::test]
async fn command_is_run_for_one_event_at_a_time_in_their_order() {
    let scene = Scene::new("mkdir busy || exit 9; cat >>out; rmdir busy");
    for n in 0..5 {
        scene.lose(&n.to_string());
    }
    let told = scene.told().await;
    let logs: Vec<_> = told.iter().map(|event| event["log"].as_str().unwrap()).collect();
    assert_eq!(logs, ["0", "1", "2", "3", "4"]);
    let time: jiff::Timestamp = told[0]["time"].as_str().unwrap().parse().unwrap();
    assert!(time <= jiff::Timestamp::now());
    assert_eq!((&told[0]["event"], &told[0]["proxy"]), (&"log-lost".into(), &"remote-ollama-proxy".into()));
    assert_eq!(told[0]["message"], "1 line of /a could not be written");
    for absent in ["dropped", "coalesced", "test"] {
        assert_eq!(told[0][absent], Value::Null);
    }
}

#[tokio::test]
async fn failed_command_does_not_stop_the_next_event() {
    let scene = Scene::new("cat >>out; exit 1");
    scene.lose("0");
    scene.lose("1");
    assert_eq!(scene.told().await.len(), 2);
}

#[tokio::test]
async fn events_beyond_the_queue_are_dropped_and_the_next_event_says_how_many() {
    let scene = Scene::new("cat >>out");
    for n in 0..WAITING + 9 {
        scene.lose(&n.to_string());
    }
    let told = scene.told().await;
    assert_eq!((told.len(), &told[0]["dropped"], &told[1]["dropped"]), (WAITING, &9.into(), &Value::Null));
    assert_eq!(told[WAITING - 1]["log"], (WAITING - 1).to_string());
}

#[tokio::test]
async fn stop_lets_the_running_command_end_and_drops_the_rest() {
    let mut scene = Scene::new("echo >began; cat go >>out; cat >>out");
    for fifo in ["began", "go"] {
        assert!(std::process::Command::new("mkfifo").arg(scene.path(fifo)).status().unwrap().success());
    }
    scene.lose("0");
    scene.lose("1");
    let (stop, stopped) = oneshot::channel::<()>();
    let runs = tokio::spawn(scene.run(async { drop(stopped.await) }));
    let (began, go) = (scene.path("began"), scene.path("go"));
    tokio::task::spawn_blocking(|| std::fs::read(began)).await.unwrap().unwrap();
    stop.send(()).unwrap();
    tokio::task::spawn_blocking(|| std::fs::write(go, "")).await.unwrap().unwrap();
    runs.await.unwrap();
    assert_eq!(lines(&scene.path("out")).len(), 1);
}

#[tokio::test]
async fn event_that_the_config_does_not_want_is_not_taken() {
    let mut scene = Scene::new("cat >>out");
    let mut config = Config::clone(&scene._config.borrow());
    config.events.on = vec![super::super::EventKind::OllamaDown];
    scene._config.send_replace(Arc::new(config));
    scene.lose("0");
    assert!(scene.incoming.take().unwrap().events.try_recv().is_err());
}

/// Ollama goes down and comes back each minute for an hour.
#[tokio::test(start_paused = true)]
async fn flapping_runs_the_command_a_few_times_an_hour() {
    let (sender, events) = mpsc::channel(1);
    let (queue, mut told) = mpsc::channel(WAITING);
    let coalescing = tokio::spawn(async move { coalesce(events, queue, &AtomicU64::new(0)).await });
    let upstream = String::new;
    for _ in 0..30 {
        let down = OllamaDown { upstream: upstream(), error: String::new() };
        sender.send(Event::now(Occurrence::OllamaDown(down))).await.unwrap();
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
        let up = OllamaUp { upstream: upstream() };
        sender.send(Event::now(Occurrence::OllamaBack(up))).await.unwrap();
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
    }
    drop(sender);
    coalescing.await.unwrap();
    let mut counts = (0, 0);
    while let Some(event) = told.recv().await {
        match event.occurrence {
            Occurrence::OllamaDown(_) => counts.0 += 1,
            _ => counts.1 += 1,
        }
    }
    assert_eq!(counts, (6, 6));
}

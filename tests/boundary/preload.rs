//! Models that the proxy loads itself: one after the other, behind every request of a peer, and again when Ollama comes
//! back.

use std::path::Path;
use std::sync::Arc;

use remote_ollama_proxy::admission::Limits;
use remote_ollama_proxy::config;
use remote_ollama_proxy::preload::{PreloadState, PreloadedModel, Preloader};
use remote_ollama_proxy::settings::{Settings, Source};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::support::*;

const ONE: Limits = Limits { running: 1, waiting: 0, ..Limits::NONE };

/// A stand-in for Ollama that can end and come back. It answers questions about models itself; the test answers the
/// requests that a model has to be loaded for.
struct Ollama {
    port: u16,
    connections: JoinSet<()>,
    asked: mpsc::UnboundedSender<Asked>,
    requests: mpsc::UnboundedReceiver<Asked>,
}

/// A request that a model has to be loaded for.
struct Asked {
    client: Client<TcpStream>,
    line: String,
    body: String,
}

impl Asked {
    async fn answer(mut self, status: &str, body: &str) {
        self.client.send(answer(status, body)).await;
    }
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// The models of the stand-in: one that answers, one that embeds, and one that runs elsewhere.
fn about_models(head: &str, body: &str) -> Option<String> {
    let entry = |name: &str| json!({"name": name, "model": name, "digest": name});
    let remote = json!({"model": "far:latest", "digest": "f", "remote_host": "https://example.com"});
    Some(match head.split(' ').nth(1).unwrap() {
        "/api/version" => json!({"version": "0.17.4"}).to_string(),
        "/api/tags" => json!({"models": [entry("Chat:latest"), entry("embed:8b"), remote]}).to_string(),
        "/api/show" if body.contains("embed") => json!({"capabilities": ["embedding"]}).to_string(),
        "/api/show" => json!({"capabilities": ["completion", "tools"]}).to_string(),
        _ => return None,
    })
}

impl Ollama {
    async fn new() -> Ollama {
        let (asked, requests) = mpsc::unbounded_channel();
        let mut ollama = Ollama { port: 0, connections: JoinSet::new(), asked, requests };
        ollama.begin().await;
        ollama
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn begin(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.port = listener.local_addr().unwrap().port();
        let asked = self.asked.clone();
        self.connections.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let client = Client::new(listener.accept().await.unwrap().0);
                connections.spawn(serve(client, asked.clone()));
            }
        });
    }

    /// Ends all connections.
    async fn end(&mut self) {
        self.connections.shutdown().await;
    }

    /// The next request that a model has to be loaded for.
    async fn next(&mut self) -> Asked {
        soon("a request that loads a model", self.requests.recv()).await.unwrap()
    }

    /// The same, which has to be the preload of this model.
    async fn load(&mut self, target: &str, model: &str) -> Asked {
        let asked = self.next().await;
        assert_eq!((&*asked.line, &*asked.body), (target, &*json!({"model": model}).to_string()));
        asked
    }
}

async fn serve(mut client: Client<TcpStream>, asked: mpsc::UnboundedSender<Asked>) {
    while let Some(head) = client.head().await {
        let body = String::from_utf8(client.body(&head).await.unwrap()).unwrap();
        match about_models(&head, &body) {
            Some(text) => client.send(answer("200 OK", &text)).await,
            None => {
                let line = head.split(" HTTP").next().unwrap().to_owned();
                let _ = asked.send(Asked { client, line, body });
                return;
            }
        }
    }
}

/// The preloader at work with a config file.
struct Preloading {
    file: tempfile::NamedTempFile,
    settings: Arc<Settings>,
    states: watch::Receiver<Vec<PreloadedModel>>,
}

impl Preloading {
    fn start(ollama: &Ollama, models: &[&str], limits: Limits, proxy: &Running) -> Preloading {
        let file = tempfile::NamedTempFile::new().unwrap();
        write(file.path(), ollama, models, limits);
        let path = file.path().to_owned();
        let load = move || config::load(Some(&path), &[], &Default::default());
        let source = Source { load: Box::new(load.clone()), set_log_level: Box::new(|_| {}) };
        let settings = Arc::new(Settings::new(load().unwrap(), source));
        let states = watch::Sender::default();
        let preloader = Preloader::new(Arc::clone(&settings), proxy.proxy.clone(), states.clone());
        tokio::spawn(preloader.run());
        Preloading { file, settings, states: states.subscribe() }
    }

    async fn reload(&self, ollama: &Ollama, models: &[&str]) {
        write(self.file.path(), ollama, models, ONE);
        self.settings.reload().await.unwrap();
    }

    /// Waits until the models have these states; returns why they failed.
    async fn until(&mut self, states: &[PreloadState]) -> Vec<Option<String>> {
        let have = |models: &Vec<PreloadedModel>| models.iter().map(|m| m.state).eq(states.iter().copied());
        let models = soon("the states", self.states.wait_for(have)).await.unwrap();
        models.iter().map(|model| model.reason.clone()).collect()
    }
}

fn write(file: &Path, ollama: &Ollama, models: &[&str], limits: Limits) {
    let Limits { running, waiting, .. } = limits;
    let text = format!(
        "[upstream]\nurl = \"{}\"\n[models]\npreload = {models:?}\n[limits]\nrunning = {running}\nwaiting = {waiting}\n",
        ollama.url()
    );
    std::fs::write(file, text).unwrap();
}

use PreloadState::{Failed, Loaded, Loading, Waiting};

#[tokio::test]
async fn models_are_loaded_one_after_the_other_each_with_one_empty_request() {
    let mut ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url()).limits(ONE).start();
    let models = ["chat", "absent", "Embed:8b", "CHAT:latest", "far"];
    let mut preloading = Preloading::start(&ollama, &models, ONE, &proxy);
    let chat = ollama.load("POST /api/generate", "Chat:latest").await;
    preloading.until(&[Loading, Waiting, Waiting, Waiting]).await;
    chat.answer("200 OK", "{\"done\":true,\"done_reason\":\"load\"}").await;
    let embed = ollama.load("POST /api/embed", "embed:8b").await;
    preloading.until(&[Loaded, Failed, Loading, Waiting]).await;
    embed.answer("200 OK", "{\"embeddings\":[]}").await;
    let reasons = preloading.until(&[Loaded, Failed, Loaded, Failed]).await;
    assert!(reasons[1].as_ref().unwrap().contains("run `ollama pull absent:latest`"), "{reasons:?}");
    assert!(reasons[3].as_ref().unwrap().contains("on another machine"), "{reasons:?}");
    assert!(ollama.requests.is_empty());
    assert!(proxy.proxy.sessions().all().is_empty() && proxy.proxy.load().running == 0);
}

#[tokio::test]
async fn models_are_loaded_again_when_ollama_comes_back() {
    let mut ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url()).start();
    let mut preloading = Preloading::start(&ollama, &["chat"], ONE, &proxy);
    ollama.load("POST /api/generate", "Chat:latest").await.answer("200 OK", "{}").await;
    preloading.until(&[Loaded]).await;
    ollama.end().await;
    preloading.until(&[Waiting]).await;
    ollama.begin().await;
    let load = ollama.load("POST /api/generate", "Chat:latest").await;
    // Even a moment is enough to lose the models, and an end while one is loaded is survived.
    ollama.end().await;
    drop(load);
    ollama.begin().await;
    ollama.load("POST /api/generate", "Chat:latest").await.answer("200 OK", "{}").await;
    preloading.until(&[Loaded]).await;
    assert!(ollama.requests.is_empty());
}

#[tokio::test]
async fn preload_waits_for_requests_and_has_none_refused() {
    let mut ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url()).limits(ONE).start();
    let mut client = proxy.client().await;
    client.send(post("/v1/chat/completions", "{}")).await;
    let request = ollama.next().await;
    assert_eq!(request.line, "POST /v1/chat/completions");
    let mut preloading = Preloading::start(&ollama, &["absent", "chat"], ONE, &proxy);
    preloading.until(&[Failed, Waiting]).await;
    request.answer("200 OK", "{}").await;
    assert_eq!(client.answer().await.status(), 200);
    let load = ollama.load("POST /api/generate", "Chat:latest").await;
    preloading.until(&[Failed, Loading]).await;
    // The one running slot is still free for a request, although none may wait.
    let mut client = proxy.client().await;
    client.send(post("/v1/messages", "{}")).await;
    let request = ollama.next().await;
    assert_eq!(request.line, "POST /v1/messages");
    request.answer("200 OK", "{}").await;
    assert_eq!(client.answer().await.status(), 200);
    load.answer("200 OK", "{}").await;
    preloading.until(&[Failed, Loaded]).await;
}

#[tokio::test]
async fn failed_load_shows_ollamas_reason_and_is_tried_again_at_a_reload() {
    let mut ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url()).start();
    let mut preloading = Preloading::start(&ollama, &["chat", "embed:8b"], ONE, &proxy);
    let refused = ollama.load("POST /api/generate", "Chat:latest").await;
    refused.answer("500 Internal Server Error", "{\"error\":\"requires more memory\"}").await;
    ollama.load("POST /api/embed", "embed:8b").await.answer("200 OK", "{}").await;
    let reasons = preloading.until(&[Failed, Loaded]).await;
    assert!(reasons[0].as_ref().unwrap().ends_with("requires more memory"), "{reasons:?}");
    assert!(ollama.requests.is_empty());
    preloading.reload(&ollama, &["chat", "embed:8b"]).await;
    ollama.load("POST /api/generate", "Chat:latest").await.answer("200 OK", "{}").await;
    preloading.until(&[Loaded, Loaded]).await;
    assert!(ollama.requests.is_empty(), "what is loaded is not loaded again");
}

#[tokio::test]
async fn reload_changes_the_list() {
    let mut ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url()).start();
    let mut preloading = Preloading::start(&ollama, &[], ONE, &proxy);
    preloading.until(&[]).await;
    preloading.reload(&ollama, &["embed:8b"]).await;
    ollama.load("POST /api/embed", "embed:8b").await.answer("200 OK", "{}").await;
    preloading.until(&[Loaded]).await;
    preloading.reload(&ollama, &["chat", "embed:8b"]).await;
    ollama.load("POST /api/generate", "Chat:latest").await.answer("200 OK", "{}").await;
    preloading.until(&[Loaded, Loaded]).await;
    preloading.reload(&ollama, &[]).await;
    preloading.until(&[]).await;
    assert!(ollama.requests.is_empty());
}

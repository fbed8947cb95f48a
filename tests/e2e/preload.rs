//! Models that the proxy has a real Ollama load, and settings with which a peer would unload or reload them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::http::*;
use crate::ollama;
use crate::tailnet::World;

/// An Ollama of one test, which can end and come back at its port. It loads nothing by itself.
struct OwnOllama {
    name: &'static str,
    server: Option<Child>,
    url: String,
}

impl OwnOllama {
    fn start(name: &'static str) -> OwnOllama {
        let mut ollama = OwnOllama { name, server: None, url: "http://127.0.0.1:0".to_owned() };
        ollama.begin();
        ollama
    }

    fn begin(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ollama/ollama.sh");
        let mut command = Command::new(script);
        command.args(["run", "--port", self.address().rsplit(':').next().unwrap()]);
        command.arg(ollama::folder(self.name)).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        self.url = started["url"].as_str().unwrap().to_owned();
        self.server = Some(server);
    }

    /// Closes the script's input, and waits until it has stopped the server.
    fn end(&mut self) {
        if let Some(mut server) = self.server.take() {
            drop(server.stdin.take());
            server.wait().unwrap();
        }
    }

    fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// A request past the proxy.
    async fn ask(&self, method: &str, target: &str, body: &str) -> Value {
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut client = Client::new(TcpStream::connect(self.address()).await.unwrap());
        client.send(request).await;
        serde_json::from_slice(&client.answer().await.body).unwrap()
    }

    /// The models in memory, as `/api/ps` lists them.
    async fn in_memory(&self) -> Vec<Value> {
        self.ask("GET", "/api/ps", "").await["models"].as_array().unwrap().clone()
    }

    async fn holds_tiny(&self) -> bool {
        self.in_memory().await.iter().any(|model| model["name"] == "tiny:latest")
    }
}

impl Drop for OwnOllama {
    fn drop(&mut self) {
        self.end();
    }
}

/// The states of the models in the proxy's status.
fn states(status: &Value) -> Vec<&str> {
    let models = status["preload"].as_array().map_or(&[][..], |models| models);
    models.iter().map(|model| model["state"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn models_are_preloaded_at_the_start_and_after_ollama_restarts() {
    let mut ollama = OwnOllama::start("preload");
    assert!(ollama.in_memory().await.is_empty());
    let mut world = World::new(&ollama.url, "models.preload = [\"Tiny\", \"absent\"]\n").await;
    let done = |status: &Value| states(status) == ["loaded", "failed"];
    let status = world.until("the models", "/status", done).await;
    assert!(ollama.holds_tiny().await);
    let reason = status["preload"][1]["reason"].as_str().unwrap();
    assert!(reason.contains("run `ollama pull absent:latest`"), "{reason}");
    let text = String::from_utf8(world.run("status", &[]).await.stdout).unwrap();
    assert!(text.contains("\n  preload  tiny:latest, loaded\n"), "{text}");
    assert!(text.contains("\n  preload  absent:latest, failed: Ollama does not have it"), "{text}");
    let doctor = String::from_utf8(world.run("doctor", &[]).await.stdout).unwrap();
    assert!(doctor.contains("absent:latest of models.preload is not loaded"), "{doctor}");

    // What Ollama unloads later is shown as it is.
    ollama.ask("POST", "/api/generate", "{\"model\":\"tiny\",\"keep_alive\":0}").await;
    world.until("the end of the model", "/status", |status| states(status) == ["unloaded", "failed"]).await;

    ollama.end();
    ollama.begin();
    eventually("the model again", async || ollama.holds_tiny().await).await;
    world.until("the models again", "/status", done).await;
    // The lines may come after the state that they tell of.
    for words in ["loaded a model of models.preload", "cannot load a model of models.preload"] {
        world.proxy.process.lines(&[words], 2).await;
    }
    let output = world.proxy.process.output();
    let count = |words: &str| output.lines().filter(|line| line.contains(words)).count();
    assert_eq!(count("loaded a model of models.preload"), 2, "{output}");
    assert_eq!(count("cannot load a model of models.preload"), 2, "once for each start of Ollama: {output}");
    assert_eq!(count("\"target\":\"access\""), 0, "no peer asked: {output}");
}

#[tokio::test]
async fn denied_settings_leave_the_loaded_model_alone() {
    let ollama = OwnOllama::start("settings");
    let config = "models.preload = [\"tiny\"]\nmodels.keep_alive = \"deny\"\nmodels.load_options = \"deny\"\n\
        endpoints.api_chat = true\nendpoints.api_generate = true\nendpoints.api_embed = true\n";
    let world = World::new(&ollama.url, config).await;
    world.until("the model", "/status", |status| states(status) == ["loaded"]).await;
    let loaded = ollama.in_memory().await;
    // Each of these changes the model where it is not denied.
    let unload = "{\"model\":\"tiny\",\"\u{212a}eep_alive\":0}";
    let reload = "{\"model\":\"tiny\",\"option\u{17f}\":{\"num_ctx\":512}}";
    for (body, rule) in [(unload, "keep-alive"), (reload, "load-options")] {
        for target in ["/api/generate", "/api/chat", "/api/embed"] {
            let answer = world.ask(&post(target, body)).await;
            assert_eq!(answer.status(), 403, "{target} {}", answer.text());
            assert!(answer.text().contains(&format!("(rule: {rule})")), "{}", answer.text());
        }
    }
    assert_eq!(ollama.in_memory().await, loaded);
    let allowed = json!({"model": "tiny", "prompt": "hi", "options": {"num_predict": 1}}).to_string();
    assert_eq!(world.ask(&post("/api/generate", &allowed)).await.status(), 200);
    let (_, before) = (ollama.ask("POST", "/api/generate", reload).await, &loaded[0]["context_length"]);
    assert_eq!(ollama.in_memory().await[0]["context_length"], 512, "it was {before}");
    assert_eq!(ollama.ask("POST", "/api/generate", unload).await["done_reason"], "unload");
    eventually("the end of the model", async || ollama.in_memory().await.is_empty()).await;
}

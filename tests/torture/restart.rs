//! Ollama dies and comes back while the proxy runs.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::figures::{self, Meant, figure};
use crate::http::{Client, eventually, found, get, post, soon};
use crate::tailnet::World;

/// A real Ollama that is killed when this value is dropped.
struct Ollama {
    url: String,
    group: Pid,
}

impl Ollama {
    async fn start(dir: &TempDir, port: &str) -> Ollama {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ollama/ollama.sh"));
        command.args(["start", "--port", port, "--preload", "tiny"]).arg(dir.path().join("ollama"));
        let started = tokio::task::spawn_blocking(move || command.stderr(Stdio::inherit()).output().unwrap());
        let out = started.await.unwrap();
        let server: Value = serde_json::from_slice(&out.stdout).expect("tests/ollama/ollama.sh start");
        let pid = server["pid"].as_i64().and_then(|pid| Pid::from_raw(pid.try_into().unwrap())).unwrap();
        Ollama { url: server["url"].as_str().unwrap().to_owned(), group: pid }
    }

    fn port(&self) -> &str {
        self.url.rsplit(':').next().unwrap()
    }

    /// Kills it as a crash does: at once, with the processes that run its models.
    fn kill(&self) {
        let _ = kill_process_group(self.group, Signal::KILL); // a second time does no harm
    }
}

impl Drop for Ollama {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The status of an answer. If Ollama is away, the answer has a Retry-After.
async fn status(client: &mut Client<TcpStream>, request: &str) -> u16 {
    client.send(request).await;
    let answer = client.answer().await;
    assert!(answer.status() != 503 || answer.header("retry-after") == Some("1"), "{answer:?}");
    answer.status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxy_survives_a_restart_of_ollama() {
    let _alone = figures::alone().await;
    let dir = TempDir::new().unwrap();
    let ollama = Ollama::start(&dir, "0").await;
    let world = World::new(&ollama.url, "").await;
    let chat = |says: &str| {
        let ask = json!({"model": "tiny", "messages": [{"role": "user", "content": says}], "stream": says == "go!"});
        post("/v1/chat/completions", &ask.to_string())
    };
    let mut kept = world.connect().await;
    assert_eq!(status(&mut kept, &get("/v1/models")).await, 200);
    let mut stream = world.connect().await;
    stream.send(chat("go!")).await;
    stream.head().await.unwrap();
    stream.chunk().await.unwrap();

    ollama.kill();
    assert!(!stream.rest().await.ends_with(b"0\r\n\r\n"), "the stream's end looks like one");
    // The kernel closes the descriptors of a dead process one after the other: a request that still reaches it is
    // broken off, and not sent again.
    let gone = found("nothing to be left of Ollama", async || {
        Some(status(&mut kept, &get("/v1/models")).await).filter(|status| *status != 502)
    })
    .await;
    assert_eq!(gone, 503);
    for request in [get("/v1/models"), chat("hi")] {
        assert_eq!(status(&mut kept, &request).await, 503);
        assert_eq!(status(&mut world.connect().await, &request).await, 503);
    }

    let (address, port) = (ollama.url.trim_start_matches("http://"), ollama.port());
    let back = async {
        // Checked without the proxy: when Ollama listens again.
        eventually("Ollama", async || TcpStream::connect(address).await.is_ok()).await;
        let begun = Instant::now();
        soon("an answer from Ollama", async { while status(&mut kept, &get("/v1/models")).await != 200 {} })
            .await;
        begun.elapsed().as_secs_f64() * 1e3
    };
    let (again, ms) = tokio::join!(Ollama::start(&dir, port), back);
    figure("Ollama restarts", "listening again: first good answer after", ms, "ms", Meant::AtMost(1000.0));
    assert_eq!(again.url, ollama.url);
    assert_eq!(status(&mut kept, &chat("hi")).await, 200);
    assert_eq!(status(&mut world.connect().await, &chat("hi")).await, 200);
}

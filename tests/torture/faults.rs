//! Slow, sliced, truncated and reset connections, on either side and in either direction: a client gets the whole
//! answer or a visibly broken one, and the next request gets a whole one.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::counter::Counter;
use crate::figures::{self, Meant, figure};
use crate::http::{Answer, Client, header, post, soon};
use crate::ollama;
use crate::tailnet::World;
use crate::toxiproxy::Direction::{self, Downstream, Upstream};
use crate::toxiproxy::{Toxiproxy, Way};

const PART: &str = "Toxiproxy";

/// The effect of a toxic on an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    Delay,
    /// No answer arrives whole.
    Break,
}

/// Each toxic with its effect. Requests have 20 KB and answers at least 400 bytes, so that both have a middle.
fn toxics() -> [(&'static str, Value, May); 7] {
    [
        ("latency", json!({"latency": 150, "jitter": 50}), May::Delay),
        ("slicer", json!({"average_size": 48, "size_variation": 24, "delay": 100}), May::Delay),
        ("slow_close", json!({"delay": 300}), May::Delay),
        ("bandwidth", json!({"rate": 50}), May::Delay),
        ("reset_peer", json!({"timeout": 100}), May::Break),
        ("timeout", json!({"timeout": 400}), May::Break),
        ("limit_data", json!({"bytes": 300}), May::Break),
    ]
}

/// What a client receives.
enum Got {
    Whole(Answer),
    /// The connection ended before the answer did.
    Broken,
}

/// A request with a body of 20 KB. Ollama ignores the blanks.
fn request(stream: bool) -> String {
    // One stops by itself, the other takes some hundred milliseconds.
    let (model, says) = if stream { ("slow", "go!") } else { ("tiny", "hi") };
    let ask = json!({"model": model, "messages": [{"role": "user", "content": says}], "stream": stream, "max_tokens": 10});
    post("/v1/chat/completions", &format!("{ask}{:20000}", ""))
}

async fn connect(at: SocketAddr) -> Client<TcpStream> {
    Client::new(soon("a connection", TcpStream::connect(at)).await.unwrap())
}

async fn ask(client: &mut Client<TcpStream>, request: &str) -> Got {
    // If the connection breaks meanwhile, the answer shows it.
    let _ = soon("sending", client.stream.write_all(request.as_bytes())).await;
    let Some(head) = client.head().await else { return Got::Broken };
    // Without either, a truncated answer would look whole.
    assert!(
        header(&head, "content-length").is_some() || header(&head, "transfer-encoding").is_some(),
        "{head}"
    );
    client.body(&head).await.map_or(Got::Broken, |body| Got::Whole(Answer { head, body }))
}

/// The model's text in an answer, if the answer is valid.
fn said(answer: &Answer) -> Option<String> {
    if answer.status() != 200 {
        return None;
    }
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    if answer.header("content-type") != Some("text/event-stream") {
        return parse(answer.text())["choices"][0]["message"]["content"].as_str().map(str::to_owned);
    }
    let events = answer.text().trim_end().strip_suffix("data: [DONE]")?;
    let parts = events.lines().filter_map(|line| line.strip_prefix("data: ")).map(parse);
    Some(parts.filter_map(|part| Some(part["choices"][0]["delta"]["content"].as_str()?.to_owned())).collect())
}

struct Scene {
    counter: Counter,
    _world: World,
    legs: [(&'static str, Way); 2],
    _toxiproxy: Toxiproxy,
    /// The address for clients.
    at: SocketAddr,
    /// The right text, for both forms of the request.
    right: [String; 2],
}

async fn scene() -> Scene {
    let toxiproxy = Toxiproxy::new().await;
    let counter = Counter::in_front_of(ollama::url()).await;
    let behind = toxiproxy.way("ollama", counter.at).await;
    let world = World::new(&format!("http://{}", behind.at), "").await;
    let before = toxiproxy.way("proxy", world.at).await;
    let at = before.at;
    let mut right = [String::new(), String::new()];
    for (stream, right) in [false, true].into_iter().zip(&mut right) {
        let Got::Whole(answer) = ask(&mut connect(at).await, &request(stream)).await else {
            panic!("no answer")
        };
        *right = said(&answer).unwrap();
        assert!(!right.is_empty() && answer.head.len() + answer.body.len() > 400, "{answer:?}");
    }
    let legs = [("before Ollama", behind), ("before the client", before)];
    Scene { counter, _world: world, legs, _toxiproxy: toxiproxy, at, right }
}

impl Scene {
    fn is_right(&self, stream: bool, answer: &Answer) -> bool {
        said(answer).as_ref() == Some(&self.right[usize::from(stream)])
    }

    /// One request under a toxic, the last of `client`. Its connection to Ollama ends with it.
    async fn suffer(&self, what: &str, may: May, stream: bool, mut client: Client<TcpStream>) {
        let before = self.counter.requests();
        match ask(&mut client, &request(stream)).await {
            Got::Whole(answer) if answer.status() == 200 => {
                assert!(self.is_right(stream, &answer), "{what}: wrong but whole: {answer:?}");
                assert_eq!(may, May::Delay, "{what}: the toxic did nothing");
            }
            // An answer of the proxy that reports the failure.
            Got::Whole(answer) => assert!(
                may == May::Break
                    && matches!(answer.status(), 400 | 502 | 503)
                    && answer.text().contains("error"),
                "{what}: {answer:?}"
            ),
            Got::Broken => assert_eq!(may, May::Break, "{what}: broken"),
        }
        drop(client);
        self.counter.none_open().await;
        let sent = self.counter.requests() - before;
        assert!(sent <= 1 && (may == May::Break || sent == 1), "{what}: {sent} requests at Ollama");
    }

    /// Both forms of the request under a toxic, on new and on used connections. Returns how long the first good answer
    /// took after the toxic was removed, in milliseconds.
    async fn endure(&self, leg: &(&str, Way), toxic: &(&str, Value, May), direction: Direction) -> f64 {
        let ((place, way), (kind, attributes, may)) = (leg, toxic);
        for stream in [false, true] {
            let what = format!("{kind} {direction:?} {place}, stream {stream}");
            let mut used = connect(self.at).await;
            let Got::Whole(_) = ask(&mut used, &request(false)).await else {
                panic!("{what}: broken before")
            };
            way.poison(kind, direction, attributes).await;
            // First, since Toxiproxy's timeout would end an idle connection.
            self.suffer(&format!("{what}, connection used before"), *may, stream, used).await;
            self.suffer(&what, *may, stream, connect(self.at).await).await;
            way.heal(kind).await;
        }
        let begun = Instant::now();
        match ask(&mut connect(self.at).await, &request(false)).await {
            Got::Whole(answer) if self.is_right(false, &answer) => begun.elapsed().as_secs_f64() * 1e3,
            Got::Whole(answer) => panic!("{kind} {direction:?} {place} has gone, yet: {answer:?}"),
            Got::Broken => panic!("{kind} {direction:?} {place} has gone, yet the next answer broke"),
        }
    }
}

#[tokio::test]
async fn no_answer_is_truncated_unnoticed_by_network_faults() {
    let _alone = figures::alone().await;
    let scene = scene().await;
    for leg in &scene.legs {
        for toxic in &toxics() {
            let mut longest = 0f64;
            for direction in [Upstream, Downstream] {
                longest = longest.max(scene.endure(leg, toxic, direction).await);
            }
            let what = format!("{} {}: first good answer after it", toxic.0, leg.0);
            figure(PART, &what, longest, "ms", Meant::AtMost(1000.0));
        }
    }
}

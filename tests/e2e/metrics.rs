//! The metrics of the running proxy, read by Prometheus' own parsers.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::http::*;
use crate::ollama;
use crate::tailnet::World;

/// The metrics that the checker finds in `text`, one with its type per line.
pub(crate) fn checked(text: &[u8]) -> String {
    use std::io::Write;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/metrics/check.sh");
    let mut child = Command::new(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "not OpenMetrics:\n{}", String::from_utf8_lossy(text));
    String::from_utf8(out.stdout).unwrap()
}

#[tokio::test]
async fn metrics_are_valid_openmetrics() {
    let world = World::new(ollama::url(), "").await;
    let body = json!({"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "stream": true});
    let answer = world.ask(&post("/v1/chat/completions", &body.to_string())).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(world.ask(&get("/api/pull")).await.status(), 403);
    assert_eq!(world.ask(&get("/unheard/of")).await.status(), 403);

    // A request is counted when it ends at the proxy, which may be after the client's end.
    let metrics = found("all three requests", async || {
        let answer = world.admin("GET", "/metrics").await;
        let counted = |l: &&str| l.starts_with("remote_ollama_proxy_requests_total{");
        let of = |line: &str| line.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        let requests: u64 = answer.text().lines().filter(counted).map(of).sum();
        (requests == 3).then_some(answer)
    })
    .await;
    assert_eq!(
        metrics.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let found = checked(&metrics.body);
    for line in ["remote_ollama_proxy_requests counter", "remote_ollama_proxy_queue_seconds histogram"] {
        assert!(found.lines().any(|l| l == line), "{line}\n{found}");
    }
    let text = metrics.text();
    let has =
        |line: &str| assert!(text.contains(&format!("\nremote_ollama_proxy_{line}\n")), "{line}\n{text}");
    has(r#"requests_total{route="v1_chat_completions",status="2xx",ended="complete"} 1"#);
    has(r#"requests_total{route="none",status="4xx",ended="refused"} 2"#);
    has(r#"refused_total{rule="management"} 1"#);
    has(&format!(r#"bytes_in_total{{route="v1_chat_completions"}} {}"#, body.to_string().len()));
    has(&format!(r#"bytes_out_total{{route="v1_chat_completions"}} {}"#, answer.body.len()));
    has(r#"stream_seconds_count{route="v1_chat_completions"} 1"#);
    has(r#"node_state{state="Running"} 1"#);
    has("ollama_up 1");
    assert!(text.contains(r#"node="laptop.tailnet.test"} 3"#), "{text}");
    for made_up in ["unheard", "pull", "tiny"] {
        assert!(!text.contains(made_up), "{made_up} became a label:\n{text}");
    }
}

/// `tag:ai-metrics` may read the metrics at port 9090 if `let_in` is set; `tag:ai-ci` may connect there.
fn policy(let_in: bool) -> Value {
    let app = json!({"remote-ollama-proxy.internal/cap/ollama": [{"endpoints": [], "metrics": true}]});
    let ports = |src: &str, ip: Value, app: Value| json!({"src": [src], "dst": ["tag:ai-server"], "ip": ip, "app": app});
    let reader = if let_in { json!(["tcp:9090"]) } else { json!(["icmp:*"]) };
    json!({
        "tagOwners": {"tag:ai-server": [], "tag:ai-client": [], "tag:ai-ci": [], "tag:ai-metrics": []},
        "grants": [
            ports("tag:ai-client", json!(["tcp:11434"]), json!({})),
            ports("tag:ai-ci", json!(["tcp:9090"]), json!({})),
            ports("tag:ai-metrics", reader, app),
        ],
    })
}

#[tokio::test]
async fn metrics_port_follows_the_policy_file() {
    let mut world = World::new(ollama::url(), "metrics.port = 9090").await;
    world.tailnet.api("PUT", "/policy", policy(true)).await;
    world.tailnet.client("reader", &["tag:ai-metrics"]).await;
    world.tailnet.client("ci", &["tag:ai-ci"]).await;
    let mut clients = Vec::new();
    for name in ["reader", "ci"] {
        let at = world.tailnet.forward(name, "remote-ollama-proxy:9090").await;
        clients.push(Client::new(TcpStream::connect(at).await.unwrap()));
    }
    let [reader, ci] = &mut clients[..] else { panic!() };

    // The same as over the socket, since nothing else runs; the states come in any order.
    reader.send(get("/metrics")).await;
    let (answer, own) = (reader.answer().await, world.admin("GET", "/metrics").await);
    let sorted = |answer: &Answer| {
        let mut lines: Vec<_> = answer.text().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!((answer.status(), sorted(&answer)), (200, sorted(&own)));
    assert_eq!(answer.header("content-type"), own.header("content-type"));
    assert!(checked(&answer.body).contains("remote_ollama_proxy_ollama_up gauge"));
    // Not without the grant, and not without the port.
    ci.send(get("/metrics")).await;
    let answer = ci.answer().await;
    assert_eq!(answer.status(), 403);
    assert!(
        answer.text().contains("grant you the metrics") && answer.text().contains("(rule: grant)"),
        "{}",
        answer.text()
    );
    for (from, port, ok) in
        [("reader", 9090, true), ("reader", 11434, false), ("laptop", 11434, true), ("laptop", 9090, false)]
    {
        let dial = world.tailnet.dials(from, &format!("remote-ollama-proxy:{port}")).await;
        assert_eq!(dial["ok"], ok, "{from}: {port}: {dial}");
    }
    // `who` lists the readers.
    let who = world
        .until("the reader", "/who", |who| {
            who["peers"].as_array().unwrap().iter().any(|p| p["metrics"] == true)
        })
        .await;
    let readers = who["peers"].as_array().unwrap().iter().filter(|p| p["metrics"] == true);
    assert_eq!(readers.map(|p| &p["node"]).collect::<Vec<_>>(), ["reader.tailnet.test"]);
    assert_eq!((&who["metrics_port"], &who["open_to_unknown_devices"]), (&json!(9090), &json!(false)));
    let said = String::from_utf8(world.run("who", &[]).await.stdout).unwrap();
    assert!(
        said.contains("1 peer may read the metrics only\n  reader.tailnet.test (tag:ai-metrics)\n"),
        "{said}"
    );
    let said = String::from_utf8(world.run("status", &[]).await.stdout).unwrap();
    assert!(said.lines().any(|line| line.split_whitespace().eq(["metrics.port", "9090"])), "{said}");

    // A revocation cuts this connection, and no other.
    world.tailnet.api("PUT", "/policy", policy(false)).await;
    assert!(reader.rest().await.is_empty());
    assert_eq!(world.tailnet.dials("reader", "remote-ollama-proxy:9090").await["ok"], false);
    world.proxy.process.line(&["\"journal\"", "\"lost\"", "reader.tailnet.test", "\"port\":9090"]).await;
    ci.send(get("/")).await;
    assert_eq!(ci.answer().await.status(), 403);

    // A warning names a port that is open to every device.
    let mut open = policy(false);
    open["grants"][1]["src"] = json!(["*"]);
    world.tailnet.api("PUT", "/policy", open).await;
    world.until("a policy for every peer", "/who", |who| who["open_to_unknown_devices"] == true).await;
}

#[test]
fn checker_refuses_invalid_openmetrics() {
    for text in ["# TYPE a counter\na 1\n# EOF\n", "# TYPE a gauge\na 1\n", "a{x=\"\n\"} 1\n# EOF\n"] {
        assert!(std::panic::catch_unwind(|| checked(text.as_bytes())).is_err(), "{text}");
    }
}

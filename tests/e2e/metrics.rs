//! The metrics of the running proxy, read by Prometheus' own parsers.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::http::*;
use crate::ollama;
use crate::tailnet::World;

/// What the checker finds in `text`, a metric with its type each line.
fn checked(text: &[u8]) -> String {
    use std::io::Write;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/metrics/check.sh");
    let mut child = Command::new(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "not OpenMetrics:\n{}", String::from_utf8_lossy(text));
    String::from_utf8(out.stdout).unwrap()
}

#[tokio::test]
async fn what_passes_is_counted_in_a_form_that_prometheus_reads() {
    let world = World::new(ollama::url(), "").await;
    let body = json!({"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "stream": true});
    let answer = world.ask(&post("/v1/chat/completions", &body.to_string())).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(world.ask(&get("/api/pull")).await.status(), 403);
    assert_eq!(world.ask(&get("/unheard/of")).await.status(), 403);

    // A request is counted when it has ended here, which may be after the client has seen the end.
    let metrics = soon("all three requests", async {
        loop {
            let answer = world.admin("GET", "/metrics").await;
            let counted = |l: &&str| l.starts_with("remote_ollama_proxy_requests_total{");
            let of = |line: &str| line.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
            if answer.text().lines().filter(counted).map(of).sum::<u64>() == 3 {
                return answer;
            }
        }
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

#[test]
fn the_checker_refuses_what_is_no_openmetrics() {
    for text in ["# TYPE a counter\na 1\n# EOF\n", "# TYPE a gauge\na 1\n", "a{x=\"\n\"} 1\n# EOF\n"] {
        assert!(std::panic::catch_unwind(|| checked(text.as_bytes())).is_err(), "{text}");
    }
}

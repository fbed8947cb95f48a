//! Thousands of spellings of methods and targets: only requests on the allowlist reach Ollama, byte for byte. All
//! others are refused, and Ollama receives nothing.

use remote_ollama_proxy::policy::{EndpointSet, Policy};
use tokio::sync::mpsc;

use crate::routes::ALSO;
use crate::spellings::{self, BODY};
use crate::support::*;

/// The statuses of a refusal: 400 for framing, 403 off the allowlist, 405 for the method, 421 for Host.
const REFUSALS: [u16; 4] = [400, 403, 405, 421];

/// Stands in for Ollama: returns each request's first line and body, and answers `ok`.
fn recording(ollama: Ollama) -> (String, mpsc::UnboundedReceiver<(String, Vec<u8>)>) {
    let (seen, requests) = mpsc::unbounded_channel();
    let url = ollama.url.clone();
    tokio::spawn(async move {
        loop {
            let mut conn = Client::new(ollama.listener.accept().await.unwrap().0);
            let seen = seen.clone();
            tokio::spawn(async move {
                while let Some(head) = conn.head().await {
                    let Some(body) = conn.body(&head).await else { return };
                    let line = head.lines().next().unwrap_or_default().to_owned();
                    let end = if line.starts_with("HEAD ") { "" } else { "ok" };
                    let _ = seen.send((line, body));
                    conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{end}")).await;
                }
            });
        }
    });
    (url, requests)
}

#[tokio::test]
async fn only_allowed_requests_reach_ollama_in_any_spelling() {
    ask_for_all(policy(), &[]).await;
}

#[tokio::test]
async fn other_endpoints_are_refused_with_every_switch_on() {
    ask_for_all(Policy { endpoints: EndpointSet::ALL, ..policy() }, &ALSO).await;
}

async fn ask_for_all(policy: Policy, also: &[(&str, &str)]) {
    let (url, mut arrived) = recording(Ollama::new().await);
    let proxy = Boundary::new(&url).policy(policy).start();
    let all = spellings::all();
    let mut client = proxy.client().await;
    let (mut passed, mut wrong) = (0, Vec::new());
    for spelling in &all {
        let (answer, ends) = spelling.ask(&mut client, "remote-ollama-proxy:11434").await;
        let status = answer.status();
        let came = arrived.try_recv().ok();
        let right = if spelling.allowed(also) {
            passed += 1;
            let line = [&spelling.method, &b" "[..], &spelling.target, b" HTTP/1.1"].concat();
            status == 200 && came.as_ref().is_some_and(|(l, b)| *l.as_bytes() == line && b == BODY.as_bytes())
        } else {
            REFUSALS.contains(&status) && came.is_none()
        };
        if !right {
            wrong.push(format!("{spelling:?}: {status}, arrived: {came:?}"));
        }
        if ends {
            assert!(client.rest().await.is_empty(), "more than one answer to {spelling:?}");
            client = proxy.client().await;
        }
    }
    assert!(wrong.is_empty(), "{} went wrong:\n{}", wrong.len(), wrong.join("\n"));
    // No request arrived late.
    assert_eq!(proxy.ask(&get("/api/version")).await.status(), 200);
    assert_eq!(arrived.try_recv().unwrap().0, "GET /api/version HTTP/1.1");
    assert_eq!(arrived.try_recv(), Err(mpsc::error::TryRecvError::Empty));
    println!("{} spellings, {passed} of them allowed", all.len());
    assert!(all.len() >= 5000 && passed >= 500 && all.len() - passed >= 4000, "{passed} of {}", all.len());
}

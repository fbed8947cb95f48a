//! What the page shows, and to whom.

use std::time::Duration;

use remote_ollama_proxy::audit::{AccessChange, ChangeKind, Observer};
use remote_ollama_proxy::peer::Peer;
use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn viewer_sees_only_their_own_requests() {
    let ollama = Ollama::new().await;
    let running = Boundary::new(&ollama.url).start();
    let site = Site::of(&running);
    running.grant(vec![json!({"page": "view"})]);
    let _running = (running.stream(&ollama).await, running.stream_of(bob(), &ollama).await);
    for peer in [peer(), bob()] {
        let mut client = running.client_of(peer.clone()).await;
        client.send(get(&format!("/refused-to-{}", peer.stable_id))).await;
        assert_eq!(client.answer().await.status(), 403);
        site.recent.access(&AccessChange {
            time: jiff::Timestamp::now(),
            access: ChangeKind::Gained,
            port: 80,
            peer: (&peer).into(),
            grants: Vec::new(),
            faults: Vec::new(),
        });
    }
    let mut stream = site.watch().await;
    let both =
        |known: &Value| known["refusals"]["rows"] != json!([]) && known["requests"]["rows"] != json!([]);
    let text = stream.until("what is theirs", both).await;
    assert!(!text.contains("bob") && !text.contains("n3"), "{text}");
    for section in ["requests", "peers", "refusals", "changes"] {
        assert_eq!(stream.nodes(section), ["laptop.tailnet.test"], "{section}");
        assert_eq!(stream.known[section]["more"], 0);
    }
    assert_eq!(stream.known["peers"]["others"], 0);
    let days = stream.known["days"]["identities"].as_array().unwrap();
    assert_eq!((days.len(), &days[0]["identity"]), (1, &json!("anna@example.com")));
    assert_eq!((&days[0]["requests"], &days[0]["refused"]), (&json!(1), &json!(1)));
    // A viewer sees how busy the node is.
    assert_eq!(stream.known["health"]["running"], 2);
    for secret in ["models", "fault"] {
        assert!(stream.known["health"]["ollama"].get(secret).is_none_or(Value::is_null), "{secret}");
    }

    running.grant(vec![json!({"page": "admin"})]);
    site.sweep(&running);
    let mut stream = site.watch().await;
    stream.until("everything", both).await;
    for section in ["requests", "peers", "refusals", "changes"] {
        let mut nodes = stream.nodes(section);
        nodes.sort_unstable();
        assert_eq!(nodes, ["bobs-phone.tailnet.test", "laptop.tailnet.test"], "{section}");
    }
    assert_eq!(stream.known["days"]["identities"].as_array().unwrap().len(), 2);
    let bobs = &stream.known["peers"]["rows"]
        .as_array()
        .unwrap()
        .iter()
        .find(|p| p["node"] == bob().node)
        .unwrap()
        .clone();
    assert_eq!((&bobs["page"], &bobs["through"]), (&json!("view"), &json!("network rule")));
}

#[tokio::test]
async fn viewer_sees_what_is_spent_of_their_quotas() {
    let ollama = Ollama::new().await;
    let (url, _seen) = ollama.answering_with(|_| "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned());
    let running = Boundary::new(&url).start();
    let site = Site::of(&running);
    let grants = vec![json!({"requests_per_day": 5}), json!({"page": "view"})];
    running.grant(grants.clone());
    site.members.send_replace(Arc::new(vec![member(peer(), grants)]));
    let mut stream = site.watch().await;
    let shows = |text: &str| {
        let shown = json!([text]);
        move |known: &Value| known["peers"]["rows"][0]["limits"] == shown
    };
    stream.until("an unspent quota", shows("0 of 5 requests a day used")).await;
    assert_eq!(running.ask(&get("/v1/models")).await.status(), 200);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(5)).await;
    tokio::time::resume();
    stream.until("a request", shows("1 of 5 requests a day used")).await;
}

#[tokio::test]
async fn preloaded_models_are_shown_to_admins_only() {
    let ollama = Ollama::new().await;
    let (url, _seen) = ollama.answering_with(|head| {
        let json = if head.contains("/api/ps") {
            r#"{"models":[{"name":"kept:latest"}]}"#
        } else {
            r#"{"version":"0.17.4"}"#
        };
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{json}", json.len())
    });
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::with(&running, &[("upstream.url", &url)]);
    running.grant(vec![json!({"page": "admin"})]);
    let preloaded = |model: &str, state| PreloadedModel { model: model.to_owned(), state, reason: None };
    let loaded = PreloadState::Loaded;
    let models = ["kept:latest", "gone:latest"].map(|model| preloaded(model, loaded));
    site.preload.send_replace(models.into());
    let mut stream = site.watch().await;
    // Ollama has unloaded one of them since.
    let shown = json!([
        {"model": "kept:latest", "state": "loaded"}, {"model": "gone:latest", "state": "unloaded"},
    ]);
    stream.until("the models", |known| known["health"]["preload"] == shown).await;
    site.preload.send_replace(vec![]);
    stream.until("no model", |known| known["health"]["preload"] == json!([])).await;

    site.preload.send_replace(vec![preloaded("kept:latest", loaded)]);
    running.grant(vec![json!({"page": "view"})]);
    site.sweep(&running);
    let mut stream = site.watch().await;
    let text = stream.until("Ollama", |known| known["health"]["ollama"] != json!(null)).await;
    assert!(stream.known["health"]["preload"].is_null() && !text.contains("kept"), "{text}");
}

#[tokio::test]
async fn lost_lines_are_shown_to_admins_only() {
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::of(&running);
    running.grant(vec![json!({"page": "admin"})]);
    let mut stream = site.watch().await;
    stream.next().await.unwrap();
    assert_eq!(stream.known["health"]["logs"], json!([]));
    site.sinks.journal.push(b"{}\n");
    stream.until("what was lost", |known| known["health"]["logs"] != json!([])).await;
    let [journal] = &stream.known["health"]["logs"].as_array().unwrap()[..] else { panic!() };
    assert_eq!((&journal["name"], &journal["to"]), (&json!("journal"), &json!("/var/journal")));
    assert_eq!((&journal["lost"], &journal["fault"]), (&json!(1), &json!("no storage space")));

    running.grant(vec![json!({"page": "view"})]);
    site.sweep(&running);
    let mut stream = site.watch().await;
    let text = stream.next().await.unwrap();
    assert!(stream.known["health"]["logs"].is_null() && !text.contains("/var/"), "{text}");
}

#[tokio::test]
async fn refusals_of_one_renamed_device_do_not_evict_those_of_others() {
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::of(&running);
    let refuse = async |peer: Peer| {
        let mut client = running.client_of(peer).await;
        client.send(get("/x")).await;
        assert_eq!(client.answer().await.status(), 403);
    };
    refuse(bob()).await;
    for n in 0..60 {
        let tags = vec!["tag:ci".to_owned()];
        let node = format!("ci-{}.tailnet.test", n % 12);
        refuse(Peer { node, stable_id: "n9".to_owned(), user: None, tags, ..peer() }).await;
    }
    running.grant(vec![json!({"page": "admin"})]);
    let mut stream = site.watch().await;
    let bobs = |known: &Value| known["refusals"]["rows"][5]["node"] == bob().node;
    stream.until("all refusals", |known| bobs(known) && known["refusals"]["rows"][4]["more"] == 55).await;
    assert_eq!(stream.nodes("refusals").len(), 6);
}

#[tokio::test]
async fn hostile_path_stays_text() {
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::of(&running);
    running.grant(vec![json!({"page": "admin"})]);
    let path = "/\"}\\n\\ndata:{};alert(1)&amp;'";
    running.ask(&get(path)).await;
    let mut stream = site.watch().await;
    stream.until("the refusal", |known| known["refusals"]["rows"] != json!([])).await;
    assert_eq!(stream.known["refusals"]["rows"][0]["asked"], path);
    assert_eq!(stream.known["refusals"]["rows"][0]["port"], 11434);
}

#[tokio::test]
async fn usage_by_model_is_shown_to_admins_only() {
    let ollama = Ollama::new().await;
    let (url, _seen) = ollama.answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    let running = Boundary::new(&url).usage(true).start();
    let site = Site::of(&running);
    for (page, rows) in [("view", json!([])), ("admin", json!(["other"]))] {
        running.grant(vec![json!({"page": page})]);
        site.sweep(&running);
        let asked = running.ask(&post("/v1/chat/completions", "{\"model\":\"my-secret\"}")).await;
        assert_eq!(asked.status(), 200);
        let mut stream = site.watch().await;
        let counted = |known: &Value| known["days"]["identities"] != json!([]);
        let text = stream.until("the request", counted).await;
        let models = stream.known["models"]["rows"].as_array().unwrap();
        assert_eq!(models.iter().map(|row| row["model"].clone()).collect::<Value>(), rows, "{page}");
        assert!(!text.contains("my-secret"), "{text}");
    }
}

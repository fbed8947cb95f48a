use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::audit::identities::IDENTITIES_MAX;
use crate::audit::models::MODELS_MAX;
use crate::audit::tallies::KEPT;
use crate::audit::{Ended, OTHER_MODEL};
use crate::peer::Peer;
use crate::sink::SinkState;
use crate::tailnet::{CertificateStatus, NodeStatus};

fn peer(user: Option<&str>, id: &str) -> Peer {
    Peer {
        addr: "100.64.0.2:50000".parse().unwrap(),
        node: format!("{id}.tailnet.test"),
        stable_id: id.to_owned(),
        user: user.map(str::to_owned),
        tags: if user.is_some() { vec![] } else { vec!["tag:ai-ci".to_owned()] },
        os: String::new(),
    }
}

fn text(metrics: &Metrics) -> String {
    let node = NodeStatus {
        state: "Running".to_owned(),
        key_expiry: Some("2027-01-01T00:00:00Z".to_owned()),
        certificate: Some(CertificateStatus {
            expiry: Some("2027-01-01T00:00:01Z".to_owned()),
            ..CertificateStatus::default()
        }),
        ..NodeStatus::default()
    };
    let started = std::time::SystemTime::UNIX_EPOCH;
    let log = |name: &str, lost| SinkState {
        name: name.to_owned(),
        to: String::new(),
        lost,
        last_lost: None,
        fault: None,
        grows: None,
        unremoved: None,
    };
    let logs = &[log("log", 3), log("journal", 0)];
    metrics.text(&Now { running: 1, waiting: 2, connections: 3, node: &node, ollama_up: true, started, logs })
}

fn record(peer: &Peer) -> AccessRecord {
    AccessRecord {
        time: "2026-11-24T16:44:13.022Z".parse().unwrap(),
        id: "1-1".to_owned(),
        peer: peer.into(),
        addr: peer.addr,
        port: 11434,
        method: "POST".to_owned(),
        endpoint: Some("api_chat".into()),
        path: None,
        status: Some(200),
        rule: None,
        model: None,
        bytes_in: 7,
        bytes_out: 9,
        tokens: None,
        queued: Some(Duration::from_millis(20).into()),
        first_byte: Some(Duration::from_millis(70).into()),
        took: Duration::from_millis(2070).into(),
        ended: Ended::Complete,
    }
}

#[test]
fn request_is_counted_in_each_metric() {
    let metrics = Metrics::default();
    metrics.count(&record(&peer(Some("anna@example.com"), "n1")));
    metrics.count(&AccessRecord {
        endpoint: None,
        status: Some(403),
        rule: Some("management".into()),
        bytes_in: 0,
        bytes_out: 0,
        ended: Ended::Refused,
        queued: None,
        first_byte: None,
        ..record(&peer(None, "n2"))
    });
    let text = text(&metrics);
    for line in [
        r#"requests_total{route="api_chat",status="2xx",ended="complete"} 1"#,
        r#"requests_total{route="none",status="4xx",ended="refused"} 1"#,
        r#"refused_total{rule="management"} 1"#,
        r#"bytes_in_total{route="api_chat"} 7"#,
        r#"bytes_out_total{route="api_chat"} 9"#,
        r#"queue_seconds_bucket{le="0.05",route="api_chat"} 1"#,
        r#"upstream_first_byte_seconds_bucket{le="0.05",route="api_chat"} 1"#,
        r#"stream_seconds_sum{route="api_chat"} 2.0"#,
        r#"identity_requests_total{identity="anna@example.com",node=""} 1"#,
        r#"identity_requests_total{identity="n2",node="n2.tailnet.test"} 1"#,
        r#"identity_bytes_out_total{identity="anna@example.com",node=""} 9"#,
        r#"node_state{state="Running"} 1"#,
        r#"node_state{state="NeedsLogin"} 0"#,
        "key_expiry_timestamp_seconds 1798761600.0",
        "certificate_expiry_timestamp_seconds 1798761601.0",
        "running 1",
        "waiting 2",
        "connections 3",
        "ollama_up 1",
    ] {
        assert!(text.contains(&format!("\n{PREFIX}_{line}\n")), "{line}\n{text}");
    }
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1, "{text}");
}

/// The value of the series whose line begins with this, after the prefix.
fn value(text: &str, series: &str) -> u64 {
    let series = format!("{PREFIX}_{series} ");
    text.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |v| v.parse().unwrap())
}

const OTHER: &str = r#"identity_requests_total{identity="other",node=""}"#;

#[test]
fn identities_are_bounded_and_no_request_is_lost() {
    let (metrics, begun) = (Metrics::default(), Instant::now());
    let ask = |n: usize, at: Instant| {
        metrics.identities.count(
            &(&peer(Some(&format!("user{n}@example.com")), "n")).into(),
            Tally { requests: 1, ..Tally::default() },
            at,
        );
    };
    let series = || text(&metrics).lines().filter(|l| l.contains("identity_requests_total{")).count();
    (0..IDENTITIES_MAX + 50).for_each(|n| ask(n, begun));
    assert_eq!((series(), value(&text(&metrics), OTHER)), (IDENTITIES_MAX + 1, 50));

    // A day later some are still active. New identities evict those that are not.
    let later = begun + KEPT;
    (0..10).for_each(|n| ask(n, later));
    (1000..1200).for_each(|n| ask(n, later));
    let text = text(&metrics);
    assert_eq!(series(), IDENTITIES_MAX + 1);
    for n in (0..10).map(|n| (n, 2)).chain((1000..1090).map(|n| (n, 1))) {
        let series = format!(r#"identity_requests_total{{identity="user{}@example.com",node=""}}"#, n.0);
        assert_eq!(value(&text, &series), n.1, "{series}");
    }
    // 90 of the first hundred were evicted; 50 and 110 found no room.
    assert_eq!(value(&text, OTHER), 50 + 90 + 110);
}

#[test]
fn hostile_name_breaks_no_line() {
    let metrics = Metrics::default();
    metrics.count(&record(&peer(Some("a\"b\\c\nd"), "n")));
    assert!(text(&metrics).contains(r#"{identity="a\"b\\c\nd",node=""} 1"#), "{}", text(&metrics));
}

/// The table has every metric with its type and meaning, and no other.
#[test]
fn documentation_lists_each_metric() {
    let metrics = Metrics::default();
    let rule = Some("any".into());
    metrics.count(&AccessRecord { rule, tokens: Some(Tokens::default()), ..record(&peer(None, "n")) });
    metrics.count(&AccessRecord { model: Some("tiny:latest".to_owned()), ..record(&peer(None, "n")) });
    let exported = text(&metrics);
    let of = |kind: &str| -> Vec<(String, String)> {
        let lines = exported.lines().filter_map(|line| line.strip_prefix(kind)?.split_once(' '));
        lines.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
    };
    let helps = of("# HELP ");
    let exported: BTreeSet<_> = of("# TYPE ")
        .into_iter()
        .zip(helps)
        .map(|((name, kind), (_, help))| {
            let suffix = if kind == "counter" { "_total" } else { "" };
            format!("`{name}{suffix}` | {kind} | {}", help.trim_end_matches('.'))
        })
        .collect();
    let page = include_str!("../../../docs/metrics.md");
    let documented: BTreeSet<_> = page
        .lines()
        .filter(|line| line.starts_with(&format!("| `{PREFIX}_")))
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            // name, type, labels, meaning
            format!("{} | {} | {}", cells[0], cells[1], cells[3])
        })
        .collect();
    assert_eq!(documented, exported);
}

#[test]
fn documentation_lists_each_way_to_end() {
    let page = include_str!("../../../docs/access-log.md");
    let section = page.split_once("\n## How a request ends\n").unwrap().1;
    let table = section.split("\n## ").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<_> = rows.map(|(name, _)| name).collect();
    assert_eq!(documented, Ended::ALL.iter().map(|ended| ended.name()).collect());
}

#[test]
fn tokens_are_counted_as_far_as_answers_report_them() {
    let metrics = Metrics::default();
    let anna = peer(Some("anna@example.com"), "n1");
    let told = |input, output| Some(Tokens { input, output });
    for tokens in [told(Some(5), Some(7)), told(Some(1), None), told(None, None), None] {
        metrics.count(&AccessRecord { tokens, ..record(&anna) });
    }
    let text = text(&metrics);
    for line in [
        "tokens_in_total{route=\"api_chat\"} 6",
        "tokens_out_total{route=\"api_chat\"} 7",
        "tokens_untold_total{route=\"api_chat\"} 1",
        "identity_tokens_in_total{identity=\"anna@example.com\",node=\"\"} 6",
        "identity_tokens_out_total{identity=\"anna@example.com\",node=\"\"} 7",
    ] {
        assert!(text.contains(&format!("\n{PREFIX}_{line}\n")), "{line}\n{text}");
    }
}

/// The lines about models, without their common prefix, in order.
fn models(metrics: &Metrics) -> Vec<String> {
    let text = text(metrics);
    let prefix = format!("{PREFIX}_model_");
    let mut lines: Vec<_> =
        text.lines().filter_map(|line| Some(line.strip_prefix(&prefix)?.to_owned())).collect();
    lines.sort();
    lines
}

#[test]
fn usage_is_counted_by_model() {
    let metrics = Metrics::default();
    let anna = peer(Some("anna@example.com"), "n1");
    metrics.count(&record(&anna));
    assert!(models(&metrics).is_empty() && !text(&metrics).contains("_model_"), "usage is not counted");
    let used = |model: &str| AccessRecord { model: Some(model.to_owned()), ..record(&anna) };
    let tokens = Some(Tokens { input: Some(5), output: Some(7) });
    metrics.count(&AccessRecord { tokens, ..used("tiny:latest") });
    metrics.count(&AccessRecord { endpoint: Some("v1_model".into()), ..used("tiny:latest") });
    metrics.count(&used(OTHER_MODEL));
    // Ollama failed: the request counts.
    let (rule, ended) = (Some("upstream".into()), Ended::UpstreamFailed);
    metrics.count(&AccessRecord { rule, ended, status: Some(502), ..used("tiny:latest") });
    // The client chose the name of a refused model.
    let (rule, ended) = (Some("model".into()), Ended::Refused);
    metrics.count(&AccessRecord { rule, ended, status: Some(404), ..used("my-secret") });
    let lines = models(&metrics);
    assert_eq!(
        lines,
        [
            "requests_total{model=\"other\"} 1",
            "requests_total{model=\"tiny:latest\"} 3",
            "tokens_in_total{model=\"other\"} 0",
            "tokens_in_total{model=\"tiny:latest\"} 5",
            "tokens_out_total{model=\"other\"} 0",
            "tokens_out_total{model=\"tiny:latest\"} 7",
        ]
    );
}

#[test]
fn models_are_bounded_and_no_request_is_lost() {
    let metrics = Metrics::default();
    for n in 0..MODELS_MAX + 3 {
        let model = Some(format!("model{n}:latest"));
        metrics.count(&AccessRecord { model, ..record(&peer(None, "n")) });
    }
    let requests = models(&metrics).into_iter().filter(|line| line.starts_with("requests_total"));
    let requests: Vec<_> = requests.collect();
    assert_eq!(requests.len(), MODELS_MAX + 1);
    assert!(requests.contains(&"requests_total{model=\"other\"} 3".to_owned()), "{requests:?}");
}

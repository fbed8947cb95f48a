use std::collections::BTreeSet;

use super::*;
use crate::audit::identities::{KEPT, MOST};
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

fn done<'a>(peer: &'a Peer, traffic: &'a Traffic) -> Done<'a> {
    Done {
        method: "POST",
        path: None,
        peer,
        port: 11434,
        endpoint: Endpoint::named("api_chat"),
        status: Some(StatusCode::OK),
        rule: None,
        model: None,
        ended: Ended::Complete,
        traffic,
        tokens: None,
        queued: Some(Duration::from_millis(20)),
        first_byte: Some(Duration::from_millis(70)),
        took: Duration::from_millis(2070),
    }
}

#[test]
fn a_request_is_counted_where_it_belongs() {
    let metrics = Metrics::default();
    let traffic = Traffic { bytes_in: 7.into(), bytes_out: 9.into() };
    let anna = peer(Some("anna@example.com"), "n1");
    metrics.count(&done(&anna, &traffic));
    let (ci, nothing) = (peer(None, "n2"), Traffic::default());
    let refused = Done {
        endpoint: None,
        status: Some(StatusCode::FORBIDDEN),
        rule: Some("management"),
        ended: Ended::Refused,
        queued: None,
        first_byte: None,
        ..done(&ci, &nothing)
    };
    metrics.count(&refused);
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
fn there_are_never_more_identities_than_that_and_no_request_is_lost() {
    let (metrics, begun) = (Metrics::default(), Instant::now());
    let ask = |n: usize, at: Instant| {
        metrics.identities.count(
            &peer(Some(&format!("user{n}@example.com")), "n"),
            Tally { requests: 1, ..Tally::default() },
            at,
        );
    };
    let series = || text(&metrics).lines().filter(|l| l.contains("identity_requests_total{")).count();
    (0..MOST + 50).for_each(|n| ask(n, begun));
    assert_eq!((series(), value(&text(&metrics), OTHER)), (MOST + 1, 50));

    // A day later some are active still, and whoever is new takes the place of somebody who is not.
    let later = begun + KEPT;
    (0..10).for_each(|n| ask(n, later));
    (1000..1200).for_each(|n| ask(n, later));
    let text = text(&metrics);
    assert_eq!(series(), MOST + 1);
    for n in (0..10).map(|n| (n, 2)).chain((1000..1090).map(|n| (n, 1))) {
        let series = format!(r#"identity_requests_total{{identity="user{}@example.com",node=""}}"#, n.0);
        assert_eq!(value(&text, &series), n.1, "{series}");
    }
    // Of the first hundred 90 gave way; 50 and 110 found no place.
    assert_eq!(value(&text, OTHER), 50 + 90 + 110);
}

#[test]
fn a_name_of_the_tailnet_breaks_no_line() {
    let metrics = Metrics::default();
    metrics.count(&done(&peer(Some("a\"b\\c\nd"), "n"), &Traffic::default()));
    assert!(text(&metrics).contains(r#"{identity="a\"b\\c\nd",node=""} 1"#), "{}", text(&metrics));
}

/// Every metric with its type and meaning stands in the documentation's table, and nothing else does.
#[test]
fn the_documentation_has_each_metric() {
    let metrics = Metrics::default();
    let (node, traffic) = (peer(None, "n"), Traffic::default());
    metrics.count(&Done { rule: Some("any"), tokens: Some(Tokens::default()), ..done(&node, &traffic) });
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
    let page = include_str!("../../../docs/operations.md");
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
fn the_documentation_has_each_word_for_how_a_request_ended() {
    let page = include_str!("../../../docs/onboarding.md");
    let row = page.lines().find(|line| line.starts_with("| `ended` |")).unwrap();
    let documented: BTreeSet<_> = row.split('`').skip(3).step_by(2).filter(|w| !w.starts_with('[')).collect();
    assert_eq!(documented, Ended::ALL.iter().map(|e| e.name()).collect());
}

#[test]
fn tokens_are_counted_as_far_as_answers_tell_them() {
    let metrics = Metrics::default();
    let (traffic, anna) = (Traffic::default(), peer(Some("anna@example.com"), "n1"));
    let told = |input, output| Some(Tokens { input, output });
    for tokens in [told(Some(5), Some(7)), told(Some(1), None), told(None, None), None] {
        metrics.count(&Done { tokens, ..done(&anna, &traffic) });
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

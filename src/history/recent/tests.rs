use std::time::Duration;

use serde_json::json;

use super::denied::{DENIED_OF_ONE, SHOWN_OF_ONE};
use super::*;
use crate::audit::{ChangeKind, PeerName};
use crate::peer;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn line(at: Timestamp, node: &str, principal: &str, rule: Option<&str>) -> String {
    let mut line = json!({
        "event": "request", "time": at, "id": "1", "node": node, "stable_id": format!("id-{node}"),
        "principal": principal, "addr": "100.64.0.2:1", "port": 11434, "method": "POST", "status": 200,
        "bytes_in": 10, "bytes_out": 20, "queue_ms": 0.0, "ms": 1500.0, "ended": "complete",
    });
    match rule {
        None => line["endpoint"] = json!("v1_chat_completions"),
        Some(rule) => {
            line["path"] = json!("/x");
            line["rule"] = json!(rule);
            line["ended"] = json!("refused");
        }
    }
    format!("{line}\n")
}

fn peer(node: &str, user: Option<&str>) -> peer::Peer {
    peer::Peer {
        addr: ([100, 64, 0, 2], 1).into(),
        node: node.to_owned(),
        stable_id: format!("id-{node}"),
        user: user.map(str::to_owned),
        tags: if user.is_none() { vec!["tag:ci".to_owned()] } else { Vec::new() },
        os: String::new(),
    }
}

fn change(time: Timestamp, access: ChangeKind, port: u16, node: &str, principal: &str) -> AccessChange {
    let (node, stable_id, principal) = (node.to_owned(), format!("id-{node}"), principal.to_owned());
    let peer = PeerName { node, stable_id, principal };
    AccessChange { time, access, port, peer, grants: Vec::new(), faults: Vec::new() }
}

fn read(text: &str, until: Timestamp) -> Recent {
    let mut recent = Recent::new(until);
    recent.read(text.as_bytes(), until).unwrap();
    recent
}

#[test]
fn only_the_last_days_are_counted() {
    let text = [
        line(now() - 14 * DAY, "a", "anna@example.com", None),
        line(now() - 13 * DAY, "a", "anna@example.com", None),
        line(now() - DAY, "b", "anna@example.com", None),
        line(now() - DAY, "ci", "tag:ci", Some("grant")),
        line(now(), "a", "anna@example.com", None), // written by the running proxy
    ];
    let recent = read(&text.concat(), now());
    let all = recent.days(now(), None, 50);
    assert_eq!(
        (all.days.len(), all.days[0].to_string(), all.days[13].to_string()),
        (14, "2026-11-11".to_owned(), "2026-11-24".to_owned())
    );
    assert_eq!(all.since, all.days[0]);
    let [anna, ci] = &all.identities[..] else { panic!("{all:?}") };
    assert_eq!((&*anna.identity, anna.tally.requests, anna.tally.ollama_ms()), ("anna@example.com", 2, 3000));
    assert_eq!((anna.days[0], anna.days[12], anna.days[13]), (1, 1, 0));
    assert_eq!((&*ci.identity, ci.tally.refused), ("ci", 1));
    // A day later the first is gone.
    let later = recent.days(now() + DAY, None, 1);
    assert_eq!((later.identities[0].tally.requests, later.identities_more), (1, 1));
}

#[test]
fn peer_sees_only_its_own_identity() {
    let text = [
        line(now() - DAY, "a", "anna@example.com", Some("grant")),
        line(now() - DAY, "ci", "tag:ci", Some("management")),
        line(now() - DAY, "ci", "tag:other", Some("management")),
    ];
    let mut recent = read(&text.concat(), now());
    for (node, principal) in [("a", "anna@example.com"), ("ci", "tag:ci")] {
        recent.change(&change(now(), ChangeKind::Present, 80, node, principal));
        recent.change(&change(now(), ChangeKind::Lost, 80, node, principal));
    }
    for (peer, node) in [(peer("b", Some("anna@example.com")), "a"), (peer("ci", None), "ci")] {
        let past = recent.days(now(), Some(&peer), 50);
        assert_eq!((past.identities.len(), past.identities[0].tally.refused), (1, 1));
        let (denied, more) = recent.denied(Some(&peer), 50);
        assert_eq!((denied.len(), &*denied[0].node, more), (1, node, 0));
        let (changes, more) = recent.changes(Some(&peer), 50);
        assert_eq!(
            (changes.len(), &*changes[0].node, changes[0].access, more),
            (1, node, ChangeKind::Lost, 0)
        );
    }
    let stranger = peer("ci2", None);
    assert!(recent.days(now(), Some(&stranger), 50).identities.is_empty());
    assert!(recent.denied(Some(&stranger), 50).0.is_empty());
}

#[test]
fn one_edit_of_the_policy_is_one_change_per_device() {
    let mut recent = Recent::new(now());
    let [gained, changed, lost] = [ChangeKind::Gained, ChangeKind::Changed, ChangeKind::Lost];
    let at = |ms: u64| now() + Duration::from_millis(ms);
    for (ms, access, port, node) in [
        (0, gained, 11434, "a"),
        (0, gained, 11434, "b"),
        (5, gained, 443, "a"),
        (5, changed, 443, "b"),
        (9, lost, 11434, "a"),
        (12, gained, 11434, "a"),
        (1000, gained, 80, "a"),
    ] {
        recent.change(&change(at(ms), access, port, node, "tag:ci"));
    }
    let (changes, more) = recent.changes(None, 50);
    let told: Vec<_> = changes.iter().map(|c| (&*c.node, c.access.name(), &c.ports[..])).collect();
    let expected: [(&str, &str, &[u16]); 5] = [
        ("a", "gained", &[11434, 80]),
        ("a", "lost", &[11434]),
        ("b", "changed", &[443]),
        ("b", "gained", &[11434]),
        ("a", "gained", &[11434, 443]),
    ];
    assert_eq!((told, more), (expected.into(), 0));
}

#[test]
fn identity_can_not_push_out_refusals_of_others() {
    let mut text = line(now() - 2 * DAY, "a", "anna@example.com", Some("grant"));
    for n in 0..1000u32 {
        text += &line(now() - DAY + Duration::from_secs(n.into()), "ci", "tag:ci", Some("management"));
    }
    let recent = read(&text, now());
    let (denied, more) = recent.denied(None, 50);
    assert_eq!((denied.len(), more), (SHOWN_OF_ONE + 1, 0));
    assert_eq!((&*denied[SHOWN_OF_ONE - 1].node, denied[SHOWN_OF_ONE - 1].more), ("ci", 995));
    assert_eq!((&*denied[SHOWN_OF_ONE].node, denied[SHOWN_OF_ONE].more), ("a", 0));
    let (denied, more) = recent.denied(Some(&peer("ci", None)), 50);
    assert_eq!((denied.len(), denied[49].more, more), (DENIED_OF_ONE, 950, 0));
    assert_eq!(recent.denied(Some(&peer("a", Some("anna@example.com"))), 50).1, 0);
}

#[test]
fn left_out_refusals_are_counted_once() {
    let mut recent = Recent::new(now());
    let many = |at: Timestamp, count: u64, node: &dyn Fn(u64) -> String| -> String {
        let told = |n| line(at + Duration::from_secs(n), &node(n), "tag:ci", Some("grant"));
        (0..count).map(told).collect()
    };
    recent.read(many(now(), 70, &|_| "ci".to_owned()).as_bytes(), now() + DAY).unwrap();
    recent.prepend(read(&many(now() - DAY, 60, &|_| "ci".to_owned()), now()));
    let (denied, more) = recent.denied(None, 50);
    let counted: Vec<_> = denied.iter().map(|denied| denied.more).collect();
    assert_eq!((counted, more), (vec![0, 0, 0, 0, 125], 0));
    // Refusals of long ago are dropped.
    let later = many(now() + DAY, 600, &|n| format!("n{n}"));
    recent.read(later.as_bytes(), now() + 2 * DAY).unwrap();
    let (denied, more) = recent.denied(None, 50);
    assert_eq!((denied.len(), more), (50, 130 + 550));
}

#[test]
fn older_records_go_first() {
    let mut recent = Recent::new(now());
    let later = line(now() + Duration::from_secs(1), "a", "anna@example.com", Some("grant"));
    recent.read(later.as_bytes(), now() + DAY).unwrap();
    recent.prepend(read(&line(now() - DAY, "a", "anna@example.com", Some("host")), now()));
    let (denied, _) = recent.denied(None, 50);
    let rules: Vec<_> = denied.iter().map(|denied| &*denied.rule).collect();
    assert_eq!(rules, ["grant", "host"]);
    let past = recent.days(now(), None, 50);
    assert_eq!((past.identities[0].days[12], past.identities[0].days[13]), (1, 1));
    assert_eq!(past.since.to_string(), "2026-11-23");
    assert_eq!(Recent::new(now()).days(now(), None, 50).since.to_string(), "2026-11-24");
}

#[test]
fn counting_starts_on_the_first_day_of_the_access_log() {
    let other = |days: u32| {
        let cut = json!({
            "event": "session-cut", "time": now() - days * DAY, "node": "a", "stable_id": "id-a",
            "principal": "tag:ci", "addr": "100.64.0.2:1", "port": 80, "ended": "revoked",
        });
        format!("{cut}\n")
    };
    let request = |days: u32| line(now() - days * DAY, "a", "anna@example.com", None);
    for (text, since) in [
        (other(5) + &request(2), "2026-11-19"),
        (other(20) + &request(2), "2026-11-11"),
        (request(20) + &other(2), "2026-11-11"),
        (other(5), "2026-11-19"),
        (String::new(), "2026-11-24"),
    ] {
        assert_eq!(read(&text, now()).days(now(), None, 50).since.to_string(), since, "{text}");
    }
}

#[test]
fn usage_by_model_is_that_of_the_last_days() {
    let line =
        |at, model: &str| line(at, "a", "anna", None).replacen('{', &format!("{{\"model\":\"{model}\","), 1);
    let text = [
        line(now() - 14 * DAY, "tiny:latest"),
        line(now() - 2 * DAY, "tiny:latest"),
        line(now() - DAY, "other"),
    ];
    let mut recent = read(&line(now() - DAY, "slow:latest").repeat(2), now());
    recent.prepend(read(&text.concat(), now()));
    let used = |most| {
        let (used, more) = recent.models(now(), most);
        (used.into_iter().map(|used| (used.model, used.tally.requests)).collect::<Vec<_>>(), more)
    };
    let row = |model: &str, requests| (model.to_owned(), requests);
    assert_eq!(used(9), (vec![row("slow:latest", 2), row("tiny:latest", 1), row("other", 1)], 0));
    assert_eq!(used(1), (vec![row("slow:latest", 2)], 2));
}

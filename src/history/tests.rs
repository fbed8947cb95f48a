use std::time::Duration;

use super::*;

fn at(time: &str) -> SystemTime {
    humantime::parse_rfc3339(time).unwrap()
}

fn day(day: u32) -> String {
    format!("2026-11-{day:02}T12:00:00Z")
}

/// From the 20th to the 25th.
fn history() -> History {
    History::new(Span { since: at("2026-11-20T00:00:00Z"), until: at("2026-11-25T00:00:00Z") })
}

fn of(lines: &[String]) -> Summary {
    let mut history = history();
    history.read("log", lines.join("\n").as_bytes()).unwrap();
    history.summary()
}

/// A request that is served.
fn served(time: &str, node: &str, principal: &str) -> String {
    format!(
        "{time}  INFO access: id=\"1\" node={node:?} principal={principal:?} addr=100.64.0.2:1 method=\"POST\" \
         route=\"v1_messages\" status=200 bytes_in=10 bytes_out=20 queue_ms=500.0 ms=2500.0 ended=\"complete\""
    )
}

fn refused(time: &str, node: &str, rule: &str, path: &str) -> String {
    serde_json::json!({
        "timestamp": time, "level": "INFO", "id": "1", "node": node, "principal": "tag:ci", "method": "GET",
        "path": path, "status": 403, "rule": rule, "bytes_in": 0, "bytes_out": 0, "queue_ms": 0, "ms": 0.1,
        "ended": "refused", "target": "access",
    })
    .to_string()
}

fn journal(time: &str, access: &str, node: &str) -> String {
    serde_json::json!({
        "time": time, "access": access, "port": 11434, "stable_id": "n1", "node": node, "principal": "tag:ci",
        "grants": [], "faults": [],
    })
    .to_string()
}

#[test]
fn who_asked_for_what_is_summed_up() {
    let cut = format!(
        "{}  WARN access: slow request refused peer=phone (anna, 100.64.0.3:1) rule=\"head-time\"",
        day(22)
    );
    let failed = served(&day(23), "phone", "anna").replace("complete", "upstream-failed");
    let summary = of(&[
        served(&day(19), "laptop", "anna"),
        served(&day(20), "laptop", "anna"),
        served(&day(21), "phone", "anna"),
        refused(&day(21), "runner", "management", "/api/pull"),
        refused(&day(22), "runner", "management", "/api/pull"),
        refused(&day(22), "runner", "allowlist", "/x"),
        cut,
        failed,
        served(&day(25), "laptop", "anna"),
    ]);
    let worked = Duration::from_secs(6);
    let anna =
        Tally { requests: 3, refused: 1, errors: 1, bytes_in: 30, bytes_out: 60, worked, ..Tally::default() };
    let ci = Tally { requests: 3, refused: 3, ..Tally::default() };
    let rows: Vec<_> = summary.identities.iter().map(|i| (&*i.identity, &*i.principal, i.tally)).collect();
    assert_eq!(rows, [("runner", "tag:ci", ci), ("anna", "anna", anna)]);
    let Identity { first, last, endpoints, days, .. } = &summary.identities[1];
    assert_eq!((*first, *last), (at(&day(20)), at(&day(23))));
    let names: Vec<_> = endpoints.iter().map(|e| (&*e.endpoint, e.tally.attempts())).collect();
    assert_eq!(names, [("v1_messages", 3), ("none", 1)]);
    let days: Vec<_> = days.iter().map(|d| (&*d.day, d.tally.attempts())).collect();
    assert_eq!(days, [("2026-11-20", 1), ("2026-11-21", 1), ("2026-11-22", 1), ("2026-11-23", 1)]);

    assert_eq!((summary.total.requests, summary.total.refused, summary.total.errors), (6, 4, 1));
    assert_eq!(summary.ended, [("complete", 2), ("refused", 3), ("upstream-failed", 1)].into());
    let endpoints: Vec<_> = summary.endpoints.iter().map(|e| (&*e.endpoint, e.tally.requests)).collect();
    assert_eq!(endpoints, [("none", 3), ("v1_messages", 3)]);
    let rules = [("management", 2), ("allowlist", 1), ("head-time", 1)];
    assert_eq!(summary.rules, rules.map(|(rule, count)| (rule.to_owned(), count)));
    let kinds: Vec<_> = summary.refused.iter().map(|r| (r.count, &*r.node, r.asked.as_deref())).collect();
    assert_eq!(kinds, [(2, "runner", Some("/api/pull")), (1, "phone", None), (1, "runner", Some("/x"))]);
    assert_eq!((summary.refused[0].first, summary.refused[0].last), (at(&day(21)), at(&day(22))));
    assert_eq!((summary.lines.read, summary.lines.unreadable), (9, 0));
}

#[test]
fn what_the_proxy_refuses_and_what_ollama_fails_at_are_two_things() {
    let down = served(&day(21), "a", "b").replace("status=200", "status=503 rule=\"upstream-down\"");
    let summary = of(&[
        down.replace("complete", "upstream-failed"),
        served(&day(21), "a", "b").replace("status=200", "status=500"),
        served(&day(21), "a", "b").replace("status=200", "status=404"),
        served(&day(21), "a", "b")
            .replace("status=200", "status=408 rule=\"body-idle\"")
            .replace("complete", "timed-out"),
    ]);
    assert_eq!((summary.total.requests, summary.total.refused, summary.total.errors), (4, 1, 2));
    assert_eq!(summary.rules, [("body-idle".to_owned(), 1)]);
    // Whom the proxy refuses Ollama does not work for.
    assert_eq!(summary.total.worked, Duration::from_secs(6));
}

#[test]
fn a_device_is_first_seen_that_neither_log_nor_journal_had_before() {
    let lines = [
        journal(&day(1), "present", "old"),
        served(&day(2), "laptop", "anna"),
        refused(&day(21), "old", "host", "/"),
        served(&day(21), "laptop", "anna"),
        served(&day(21), "laptop", "otto"),
        journal(&day(22), "present", "quiet"),
        refused(&day(23), "new", "host", "/"),
        refused(&day(26), "later", "host", "/"),
    ];
    let mut backwards = lines.to_vec();
    backwards.reverse();
    for lines in [&lines[..], &backwards] {
        let summary = of(lines);
        let seen: Vec<_> =
            summary.first_seen.iter().map(|s| (&*s.node, &*s.principal, s.time, s.tally.refused)).collect();
        let new = [("new", "tag:ci", 23, 1), ("quiet", "tag:ci", 22, 0), ("laptop", "otto", 21, 0)];
        assert_eq!(seen, new.map(|(node, principal, on, refused)| (node, principal, at(&day(on)), refused)));
        assert!(summary.known_before && !summary.first_seen_more);
        assert_eq!(summary.lines.journal_from, Some(at(&day(1))));
        assert_eq!(summary.lines.log_from, Some(at(&day(2))));
    }
    assert!(!of(&lines[2..]).known_before);
}

#[test]
fn access_is_told_as_the_journal_has_it() {
    let summary = of(&[
        journal(&day(19), "gained", "a"),
        journal(&day(20), "present", "a"),
        journal(&day(21), "gained", "b"),
        journal(&day(22), "changed", "b"),
        journal(&day(23), "lost", "b"),
    ]);
    let told: Vec<_> = summary.access.iter().map(|a| (&*a.access, &*a.node, a.port)).collect();
    assert_eq!(told, [("lost", "b", 11434), ("changed", "b", 11434), ("gained", "b", 11434)]);
    assert_eq!(summary.access_more, 0);
}

#[test]
fn a_day_of_more_than_usual_is_told() {
    let mut lines = Vec::new();
    for (on, count) in [(16, 30), (17, 20), (18, 40), (19, 900), (20, 150), (22, 152), (23, 151)] {
        lines.extend((0..count).map(|_| served(&day(on), "laptop", "anna")));
    }
    // The measure of the 22nd is the median of five days: 40. That of the 20th, before the 19th became one, is 40, too.
    let summary = of(&lines);
    assert_eq!(summary.unusual.len(), 0);
    lines.extend((0..49).map(|_| served(&day(22), "laptop", "anna")));
    let unusual = of(&lines).unusual;
    assert_eq!(unusual.len(), 1);
    let Unusual { day, identity, measure, value, usual, .. } = &unusual[0];
    assert_eq!(
        (&**day, &**identity, *measure, *value, *usual),
        ("2026-11-22", "anna", Measure::Requests, 201, 40)
    );
}

#[test]
fn what_can_not_be_read_is_counted_and_located() {
    let text = format!(
        "{}\r\n\nwhat is this?\n{}\n{}",
        served(&day(21), "a", "b"),
        served(&day(21), "a", "b"),
        &served(&day(21), "a", "b")[..150]
    );
    let mut history = history();
    history.read("one", text.as_bytes()).unwrap();
    let long = "x".repeat(3 * LINE_MAX) + "\n" + &served(&day(21), "a", "b");
    history.read("two", long.as_bytes()).unwrap();
    history.read("three", &b"\xff\n"[..]).unwrap();
    let summary = history.summary();
    assert_eq!((summary.lines.read, summary.lines.unreadable), (7, 4));
    let Place { file, line } = summary.lines.first_unreadable.unwrap();
    assert_eq!((&*file, line), ("one", 3));
    assert_eq!(summary.total.requests, 3);
}

#[test]
fn lines_that_the_proxy_could_not_write_are_summed_up_for_the_span() {
    let lost = |at: &str, lost| {
        let at = humantime::parse_rfc3339(at).unwrap();
        crate::sink::Notice { at, lost, why: "no room" }
    };
    let summary = of(&[
        crate::sink::in_text(&lost(&day(1), 100)),
        crate::sink::in_text(&lost(&day(21), 1)),
        crate::sink::in_json(&lost(&day(21), 20)),
        crate::sink::in_journal(&lost(&day(22), 300)),
    ]);
    assert_eq!((summary.lines.lost, summary.lines.unreadable), (321, 0));
    assert_eq!(summary.lines.journal_from, humantime::parse_rfc3339(&day(22)).ok());
}

/// As when the disk was full or the machine lost power, and the proxy has written on since.
#[test]
fn half_a_line_and_what_was_appended_to_it_are_counted_as_unreadable() {
    let whole = refused(&day(22), "runner", "management", "/api/pull");
    let text = served(&day(22), "runner", "tag:ci").replace("status=200", "status=403 rule=\"management\"");
    let other = format!("{}  INFO remote_ollama_proxy::run::follow: the tailnet node is hea", day(20));
    let half = served(&day(20), "phone", "anna");
    let half = half.split_once("route=").unwrap().0;
    for half in [half, &other, &refused(&day(20), "phone", "host", "/")[..90]] {
        for whole in [&text, &whole] {
            let summary = of(&[format!("{half}{whole}"), whole.clone()]);
            assert_eq!((summary.lines.read, summary.lines.unreadable), (2, 1), "{half}{whole}");
            assert_eq!(summary.total.refused, 1, "{half}{whole}");
            assert!(summary.refused.iter().all(|r| r.node == "runner"), "{:?}", summary.refused);
        }
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let mut lines: Vec<_> = (0..MOST + 7).map(|n| served(&day(21), &format!("n{n}"), "tag:ci")).collect();
    lines.extend((0..MOST + 5).map(|n| refused(&day(21), "n0", "allowlist", &format!("/{n}"))));
    lines.extend((0..CHANGES_MAX + 3).map(|_| journal(&day(21), "changed", "n0")));
    lines.extend((0..NAMES_MAX).map(|n| refused(&day(21), "n0", &format!("rule{n}"), "/")));
    let summary = of(&lines);
    assert_eq!((summary.identities.len(), summary.others.requests), (MOST, 7));
    assert_eq!((summary.refused.len(), summary.refused_more), (MOST, 5 + NAMES_MAX as u64));
    assert_eq!((summary.access.len(), summary.access_more), (CHANGES_MAX, 3));
    assert_eq!(summary.rules.len(), NAMES_MAX + 1);
    assert_eq!(summary.total.attempts(), (MOST + 7) as u64 + 2 * (MOST + 5 + NAMES_MAX) as u64);
}

#[test]
fn who_did_nothing_in_the_span_gives_way() {
    let mut lines: Vec<_> = (0..MOST).map(|n| served(&day(1), &format!("n{n}"), "tag:ci")).collect();
    lines.push(served(&day(21), "new", "tag:ci"));
    let summary = of(&lines);
    assert_eq!((summary.identities.len(), &*summary.identities[0].identity), (1, "new"));
    assert_eq!(summary.others, Tally::default());
}

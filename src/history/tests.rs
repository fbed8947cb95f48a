use std::time::Duration;

use serde_json::json;

use super::line::LINE_MAX;
use super::*;

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
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

/// The record of a served request.
fn served(time: &str, node: &str, principal: &str) -> String {
    json!({
        "event": "request", "time": time, "id": "1-1", "node": node, "stable_id": "n1", "principal": principal,
        "addr": "100.64.0.2:1", "port": 11434, "method": "POST", "endpoint": "v1_messages", "status": 200,
        "bytes_in": 10, "bytes_out": 20, "queue_ms": 500.0, "ms": 2500.0, "ended": "complete",
    })
    .to_string()
}

fn refused(time: &str, node: &str, rule: &str, path: &str) -> String {
    json!({
        "event": "request", "time": time, "id": "1-1", "node": node, "stable_id": "n1", "principal": "tag:ci",
        "addr": "100.64.0.2:1", "port": 11434, "method": "GET", "path": path, "status": 403, "rule": rule,
        "bytes_in": 0, "bytes_out": 0, "ms": 0.1, "ended": "refused",
    })
    .to_string()
}

fn journal(time: &str, access: &str, node: &str) -> String {
    json!({
        "time": time, "access": access, "port": 11434, "stable_id": "n1", "node": node, "principal": "tag:ci",
        "grants": [], "faults": [],
    })
    .to_string()
}

#[test]
fn requests_are_summed_up_by_identity_endpoint_and_rule() {
    let early = json!({
        "event": "peer-refused", "time": day(22), "node": "phone", "stable_id": "n2", "principal": "anna",
        "addr": "100.64.0.3:1", "port": 11434, "rule": "head-time",
    });
    let failed = served(&day(23), "phone", "anna").replace("complete", "upstream-failed");
    let summary = of(&[
        served(&day(19), "laptop", "anna"),
        served(&day(20), "laptop", "anna"),
        served(&day(21), "phone", "anna"),
        refused(&day(21), "runner", "management", "/api/pull"),
        refused(&day(22), "runner", "management", "/api/pull"),
        refused(&day(22), "runner", "allowlist", "/x"),
        early.to_string(),
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
    let days: Vec<_> = days.iter().map(|d| (d.day.day(), d.tally.attempts())).collect();
    assert_eq!(days, [(20, 1), (21, 1), (22, 1), (23, 1)]);

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
fn refusals_failures_and_redirects_are_told_apart() {
    let served = served(&day(21), "a", "b");
    let with = |status: &str| served.replace("\"status\":200", status);
    let summary = of(&[
        with("\"status\":503,\"rule\":\"upstream-down\"").replace("complete", "upstream-failed"),
        with("\"status\":500"),
        with("\"status\":404"),
        with("\"status\":408,\"rule\":\"body-idle\"").replace("complete", "timed-out"),
        with("\"status\":308,\"rule\":\"https\"")
            .replace("complete", "refused")
            .replace("v1_messages", "none"),
    ]);
    assert_eq!((summary.total.requests, summary.total.refused, summary.total.errors), (5, 1, 2));
    assert_eq!(summary.rules, [("body-idle".to_owned(), 1)]);
    // Ollama does not work on a refused request.
    assert_eq!(summary.total.worked, Duration::from_secs(6));
}

#[test]
fn device_without_an_earlier_record_is_first_seen() {
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
fn changes_of_access_come_from_the_journal() {
    let summary = of(&[
        journal(&day(19), "gained", "a"),
        journal(&day(20), "present", "a"),
        journal(&day(21), "gained", "b"),
        journal(&day(22), "changed", "b"),
        journal(&day(23), "lost", "b"),
    ]);
    let told: Vec<_> = summary.access.iter().map(|a| (a.access.name(), &*a.node, a.port)).collect();
    assert_eq!(told, [("lost", "b", 11434), ("changed", "b", 11434), ("gained", "b", 11434)]);
    assert_eq!(summary.access_more, 0);
}

#[test]
fn unusual_day_is_reported() {
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
        (day.to_string(), &**identity, *measure, *value, *usual),
        ("2026-11-22".to_owned(), "anna", Measure::Requests, 201, 40)
    );
}

#[test]
fn unreadable_lines_are_counted_and_located() {
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
    let LinePlace { file, line } = summary.lines.first_unreadable.unwrap();
    assert_eq!((&*file, line), ("one", 3));
    assert_eq!(summary.total.requests, 3);
}

#[test]
fn lost_lines_of_the_span_are_summed_up() {
    let lost = |at: &str, lost| json!({ "time": at, "lost": lost, "error": "no room" });
    let in_access_log = |at: &str, lost| {
        json!({ "event": "lines-lost", "time": at, "lost": lost, "error": "no room" }).to_string()
    };
    let summary =
        of(&[in_access_log(&day(1), 100), in_access_log(&day(21), 21), lost(&day(22), 300).to_string()]);
    assert_eq!((summary.lines.lost, summary.lines.unreadable), (321, 0));
    assert_eq!((summary.lines.log_from, summary.lines.journal_from), (Some(at(&day(1))), Some(at(&day(22)))));
}

/// A record is cut when the disk is full or the machine loses power; the next one is appended to it.
#[test]
fn half_a_record_and_what_follows_it_are_unreadable() {
    let whole = refused(&day(22), "runner", "management", "/api/pull");
    for half in [&served(&day(20), "phone", "anna")[..150], &refused(&day(20), "phone", "host", "/")[..90]] {
        let summary = of(&[format!("{half}{whole}"), whole.clone()]);
        assert_eq!((summary.lines.read, summary.lines.unreadable), (2, 1), "{half}");
        assert_eq!(summary.total.refused, 1, "{half}");
        assert!(summary.refused.iter().all(|r| r.node == "runner"), "{:?}", summary.refused);
    }
}

#[test]
fn file_kind_tells_diagnostics_from_other_files() {
    let text = "2026-11-24T16:44:13.022046Z  INFO access: id=\"1\" ended=\"complete\"\n";
    let record = served(&day(21), "a", "b");
    for (lines, kind) in [
        (String::new(), FileKind::Records),
        (record.clone(), FileKind::Records),
        (format!("{}\n{record}", &record[..50]), FileKind::Records),
        (format!("{text}{record}"), FileKind::Records),
        (text.to_owned(), FileKind::Diagnostics),
        ("what is this?".to_owned(), FileKind::Unknown),
    ] {
        assert_eq!(history().read("file", lines.as_bytes()).unwrap(), kind, "{lines}");
    }
}

#[test]
fn memory_is_bounded() {
    let mut lines: Vec<_> = (0..ROWS_MAX + 7).map(|n| served(&day(21), &format!("n{n}"), "tag:ci")).collect();
    lines.extend((0..ROWS_MAX + 5).map(|n| refused(&day(21), "n0", "allowlist", &format!("/{n}"))));
    lines.extend((0..CHANGES_MAX + 3).map(|_| journal(&day(21), "changed", "n0")));
    lines.extend((0..NAMES_MAX).map(|n| refused(&day(21), "n0", &format!("rule{n}"), "/")));
    let summary = of(&lines);
    assert_eq!((summary.identities.len(), summary.others.requests), (ROWS_MAX, 7));
    assert_eq!((summary.refused.len(), summary.refused_more), (ROWS_MAX, 5 + NAMES_MAX as u64));
    assert_eq!((summary.access.len(), summary.access_more), (CHANGES_MAX, 3));
    assert_eq!(summary.rules.len(), NAMES_MAX + 1);
    assert_eq!(summary.total.attempts(), (ROWS_MAX + 7) as u64 + 2 * (ROWS_MAX + 5 + NAMES_MAX) as u64);
}

#[test]
fn identity_without_requests_in_the_span_is_evicted() {
    let mut lines: Vec<_> = (0..ROWS_MAX).map(|n| served(&day(1), &format!("n{n}"), "tag:ci")).collect();
    lines.push(served(&day(21), "new", "tag:ci"));
    let summary = of(&lines);
    assert_eq!((summary.identities.len(), &*summary.identities[0].identity), (1, "new"));
    assert_eq!(summary.others, Tally::default());
}

fn with_model(line: &str, model: &str) -> String {
    line.replacen('{', &format!("{{\"model\":{},", json!(model)), 1)
}

#[test]
fn usage_is_summed_up_by_model() {
    let early = with_model(&served(&day(19), "phone", "anna"), "tiny:latest");
    let served = served(&day(22), "phone", "anna");
    let summary = of(&[
        served.clone(),
        early,
        with_model(&served, "tiny:latest"),
        with_model(&served, "tiny:latest"),
        with_model(&served, "other"),
        with_model(&served, "a\n\u{9b}"),
        // A client chose the name of a refused model.
        with_model(&refused(&day(22), "runner", "model", "/v1/messages"), "my-secret"),
    ]);
    let models: Vec<_> = summary.models.iter().map(|used| (&*used.model, used.tally.requests)).collect();
    assert_eq!(models, [("tiny:latest", 2), ("a\\u000a\\u009b", 1), ("other", 1)]);
    assert!(of(&[served]).models.is_empty());
}

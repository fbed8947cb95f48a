//! `report`, from files that the proxy wrote.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::security::{quoted, rows, section};
use crate::{Ended, Home};

const OPERATIONS: &str = include_str!("../../docs/operations.md");
const REPORT: &str = include_str!("../../docs/report.md");

/// From the 20th on.
const SPAN: [&str; 4] = ["--since", "2026-11-20", "--until", "2026-11-25"];

/// A request of `principal` at `node`; `more` are further fields.
fn request(day: u32, node: &str, principal: &str, more: Value) -> String {
    let mut record = json!({
        "event": "request", "time": format!("2026-11-{day:02}T12:00:00.000Z"), "id": "1-1", "node": node,
        "stable_id": "n1", "principal": principal, "addr": "100.64.0.2:5", "port": 11434, "method": "POST",
        "endpoint": "v1_messages", "status": 200, "bytes_in": 1000, "bytes_out": 2000, "queue_ms": 500.0,
        "first_byte_ms": 600.0, "ms": 60500.0, "ended": "complete",
    });
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    format!("{record}\n")
}

fn served(day: u32) -> String {
    request(day, "phone.tailnet.test", "anna@example.com", json!({}))
}

fn refused(day: u32, node: &str, principal: &str, rule: &str, path: &str) -> String {
    let record = json!({
        "event": "request", "time": format!("2026-11-{day}T13:00:00.000Z"), "id": "1-2", "node": node,
        "stable_id": "n2", "principal": principal, "addr": "100.64.0.3:5", "port": 11434, "method": "GET",
        "path": path, "status": 403, "rule": rule, "bytes_in": 0, "bytes_out": 0, "ms": 0.1, "ended": "refused",
    });
    format!("{record}\n")
}

fn journal(day: u32, access: &str, node: &str, principal: &str) -> String {
    let line = json!({
        "time": format!("2026-11-{day}T11:00:00.000Z"), "access": access, "port": 11434, "stable_id": "n1",
        "node": node, "principal": principal, "grants": [], "faults": [],
    });
    format!("{line}\n")
}

/// A home whose proxy has recorded requests: the access log and its older files, the last line cut.
fn home() -> Home {
    let home = Home::new();
    home.write("c.toml", &format!("node.state_dir = {:?}", home.path().join("state")));
    home.write("state/access.jsonl.20261117T000000Z", &(15..=18).map(served).collect::<String>());
    home.write("state/access.jsonl.20261121T000000Z", &(0..101).map(|_| served(20)).collect::<String>());
    let mut last = refused(22, "runner.tailnet.test", "tag:ai-ci", "management", "/api/pull").repeat(2);
    last += "{\"event\":\"session-cut\",\"time\":\"2026-11-22T13:00:00Z\",\"node\":\"a\",\"stable_id\":\"n3\",\
             \"principal\":\"tag:x\",\"addr\":\"100.64.0.4:5\",\"port\":80,\"ended\":\"revoked\"}\n";
    last += &served(23)[..200];
    home.write("state/access.jsonl", &last);
    home.write(
        "state/journal.jsonl.20260101T000000",
        &journal(10, "present", "phone.tailnet.test", "anna@example.com"),
    );
    home.write("state/journal.jsonl", &journal(21, "gained", "runner.tailnet.test", "tag:ai-ci"));
    home
}

fn report(home: &Home, more: &[&str]) -> Ended {
    let config = home.path().join("c.toml");
    home.run(&[&["report", "--config", config.to_str().unwrap()], &SPAN[..], more].concat())
}

#[test]
fn report_shows_what_the_documentation_shows() {
    let home = home();
    let ended = report(&home, &[]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    // The report in the documentation. Only its file name differs.
    let shown = section(OPERATIONS, "Reports").split("```\n").nth(1).unwrap();
    let name = |line: &str| {
        line.starts_with("unreadable").then(|| line.split(" line 4 of ").nth(1).unwrap().to_owned())
    };
    let [here, there] = [&*ended.out, shown].map(|text| text.lines().find_map(name).unwrap());
    assert_eq!(ended.out.replace(&here, &there), shown);
}

#[test]
fn report_as_json_has_the_documented_names() {
    let home = home();
    let ended = report(&home, &["--format", "json"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let mut told: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&told["since"], &told["known_before"]), (&json!("2026-11-20T00:00:00Z"), &json!(true)));
    assert_eq!((&told["lines"]["read"], &told["lines"]["unreadable"]), (&json!(111), &json!(1)));
    assert_eq!(told["lines"]["first_unreadable"]["line"], 4);
    assert_eq!(told["total"]["ollama_ms"], 101 * 60_000);
    let anna = &told["identities"][0];
    assert_eq!((&anna["identity"], &anna["requests"]), (&json!("anna@example.com"), &json!(101)));
    assert_eq!(
        (&anna["days"][0]["day"], &anna["days"][0]["bytes_out"]),
        (&json!("2026-11-20"), &json!(202_000))
    );
    assert_eq!(told["rules"], json!({"management": 2}));
    assert_eq!(told["first_seen"][0]["node"], "runner.tailnet.test");
    assert_eq!(told["access"][0]["access"], "gained");
    for part in ["first_seen", "access", "refused"] {
        assert_eq!(told[part][0]["identity"], told["identities"][1]["identity"], "{part}");
    }
    assert_eq!(told["unusual"][1]["measure"], "ollama_ms");

    assert_eq!(told["models"], json!([]), "usage was not counted");
    told["models"] = used_models(&home);

    // The table has exactly these keys.
    const TALLY: [&str; 9] = [
        "requests",
        "refused",
        "errors",
        "bytes_in",
        "bytes_out",
        "tokens_in",
        "tokens_out",
        "tokens_untold",
        "ollama_ms",
    ];
    let documented = rows(section(REPORT, "JSON"));
    let named = |part: &str| -> Vec<String> {
        let row = documented.iter().find(|row| row[0] == format!("`{part}`"));
        let row = row.unwrap_or_else(|| panic!("{part} is not documented"));
        let counts = row[2].contains("the nine counts").then_some(TALLY).into_iter().flatten();
        quoted(row[2]).chain(counts).map(str::to_owned).collect()
    };
    for (key, value) in told.as_object().unwrap() {
        let value = if value.is_array() { &value[0] } else { value };
        let mut keys = match value {
            Value::Object(keys) if key != "ended" && key != "rules" => {
                keys.keys().cloned().collect::<Vec<_>>()
            }
            _ => Vec::new(),
        };
        let mut named = named(key);
        named.sort();
        keys.sort();
        assert_eq!(named, keys, "{key}");
    }
}

#[test]
fn report_as_csv_is_one_table() {
    let home = home();
    let ended = report(&home, &["--format", "csv"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let columns = ended.out.lines().next().unwrap();
    let told = section(REPORT, "CSV");
    let named: Vec<_> = rows(told).iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    assert_eq!(columns.split(',').collect::<Vec<_>>(), named);
    for line in ended.out.lines() {
        assert_eq!(line.split(',').count(), named.len(), "{line}");
    }
    let parts: Vec<_> = ended.out.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    let documented = rows(told);
    let known: Vec<_> = quoted(documented.iter().find(|row| row[0] == "`part`").unwrap()[1]).collect();
    for part in parts {
        assert!(known.contains(&part), "{part} is not documented: {known:?}");
    }
    for line in [
        "rule,,,,,,management,,2,,,,,,,,,,",
        "access,2026-11-21T11:00:00Z,,runner.tailnet.test,runner.tailnet.test,tag:ai-ci,,gained,11434,,,,,,,,,,",
        "first-seen,2026-11-21T11:00:00Z,,runner.tailnet.test,runner.tailnet.test,tag:ai-ci,,,,,2,2,0,0,0,0,0,0,0",
        "refused,2026-11-22T13:00:00Z,2026-11-22T13:00:00Z,runner.tailnet.test,runner.tailnet.test,tag:ai-ci,management,GET /api/pull,2,,,,,,,,,,",
        "unusual,2026-11-20,,anna@example.com,,anna@example.com,,requests,101,1,,,,,,,,,",
        "identity-endpoint,,,anna@example.com,,anna@example.com,,v1_messages,,,101,0,0,101000,202000,0,0,0,6060000",
    ] {
        assert!(ended.out.lines().any(|told| told == line), "{line}\n{}", ended.out);
    }
}

/// The usage by model that the report has as JSON.
fn used_models(home: &Home) -> Value {
    let file = home.write("used.log", &used_log());
    let told = report(home, &["--format", "json", file.to_str().unwrap()]).out;
    serde_json::from_str::<Value>(&told).unwrap()["models"].take()
}

fn used_log() -> String {
    let of = |more| request(21, "phone.tailnet.test", "anna@example.com", more);
    let tokens = json!({"input": 11, "output": 5});
    [
        of(json!({"model": "qwen3:8b", "tokens": tokens})),
        of(json!({"model": "qwen3:8b", "tokens": {}})),
        of(json!({"model": "other", "endpoint": "v1_model", "method": "GET"})),
        of(json!({"model": "my-secret", "rule": "model", "status": 404, "ended": "refused"})),
        of(json!({})),
    ]
    .concat()
}

#[test]
fn report_shows_usage_by_model_if_it_was_counted() {
    let home = home();
    assert!(!report(&home, &[]).out.contains("by model"));
    let models = used_models(&home);
    let [qwen, other] = &models.as_array().unwrap()[..] else { panic!("{models}") };
    let counts = [&qwen["requests"], &qwen["tokens_in"], &qwen["tokens_out"], &qwen["tokens_untold"]];
    assert_eq!(
        (&qwen["model"], counts.map(|count| count.as_u64().unwrap())),
        (&json!("qwen3:8b"), [2, 11, 5, 1])
    );
    assert_eq!((&other["model"], &other["requests"]), (&json!("other"), &json!(1)));
    let file = home.write("used.log", &used_log());
    let told = report(&home, &[file.to_str().unwrap()]).out;
    let tables = section(OPERATIONS, "Reports").split("```\n").nth(3).unwrap();
    assert!(tables.contains("by model") && told.contains(tables), "{told}");
    assert!(!told.contains("my-secret"), "{told}");
    let told = report(&home, &["--format", "csv", file.to_str().unwrap()]).out;
    let row = "model,,,,,,,qwen3:8b,,,2,0,0,2000,4000,11,5,1,120000";
    assert!(told.lines().any(|line| line == row), "{told}");
}

#[test]
fn report_shows_tokens_if_there_are_any() {
    let home = home();
    assert!(!report(&home, &[]).out.contains("tokens"));
    let of_anna = |day, tokens: Value| {
        request(day, "phone.tailnet.test", "anna@example.com", json!({ "tokens": tokens }))
    };
    let (counted, untold) = (of_anna(21, json!({"input": 11, "output": 5})), of_anna(23, json!({})));
    let file = home.write("counted.log", &(counted.clone() + &counted + &served(22) + &untold));
    let told = report(&home, &[file.to_str().unwrap()]).out;
    let table = "\ntokens, where they are counted, and how many answers reported none\n            in          out unreported\n            22           10          1  anna@";
    assert!(told.contains("\ntokens     22 in, 10 out; 1 answer reported none\n"), "{told}");
    assert!(told.contains(table), "{told}");
    let none = home.write("untold.log", &untold.repeat(2));
    let none = report(&home, &[none.to_str().unwrap()]).out;
    assert!(none.contains("\ntokens     unknown: 2 answers reported none\n"), "{none}");
    assert!(none.contains("\n             -            -          2  anna@"), "{none}");
    let told: Value =
        serde_json::from_str(&report(&home, &["--format", "json", file.to_str().unwrap()]).out).unwrap();
    let total = &told["total"];
    assert_eq!((&total["tokens_in"], &told["identities"][0]["tokens_out"]), (&json!(22), &json!(10)));
    assert_eq!(total["tokens_untold"], 1);
}

/// Names come from the tailnet, paths from clients, and a file may have been changed.
#[test]
fn hostile_names_stay_text_in_a_report() {
    let home = home();
    let long = "x".repeat(500);
    let lines: String =
        ["=cmd|' /C calc'!A0", "+1", "a\nb,\"c\"", "\u{1b}[31m\u{9b}\r", "\u{202e}b\u{200b}", &long]
            .iter()
            .enumerate()
            .flat_map(|(n, hostile)| {
                [
                    refused(21, hostile, "tag:x", &format!("rule{n}"), hostile),
                    request(22, "node", hostile, json!({"endpoint": hostile})),
                    journal(23, "lost", hostile, hostile),
                ]
            })
            .collect();
    let file = home.write("hostile.log", &lines);
    let file = file.to_str().unwrap();
    for format in ["text", "json", "csv"] {
        let ended = report(&home, &["--format", format, file]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        let is_unseen = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{200b}".contains(c);
        assert!(!ended.out.contains(is_unseen), "{:?}", ended.out);
        match format {
            "text" => {
                // Only identities are not truncated.
                let is_wide = |line: &&str| line.chars().count() > 100 && !line.contains(&long[..290]);
                assert_eq!(ended.out.lines().find(is_wide), None);
            }
            "json" => {
                let told: Value = serde_json::from_str(&ended.out).unwrap();
                assert_eq!(told["lines"]["unreadable"], 0, "{told}");
                assert_eq!(told["identities"].as_array().unwrap().len(), 12);
            }
            _ => {
                assert!(ended.out.contains(",'=cmd|' /C calc'!A0,"), "{}", ended.out);
                assert!(ended.out.contains("\"a\\u000ab,\"\"c\"\"\""), "{}", ended.out);
                for start in ["=", "+", "\"=", "\"+"] {
                    let begins = |line: &str| line.starts_with(start) || line.contains(&format!(",{start}"));
                    assert!(!ended.out.lines().any(begins), "{}", ended.out);
                }
            }
        }
    }
}

#[test]
fn report_never_truncates_an_identity() {
    let home = home();
    let (node, user) =
        (format!("{}.tailnet.test", "n".repeat(60)), format!("{}@example.com", "u".repeat(60)));
    let mut lines: String = [11, 12, 13].map(|day| request(day, &node, &user, json!({}))).concat();
    lines += &request(21, &node, &user, json!({})).repeat(100);
    lines += &refused(21, &node, "tag:ai-ci", "management", &format!("/{}", "p".repeat(90))).repeat(30);
    lines += &journal(22, "lost", &node, &user);
    let file = home.write("long.log", &lines);
    let ended = report(&home, &[file.to_str().unwrap()]);
    let tables: Vec<_> = ended.out.split("\n\n").collect();
    let (device, tagged) = (format!("  {node} ({user})\n"), format!("  {node} (tag:ai-ci)\n"));
    for (title, who) in [
        ("unusual volume", &format!("  {user}\n")),
        ("first seen", &tagged),
        ("access gained", &device.replacen(' ', "", 1)),
        ("refused attempts", &tagged),
        ("by identity", &format!("  {user}\n")),
    ] {
        let table = tables.iter().find(|table| table.starts_with(title)).unwrap();
        assert!(format!("{table}\n").contains(who), "{}", ended.out);
    }
}

#[test]
fn report_reads_standard_input_without_a_config() {
    let home = Home::new();
    let config = home.write("c.toml", "listen.port = 0");
    let mut command =
        home.command(&["report", "--format", "json", "-", "--config", config.to_str().unwrap()]);
    let mut child = command
        .args(SPAN)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("Started it.\n{}", served(21)).as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["total"]["requests"], &told["lines"]["unreadable"]), (&json!(1), &json!(1)));
    assert_eq!(told["lines"]["first_unreadable"], json!({"file": "standard input", "line": 1}));
    assert_eq!(told["known_before"], false);
}

#[test]
fn report_without_any_record_fails() {
    let home = Home::new();
    let state = home.path().join("state");
    let config = format!("node.state_dir = {state:?}\n");
    let fails = |path: &std::path::Path, reason: &str| {
        let ended = report(&home, &[]);
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{}", ended.err);
        let start = format!("remote-ollama-proxy: cannot read {}: ", path.display());
        assert!(ended.err.starts_with(&start) && ended.err.contains(reason), "{}", ended.err);
    };
    home.write("c.toml", &format!("{config}access_log.enabled = false"));
    fails(&state.join("journal.jsonl"), "there is no file to read");

    // The access log as versions up to 0.1.0 wrote it.
    home.write("c.toml", &config);
    let text = "2026-11-24T16:44:13.022046Z  INFO access: id=\"1-1\" node=\"a\" ended=\"complete\"\n";
    let log = home.write("state/access.jsonl", text);
    home.write("state/journal.jsonl", &journal(21, "lost", "a", "b"));
    fails(&log, "move it out of the way");
    // An older file of that kind hides nothing.
    std::fs::rename(&log, state.join("access.jsonl.20261101T000000")).unwrap();
    home.write("state/access.jsonl", &served(21));
    let ended = report(&home, &["--format", "json"]);
    let told: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&told["lines"]["unreadable"], &told["total"]["requests"]), (&json!(1), &json!(1)));

    std::fs::remove_file(&log).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&log).status().unwrap().success());
    fails(&log, "not a regular file");
}

#[test]
fn report_names_what_it_cannot_read() {
    let home = Home::new();
    let state = home.path().join("state");
    let config = home.write("c.toml", &format!("node.state_dir = {state:?}"));
    let run = |more: &[&str]| home.run(&[&["report", "--config", config.to_str().unwrap()], more].concat());

    let access_log = state.join("access.jsonl");
    let cannot = |path: &std::path::Path| format!("remote-ollama-proxy: cannot read {}: ", path.display());
    let ended = run(&[]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    assert!(ended.err.starts_with(&cannot(&access_log)) && ended.err.contains("--config"), "{}", ended.err);
    let missing = home.path().join("missing.jsonl");
    let ended = run(&[missing.to_str().unwrap()]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    assert!(ended.err.starts_with(&cannot(&missing)), "{}", ended.err);

    // A proxy that has served nothing yet, and one with its access log switched off.
    let journal = home.write("state/journal.jsonl", &journal(21, "lost", "a", "b"));
    let ended = run(&[]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    home.write("c.toml", &format!("node.state_dir = {state:?}\naccess_log.enabled = false"));
    let ended = run(&[]);
    assert_eq!(ended.code, Some(0));
    assert!(ended.err.contains("only the journal is read"), "{}", ended.err);

    // The access log as versions up to 0.1.0 wrote it.
    for old in [
        "2026-11-24T16:44:13.022046Z  INFO access: id=\"1-1\" node=\"a\" ended=\"complete\"\n",
        "{\"timestamp\":\"2026-11-24T16:44:13Z\",\"level\":\"INFO\",\"id\":\"1-1\",\"target\":\"access\"}\n",
    ] {
        let old = home.write("proxy.log", old);
        let ended = run(&[old.to_str().unwrap()]);
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
        assert!(
            ended.err.starts_with(&cannot(&old)) && ended.err.contains("Read access.jsonl"),
            "{}",
            ended.err
        );
    }

    let other = home.write("other.log", "what is this?\n\u{1b}[2m2026-11-24T16:44:13Z\n");
    let empty = home.write("empty.log", "");
    let ended = run(&[journal.to_str().unwrap(), other.to_str().unwrap()]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    assert!(ended.err.starts_with(&(cannot(&other) + "no line of it is a record")), "{}", ended.err);
    let ended = run(&[empty.to_str().unwrap()]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert!(ended.out.contains("\n  no journal was read\n"), "{}", ended.out);

    for wrong in [
        &["--since", "yesterday"][..],
        &["--until", "2026-13-01"],
        &["--format", "yaml"],
        &["--since", "2026-11-20", "--until", "2026-11-20"],
        &["--since", "1h", "--until", "2h"],
    ] {
        let ended = run(wrong);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{wrong:?}");
        assert!(ended.err.contains("--help"), "{}", ended.err);
    }

    home.write("c.toml", "listen.port = 0");
    let ended = run(&[]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(78), ""));
    assert!(ended.err.ends_with(
        "1 fault in the config: nothing was read; name the files to read, or correct the config\n"
    ));
}

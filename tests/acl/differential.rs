//! The evaluation against a second one, in Go, which uses Tailscale's own packet filter.
//!
//! Where this evaluation can't tell, the comparison is skipped. The number of skips is bounded.

use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;

use remote_ollama_proxy::acl::{Addresses, Answer, Device, PolicyFile, TestVerdict, parse};
use remote_ollama_proxy::config::CAPABILITY;
use serde_json::{Value, json};

use crate::generated::{POLICIES, doubtful, policies, text};

/// Owner, and the last two bytes of both addresses.
const NODES: [(&str, [u8; 2]); 9] = [
    ("anna@example.com", [0, 1]),
    ("anna@example.com", [0, 7]),
    ("ben@example.com", [0, 3]),
    ("carl@other.test", [7, 4]),
    ("ada@example.com", [1, 5]),
    ("tag:a", [0, 6]),
    ("tag:b", [7, 9]),
    ("tag:c", [1, 8]),
    ("tag:a,tag:b", [9, 9]),
];

/// Each version of IP has its own ICMP; they count as one here.
const TRAFFIC: [(&[u8], u16); 9] = [
    (&[6], 22),
    (&[6], 443),
    (&[6], 444),
    (&[6], 65535),
    (&[17], 443),
    (&[17], 53),
    (&[132], 443),
    (&[1, 58], 0),
    (&[47], 0),
];

/// The Go program's answer to each question.
fn ask(questions: &[Value]) -> Vec<Value> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tailnet");
    let mut child = crate::go::go()
        .args(["run", "./policy/answers"])
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("go is needed to ask the second implementation");
    let mut stdin = child.stdin.take().unwrap();
    let lines: String = questions.iter().map(|question| format!("{question}\n")).collect();
    // It answers while it reads, so the writer must not wait for it.
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{}", output.status);
    let answers: Vec<Value> = output
        .stdout
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect();
    assert_eq!(answers.len(), questions.len());
    answers
}

fn addresses([a, b]: [u8; 2]) -> [String; 2] {
    [format!("100.64.{a}.{b}"), format!("fd7a:115c:a1e0::{:x}", u16::from(a) << 8 | u16::from(b))]
}

fn device((owner, last): (&str, [u8; 2])) -> Device {
    let device =
        if owner.starts_with("tag:") { Device::tagged(owner.split(',')) } else { Device::of_user(owner) };
    let roles: &[&str] = if owner.starts_with("ada@") { &["admin", "owner"] } else { &[] };
    let known = addresses(last).iter().map(|a| a.parse().unwrap()).collect();
    Device {
        roles: Some(roles.iter().map(ToString::to_string).collect()),
        ..device.with(Addresses::Known(known))
    }
}

fn over_v4(device: Device) -> Device {
    let Addresses::Known(all) = &device.addresses else { panic!("{device}") };
    let addresses = all.iter().copied().filter(IpAddr::is_ipv4).collect();
    device.with(Addresses::Known(addresses))
}

fn question(policy: &str) -> Value {
    let node = |(owner, last): (&str, [u8; 2])| {
        if owner.starts_with("tag:") {
            json!({"tags": owner.split(',').collect::<Vec<_>>(), "addresses": addresses(last)})
        } else {
            json!({"user": owner, "addresses": addresses(last)})
        }
    };
    json!({
        "policy": policy,
        "admins": ["ada@example.com"],
        "capability": CAPABILITY,
        "nodes": NODES.map(node),
        "traffic": TRAFFIC.map(|(protos, port)| json!({"protos": protos, "port": port})),
    })
}

#[test]
fn both_evaluations_agree_on_access_and_grants() {
    let texts: Vec<_> = policies().iter().map(|(grants, acls, _)| text(grants, acls, &json!([]))).collect();
    let answers = ask(&texts.iter().map(|text| question(text)).collect::<Vec<_>>());
    let (mut yes, mut no, mut values) = (0, 0, 0);
    for (text, answer) in texts.iter().zip(&answers) {
        assert_eq!(answer.get("error"), None, "{text}");
        let policy = parse(text).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
        for (i, from) in NODES.iter().enumerate() {
            for (j, to) in NODES.iter().enumerate().filter(|(j, _)| *j != i) {
                let (src, dst) = (device(*from), device(*to));
                for (k, (protocols, port)) in TRAFFIC.iter().enumerate() {
                    let ours = policy.admits(&src, &dst, protocols[0], *port);
                    let theirs = answer["admits"][i][j][k].as_bool().unwrap();
                    assert_eq!(
                        ours,
                        if theirs { Answer::Yes } else { Answer::No },
                        "{src} → {dst} {protocols:?}:{port}\n{text}"
                    );
                    *(if theirs { &mut yes } else { &mut no }) += 1;
                }
                // The Go program evaluates grants for IPv4 only.
                let ours = policy.capabilities(&over_v4(src.clone()), &over_v4(dst.clone()), CAPABILITY);
                let theirs = answer["values"][i][j].as_array().cloned().unwrap_or_default();
                // Tailscale lists them in no fixed order.
                let sorted = |list: &[Value]| {
                    let mut list: Vec<_> = list.iter().map(Value::to_string).collect();
                    list.sort();
                    list
                };
                assert_eq!(sorted(&ours), sorted(&theirs), "{src} → {dst}\n{text}");
                values += theirs.len();
            }
        }
    }
    println!("{yes} yes, {no} no, {values} values");
    assert!(yes > 10_000 && no > 10_000 && values > 1_000, "{yes} yes, {no} no, {values} values");
}

#[test]
fn both_evaluations_agree_on_the_files_own_tests() {
    let texts: Vec<_> =
        policies().iter().map(|(grants, acls, test)| text(grants, acls, &json!([test]))).collect();
    let answers = ask(&texts.iter().map(|text| question(text)).collect::<Vec<_>>());
    let (mut pass, mut fail, mut open) = (0, 0, 0);
    for (text, answer) in texts.iter().zip(&answers) {
        let policy: PolicyFile = parse(text).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
        let failures = policy.failures();
        let error = answer.get("error").and_then(Value::as_str).unwrap_or_default();
        assert!(error.is_empty() || error.contains("tests[0]: "), "{error}\n{text}");
        if failures.iter().any(|failure| failure.verdict == TestVerdict::Fails) {
            assert!(!error.is_empty(), "{failures:?}\n{text}");
            fail += 1;
        } else if failures.is_empty() {
            assert_eq!(error, "", "{text}");
            pass += 1;
        } else {
            open += 1;
        }
    }
    println!("{pass} pass, {fail} fail, {open} undecided");
    assert!(pass > 100 && fail > 100 && open < POLICIES / 4, "{pass} pass, {fail} fail, {open} undecided");
}

#[test]
fn both_evaluations_refuse_the_same_rules_and_tests() {
    let texts = doubtful();
    let answers = ask(&texts.iter().map(|text| question(text)).collect::<Vec<_>>());
    let mut refused = 0;
    for (text, answer) in texts.iter().zip(&answers) {
        let ours = parse(text).err().map(|faults| faults.to_string());
        let theirs = answer.get("error");
        assert_eq!(ours.is_some(), theirs.is_some(), "{text}\n{ours:?}\n{theirs:?}");
        refused += usize::from(ours.is_some());
    }
    println!("{refused} of {} refused", texts.len());
    assert!(refused > 200 && texts.len() - refused > 200, "{refused} of {}", texts.len());
}

#[test]
fn both_evaluations_accept_the_same_hujson() {
    const PIECES: [&str; 39] = [
        "1",
        "-1",
        "1.5",
        "1e3",
        "01",
        "+1",
        ".5",
        "1.",
        "0x1",
        "NaN",
        "-Infinity",
        "- 1",
        "1E+2",
        "1e",
        "true",
        "nul",
        "True",
        r#""a""#,
        r#""\n""#,
        r#""\x41""#,
        r#""\u0041""#,
        "\"a\tb\"",
        "\"a\nb\"",
        "'a'",
        r#""\'""#,
        "\"\u{7f}\"",
        "[1,]",
        "[,]",
        "[1,,]",
        "[1 2]",
        "[/*a*/1//b\n,]",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\" 1}",
        "{\"a\":}",
        "[1]]",
        "/**/",
        "# a\n1",
        "\u{feff}1",
    ];
    let wrap =
        |piece: &str| [format!("{{\"ssh\": {piece}}}"), format!("{{\"ssh\": [{piece}, 1], }} // end\n")];
    let mut texts: Vec<_> = PIECES.iter().flat_map(|piece| wrap(piece)).collect();
    texts.extend(
        [
            "{} // end",
            "{} /* end */",
            "{} /* end",
            "{}\n//",
            "{} / 1",
            "{},",
            "{}\u{a0}",
            "\u{c}{}",
            "{\u{2028}}",
            "{} // end\r",
            "{ // a\r}\n",
            "{} // end\r\n",
            "{}\r\n\t ",
        ]
        .map(str::to_owned),
    );
    let answers =
        ask(&texts.iter().map(|text| json!({"policy": text, "syntax_only": true})).collect::<Vec<_>>());
    let mut valid = 0;
    // Half of a surrogate pair is no text in Rust, and is refused.
    assert!(parse(r#"{"ssh": "\ud800"}"#).unwrap_err().to_string().contains("not HuJSON"));
    for (text, answer) in texts.iter().zip(&answers) {
        // The texts lack grants, which is another fault.
        let ours = !parse(text).unwrap_err().to_string().contains("not HuJSON");
        assert_eq!(ours, answer.get("error").is_none(), "{text:?}: {answer} {}", parse(text).unwrap_err());
        valid += usize::from(ours);
    }
    assert!(valid > 20 && valid < texts.len() - 20, "{valid} of {}", texts.len());
}

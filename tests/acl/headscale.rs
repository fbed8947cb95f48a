//! Headscale's dialect, and the sample policy in it.

use crate::dialect::{PARTS, file};
use crate::sample::{plain, target, uncommented};
use remote_ollama_proxy::acl::{ControlServer, PolicyFile, Target, TestVerdict, WarningKind, parse_for};

const SAMPLE: &str = include_str!("../../acl/headscale.hujson");
const TAILSCALE: &str = include_str!("../../acl/policy.hujson");

fn read(text: &str) -> PolicyFile {
    parse_for(text, ControlServer::Other).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The sample with its tests, as it is once devices have joined.
fn with_tests() -> String {
    let (rules, tests) = SAMPLE.split_once("\t\"tests\": [").unwrap();
    format!("{rules}\t\"tests\": [{}", uncommented(tests))
}

#[test]
fn files_are_accepted_and_refused_as_headscale_does() {
    for (part, accepted) in PARTS {
        let read = parse_for(&file(part), ControlServer::Other);
        assert_eq!(read.is_ok(), accepted, "{part}: {:?}", read.err().map(|faults| faults.to_string()));
    }
}

#[test]
fn key_that_headscale_does_not_know_is_one_fault_with_its_line() {
    let text = "{\"grants\": [],\n\"tests\": [\n{\"user\": \"anna@\", \"dest\": 1, \"deny\": [\"anna@:1\"]}],\n\"ipsets\": {}}";
    let faults = parse_for(text, ControlServer::Other).unwrap_err().to_string();
    for line in [
        "line 3: tests[0].user: Headscale has no such key, and refuses the whole file; remove it",
        "line 3: tests[0].dest: Headscale has no such key",
        "line 4: ipsets: Headscale has no such section",
    ] {
        assert!(faults.contains(line), "{faults}");
    }
    assert_eq!(faults.matches("tests[0].dest").count(), 1, "{faults}");
}

#[test]
fn sample_for_headscale_admits_its_sources_and_has_no_tests_before_devices_have_joined() {
    let policy = read(SAMPLE);
    assert_eq!(policy.expectations(), 0);
    let report = policy.reach(&target());
    let kinds: Vec<_> = report.warnings.iter().map(|warning| warning.kind).collect();
    assert_eq!(kinds, [WarningKind::NoTests]);
    let sources: Vec<_> = report.reach.iter().map(|row| row.source.as_str()).collect();
    assert_eq!(sources, ["tag:ai-client", "group:ai-admins", "tag:ai-ci", "group:ai-guests"]);
}

#[test]
fn tests_of_the_sample_for_headscale_pass_and_detect_a_wider_grant() {
    let text = with_tests();
    let policy = read(&text);
    assert!(policy.failures().is_empty() && policy.expectations() > 30, "{}", policy.expectations());
    let kinds: Vec<_> = policy.reach(&target()).warnings.iter().map(|warning| warning.kind).collect();
    assert_eq!(kinds, [WarningKind::TestNeedsDevice]);
    for (from, to) in [
        (r#""src": ["tag:ai-client"]"#, r#""src": ["autogroup:member"]"#),
        (r#""dst": ["tag:ai-server"]"#, r#""dst": ["*"]"#),
        (r#""ip":  ["tcp:11434"]"#, r#""ip":  ["*"]"#),
    ] {
        let wider = read(&text.replacen(from, to, 1));
        let fails = wider.failures().iter().any(|failure| failure.verdict == TestVerdict::Fails);
        assert!(fails, "{to}");
    }
}

#[test]
fn sample_for_headscale_is_the_sample_with_other_user_names() {
    let named = TAILSCALE.replace("@example.com", "@");
    assert_eq!(plain(&with_tests()), plain(&named));
}

/// The examples for metrics and page too.
#[test]
fn examples_of_the_sample_for_headscale_are_those_of_the_sample() {
    let rules = |text: &str| {
        let mut all = plain(&uncommented(text));
        all.as_object_mut().unwrap().remove("tests");
        all
    };
    assert_eq!(rules(SAMPLE), rules(&TAILSCALE.replace("@example.com", "@")));
    let policy = read(&uncommented(SAMPLE));
    let report = policy.reach(&Target { metrics: Some(9090), page: Some(80), ..target() });
    assert_eq!(report.metrics.len(), 1);
    assert_eq!(report.page.len(), 2);
}

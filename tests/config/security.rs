//! SECURITY.md, docs/threat-model.md and docs/advisories.md against the repository: the files, tests and constants
//! that they name exist, and the defaults are those of config.example.toml.

use std::collections::BTreeSet;
use std::path::Path;

const SECURITY: &str = include_str!("../../SECURITY.md");
const THREATS: &str = include_str!("../../docs/threat-model.md");
const ADVISORIES: &str = include_str!("../../docs/advisories.md");
const EXAMPLE: &str = include_str!("../../config.example.toml");

/// Folders of this repository. Other paths on the pages belong to Ollama or the tailnet.
const FOLDERS: [&str; 10] =
    [".github/", "acl/", "docs/", "fuzz/", "launchd/", "scripts/", "src/", "systemd/", "tests/", "vendor/"];

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(root().join(path)).ok()
}

/// The texts between backticks.
pub(crate) fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The text after a heading, up to the next of the same level or above.
pub(crate) fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) =
        page.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    rest.split("\n## ").next().unwrap()
}

/// The cells of the tables in a text, without the heads.
pub(crate) fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines: Vec<_> = text.lines().collect();
    let body = |at: usize| lines[at].starts_with('|') && !lines[at].starts_with("|--");
    let head = |at: usize| lines.get(at + 1).is_some_and(|next| next.starts_with("|--"));
    let rows = (0..lines.len()).filter(|at| body(*at) && !head(*at));
    rows.map(|at| lines[at].trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// Fails with all of them at once.
pub(crate) fn none(what: &str, wrong: &BTreeSet<String>) {
    assert!(
        wrong.is_empty(),
        "{what}:\n  {}",
        wrong.iter().map(String::as_str).collect::<Vec<_>>().join("\n  ")
    );
}

#[test]
fn every_named_file_and_test_exists() {
    let mut wrong = BTreeSet::new();
    let mut tests = 0;
    for name in quoted(SECURITY).chain(quoted(THREATS)).chain(quoted(ADVISORIES)) {
        let (path, test) = name.split_once("::").map_or((name, None), |(path, test)| (path, Some(test)));
        if !FOLDERS.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        let there = match test {
            None => root().join(path).exists(),
            Some(test) => read(path).is_some_and(|text| {
                tests += 1;
                text.contains(&format!("fn {test}(")) || text.contains(&format!("func {test}("))
            }),
        };
        if !there {
            wrong.insert(name.to_owned());
        }
    }
    none("named but not there", &wrong);
    assert!(tests > 50, "{tests} tests are named");
}

#[test]
fn every_named_fuzz_target_exists() {
    let mut targets = BTreeSet::new();
    for after in THREATS.split("fuzz target").skip(1) {
        let names = after.split(['|', ';', '.']).next().unwrap();
        targets.extend(quoted(names).filter(|name| !name.contains('/')));
    }
    assert!(targets.len() > 4, "{targets:?}");
    let missing = |name: &&str| read(&format!("fuzz/fuzz_targets/{name}.rs")).is_none();
    none("named but not in fuzz/", &targets.into_iter().filter(missing).map(str::to_owned).collect());
}

/// Written "`NAME` in `path`".
#[test]
fn every_named_constant_exists() {
    let text = THREATS.split_whitespace().collect::<Vec<_>>().join(" ");
    let words: Vec<_> = text.split('`').collect();
    let mut found = 0;
    for three in words.windows(3).filter(|w| w[1] == " in ") {
        if three[0].bytes().all(|b| b.is_ascii_uppercase() || b == b'_') {
            found += 1;
            let constant = format!("const {}: ", three[0]);
            assert!(read(three[2]).is_some_and(|t| t.contains(&constant)), "{} in {}", three[0], three[2]);
        }
    }
    assert!(found > 2, "{found} constants are named");
}

/// GitHub's anchor of a heading.
pub(crate) fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn documented_limits_are_the_defaults() {
    let shown: BTreeSet<String> = {
        let mut in_section = "";
        let settings = EXAMPLE.lines().filter_map(|line| {
            if let Some(name) = line.strip_prefix('[') {
                in_section = name.trim_end_matches(']');
            }
            line.strip_prefix('#')
                .filter(|l| l.starts_with(char::is_alphabetic))
                .map(|l| format!("{in_section}.{l}"))
        });
        settings.collect()
    };
    let limits: Vec<_> = rows(section(THREATS, "Limits"));
    for row in &limits {
        let key = row[0].trim_matches('`');
        match row[1] {
            "none" => assert!(shown.iter().any(|s| s.starts_with(&format!("{key} = "))), "{key}"),
            value => {
                let setting = format!("{key} = {}", value.trim_matches('`'));
                assert!(shown.contains(&setting), "config.example.toml has no {setting}");
            }
        }
    }
    // The table has all of [limits] and [timeouts].
    let named: BTreeSet<_> = limits.iter().map(|row| row[0].trim_matches('`')).collect();
    for key in shown.iter().filter_map(|s| s.split_once(" = ")).map(|(key, _)| key) {
        assert!(
            !(key.starts_with("limits.") || key.starts_with("timeouts.")) || named.contains(key),
            "{key} is not in the table"
        );
    }
}

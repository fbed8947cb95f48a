//! docs/log-messages.md lists every log message at warning level or above, docs/troubleshooting.md every rule of a
//! refusal and every exit code, and nothing else. The names in docs/clients.md exist. Every link of every page resolves.

use std::collections::BTreeSet;
use std::path::Path;

use remote_ollama_proxy::cli::exit;
use remote_ollama_proxy::policy::{Endpoint, Rule};

use crate::security::{anchor, none, quoted, root, rows, section};

const LOG_MESSAGES: &str = include_str!("../../docs/log-messages.md");
const TROUBLESHOOTING: &str = include_str!("../../docs/troubleshooting.md");
const CLIENTS: &str = include_str!("../../docs/clients.md");
const CONFIGURATION: &str = include_str!("../../docs/configuration.md");

/// Every Rust file below src/, without its unit tests.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
                found.push((path.strip_prefix(root()).unwrap().display().to_string(), code));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("src"), &mut found);
    assert!(found.len() > 50, "{} files", found.len());
    found
}

/// The string literals between the first parenthesis and its match, each with the code before it.
fn literals(code: &str) -> Vec<(&str, String)> {
    let (mut depth, mut literals, mut from) = (0, Vec::new(), 0);
    let mut chars = code.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '"' => {
                let mut text = String::new();
                while let Some((_, c)) = chars.next() {
                    match c {
                        '"' => break,
                        '\\' => text.extend(chars.next().map(|(_, c)| c)),
                        c => text.push(c),
                    }
                }
                literals.push((code[from..at].trim_end(), text));
                from = code.len() - chars.as_str().len();
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    literals
}

/// A message with `…` for its arguments; none if nothing in it is constant.
fn constant(message: &str) -> Option<String> {
    let mut words = String::new();
    let mut inside = false;
    for c in message.chars() {
        match c {
            '{' => {
                inside = true;
                words.push('…');
            }
            '}' => inside = false,
            '`' => {}
            c if !inside => words.push(c),
            _ => {}
        }
    }
    words.contains(char::is_alphabetic).then_some(words)
}

/// The messages of the macro with that name in `code`.
fn logged(code: &str, name: &str) -> BTreeSet<String> {
    let calls = code.split(name).skip(1).map(literals);
    let message = |literals: Vec<(&str, String)>| {
        let (_, message) = literals.into_iter().find(|(before, _)| !before.ends_with("target:"))?;
        constant(&message)
    };
    calls.filter_map(message).collect()
}

/// The texts of errors that are messages of their own.
fn errors(code: &str) -> BTreeSet<String> {
    let texts = code.split("#[error").skip(1).map(literals);
    texts.filter_map(|literals| constant(&literals.first()?.1)).collect()
}

/// Each level with its messages.
fn messages() -> [(&'static str, BTreeSet<String>); 2] {
    let mut levels = [("warn", BTreeSet::new()), ("error", BTreeSet::new())];
    for (path, code) in sources() {
        for (level, messages) in &mut levels {
            messages.extend(logged(&code, &format!("tracing::{level}!")));
        }
        match path.as_str() {
            // Logged unchanged: `run` ends with them, or Ollama gave no answer.
            "src/run/error.rs" | "src/tsnet/error.rs" => levels[1].1.extend(errors(&code)),
            "src/proxy/refusal/failure.rs" => {
                levels[0].1.extend(errors(&code).into_iter().filter(|text| text.starts_with("Ollama")));
            }
            _ => {}
        }
    }
    levels
}

#[test]
fn every_log_message_is_documented() {
    let table = rows(section(LOG_MESSAGES, "What the log says"));
    for (level, messages) in messages() {
        assert!(messages.len() > 10, "{level}: {messages:?}");
        let documented: BTreeSet<String> = table
            .iter()
            .filter(|row| row[0] == level)
            .map(|row| row[1].replace("`` ", "").replace(" ``", "").replace('`', ""))
            .collect();
        let missing = messages.difference(&documented).cloned().collect();
        none(&format!("of level {level} in src/, not in docs/log-messages.md"), &missing);
        let gone = documented.difference(&messages).cloned().collect();
        none(&format!("of level {level} in docs/log-messages.md, not in src/"), &gone);
    }
    assert!(table.iter().all(|row| row.len() == 4 && row.iter().all(|cell| !cell.is_empty())));
}

#[test]
fn every_rule_is_documented() {
    let (_, part) = TROUBLESHOOTING.split_once("\n### An answer of the proxy's own\n").unwrap();
    let named: BTreeSet<String> = rows(part.split("\n#").next().unwrap())
        .iter()
        .flat_map(|row| quoted(row[1]).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let rules = Rule::ALL.iter().map(|rule| rule.name().to_owned()).collect::<BTreeSet<_>>();
    none("rules that docs/troubleshooting.md does not have", &rules.difference(&named).cloned().collect());
    none(
        "rules of docs/troubleshooting.md that src/ does not have",
        &named.difference(&rules).cloned().collect(),
    );
}

#[test]
fn every_exit_code_is_documented() {
    let codes = rows(section(TROUBLESHOOTING, "It does not start, or ends"));
    let documented: Vec<_> = codes.iter().map(|row| (row[0].to_owned(), row[1].to_owned())).collect();
    let table = exit::TABLE
        .iter()
        .map(|(code, meaning)| (format!("`{code}`"), meaning.trim().trim_end_matches('.').to_owned()));
    assert_eq!(documented, table.collect::<Vec<_>>());
}

#[test]
fn endpoints_that_clients_need_are_named_as_in_the_config() {
    let needed = rows(section(CLIENTS, "What each asks for"));
    assert!(needed.len() > 20);
    for row in needed {
        let known = |name: &&str, on| Endpoint::named(name).is_some_and(|e| e.default_on() == on);
        let wrong = |cell, on| quoted(cell).filter(|name| !known(name, on)).map(str::to_owned).collect();
        none(&format!("{}: not on by default", row[0]), &wrong(row[2], true));
        none(&format!("{}: not off by default", row[0]), &wrong(row[3], false));
    }
}

/// The short texts between backticks of a page, without its blocks of code.
fn words(page: &str) -> BTreeSet<&str> {
    let prose = page.split("\n```").step_by(2);
    let lines = prose.flat_map(str::lines).filter(|line| !line.starts_with("    "));
    lines.flat_map(quoted).collect()
}

#[test]
fn every_endpoint_that_clients_names_exists() {
    let endpoint = |word: &&&str| word.starts_with("v1_") || word.starts_with("api_");
    let words = words(CLIENTS);
    let named: BTreeSet<_> = words.iter().filter(endpoint).copied().collect();
    assert!(named.len() > 10, "{named:?}");
    let unknown = named.into_iter().filter(|name| Endpoint::named(name).is_none());
    none("endpoints of docs/clients.md that do not exist", &unknown.map(str::to_owned).collect());
    let example = CLIENTS.split("\n[endpoints]\n").nth(1).unwrap().split("```").next().unwrap();
    let keys = example.lines().filter_map(|line| line.strip_suffix(" = true"));
    let unknown = keys.filter(|key| Endpoint::named(key).is_none());
    none(
        "endpoints in the example of docs/clients.md that do not exist",
        &unknown.map(str::to_owned).collect(),
    );
}

#[test]
fn every_setting_that_clients_names_exists() {
    let file = |name: &str| [".toml", ".json", ".jsonl"].iter().any(|end| name.ends_with(end));
    let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let words = words(CLIENTS);
    let keys = words.iter().filter(|word| !file(word)).filter_map(|word| word.split_once('.'));
    let keys: Vec<_> = keys.filter(|(part, key)| plain(part) && plain(key)).collect();
    assert!(keys.len() > 2, "{keys:?}");
    let exists = |part: &str, key: &str| {
        CONFIGURATION.contains(&format!("\n## {part}\n"))
            && rows(section(CONFIGURATION, part)).iter().any(|row| row[0] == format!("`{key}`"))
    };
    let unknown = keys.into_iter().filter(|(part, key)| !exists(part, key));
    none(
        "settings of docs/clients.md that do not exist",
        &unknown.map(|(part, key)| format!("{part}.{key}")).collect(),
    );
}

/// The pages of this repository: path and text.
fn pages() -> Vec<(String, String)> {
    let folders = [
        "",
        "acl",
        "docs",
        "launchd",
        "packaging",
        "systemd",
        "tests/clients",
        "tests/ollama",
        "tests/tailnet",
    ];
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(root().join(folder)).unwrap());
    let paths = files.map(|file| file.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "md"));
    let page = |path: std::path::PathBuf| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        (name, std::fs::read_to_string(path).unwrap())
    };
    paths.map(page).collect()
}

#[test]
fn every_link_of_every_page_resolves() {
    let pages = pages();
    assert!(pages.len() > 20, "{} pages", pages.len());
    let mut wrong = BTreeSet::new();
    for (from, page) in &pages {
        for link in page.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.starts_with("https://") {
                continue;
            }
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            let from_path = root().join(from);
            let file = if path.is_empty() { from_path } else { from_path.parent().unwrap().join(path) };
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let mut headings = text.lines().filter(|line| line.starts_with('#'));
            let mut anchored =
                || headings.any(|line| anchor(line.trim_start_matches('#').trim()) == fragment);
            if !file.exists() || !fragment.is_empty() && !anchored() {
                wrong.insert(format!("{from}: {link}"));
            }
        }
    }
    none("links that lead nowhere", &wrong);
}

/// scripts/msrv.sh builds with it.
#[test]
fn oldest_rust_is_the_same_everywhere() {
    let oldest = env!("CARGO_PKG_RUST_VERSION");
    for (file, text) in [
        ("README.md", format!("[Rust](https://rustup.rs) {oldest} or newer")),
        ("docs/install.md", format!("[Rust](https://rustup.rs) {oldest} or newer")),
        ("CONTRIBUTING.md", format!("`rust-version` in Cargo.toml, {oldest}:")),
        ("fuzz/Cargo.toml", format!("rust-version = \"{oldest}\"")),
        ("benches/peers/Cargo.toml", format!("rust-version = \"{oldest}\"")),
    ] {
        let found = std::fs::read_to_string(root().join(file)).unwrap();
        assert!(found.contains(&text), "{file} does not say: {text}");
    }
}

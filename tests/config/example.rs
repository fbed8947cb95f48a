//! config.example.toml has every key with its default.

use std::collections::BTreeSet;

use remote_ollama_proxy::auth::Environment;
use remote_ollama_proxy::config::{self, Config, Override};
use remote_ollama_proxy::policy::Endpoint;

use crate::Home;

pub(crate) const EXAMPLE: &str = include_str!("../../config.example.toml");

/// Keys without a default, or with one that depends on the account. The file shows an example.
pub(crate) const EXAMPLES: [&str; 19] = [
    "access_log.file",
    "events.command",
    "log.file",
    "limits.requests_per_minute",
    "limits.requests_per_day",
    "limits.requests_per_week",
    "limits.requests_per_month",
    "limits.tokens_per_day",
    "limits.tokens_per_week",
    "limits.tokens_per_month",
    "models.allow",
    "models.preload",
    "metrics.port",
    "page.port",
    "node.state_dir",
    "node.auth_key_file",
    "node.client_secret_file",
    "node.control_url",
    "node.service",
];

/// The commented-out settings: the full name of the key, and the line without its `#`.
fn settings() -> Vec<(String, &'static str)> {
    let mut section = "";
    let mut settings = Vec::new();
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.strip_suffix(']').unwrap();
        } else if let Some(setting) =
            line.strip_prefix('#').filter(|s| s.starts_with(|c: char| c.is_alphabetic()))
        {
            let (key, _) = setting.split_once(" = ").unwrap_or_else(|| panic!("no setting: {line}"));
            settings.push((format!("{section}.{key}"), setting));
        } else {
            assert!(
                line.is_empty() || line == "#" || line.starts_with("# "),
                "neither text nor setting: {line}"
            );
        }
    }
    settings
}

/// The file with the settings that `choose` selects, without their `#`.
fn with(choose: impl Fn(&str) -> bool) -> String {
    let chosen: BTreeSet<_> = settings().into_iter().filter(|(key, _)| choose(key)).map(|(_, s)| s).collect();
    let line = |line: &'static str| match line.strip_prefix('#') {
        Some(setting) if chosen.contains(setting) => setting,
        _ => line,
    };
    EXAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn load(text: &str) -> Config {
    let home = Home::new();
    let state = Override { key: "node.state_dir", value: "/state".to_owned(), source: "test".to_owned() };
    let file = home.write("config.toml", text);
    config::load(Some(&file), &[state], &Environment::default()).unwrap_or_else(|faults| panic!("{faults}"))
}

#[test]
fn example_has_every_key_once() {
    let mut shown: Vec<_> = settings().into_iter().map(|(key, _)| key).collect();
    let mut known = config::keys();
    shown.sort();
    known.sort();
    assert_eq!(shown, known);
}

#[test]
fn example_changes_no_default() {
    assert_eq!(load(EXAMPLE), load(""));
}

#[test]
fn example_shows_the_defaults() {
    let all = with(|key| !EXAMPLES.contains(&key));
    assert!(all.contains("\nport = 11434\n"));
    assert_eq!(load(&all), load(""));
}

#[test]
fn example_values_without_a_default_are_valid() {
    let home = Home::new();
    for key in EXAMPLES {
        let tags = if key == "node.client_secret_file" { "node.tags = ['tag:a']\n" } else { "" };
        // Adds only the tags, since [node] must not be there twice.
        let text = with(|k| k == key).replace("[node]\n", &tags.replace("node.tags", "[node]\ntags"));
        let text = if tags.is_empty() { with(|k| k == key) } else { text };
        let file = home.write("config.toml", &text);
        let ended = home.run(&["check", "--config", file.to_str().unwrap()]);
        assert_eq!(ended.code, Some(0), "{key}: {}", ended.err);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn example_shows_the_default_state_folder() {
    let home = Home::new();
    let file = home.write("config.toml", &with(|key| key == "node.state_dir"));
    let shown = home.run(&["check", "--config", file.to_str().unwrap()]).out;
    let state = |out: &str| out.lines().find(|l| l.starts_with("node.state_dir")).unwrap().to_owned();
    assert_eq!(state(&shown), state(&home.run(&["check"]).out));
}

#[test]
fn example_shows_the_path_of_each_endpoint() {
    for endpoint in Endpoint::all() {
        let key = format!("endpoints.{}", endpoint.name());
        let (_, setting) = settings().into_iter().find(|(k, _)| *k == key).unwrap();
        let words: Vec<_> = setting.split([' ', ':']).filter(|word| !word.is_empty()).collect();
        let method = endpoint.methods()[0].as_str();
        assert!(words.windows(2).any(|w| w == [method, endpoint.path()]), "{setting}");
    }
}

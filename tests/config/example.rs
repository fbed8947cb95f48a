//! config.example.toml has every key that there is, with its default.

use std::collections::BTreeSet;

use remote_ollama_proxy::auth::Environment;
use remote_ollama_proxy::config::{self, Config, Override};
use remote_ollama_proxy::policy::Endpoint;

use crate::Home;

pub(crate) const EXAMPLE: &str = include_str!("../../config.example.toml");

/// Keys whose default is no value, or depends on the account; what the file shows is an example.
pub(crate) const EXAMPLES: [&str; 10] = [
    "log.file",
    "limits.requests_per_minute",
    "models.allow",
    "metrics.port",
    "page.port",
    "node.state_dir",
    "node.auth_key_file",
    "node.client_secret_file",
    "node.control_url",
    "node.service",
];

/// The settings that are commented out: the full name of the key, and the line without its `#`.
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

/// The file with `#` taken from the settings that `choose` wants.
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
fn every_key_is_in_it_once_and_no_other() {
    let mut shown: Vec<_> = settings().into_iter().map(|(key, _)| key).collect();
    let mut known = config::keys();
    shown.sort();
    known.sort();
    assert_eq!(shown, known);
}

#[test]
fn as_it_stands_it_says_nothing_new() {
    assert_eq!(load(EXAMPLE), load(""));
}

#[test]
fn what_it_shows_are_the_defaults() {
    let all = with(|key| !EXAMPLES.contains(&key));
    assert!(all.contains("\nport = 11434\n"));
    assert_eq!(load(&all), load(""));
}

#[test]
fn what_it_shows_for_keys_without_a_default_is_valid() {
    let home = Home::new();
    for key in EXAMPLES {
        let tags = if key == "node.client_secret_file" { "node.tags = ['tag:a']\n" } else { "" };
        // Only the tags are added, and [node] must not be there twice.
        let text = with(|k| k == key).replace("[node]\n", &tags.replace("node.tags", "[node]\ntags"));
        let text = if tags.is_empty() { with(|k| k == key) } else { text };
        let file = home.write("config.toml", &text);
        let ended = home.run(&["check", "--config", file.to_str().unwrap()]);
        assert_eq!(ended.code, Some(0), "{key}: {}", ended.err);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_state_folder_it_shows_is_the_default() {
    let home = Home::new();
    let file = home.write("config.toml", &with(|key| key == "node.state_dir"));
    let shown = home.run(&["check", "--config", file.to_str().unwrap()]).out;
    let state = |out: &str| out.lines().find(|l| l.starts_with("node.state_dir")).unwrap().to_owned();
    assert_eq!(state(&shown), state(&home.run(&["check"]).out));
}

#[test]
fn each_endpoint_is_shown_with_its_path() {
    for endpoint in Endpoint::all() {
        let key = format!("endpoints.{}", endpoint.name());
        let (_, setting) = settings().into_iter().find(|(k, _)| *k == key).unwrap();
        let words: Vec<_> = setting.split([' ', ':']).filter(|word| !word.is_empty()).collect();
        let method = endpoint.methods()[0].as_str();
        assert!(words.windows(2).any(|w| w == [method, endpoint.path()]), "{setting}");
    }
}

//! Every file in `valid/` with the output of `check`, and every file in `invalid/` with all of its faults. `{home}`
//! and `{state}` are the home folder and the default state folder; `{macos}` is whether this is macOS.

use std::path::{Path, PathBuf};

use crate::{Ended, Home};

#[test]
fn valid() {
    for file in files("valid") {
        let (ended, expected) = check(&file);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{}", file.display());
        assert_eq!(ended.out, expected, "{}", file.display());
    }
}

#[test]
fn invalid() {
    for file in files("invalid") {
        let (ended, expected) = check(&file);
        assert_eq!((ended.code, ended.out.as_str()), (Some(78), ""), "{}: {}", file.display(), ended.err);
        let n = expected.lines().count();
        let s = if n == 1 { "" } else { "s" };
        let end = format!("remote-ollama-proxy: {n} fault{s} in the config: nothing was done\n");
        assert_eq!(ended.err, expected + &end, "{}", file.display());
    }
}

/// `check` names every key of the config.
#[test]
fn check_lists_every_key() {
    let (ended, _) = check(&root().join("valid/everything.toml"));
    for key in remote_ollama_proxy::config::keys() {
        let listed = key.starts_with("endpoints.") || ended.out.contains(&format!("\n{key} "));
        assert!(listed, "{key} {}", ended.out);
    }
}

/// Each text belongs to a config; the other direction fails by itself.
#[test]
fn every_expected_text_has_its_fixture() {
    for folder in ["valid", "invalid"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            assert!(path.with_extension("toml").exists(), "{}", path.display());
        }
    }
}

fn check(file: &Path) -> (Ended, String) {
    let home = Home::new();
    let name = file.file_name().unwrap().to_str().unwrap();
    let mut command = home.command(&["check", "--config", name]);
    let ended = Ended::of(command.current_dir(file.parent().unwrap()));
    let text = file.with_extension("txt");
    let expected = std::fs::read_to_string(&text).unwrap_or_else(|e| panic!("{}: {e}", text.display()));
    let state = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/state" };
    let state = home.path().join(state).join("remote-ollama-proxy");
    let expected = expected.replace("{state}", state.to_str().unwrap());
    let expected = expected.replace("{macos}", &cfg!(target_os = "macos").to_string());
    (ended, expected.replace("{home}", home.path().to_str().unwrap()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config")
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    assert!(!files.is_empty(), "no files in {folder}");
    files
}

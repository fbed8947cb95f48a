//! docs/configuration.md is generated from config.example.toml and the faults of the config's parser. To generate it:
//! UPDATE=1 cargo test --no-default-features --test config reference

use std::fmt::Write;
use std::path::Path;

use remote_ollama_proxy::auth::Environment;
use remote_ollama_proxy::config;

use crate::Home;
use crate::example::{EXAMPLE, EXAMPLES};

const INTRO: &str = "# Configuration

Every setting, section by section. A test (`tests/config/reference.rs`) generates this page from
[config.example.toml](../config.example.toml) and from the program's own error messages.

";

/// A setting with its description.
struct Setting<'a> {
    key: &'a str,
    /// As TOML.
    value: &'a str,
    meaning: String,
}

/// The reason why `value` is refused; `None` if it is accepted.
fn refused(key: &str, value: &str) -> Option<String> {
    let home = Home::new();
    let file = home.write("config.toml", &format!("{key} = {value}\n"));
    let faults = config::load(Some(&file), &[], &Environment::default()).err()?;
    faults.faults.into_iter().find(|fault| fault.key == key).map(|fault| fault.reason)
}

/// What a setting takes, from the fault of a value of the right type that no setting accepts.
fn takes(key: &str, value: &str) -> String {
    let expected = |wrong| {
        let reason = refused(key, wrong).unwrap_or_else(|| panic!("{key} takes {wrong}"));
        let short = ["expected ", "want "].iter().find_map(|opening| reason.strip_prefix(opening));
        short.unwrap_or(&reason).to_owned()
    };
    match value.chars().next() {
        Some('t' | 'f') => "`true` or `false`".to_owned(),
        Some('[') => format!("a list; {}", expected("['_ ']")),
        Some('"') => expected("'_'"),
        _ => expected("-1"),
    }
}

fn default(key: &str, value: &str) -> String {
    // The default on macOS is in the description.
    if EXAMPLES.contains(&key) && key != "node.state_dir" {
        format!("none; for example `{value}`")
    } else {
        format!("`{value}`")
    }
}

/// A line's comment, without its marks.
fn comment(line: &str) -> Option<&str> {
    if line == "#" { Some("") } else { line.strip_prefix("# ") }
}

fn page() -> String {
    let (header, sections) = EXAMPLE.split_once("\n\n\n").unwrap();
    let mut page = INTRO.to_owned();
    // The file's title is not used.
    for line in header.lines().filter_map(comment).skip_while(|line| !line.is_empty()).skip(1) {
        // Writing to a String can't fail.
        let _ = writeln!(page, "{line}");
    }
    for text in sections.split("\n\n\n") {
        section(&mut page, text);
    }
    page
}

fn section(page: &mut String, text: &str) {
    let (intro, text) = text.split_once("\n[").unwrap();
    let (name, text) = text.split_once("]\n").unwrap();
    let intro: Vec<_> = intro.lines().filter_map(comment).collect();
    let _ = write!(page, "\n## {name}\n\n{}\n\n", intro.join("\n"));
    let _ = writeln!(page, "| key | default | takes | meaning |\n|---|---|---|---|");
    for block in text.trim().split("\n\n") {
        let above = block.lines().filter_map(comment).collect::<Vec<_>>().join(" ");
        let settings: Vec<Setting<'_>> = block
            .lines()
            .filter(|line| comment(line).is_none())
            .map(|line| {
                let (key, rest) = line[1..].split_once(" = ").unwrap();
                let (value, comment) = rest.split_once(" # ").unwrap_or((rest, ""));
                let comment = comment.split_whitespace().collect::<Vec<_>>().join(" ");
                Setting { key, value: value.trim(), meaning: comment }
            })
            .collect();
        let each_has_its_own = settings.iter().all(|setting| !setting.meaning.is_empty());
        if each_has_its_own {
            let _ = writeln!(page, "| **{above}** | | | |");
        }
        for (at, Setting { key, value, meaning }) in settings.iter().enumerate() {
            let full = format!("{name}.{key}");
            let meaning = match (each_has_its_own, at) {
                (true, _) => meaning.clone(),
                (false, 0) => above.clone(),
                (false, _) => format!("see `{}`", settings[0].key),
            };
            let cells = [format!("`{key}`"), default(&full, value), takes(&full, value), meaning];
            let cells = cells.map(|cell| cell.replace('|', "\\|"));
            let _ = writeln!(page, "| {} |", cells.join(" | "));
        }
    }
}

#[test]
fn reference_page_is_generated_from_the_example() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = page();
    for key in config::keys() {
        let (_, short) = key.split_once('.').unwrap();
        assert!(page.contains(&format!("\n| `{short}` | ")), "{key} is not in the page");
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == page,
        "docs/configuration.md is not what config.example.toml says: \
         UPDATE=1 cargo test --no-default-features --test config reference"
    );
}

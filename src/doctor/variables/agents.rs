//! Property lists of launchd (launchd.plist(5)). Only their XML form is read, which is that of Homebrew and of
//! `service install`.

use super::places::{Places, Setting, files, read};

pub(super) fn settings(places: &Places, variable: &str) -> Vec<Setting> {
    let folders = [
        places.home.join("Library/LaunchAgents"),
        places.root.join("Library/LaunchAgents"),
        places.root.join("Library/LaunchDaemons"),
    ];
    // launchd loads files of the same name from each folder.
    let is_list = |path: &std::path::Path| path.extension().is_some_and(|e| e == "plist");
    let all: Vec<_> = folders.into_iter().flat_map(|folder| files(&[folder], is_list)).collect();
    let of_ollama = |text: &str| text.contains("<string>serve</string>") && text.contains("ollama");
    all.into_iter()
        .filter_map(|path| match read(&path).map(|text| without_comments(&text)) {
            Ok(text) if !of_ollama(&text) => None,
            Ok(text) => Some(match value(&text, variable) {
                Some(value) => Setting::Value(path, value),
                None => Setting::Without(path),
            }),
            // In another form, or private to another account.
            Err(_) if path.to_string_lossy().contains("ollama") => Some(Setting::Unread(path)),
            Err(_) => None,
        })
        .collect()
}

/// The text outside of XML's comments.
fn without_comments(text: &str) -> String {
    let mut parts = text.split("<!--");
    let first = parts.next().unwrap_or_default().to_owned();
    first + &parts.map(|part| part.split_once("-->").map_or("", |(_, after)| after)).collect::<String>()
}

/// The string that follows the key.
fn value(text: &str, variable: &str) -> Option<String> {
    let (_, after) = text.split_once(&format!("<key>{variable}</key>"))?;
    let (value, _) = after.trim_start().strip_prefix("<string>")?.split_once("</string>")?;
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn agents_of_ollama_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let places =
            Places { root: dir.path().to_owned(), home: home.clone(), config_home: home.join(".config") };
        assert_eq!(settings(&places, "OLLAMA_DEBUG_LOG_REQUESTS"), []);
        let folder = home.join("Library/LaunchAgents");
        fs::create_dir_all(&folder).unwrap();
        let own = include_str!("../../../launchd/com.remote-ollama-proxy.ollama.plist");
        let file = folder.join("com.remote-ollama-proxy.ollama.plist");
        fs::write(&file, own).unwrap();
        fs::write(folder.join("other.plist"), "<string>serve</string>").unwrap();
        let value = |variable, value: &str| {
            assert_eq!(settings(&places, variable), [Setting::Value(file.clone(), value.to_owned())]);
        };
        value("OLLAMA_DEBUG_LOG_REQUESTS", "0");
        value("OLLAMA_NO_CLOUD", "1");
        assert_eq!(settings(&places, "OTHER"), [Setting::Without(file.clone())]);
        let commented =
            format!("<!-- <key>OTHER</key><string>0</string> -->{own}").replace("OLLAMA_NO_CLOUD", "OTHER");
        fs::write(&file, commented).unwrap();
        value("OTHER", "1");
        // The binary form.
        fs::write(&file, b"bplist00\xff").unwrap();
        assert_eq!(settings(&places, "OTHER"), [Setting::Unread(file)]);
    }
}

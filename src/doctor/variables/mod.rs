//! Where a variable of Ollama's environment is set for its next start: units of systemd, launchd's agents, launchd.

mod agents;
mod places;
mod units;

use super::ask::ask;
pub(super) use places::{Places, Setting};

/// Every setting of a variable in the files of service managers.
pub(super) fn settings(places: &Places, variable: &str) -> Vec<Setting> {
    let mut found = units::settings(places, variable);
    found.extend(agents::settings(places, variable));
    found
}

/// The value that launchd gives to the applications of this session, such as Ollama's; macOS only.
pub(super) fn of_launchd(variable: &str) -> Option<String> {
    if !cfg!(target_os = "macos") {
        return None;
    }
    let answer = ask("launchctl", &["getenv", variable]).ok()?;
    Some(answer.trim().to_owned()).filter(|value| !value.is_empty())
}

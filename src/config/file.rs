//! Finding and reading the config file.

use std::fs;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use super::checked::Config;
use super::fault::ConfigFaults;
use super::raw::{Origin, Override, Raw};
use crate::auth::Environment;

const NAME: &str = "remote-ollama-proxy";

/// Where the config is looked for unless somebody names another place: `config.toml` in
/// `~/.config/remote-ollama-proxy` (Linux) or `~/Library/Application Support/remote-ollama-proxy`
/// (macOS).
pub fn default_path() -> Option<PathBuf> {
    Some(dirs::config_dir()?.join(NAME).join("config.toml"))
}

fn default_state_dir() -> Option<PathBuf> {
    Some(dirs::state_dir().or_else(dirs::data_dir)?.join(NAME))
}

/// Loads the config from `path`, or from the default path, where a missing file means that
/// everything has its default; and what the node joins with from the files that the config names
/// or from `environment`.
///
/// # Errors
/// All faults at once.
pub fn load(
    path: Option<&Path>,
    overrides: &[Override],
    environment: &Environment,
) -> Result<Config, ConfigFaults> {
    let found = path.map(Path::to_owned).or_else(default_path);
    let source = found.as_ref().map_or_else(|| "config".to_owned(), |path| path.display().to_string());
    let read = match found.as_ref().map(fs::read_to_string) {
        None => Ok(String::new()),
        Some(Err(e)) if e.kind() == ErrorKind::NotFound && path.is_none() => Ok(String::new()),
        Some(read) => read,
    };
    let text = read.as_deref().unwrap_or_default();

    let mut raw = Raw::new(&source, text, overrides);
    if let Err(error) = &read {
        raw.fault(Origin::Nowhere, "", "", &unreadable(error));
    }
    // Of a file that can't be read nothing is known, so nothing is said about what it may lack.
    let unknown = (Some(PathBuf::from("/")), &Environment::default());
    let (state_dir, environment) = if raw.is_sound() { (default_state_dir(), environment) } else { unknown };
    let config = Config::read(&mut raw, state_dir, environment);
    let (faults, _) = raw.finish();
    if faults.is_empty() { Ok(config) } else { Err(ConfigFaults { faults }) }
}

/// The full name of every key that a config may set.
pub fn keys() -> Vec<String> {
    let mut raw = Raw::new("", "", &[]);
    Config::read(&mut raw, Some(PathBuf::from("/")), &Environment::default());
    raw.finish().1
}

fn unreadable(error: &Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => {
            "does not exist: name another file with --config, or none to have the defaults".to_owned()
        }
        ErrorKind::IsADirectory => "is a folder: name the file in it".to_owned(),
        ErrorKind::InvalidData => "is not text in UTF-8".to_owned(),
        _ => format!("can't be read: {error}"),
    }
}

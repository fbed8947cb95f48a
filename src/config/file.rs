//! Finds and reads the config file.

use std::fs;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use super::checked::Config;
use super::fault::ConfigFaults;
use super::raw::{Origin, Override, Raw};
use super::read;
use crate::auth::Environment;

const NAME: &str = "remote-ollama-proxy";

/// The default path of the config file: `config.toml` in `~/.config/remote-ollama-proxy` (Linux) or in
/// `~/Library/Application Support/remote-ollama-proxy` (macOS). `None` if the account has no home folder.
pub fn default_path() -> Option<PathBuf> {
    Some(dirs::config_dir()?.join(NAME).join("config.toml"))
}

fn default_state_dir() -> Option<PathBuf> {
    Some(dirs::state_dir().or_else(dirs::data_dir)?.join(NAME))
}

/// Where the config and the state folder are, unless they are named.
struct Defaults {
    config: Option<PathBuf>,
    state_dir: Option<PathBuf>,
}

impl Defaults {
    fn of_process() -> Defaults {
        Defaults { config: default_path(), state_dir: default_state_dir() }
    }

    /// Those of a service with these variables. Only Linux has variables for them.
    fn of_service(variable: impl Fn(&str) -> Option<PathBuf>) -> Defaults {
        if !cfg!(target_os = "linux") {
            return Defaults::of_process();
        }
        let folder = |name: &str, usual: &str| {
            // A relative path is ignored (XDG Base Directory Specification).
            let set = variable(name).filter(|path| path.is_absolute());
            Some(set.or_else(|| Some(dirs::home_dir()?.join(usual)))?.join(NAME))
        };
        Defaults {
            config: folder("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("config.toml")),
            state_dir: folder("XDG_STATE_HOME", ".local/state"),
        }
    }
}

/// Loads the config as a service does, which has these variables instead of those of this process.
///
/// # Errors
/// As for [`load`].
pub fn load_for_service(
    path: Option<&Path>,
    variable: impl Fn(&str) -> Option<PathBuf>,
) -> Result<Config, ConfigFaults> {
    load_with(path, &[], &Environment::default(), Defaults::of_service(variable))
}

/// Loads the config from `path`, or from the default path, where the file may be absent. Reads the node's
/// credential as well, from `environment` or from the files that the config names.
///
/// # Errors
/// All faults of the config.
pub fn load(
    path: Option<&Path>,
    overrides: &[Override],
    environment: &Environment,
) -> Result<Config, ConfigFaults> {
    load_with(path, overrides, environment, Defaults::of_process())
}

fn load_with(
    path: Option<&Path>,
    overrides: &[Override],
    environment: &Environment,
    defaults: Defaults,
) -> Result<Config, ConfigFaults> {
    let found = path.map(Path::to_owned).or(defaults.config);
    let source = found.as_ref().map_or_else(|| "config".to_owned(), |path| path.display().to_string());
    let read = match found.as_ref().map(fs::read_to_string) {
        None => Ok(String::new()),
        Some(Err(e)) if e.kind() == ErrorKind::NotFound && path.is_none() => Ok(String::new()),
        Some(read) => read,
    };
    let text = read.as_deref().unwrap_or_default();

    let mut raw = Raw::new(&source, text, overrides);
    if let Err(error) = &read {
        raw.fault(Origin::Missing, "", "", &unreadable(error));
    }
    // Settings of an unreadable file are unknown, so a missing state folder or credential is not reported then.
    let unknown = (Some(PathBuf::from("/")), &Environment::default());
    let (state_dir, environment) = if raw.is_valid() { (defaults.state_dir, environment) } else { unknown };
    let config = read::config(&mut raw, state_dir, environment);
    let (faults, _) = raw.finish();
    if faults.is_empty() { Ok(config) } else { Err(ConfigFaults { faults }) }
}

/// The full names of all keys that a config may set.
pub fn keys() -> Vec<String> {
    let mut raw = Raw::new("", "", &[]);
    read::config(&mut raw, Some(PathBuf::from("/")), &Environment::default());
    raw.finish().1
}

fn unreadable(error: &Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => {
            "does not exist: name another file with --config, or leave --config out to use the defaults"
                .to_owned()
        }
        ErrorKind::IsADirectory => "is a folder: name a file in it".to_owned(),
        ErrorKind::InvalidData => "is not UTF-8 text: save it as UTF-8".to_owned(),
        _ => format!("can't be read: {error}: make it readable for this account"),
    }
}

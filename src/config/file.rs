//! Finding and reading the config file, and what overrides it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::checked::Config;
use super::fault::{Fault, Faults};
use super::raw::{Field, Raw};

const NAME: &str = "remote-ollama-proxy";

/// Values from the command line or the environment; each goes before the file's.
#[derive(Debug, Default, Clone)]
pub struct Overrides {
    /// `node.hostname`
    pub hostname: Option<String>,
    /// `node.state_dir`
    pub state_dir: Option<String>,
    /// `node.control_url`
    pub control_url: Option<String>,
    /// `listen.port`
    pub port: Option<i64>,
    /// `upstream.url`
    pub upstream: Option<String>,
    /// `log.level`
    pub log: Option<String>,
}

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
/// everything has its default.
///
/// # Errors
/// All faults at once.
pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Config, Faults> {
    let found = path.map(Path::to_owned).or_else(default_path);
    let source = found.as_ref().map_or_else(|| "config".to_owned(), |p| p.display().to_string());
    let faults = |faults| Faults { source: source.clone(), faults };
    let whole = |reason: String| faults(vec![Fault { key: String::new(), value: String::new(), reason }]);

    let text = match found.as_ref().map(fs::read_to_string) {
        None => String::new(),
        Some(Ok(text)) => text,
        Some(Err(e)) if e.kind() == ErrorKind::NotFound && path.is_none() => String::new(),
        Some(Err(e)) => return Err(whole(format!("can't be read: {e}"))),
    };
    let mut raw: Raw = toml::from_str(&text).map_err(|e| whole(syntax(&text, &e)))?;
    overrides.apply(&mut raw);
    Config::check(raw, default_state_dir()).map_err(faults)
}

fn syntax(text: &str, e: &toml::de::Error) -> String {
    let at = e.span().map_or(0, |span| span.start).min(text.len());
    let line = text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
    format!("line {line}: {}", e.message().replace('\n', ": "))
}

impl Overrides {
    fn apply(&self, raw: &mut Raw) {
        fn put<T: Clone>(field: &mut Field<T>, value: &Option<T>) {
            if let Some(value) = value {
                *field = Field::Given(value.clone());
            }
        }
        fn within<T: Default>(field: &mut Field<T>, change: impl FnOnce(&mut T)) {
            match field {
                Field::Given(section) => change(section),
                Field::Absent => {
                    let mut section = T::default();
                    change(&mut section);
                    *field = Field::Given(section);
                }
                Field::Wrong { .. } => {} // is told anyway
            }
        }
        within(&mut raw.node, |node| {
            put(&mut node.hostname, &self.hostname);
            put(&mut node.state_dir, &self.state_dir);
            put(&mut node.control_url, &self.control_url);
        });
        within(&mut raw.listen, |listen| put(&mut listen.port, &self.port));
        within(&mut raw.upstream, |upstream| put(&mut upstream.url, &self.upstream));
        within(&mut raw.log, |log| put(&mut log.level, &self.log));
    }
}

//! The auth key: where it is looked for, in which order, and that nobody else can read it.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::{NodeConfig, Secret};

/// The environment variable, the one that Tailscale's own programs read.
pub const ENV: &str = "TS_AUTHKEY";

/// What was found. A node that is enrolled already needs no key.
#[derive(Debug)]
pub enum Found {
    /// A key from the environment.
    Environment(Secret),
    /// A key from a file.
    File(PathBuf, Secret),
    /// The file that the config names is gone; an enrolled node runs without.
    NoFile(PathBuf),
    /// Neither is set.
    Nothing,
}

impl Found {
    /// The key.
    pub fn key(&self) -> Option<&Secret> {
        match self {
            Found::Environment(key) | Found::File(_, key) => Some(key),
            Found::NoFile(_) | Found::Nothing => None,
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Found::Environment(key) => write!(f, "{key} from {ENV}"),
            Found::File(path, key) => write!(f, "{key} from {}", path.display()),
            Found::NoFile(path) => {
                write!(f, "none: {} does not exist; only an enrolled node starts", path.display())
            }
            Found::Nothing => write!(f, "none: only an enrolled node starts"),
        }
    }
}

/// Why a key file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// Not readable.
    #[error("{path} can't be read: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        reason: std::io::Error,
    },
    /// Others may read or write it.
    #[error("{path} has mode {mode:04o}, so others can read the key: chmod 600 {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Empty, or more than one line.
    #[error("{0} must hold one line with the key, and nothing else")]
    Content(PathBuf),
}

/// Looks for the auth key: `TS_AUTHKEY`, then the config's `node.auth_key_file`.
///
/// # Errors
/// The file is there and can't be used.
pub fn key(node: &NodeConfig) -> Result<Found, KeyFault> {
    if let Some(key) = std::env::var(ENV).ok().filter(|key| !key.trim().is_empty()) {
        return Ok(Found::Environment(Secret::new(key.trim().to_owned())));
    }
    match &node.auth_key_file {
        None => Ok(Found::Nothing),
        Some(path) => read(path),
    }
}

fn read(path: &Path) -> Result<Found, KeyFault> {
    let unreadable = |reason| KeyFault::Unreadable { path: path.to_owned(), reason };
    let meta = match fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Found::NoFile(path.to_owned())),
        other => other.map_err(unreadable)?,
    };
    let mode = meta.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFault::Open { path: path.to_owned(), mode });
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let key = text.trim();
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err(KeyFault::Content(path.to_owned()));
    }
    Ok(Found::File(path.to_owned(), Secret::new(key.to_owned())))
}

//! What is wrong with a config.

use std::fmt;

use crate::secret;

/// One fault: where, which key, what it was set to, and why that won't do. Nothing in it shows a
/// secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where the value was written: a file with its line, a flag, or an environment variable.
    pub source: String,
    /// The key's full name, for example `upstream.url`; empty for the source as a whole.
    pub key: String,
    /// The value as it was written, or empty where the key itself is the fault.
    pub value: String,
    /// The reason and the way out.
    pub reason: String,
}

impl Fault {
    /// A value that won't do, written as TOML.
    pub(super) fn new(source: &str, key: &str, value: &str, reason: &str) -> Fault {
        Fault {
            source: secret::scrub(source),
            key: secret::scrub(key),
            value: secret::printable(key, value),
            reason: secret::proper_place(value).map_or_else(|| secret::scrub(reason), str::to_owned),
        }
    }

    /// A key that nobody knows. Its value is not shown: nothing says that it is no secret.
    pub(super) fn unknown(source: &str, key: &str, value: &str, reason: &str) -> Fault {
        let place = secret::proper_place(value).map(|place| format!("; {place}")).unwrap_or_default();
        Fault::new(source, key, "", &format!("{reason}{place}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { source, key, value, reason } = self;
        match (key.as_str(), value.as_str()) {
            ("", _) => write!(f, "{source}: {reason}"),
            (key, "") => write!(f, "{source}: {key}: {reason}"),
            (key, value) => write!(f, "{source}: {key} = {value}: {reason}"),
        }
    }
}

/// All the faults of one config, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// At least one.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

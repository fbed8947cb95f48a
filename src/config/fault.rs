//! What is wrong with a config.

use std::fmt;

use crate::secret;

/// One fault of a config: its place, key, value and reason. Secrets in it are redacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFault {
    /// Where the value was written: a file with its line, a flag, or an environment variable.
    pub source: String,
    /// The key's full name, for example `upstream.url`; empty if the fault is about the whole source.
    pub key: String,
    /// The value as it was written; empty if the key itself is the fault.
    pub value: String,
    /// The reason and the way out.
    pub reason: String,
}

impl ConfigFault {
    /// A fault of a value, which is written as TOML.
    pub(super) fn new(source: &str, key: &str, value: &str, reason: &str) -> ConfigFault {
        ConfigFault {
            source: secret::scrub(source),
            key: secret::scrub(key),
            value: secret::printable(key, value),
            reason: secret::proper_place(value).map_or_else(|| secret::scrub(reason), str::to_owned),
        }
    }

    /// An unknown key. Its value may be a secret, so it is not shown.
    pub(super) fn unknown(source: &str, key: &str, value: &str, reason: &str) -> ConfigFault {
        let hint = secret::proper_place(value).map(|hint| format!("; {hint}")).unwrap_or_default();
        ConfigFault::new(source, key, "", &format!("{reason}{hint}"))
    }
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigFault { source, key, value, reason } = self;
        match (key.as_str(), value.as_str()) {
            ("", _) => write!(f, "{source}: {reason}"),
            (key, "") => write!(f, "{source}: {key}: {reason}"),
            (key, value) => write!(f, "{source}: {key} = {value}: {reason}"),
        }
    }
}

/// All faults of one config, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFaults {
    /// At least one.
    pub faults: Vec<ConfigFault>,
}

impl fmt::Display for ConfigFaults {
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

impl std::error::Error for ConfigFaults {}

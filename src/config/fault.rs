//! What is wrong with a config.

use std::fmt;

/// One fault: which key, what it was set to, and why that won't do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key's full name, for example `upstream.url`; empty for the file as a whole.
    pub key: String,
    /// The value as written, or empty where the key itself is the fault.
    pub value: String,
    /// The reason and the way out.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.as_str(), self.value.as_str()) {
            ("", _) => write!(f, "{}", self.reason),
            (key, "") => write!(f, "{key}: {}", self.reason),
            (key, value) => write!(f, "{key} = {value}: {}", self.reason),
        }
    }
}

/// All the faults of one config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// Where the values came from: a path, or what stands for it.
    pub source: String,
    /// At least one.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{}: {fault}", self.source)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

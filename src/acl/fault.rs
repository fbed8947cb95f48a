//! Faults of a policy file.

use std::fmt;

use serde::Serialize;

/// One fault: where, which key, its value, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileFault {
    /// The line of the file, from 1.
    pub line: usize,
    /// The path of the value, such as `grants[2].src[0]`; empty for the file as a whole.
    pub key: String,
    /// The value as JSON, shortened; empty if the key is the fault.
    pub value: String,
    /// The reason and the way out.
    pub reason: String,
}

/// The longest value that is shown in full, in characters.
const VALUE_MAX: usize = 60;

impl FileFault {
    pub(super) fn new(line: usize, key: &str, value: &str, reason: impl Into<String>) -> FileFault {
        let mut shown: String = value.chars().take(VALUE_MAX).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        FileFault { line, key: key.to_owned(), value: shown, reason: reason.into() }
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FileFault { line, key, value, reason } = self;
        match (key.as_str(), value.as_str()) {
            ("", _) => write!(f, "line {line}: {reason}"),
            (key, "") => write!(f, "line {line}: {key}: {reason}"),
            (key, value) => write!(f, "line {line}: {key} = {value}: {reason}"),
        }
    }
}

/// All the faults of one policy file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct FileFaults(
    /// At least one.
    pub Vec<FileFault>,
);

impl fmt::Display for FileFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(FileFault::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for FileFaults {}

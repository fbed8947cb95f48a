//! The place of a rule in the file.

use std::fmt;

use serde::{Serialize, Serializer};

/// The entry of the file that a rule comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// `grants` or `acls`.
    pub section: &'static str,
    /// Which entry of the section, from 0.
    pub index: usize,
    /// The line where the entry begins, from 1.
    pub line: usize,
}

impl fmt::Display for Origin {
    /// `grants[2] (line 41)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}] (line {})", self.section, self.index, self.line)
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = format!("{}[{}]", self.section, self.index);
        serde_json::json!({"entry": entry, "line": self.line}).serialize(serializer)
    }
}

//! The kinds of warnings about a valid policy file.

use std::fmt;

use serde::Serialize;

use super::origin::Origin;

/// One warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The kind.
    pub kind: WarningKind,
    /// The line of the file, from 1; `None` if it is about the whole file.
    pub line: Option<usize>,
    /// The problem, and what to do.
    pub text: String,
}

/// The kinds of warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// A source, or several together, include every device of the tailnet.
    #[serde(rename = "anybody")]
    WholeTailnet,
    /// A source is wider than tags, groups and named users.
    WideSource,
    /// More ports of the node are open than it needs.
    OtherPorts,
    /// The node itself may connect to others.
    ReachesOthers,
    /// The node's tag is not in `tagOwners`.
    TagWithoutOwner,
    /// A source is a subnet. The proxy refuses its clients.
    SubnetSource,
    /// An entry names no source or no destination.
    GrantsNothing,
    /// A source of a test may have no device. Headscale refuses such a file.
    TestNeedsDevice,
    /// A source has a capability but can't connect.
    CapabilityWithoutNetwork,
    /// A value of the capability is invalid, so it grants nothing.
    InvalidValue,
    /// A capability is similar to the node's, but another one.
    UnknownCapability,
    /// A rule names an empty group or IP set.
    EmptyGroup,
    /// No device can connect to the node.
    #[serde(rename = "nobody")]
    Unreachable,
    /// The file has no tests.
    NoTests,
    /// A part of the file was not evaluated.
    NotJudged,
}

impl Warning {
    pub(super) fn new(kind: WarningKind, line: usize, text: String) -> Warning {
        Warning { kind, line: Some(line), text }
    }

    pub(super) fn at(kind: WarningKind, origin: Origin, text: &str) -> Warning {
        Warning::new(kind, origin.line, format!("{}[{}]: {text}", origin.section, origin.index))
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

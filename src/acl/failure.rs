//! Running the file's own `tests`.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::answer::Answer;
use super::expectation::Expectation;
use super::policy::PolicyFile;

/// An expectation of the file's own tests that is not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The line of the destination, from 1.
    pub line: usize,
    /// Such as `tests[0].deny[1]`.
    pub key: String,
    /// Whether the failure is certain.
    pub verdict: TestVerdict,
    /// What fails, and why.
    pub reason: String,
}

/// How certain a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TestVerdict {
    /// The test fails.
    Fails,
    /// The file alone does not decide it.
    CantTell,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { line, key, verdict, reason } = self;
        let verdict = match verdict {
            TestVerdict::Fails => "fails",
            TestVerdict::CantTell => "can't tell",
        };
        write!(f, "line {line}: {key}: {verdict}: {reason}")
    }
}

impl Expectation {
    fn failure(&self, policy: &PolicyFile) -> Option<Failure> {
        let mut unsure = Vec::new();
        let mut failed = None;
        for src in &self.sources {
            for dst in &self.targets {
                let over = |protocol: &u8| policy.admits(src, dst, *protocol, self.port);
                match (Answer::any(self.protocols.iter().map(over)), self.accept) {
                    (Answer::Yes, true) | (Answer::No, false) => {}
                    (Answer::Yes, false) => failed = Some(format!("{src} reaches {dst}, and must not")),
                    (Answer::No, true) => failed = Some(format!("{src} does not reach {dst}, and must")),
                    (Answer::Perhaps(reasons), _) => unsure.extend(reasons),
                }
            }
        }
        if self.unknown {
            unsure.push("the file does not say which devices that is".to_owned());
        }
        let (verdict, reason) = match failed {
            Some(reason) => (TestVerdict::Fails, reason),
            None if unsure.is_empty() => return None,
            None => (TestVerdict::CantTell, unsure.join("; ")),
        };
        let reason = format!("{}: {reason}", self.text);
        Some(Failure { line: self.line, key: self.key.clone(), verdict, reason })
    }
}

impl PolicyFile {
    /// Runs the file's own tests.
    pub fn failures(&self) -> Vec<Failure> {
        self.expectations.iter().filter_map(|expectation| expectation.failure(self)).collect()
    }

    /// The sources that the file's own tests name, without repetition.
    pub(super) fn tested_sources(&self) -> Vec<&str> {
        let sources: BTreeSet<_> = self.expectations.iter().map(|expectation| &*expectation.source).collect();
        sources.into_iter().collect()
    }

    /// How many destinations the file's own tests name.
    pub fn expectations(&self) -> usize {
        self.expectations.len()
    }
}

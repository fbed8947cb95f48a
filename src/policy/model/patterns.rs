//! Sets of models, by patterns of their names.
//!
//! Matching is by hand: a glob crate brings a regular-expression engine and more syntax than `*`.

use std::sync::Arc;

use super::{HOST, Model, without_defaults};

/// A set of models, by patterns. A `*` stands for any characters but `/`; alone it is every model. A pattern must match the
/// canonical name with its tag or, if the tag is `latest`, without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Models(Arc<[String]>);

const WANT: &str = "want a model's name, with * for any characters but /, such as \"qwen*\", \"gemma3:4b\" or \"hf.co/someone/*\"";

impl Models {
    /// The models that match one of the patterns, which come from [`pattern`](Models::pattern).
    pub fn of(mut patterns: Vec<String>) -> Models {
        patterns.sort();
        patterns.dedup();
        Models(patterns.into())
    }

    /// Parses one pattern, such as `qwen*`, `gemma3:4b` or `hf.co/someone/*`.
    ///
    /// # Errors
    /// No model's name can match it.
    pub fn pattern(text: &str) -> Result<String, String> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/*".contains(&b);
        let lower = text.to_ascii_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        let short = match parts[..] {
            [model] => model.to_owned(),
            [namespace, model] => without_defaults(HOST, namespace, model),
            [host, namespace, model] => without_defaults(host, namespace, model),
            _ => String::new(),
        };
        if parts.iter().any(|p| p.is_empty())
            || !lower.bytes().all(is_allowed)
            || lower.len() > 600
            || short.is_empty()
        {
            return Err(WANT.to_owned());
        }
        Ok(short)
    }

    /// The patterns, in order.
    pub fn patterns(&self) -> &[String] {
        &self.0
    }

    /// Whether a model matches one of the patterns.
    pub fn contains(&self, model: &Model) -> bool {
        let whole = model.name.as_bytes();
        let short = whole.strip_suffix(b":latest");
        self.0.iter().map(String::as_bytes).any(|pattern| {
            pattern == b"*" || matches(pattern, whole) || short.is_some_and(|short| matches(pattern, short))
        })
    }

    /// The models of both sets.
    #[must_use]
    pub fn union(&self, other: &Models) -> Models {
        Models::of(self.0.iter().chain(&*other.0).cloned().collect())
    }
}

/// Whether the pattern matches the text. On a mismatch the last `*` takes one more character; earlier ones never need to.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(b) if *b == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) if text[taken] != b'/' => {
                    star = Some((at, taken + 1));
                    (p, t) = (at + 1, taken + 1);
                }
                _ => return false,
            },
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_canonical_names() {
        let of =
            |patterns: &[&str]| Models::of(patterns.iter().map(|p| Models::pattern(p).unwrap()).collect());
        for (pattern, yes, no) in [
            (
                "qwen*",
                &["qwen3", "qwen3:8b", "QWEN2.5-coder:7b", "qwen:cloud"][..],
                &["aqwen", "someone/qwen3", "qwen/x"][..],
            ),
            (
                "qwen3",
                &["qwen3", "qwen3:latest"],
                &["qwen3:8b", "qwen33", "qwen3:cloud", "qwen3:latest-cloud"],
            ),
            ("qwen3:*", &["qwen3", "qwen3:8b", "qwen3:cloud"], &["qwen33"]),
            ("*:8b", &["qwen3:8b"], &["qwen3:8b-cloud", "qwen3:8b:cloud", "x/qwen3:8b"]),
            ("q*n*3", &["qwen3", "qwen33"], &["qwen3:8b", "qwen"]),
            ("Library/Qwen3", &["qwen3"], &["someone/qwen3"]),
            ("registry.ollama.ai/library/q*", &["qwen3"], &["a"]),
            ("someone/*", &["someone/a:b"], &["someoneelse/a", "a", "hf.co/someone/a"]),
            ("hf.co/*/*", &["hf.co/a/b:c"], &["a/b", "a", "xhf.co/a/b"]),
            ("*", &["a", "a/b", "h/a/b:c", "a:cloud"], &[]),
            ("**", &["a"], &["a/b"]),
        ] {
            let models = of(&[pattern]);
            yes.iter().for_each(|m| assert!(models.contains(&Model::parse(m).unwrap()), "{pattern} {m}"));
            no.iter().for_each(|m| assert!(!models.contains(&Model::parse(m).unwrap()), "{pattern} {m}"));
        }
        for bad in ["", "a b", "a/b/c/d", "/a", "a/", "http://h/a/b", "a?", "[a]", "ä", "a\n"] {
            assert!(Models::pattern(bad).is_err(), "{bad:?}");
        }
        assert_eq!(of(&["b", "a", "B"]).patterns(), ["a", "b"]);
    }

    proptest! {
        #[test]
        fn matching_agrees_with_a_naive_matcher(pattern in "[ab/*]{0,8}", text in "[ab/]{0,8}") {
            fn plain(pattern: &[u8], text: &[u8]) -> bool {
                match (pattern, text) {
                    ([], text) => text.is_empty(),
                    ([b'*', rest @ ..], text) => plain(rest, text)
                        || text.first().is_some_and(|b| *b != b'/') && plain(pattern, &text[1..]),
                    ([p, rest @ ..], [t, text @ ..]) => p == t && plain(rest, text),
                    _ => false,
                }
            }
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), plain(pattern.as_bytes(), text.as_bytes()));
        }
    }
}

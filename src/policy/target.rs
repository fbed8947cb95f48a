//! The request target. It is compared byte for byte: never decoded, cleaned or completed.
//!
//! Ollama's router cleans the path and matches its decoded form, so `/api%2fpull` and `/v1/../api/pull` would reach
//! `/api/pull` there. The proxy refuses every target that Ollama could read as another one.

/// An origin-form target (RFC 9112, 3.2.1) that has only one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// The path, which begins with `/`.
    pub path: &'a str,
    /// What follows `?`. Only its characters are checked.
    pub query: Option<&'a str>,
}

/// Why a target is refused before it is compared with the endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    /// Absolute-form, authority-form or `*`.
    #[error("the target is not a path that starts with /")]
    NotAPath,
    /// `//`, `/./` or `/../`.
    #[error("the path has an empty or dot segment")]
    Segment,
    /// A percent-encoded byte other than `%3A` in a model's name.
    #[error("the path has a percent-encoded character")]
    Encoded,
    /// A byte that needs encoding, such as `\`, a control byte or one beyond ASCII.
    #[error("the path or query has a character that URLs do not allow")]
    Character,
}

impl<'a> Target<'a> {
    /// Parses path and query.
    ///
    /// # Errors
    /// See [`TargetFault`].
    pub fn parse(raw: &'a str) -> Result<Self, TargetFault> {
        if !raw.starts_with('/') {
            return Err(TargetFault::NotAPath);
        }
        let (path, query) = match raw.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (raw, None),
        };
        if query.is_some_and(|q| !q.bytes().all(is_query)) || !path.bytes().all(is_path) {
            return Err(TargetFault::Character);
        }
        if !only_colons_encoded(path) {
            return Err(TargetFault::Encoded);
        }
        let inner = path[1..].strip_suffix('/').unwrap_or(&path[1..]);
        if path != "/" && inner.split('/').any(|s| matches!(s, "" | "." | "..")) {
            return Err(TargetFault::Segment);
        }
        Ok(Target { path, query })
    }
}

/// Whether a path segment can be a model's name: letters, digits, `.`, `_`, `-`, `:` and `%3A`.
///
/// Source: Ollama's `types/model/name.go` for the characters. A name with a `/` has no spelling on this route, as Ollama
/// answers 404 to `%2F`.
pub(super) fn is_model(segment: &str) -> bool {
    let mut rest = segment;
    while let Some(first) = rest.bytes().next() {
        match first {
            b'%' if encodes_colon(rest) => rest = &rest[3..],
            b'.' | b'_' | b'-' | b':' => rest = &rest[1..],
            _ if first.is_ascii_alphanumeric() => rest = &rest[1..],
            _ => return false,
        }
    }
    !segment.is_empty() && segment != "." && segment != ".."
}

fn only_colons_encoded(path: &str) -> bool {
    path.match_indices('%').all(|(at, _)| encodes_colon(&path[at..]))
}

fn encodes_colon(text: &str) -> bool {
    text.get(..3).is_some_and(|t| t.eq_ignore_ascii_case("%3A"))
}

/// Bytes of a path (RFC 3986: pchar and `/`).
fn is_path(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&b)
}

/// Bytes of a query (RFC 3986, 3.4), and a few that clients send without encoding them.
fn is_query(b: u8) -> bool {
    is_path(b) || b"?[]|^{}`".contains(&b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_paths_are_accepted() {
        for path in ["/", "/api/tags", "/v1/models/llama3.2:1b", "/v1/models/a%3Ab", "/v1/models/a%3ab"] {
            assert_eq!(Target::parse(path), Ok(Target { path, query: None }));
        }
        assert_eq!(
            Target::parse("/v1/messages?beta=true&x=%20"),
            Ok(Target { path: "/v1/messages", query: Some("beta=true&x=%20") })
        );
    }

    #[test]
    fn ambiguous_targets_are_refused() {
        use TargetFault::*;
        for (raw, fault) in [
            ("", NotAPath),
            ("*", NotAPath),
            ("api/tags", NotAPath),
            ("http://x/api/tags", NotAPath),
            ("x:443", NotAPath),
            ("//api/tags", Segment),
            ("/api//tags", Segment),
            ("/api/./tags", Segment),
            ("/api/../tags", Segment),
            ("/v1/models/..", Segment),
            ("/v1/models/.", Segment),
            ("/api/tags//", Segment),
            ("//", Segment),
            ("/api%2fpull", Encoded),
            ("/%61pi/pull", Encoded),
            ("/api/tags%", Encoded),
            ("/api/tags%3", Encoded),
            ("/api/tags%00", Encoded),
            ("/api\\tags", Character),
            ("/api/tags\u{e9}", Character),
            ("/api/tags\t", Character),
            ("/api/tags#x", Character),
            ("/api/tags?a#x", Character),
            ("/api/tags?\u{7f}", Character),
            ("/api/tags?\"", Character),
        ] {
            assert_eq!(Target::parse(raw), Err(fault), "{raw:?}");
        }
    }

    #[test]
    fn model_names_have_only_their_characters() {
        for good in ["a", "llama3.2:1b", "a%3Ab", "A_b-c.d", "..a", "a.."] {
            assert!(is_model(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a%2Fb", "a%", "a b", "a@b", "é", "a%3", "a?b"] {
            assert!(!is_model(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_target_causes_a_panic_or_is_changed(raw in "\\PC{0,60}") {
            if let Ok(target) = Target::parse(&raw) {
                let again = match target.query {
                    Some(query) => format!("{}?{query}", target.path),
                    None => target.path.to_owned(),
                };
                prop_assert_eq!(again, raw);
            }
        }

        #[test]
        fn accepted_paths_are_already_clean(raw in "/[a-z./%:A-F0-9]{0,20}") {
            if let Ok(target) = Target::parse(&raw) {
                prop_assert!(!target.path.contains("//"));
                prop_assert!(!target.path.split('/').any(|s| s == "." || s == ".."));
            }
        }
    }
}

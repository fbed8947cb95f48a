//! The endpoint that a client with a wrong base URL meant.

use std::fmt;

use super::endpoint::Endpoint;

/// The path of an endpoint, and how to change the client's base URL to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    path: String,
    change: Change,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    AddV1,
    RemoveV1,
    OneV1,
    Slashes,
}

/// The longest path that a hint repeats, in bytes.
const SHOWN_MAX: usize = 100;

impl Hint {
    /// The endpoint's path that `path` becomes by adding `/v1`, or by removing `/v1` or slashes.
    pub(super) fn of(path: &str) -> Option<Hint> {
        let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
        let times = segments.iter().take_while(|s| **s == "v1").count();
        let bare = segments.get(times..).filter(|rest| !rest.is_empty())?.join("/");
        let (with, without) = (format!("/v1/{bare}"), format!("/{bare}"));
        let known = |path: &String| path.len() <= SHOWN_MAX && Endpoint::at(path).is_some();
        if known(&with) {
            let change = match times {
                0 => Change::AddV1,
                1 => Change::Slashes,
                _ => Change::OneV1,
            };
            Some(Hint { path: with, change })
        } else if known(&without) {
            let change = if times == 0 { Change::Slashes } else { Change::RemoveV1 };
            Some(Hint { path: without, change })
        } else {
            None
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.change {
            Change::AddV1 => "the base URL must end in /v1",
            Change::RemoveV1 => "the base URL must not end in /v1",
            Change::OneV1 => "the base URL has one /v1 too many",
            Change::Slashes => "the path has one slash too many",
        })?;
        write!(f, ": use {}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_base_url_gets_a_hint() {
        for (path, hint) in [
            ("/chat/completions", "the base URL must end in /v1: use /v1/chat/completions"),
            ("/chat/completions/", "the base URL must end in /v1: use /v1/chat/completions"),
            ("//chat/completions", "the base URL must end in /v1: use /v1/chat/completions"),
            ("/responses", "the base URL must end in /v1: use /v1/responses"),
            ("/completions", "the base URL must end in /v1: use /v1/completions"),
            ("/embeddings", "the base URL must end in /v1: use /v1/embeddings"),
            ("/models", "the base URL must end in /v1: use /v1/models"),
            ("/models/a%3Ab", "the base URL must end in /v1: use /v1/models/a%3Ab"),
            ("/messages", "the base URL must end in /v1: use /v1/messages"),
            ("/audio/transcriptions", "the base URL must end in /v1: use /v1/audio/transcriptions"),
            ("/images/edits/", "the base URL must end in /v1: use /v1/images/edits"),
            ("/v1/v1/images/generations", "the base URL has one /v1 too many: use /v1/images/generations"),
            ("/v1/responses/compact/", "the path has one slash too many: use /v1/responses/compact"),
            ("/v1/v1/messages", "the base URL has one /v1 too many: use /v1/messages"),
            ("/v1/v1/chat/completions", "the base URL has one /v1 too many: use /v1/chat/completions"),
            ("/v1//v1/chat/completions/", "the base URL has one /v1 too many: use /v1/chat/completions"),
            ("/v1/api/tags", "the base URL must not end in /v1: use /api/tags"),
            ("/v1/v1/api/chat", "the base URL must not end in /v1: use /api/chat"),
            ("/v1/chat/completions/", "the path has one slash too many: use /v1/chat/completions"),
            ("/v1//chat/completions", "the path has one slash too many: use /v1/chat/completions"),
            ("//v1/chat/completions", "the path has one slash too many: use /v1/chat/completions"),
            ("/v1/models/", "the path has one slash too many: use /v1/models"),
            ("/api/tags/", "the path has one slash too many: use /api/tags"),
            ("//api/tags", "the path has one slash too many: use /api/tags"),
        ] {
            assert_eq!(Hint::of(path).unwrap().to_string(), hint, "{path}");
        }
    }

    #[test]
    fn other_paths_get_no_hint() {
        let long = format!("/models/{}", "x".repeat(SHOWN_MAX));
        for path in [
            "",
            "/",
            "//",
            "/v1",
            "/v1/",
            "/v1/v1/",
            "/api/pull/",
            "/v1/api/pull",
            "/v1/files",
            "/./models",
            "/v1/../models",
            "/models/..",
            "/models/%2e",
            "/models/a b",
            "/chat",
            &long,
        ] {
            assert_eq!(Hint::of(path), None, "{path}");
        }
    }
}

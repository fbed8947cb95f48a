//! What a client with a wrong base URL meant to ask for.

use std::fmt;

use super::endpoint::Endpoint;

/// A path that is known here, and what has to change for a client to ask for it.
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

/// The most characters of a path that are repeated.
const SHOWN_MAX: usize = 100;

impl Hint {
    /// The known path that `path` becomes when `/v1` or slashes are removed, or `/v1` is added.
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
        write!(f, ": ask {}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_base_url_is_told_the_path_to_ask_for() {
        for (path, told) in [
            ("/chat/completions", "the base URL must end in /v1: ask /v1/chat/completions"),
            ("/chat/completions/", "the base URL must end in /v1: ask /v1/chat/completions"),
            ("//chat/completions", "the base URL must end in /v1: ask /v1/chat/completions"),
            ("/responses", "the base URL must end in /v1: ask /v1/responses"),
            ("/completions", "the base URL must end in /v1: ask /v1/completions"),
            ("/embeddings", "the base URL must end in /v1: ask /v1/embeddings"),
            ("/models", "the base URL must end in /v1: ask /v1/models"),
            ("/models/a%3Ab", "the base URL must end in /v1: ask /v1/models/a%3Ab"),
            ("/messages", "the base URL must end in /v1: ask /v1/messages"),
            ("/v1/v1/messages", "the base URL has one /v1 too many: ask /v1/messages"),
            ("/v1/v1/chat/completions", "the base URL has one /v1 too many: ask /v1/chat/completions"),
            ("/v1//v1/chat/completions/", "the base URL has one /v1 too many: ask /v1/chat/completions"),
            ("/v1/api/tags", "the base URL must not end in /v1: ask /api/tags"),
            ("/v1/v1/api/chat", "the base URL must not end in /v1: ask /api/chat"),
            ("/v1/chat/completions/", "the path has one slash too many: ask /v1/chat/completions"),
            ("/v1//chat/completions", "the path has one slash too many: ask /v1/chat/completions"),
            ("//v1/chat/completions", "the path has one slash too many: ask /v1/chat/completions"),
            ("/v1/models/", "the path has one slash too many: ask /v1/models"),
            ("/api/tags/", "the path has one slash too many: ask /api/tags"),
            ("//api/tags", "the path has one slash too many: ask /api/tags"),
        ] {
            assert_eq!(Hint::of(path).unwrap().to_string(), told, "{path}");
        }
    }

    #[test]
    fn what_is_no_known_path_by_v1_or_slashes_gets_no_hint() {
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

//! Which API a client uses, by the path of its request. Its library understands only errors in that API's shape.

use super::endpoint::Endpoint;

/// An API, by the shape of its errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `{"error":{"message":…,"type":…,"param":null,"code":…}}`
    OpenAi,
    /// `{"type":"error","error":{"type":…,"message":…}}`
    Anthropic,
    /// `{"error":…}`
    Ollama,
}

/// What OpenAI's clients append to their base URL.
const OPENAI: [&str; 7] = ["chat", "completions", "responses", "embeddings", "models", "audio", "images"];

impl Dialect {
    /// The API that a path belongs to, even if the client's base URL is wrong: `/v1` may be missing or doubled, and extra
    /// slashes and a prefix are ignored.
    pub fn of(path: &str) -> Dialect {
        if let Some(endpoint) = Endpoint::at(path) {
            return Self::of_segments(&segments(endpoint.path()));
        }
        Self::of_segments(&segments(path))
    }

    fn of_segments(segments: &[&str]) -> Dialect {
        // The base URL ends with the last of these; the client appends the rest.
        let last = segments.iter().rposition(|s| matches!(*s, "api" | "v1"));
        let (base, appended) = segments.split_at(last.map_or(0, |at| at + 1));
        if base.last() == Some(&"api") {
            // Ollama has no `/api/chat/completions`, but other servers have.
            return if appended.ends_with(&["chat", "completions"]) {
                Dialect::OpenAi
            } else {
                Dialect::Ollama
            };
        }
        match appended.iter().find(|s| **s == "messages" || OPENAI.contains(s)) {
            Some(&"messages") => Dialect::Anthropic,
            Some(_) => Dialect::OpenAi,
            None if base.last() == Some(&"v1") => Dialect::OpenAi,
            None => Dialect::Ollama,
        }
    }
}

fn segments(path: &str) -> Vec<&str> {
    path.split('/').filter(|s| !s.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialect_follows_from_the_end_of_the_path() {
        use Dialect::*;
        for (end, dialect) in [
            ("chat/completions", OpenAi),
            ("responses", OpenAi),
            ("responses/resp_1", OpenAi),
            ("responses/compact", OpenAi),
            ("audio/transcriptions", OpenAi),
            ("audio/speech", OpenAi),
            ("images/generations", OpenAi),
            ("images/edits", OpenAi),
            ("completions", OpenAi),
            ("embeddings", OpenAi),
            ("models", OpenAi),
            ("models/llama3.2:1b", OpenAi),
            ("messages", Anthropic),
            ("messages/count_tokens", Anthropic),
            ("messages/batches", Anthropic),
            ("api/chat", Ollama),
            ("api/embeddings", Ollama),
            ("api/tags", Ollama),
            ("api/pull", Ollama),
            ("api/blobs/sha256:00", Ollama),
        ] {
            for base in ["/", "/v1/", "/v1/v1/", "//", "/v1//", "//v1/", "/ollama/", "/proxy/v1/"] {
                for slash in ["", "/"] {
                    let path = format!("{base}{end}{slash}");
                    assert_eq!(Dialect::of(&path), dialect, "{path}");
                }
            }
        }
    }

    #[test]
    fn base_urls_of_other_servers_are_recognized() {
        use Dialect::*;
        for (path, dialect) in [
            ("/api/chat/completions", OpenAi),
            ("/api/v1/chat/completions", OpenAi),
            ("/api/v1/messages", Anthropic),
            ("/openai/deployments/tiny/chat/completions", OpenAi),
            ("/v1/chat/completions/id/messages", OpenAi),
            ("/v1/files", OpenAi),
            ("/v1", OpenAi),
            // Models of these names.
            ("/v1/models/api", OpenAi),
            ("/v1/models/v1", OpenAi),
            ("/v1/models/messages", OpenAi),
            ("/", Ollama),
            ("//", Ollama),
            ("", Ollama),
            ("/api", Ollama),
            ("/metrics", Ollama),
            ("/v2/nothing", Ollama),
        ] {
            assert_eq!(Dialect::of(path), dialect, "{path}");
        }
    }
}

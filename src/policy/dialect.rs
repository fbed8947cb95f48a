//! The API that a client speaks, by the path it asks for: its library understands only errors of that API's shape.

use super::endpoint::Endpoint;

/// The shape of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `{"error":{"message":…,"type":…,"param":null,"code":…}}`
    OpenAi,
    /// `{"type":"error","error":{"type":…,"message":…}}`
    Anthropic,
    /// `{"error":…}`
    Ollama,
}

/// What OpenAI's clients put behind their base URL.
const OPENAI: [&str; 5] = ["chat", "completions", "responses", "embeddings", "models"];

impl Dialect {
    /// The dialect of the API that a path belongs to. A wrong base URL does not hide it: `/v1` may be missing or
    /// doubled, and slashes and a prefix do not count.
    pub fn of(path: &str) -> Dialect {
        if let Some(endpoint) = Endpoint::at(path) {
            return Self::of_segments(&segments(endpoint.path()));
        }
        Self::of_segments(&segments(path))
    }

    fn of_segments(segments: &[&str]) -> Dialect {
        // What follows the last of them is the client's own, and not its base URL's.
        let last = segments.iter().rposition(|s| matches!(*s, "api" | "v1"));
        let (base, asked) = segments.split_at(last.map_or(0, |at| at + 1));
        if base.last() == Some(&"api") {
            // Ollama has nothing of that name.
            return if asked.ends_with(&["chat", "completions"]) { Dialect::OpenAi } else { Dialect::Ollama };
        }
        match asked.iter().find(|s| **s == "messages" || OPENAI.contains(s)) {
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
    fn the_dialect_is_told_by_what_the_path_ends_in() {
        use Dialect::*;
        for (end, dialect) in [
            ("chat/completions", OpenAi),
            ("responses", OpenAi),
            ("responses/resp_1", OpenAi),
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
    fn the_base_url_of_another_program_changes_nothing() {
        use Dialect::*;
        for (path, dialect) in [
            ("/api/chat/completions", OpenAi),
            ("/api/v1/chat/completions", OpenAi),
            ("/api/v1/messages", Anthropic),
            ("/openai/deployments/tiny/chat/completions", OpenAi),
            ("/v1/chat/completions/id/messages", OpenAi),
            ("/v1/files", OpenAi),
            ("/v1/audio/transcriptions", OpenAi),
            ("/v1", OpenAi),
            // Models that are called so.
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

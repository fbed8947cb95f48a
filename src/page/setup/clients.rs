//! The clients and their lines: those of docs/clients.md, with which a test compares them. `<url>` stands for the address of
//! Ollama at this node, `<model>` for the model.

/// A client, or a kind of clients.
pub(super) struct Client {
    pub(super) name: &'static str,
    /// Its heading in docs/clients.md, and its id in the page.
    pub(super) id: &'static str,
    /// The endpoints that it asks for with these lines.
    pub(super) needs: &'static [&'static str],
    pub(super) steps: &'static [Step],
}

/// Lines to copy.
pub(super) struct Step {
    /// Where they belong.
    pub(super) place: &'static str,
    pub(super) lines: &'static str,
}

pub(super) const URL: &str = "<url>";
pub(super) const MODEL: &str = "<model>";

const fn step(place: &'static str, lines: &'static str) -> Step {
    Step { place, lines }
}

pub(super) static CLIENTS: [Client; 9] = [
    Client {
        name: "curl",
        id: "curl",
        needs: &["v1_chat_completions"],
        steps: &[step(
            "In a shell",
            r#"curl <url>/v1/chat/completions \
  -d '{"model": "<model>", "messages": [{"role": "user", "content": "hi"}]}'"#,
        )],
    },
    Client {
        name: "OpenAI SDKs",
        id: "openai-sdks",
        needs: &["v1_chat_completions"],
        steps: &[
            step("In a shell", "export OPENAI_BASE_URL=<url>/v1\nexport OPENAI_API_KEY=unused"),
            step(
                "Or in Python",
                r#"from openai import OpenAI

client = OpenAI(base_url="<url>/v1", api_key="unused")
answer = client.chat.completions.create(model="<model>", messages=[{"role": "user", "content": "hi"}])
print(answer.choices[0].message.content)"#,
            ),
        ],
    },
    Client {
        name: "Anthropic SDKs",
        id: "anthropic-sdks",
        needs: &["v1_messages"],
        steps: &[
            step("In a shell", "export ANTHROPIC_BASE_URL=<url>\nexport ANTHROPIC_API_KEY=unused"),
            step(
                "Or in Python",
                r#"from anthropic import Anthropic

client = Anthropic(base_url="<url>", api_key="unused")
answer = client.messages.create(model="<model>", max_tokens=200, messages=[{"role": "user", "content": "hi"}])
print(answer.content[0].text)"#,
            ),
        ],
    },
    Client {
        name: "Claude Code",
        id: "claude-code",
        needs: &["v1_messages"],
        steps: &[step(
            "In a shell",
            "export ANTHROPIC_BASE_URL=<url> ANTHROPIC_AUTH_TOKEN=unused
export CLAUDE_CODE_ATTRIBUTION_HEADER=0 CLAUDE_CODE_TOTAL_TOKENS_REMINDER=off
ANTHROPIC_MODEL=<model> claude",
        )],
    },
    Client {
        name: "Codex",
        id: "codex",
        needs: &["v1_responses"],
        steps: &[step(
            "In ~/.codex/config.toml",
            r#"model = "<model>"
model_provider = "mine"

[model_providers.mine]
name = "mine"
base_url = "<url>/v1"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0"#,
        )],
    },
    Client {
        name: "opencode",
        id: "opencode",
        needs: &["v1_chat_completions"],
        steps: &[step(
            "In ~/.config/opencode/opencode.json",
            r#"{
  "provider": {
    "mine": {
      "npm": "@ai-sdk/openai-compatible",
      "options": { "baseURL": "<url>/v1" },
      "models": { "<model>": {} }
    }
  },
  "model": "mine/<model>"
}"#,
        )],
    },
    Client {
        name: "Continue",
        id: "continue",
        needs: &["v1_chat_completions"],
        steps: &[step(
            "In ~/.continue/config.yaml",
            "name: mine
version: 1.0.0
schema: v1
models:
  - name: mine
    provider: openai
    model: <model>
    apiBase: <url>/v1
    apiKey: unused",
        )],
    },
    Client {
        name: "VS Code",
        id: "vs-code",
        needs: &["api_version", "api_tags", "api_show", "v1_chat_completions"],
        steps: &[step(
            "For Copilot's Ollama provider, in chatLanguageModels.json in VS Code's user folder",
            r#"[{ "vendor": "ollama", "name": "Ollama", "url": "<url>" }]"#,
        )],
    },
    Client {
        name: "Open WebUI",
        id: "open-webui",
        needs: &["v1_chat_completions", "v1_models"],
        steps: &[step(
            "In the environment of its server",
            "OPENAI_API_BASE_URL=<url>/v1 OPENAI_API_KEY=unused\nENABLE_OLLAMA_API=false",
        )],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Endpoint;

    const DOCS: &str = include_str!("../../../docs/clients.md");

    /// The lines of the docs without their indentation.
    fn dedented(text: &str) -> Vec<&str> {
        text.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect()
    }

    #[test]
    fn lines_are_those_of_the_docs() {
        let docs = dedented(DOCS);
        for Client { name, id, steps, .. } in &CLIENTS {
            for Step { place, lines } in *steps {
                let lines = lines.replace(URL, "http://remote-ollama-proxy:11434").replace(MODEL, "tiny");
                // The last line of some blocks in the docs has what follows it, such as a full stop.
                let lines = dedented(&lines).join("\n");
                assert!(docs.join("\n").contains(&format!("\n{lines}\n")), "{name}: {lines}");
                for file in place.split_whitespace().filter(|word| word.contains('.')) {
                    let named = DOCS.contains(&format!("`{file}`"));
                    assert!(named, "{name}: {file} in docs/clients.md#{id}");
                }
            }
        }
    }

    #[test]
    fn needs_are_those_of_the_docs() {
        for Client { name, id, needs, .. } in &CLIENTS {
            let link = format!("[{name}");
            let rows = DOCS.lines().filter(|row| row.starts_with(&format!("| {link}")));
            let row = rows.into_iter().find(|row| row.contains(&format!("](#{id})")));
            let asks =
                row.and_then(|row| row.split(" | ").nth(2)).unwrap_or_else(|| panic!("no row of {name}"));
            for need in *needs {
                assert!(Endpoint::named(need).is_some(), "{name}: {need}");
                // The row of curl has "what you write".
                assert!(asks.contains(&format!("`{need}`")) || *id == "curl", "{name}: {need} in {asks}");
            }
        }
    }
}

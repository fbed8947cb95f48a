//! Names of models: which spellings mean the same model to Ollama.
//!
//! Source: Ollama's `types/model/name.go` and `internal/modelref/modelref.go`, and its `getExistingName`, which compares
//! without regard to case.

mod patterns;

pub use patterns::Models;

use std::fmt;

/// A model by its canonical name, the same for all spellings that Ollama takes for one model: in lower case, without the
/// default host and namespace, but always with a tag, such as `qwen3:latest`, `someone/qwen3:8b` or
/// `hf.co/someone/qwen3:q4`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    name: String,
    is_cloud: bool,
}

/// Why a text does not name one certain model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ModelNameFault {
    /// Ollama refuses it, or accepts it only after changing it.
    #[error("it is not of the form name:tag, namespace/name:tag or host/namespace/name:tag")]
    Form,
    /// Newer versions of Ollama take `:local` for a place, older ones for a tag.
    #[error("versions of Ollama read :local differently; leave it out")]
    Local,
}

const HOST: &str = "registry.ollama.ai";
const NAMESPACE: &str = "library";

impl Model {
    /// Parses a name as a client writes it.
    ///
    /// # Errors
    /// The text is no name, or could mean two models.
    pub fn parse(text: &str) -> Result<Model, ModelNameFault> {
        let text = text.to_ascii_lowercase();
        let (has_scheme, text) = match text.strip_prefix("https://").or(text.strip_prefix("http://")) {
            Some(rest) => (true, rest),
            None => (false, text.as_str()),
        };
        let (path, tag) = split_tag(text);
        let Tag { path, tag, is_cloud } = parse_tag(path, tag)?;
        let parts: Vec<&str> = path.split('/').collect();
        let (host, namespace, model) = match parts[..] {
            [model] if !has_scheme => (HOST, NAMESPACE, model),
            [namespace, model] if !has_scheme => (HOST, namespace, model),
            [host, namespace, model] => (host, namespace, model),
            _ => return Err(ModelNameFault::Form),
        };
        let is_valid = is_part(host, 350, b"-_.:")
            && is_part(namespace, 80, b"-_")
            && is_part(model, 80, b"-_.")
            && is_part(&tag, 80, b"-_.");
        if !is_valid {
            return Err(ModelNameFault::Form);
        }
        Ok(Model { name: format!("{}:{tag}", without_defaults(host, namespace, model)), is_cloud })
    }

    /// Whether the name says that the model runs on Ollama's servers, not on this machine.
    pub fn is_cloud(&self) -> bool {
        self.is_cloud
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Splits off what follows the last colon, unless that is a host's port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (text, None),
    }
}

/// A name split at its tag.
struct Tag<'a> {
    path: &'a str,
    tag: String,
    is_cloud: bool,
}

/// Reads `:cloud`, `:8b:cloud` and `:8b-cloud`, of which the last two mean the same.
fn parse_tag<'a>(path: &'a str, tag: Option<&str>) -> Result<Tag<'a>, ModelNameFault> {
    let is_plain = |tag: &str| tag != "cloud" && tag != "local" && !tag.ends_with("-cloud");
    match tag {
        None => Ok(Tag { path, tag: "latest".to_owned(), is_cloud: false }),
        Some("local") => Err(ModelNameFault::Local),
        Some("cloud") => match split_tag(path) {
            (path, None) => Ok(Tag { path, tag: "cloud".to_owned(), is_cloud: true }),
            (path, Some(tag)) if is_plain(tag) && !tag.is_empty() => {
                Ok(Tag { path, tag: format!("{tag}-cloud"), is_cloud: true })
            }
            _ => Err(ModelNameFault::Form),
        },
        Some(tag) => match tag.strip_suffix("-cloud") {
            Some(rest) if rest.is_empty() || !is_plain(rest) => Err(ModelNameFault::Form),
            cloud => Ok(Tag { path, tag: tag.to_owned(), is_cloud: cloud.is_some() }),
        },
    }
}

/// Whether a part of a name has at most `max` bytes, of which only the first can't be one of `punctuation`.
fn is_part(part: &str, max: usize, punctuation: &[u8]) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=max).contains(&part.len())
        && part.bytes().next().is_some_and(is_word)
        && part.bytes().all(|b| is_word(b) || punctuation.contains(&b))
}

fn without_defaults(host: &str, namespace: &str, model: &str) -> String {
    match (host, namespace) {
        (HOST, NAMESPACE) => model.to_owned(),
        (HOST, _) => format!("{namespace}/{model}"),
        _ => format!("{host}/{namespace}/{model}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> String {
        Model::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}")).to_string()
    }

    #[test]
    fn all_spellings_of_a_model_are_one_name() {
        for same in [
            "qwen3",
            "Qwen3",
            "qwen3:latest",
            "QWEN3:Latest",
            "library/qwen3",
            "Library/qwen3:latest",
            "registry.ollama.ai/library/qwen3",
            "Registry.Ollama.AI/library/qwen3:latest",
            "https://registry.ollama.ai/library/qwen3",
            "HTTP://registry.ollama.ai/library/qwen3:latest",
        ] {
            assert_eq!(name(same), "qwen3:latest", "{same}");
        }
        assert_eq!(name("someone/Qwen3:8B"), "someone/qwen3:8b");
        assert_eq!(name("hf.co/library/x"), "hf.co/library/x:latest");
        assert_eq!(name("localhost:5000/a/b"), "localhost:5000/a/b:latest");
        assert_eq!(name("localhost:5000/a/b:c"), "localhost:5000/a/b:c");
    }

    #[test]
    fn cloud_models_are_told_from_local_ones() {
        for (text, normal) in [
            ("qwen3:cloud", "qwen3:cloud"),
            ("qwen3:CLOUD", "qwen3:cloud"),
            ("gpt-oss:20b-cloud", "gpt-oss:20b-cloud"),
            ("gpt-oss:20b:cloud", "gpt-oss:20b-cloud"),
            ("registry.ollama.ai/library/gpt-oss:20b:Cloud", "gpt-oss:20b-cloud"),
            ("https://registry.ollama.ai/library/gpt-oss:20b-cloud", "gpt-oss:20b-cloud"),
        ] {
            assert!(Model::parse(text).unwrap().is_cloud(), "{text}");
            assert_eq!(name(text), normal);
        }
        for text in ["qwen3-cloud", "cloud", "cloud/qwen3", "qwen3:cloudy", "qwen3:latest"] {
            assert!(!Model::parse(text).unwrap().is_cloud(), "{text}");
        }
    }

    #[test]
    fn ambiguous_or_malformed_names_are_refused() {
        for bad in [
            "",
            " ",
            " qwen3",
            "qwen3 ",
            "qwen3: cloud",
            "a/b/c/d",
            "/a",
            "a/",
            "a//b",
            ":a",
            "a:",
            "a:b:c",
            "a::cloud",
            "a:-cloud",
            "a:cloud:cloud",
            "a:b-cloud:cloud",
            "a:b-cloud-cloud",
            "a:cloud-cloud",
            "a:local-cloud",
            "-a",
            ".a",
            "a:-b",
            "a:.b",
            "a@sha256:00",
            "ä",
            "a\u{212a}",
            "http://a",
            "https://a/b",
            "ftp://h/n/m",
            "h.co/n.x/m",
            "a\\b",
            "a\0",
            "a%3ab",
        ] {
            assert_eq!(Model::parse(bad), Err(ModelNameFault::Form), "{bad:?}");
        }
        for local in ["a:local", "a:b:local", "a:LOCAL", "a:cloud:local"] {
            assert_eq!(Model::parse(local), Err(ModelNameFault::Local), "{local}");
        }
        let long = "a".repeat(81);
        assert!(Model::parse(&long[1..]).is_ok() && Model::parse(&long).is_err());
    }

    proptest! {
        #[test]
        fn canonical_names_parse_to_themselves(text in "(https?://)?([a-c.]{1,3}(:[0-9])?/)?([a-c]{1,2}/)?[a-cA-C-]{1,3}(:[a-c-]{1,3})?(:cloud|-cloud)?") {
            if let Ok(model) = Model::parse(&text) {
                prop_assert_eq!(Model::parse(&model.to_string()), Ok(model));
            }
        }
    }
}

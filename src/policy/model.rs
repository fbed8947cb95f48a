//! Names of models: which ones mean the same to Ollama, and patterns that stand for several.
//!
//! Source: Ollama's `types/model/name.go` and `internal/modelref/modelref.go`, and its `getExistingName`, which compares
//! without regard to case.

use std::fmt;
use std::sync::Arc;

/// A model by a name of which there is one for all spellings that mean the same to Ollama: in lower case, without the
/// parts that go without saying but for the tag, as in `qwen3:latest`, `someone/qwen3:8b` or `hf.co/someone/qwen3:q4`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    name: String,
    cloud: bool,
}

/// Why a text can't be told to be the name of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ModelNameFault {
    /// Ollama would not take it, or only after mending it.
    #[error("it is no model's name")]
    Form,
    /// Newer versions of Ollama take `:local` for a promise, older ones for a tag.
    #[error("what ends in :local means one thing to an Ollama and another to the next; leave it away")]
    Local,
}

const HOST: &str = "registry.ollama.ai";
const NAMESPACE: &str = "library";

impl Model {
    /// Parses a name as a client writes it.
    ///
    /// # Errors
    /// It could not be a name, or could mean two.
    pub fn parse(text: &str) -> Result<Model, ModelNameFault> {
        let text = text.to_ascii_lowercase();
        let (has_scheme, text) = match text.strip_prefix("https://").or(text.strip_prefix("http://")) {
            Some(rest) => (true, rest),
            None => (false, text.as_str()),
        };
        let (path, tag) = cut_tag(text);
        let (path, tag, cloud) = source(path, tag)?;
        let parts: Vec<&str> = path.split('/').collect();
        let (host, namespace, model) = match parts[..] {
            [model] if !has_scheme => (HOST, NAMESPACE, model),
            [namespace, model] if !has_scheme => (HOST, namespace, model),
            [host, namespace, model] => (host, namespace, model),
            _ => return Err(ModelNameFault::Form),
        };
        let sound = is_part(host, 350, b"-_.:")
            && is_part(namespace, 80, b"-_")
            && is_part(model, 80, b"-_.")
            && is_part(&tag, 80, b"-_.");
        if !sound {
            return Err(ModelNameFault::Form);
        }
        Ok(Model { name: format!("{}:{tag}", shortest(host, namespace, model)), cloud })
    }

    /// Whether the name says that the model runs on Ollama's servers, not on this machine.
    pub fn is_cloud(&self) -> bool {
        self.cloud
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The tag is what follows the last colon, unless that is the one of a host's port.
fn cut_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (text, None),
    }
}

/// The tag, and whether it says that the model is in the cloud: `:cloud`, `:8b:cloud` or `:8b-cloud`, of which the last
/// two mean the same.
fn source<'a>(path: &'a str, tag: Option<&str>) -> Result<(&'a str, String, bool), ModelNameFault> {
    let plain = |tag: &str| tag != "cloud" && tag != "local" && !tag.ends_with("-cloud");
    match tag {
        None => Ok((path, "latest".to_owned(), false)),
        Some("local") => Err(ModelNameFault::Local),
        Some("cloud") => match cut_tag(path) {
            (path, None) => Ok((path, "cloud".to_owned(), true)),
            (path, Some(tag)) if plain(tag) && !tag.is_empty() => Ok((path, format!("{tag}-cloud"), true)),
            _ => Err(ModelNameFault::Form),
        },
        Some(tag) => match tag.strip_suffix("-cloud") {
            Some(rest) if rest.is_empty() || !plain(rest) => Err(ModelNameFault::Form),
            cloud => Ok((path, tag.to_owned(), cloud.is_some())),
        },
    }
}

fn is_part(part: &str, most: usize, beside: &[u8]) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=most).contains(&part.len())
        && part.bytes().next().is_some_and(word)
        && part.bytes().all(|b| word(b) || beside.contains(&b))
}

fn shortest(host: &str, namespace: &str, model: &str) -> String {
    match (host, namespace) {
        (HOST, NAMESPACE) => model.to_owned(),
        (HOST, _) => format!("{namespace}/{model}"),
        _ => format!("{host}/{namespace}/{model}"),
    }
}

/// A set of models, by patterns. A `*` stands for any characters but `/`; alone it is every model. A pattern is held
/// against the whole name with its tag and, where the tag is `latest`, also without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Models(Arc<[String]>);

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
    /// Nothing could match it.
    pub fn pattern(text: &str) -> Result<String, String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/*".contains(&b);
        let lower = text.to_ascii_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        let short = match parts[..] {
            [model] => model.to_owned(),
            [namespace, model] => shortest(HOST, namespace, model),
            [host, namespace, model] => shortest(host, namespace, model),
            _ => String::new(),
        };
        if parts.iter().any(|p| p.is_empty())
            || !lower.bytes().all(plain)
            || lower.len() > 600
            || short.is_empty()
        {
            return Err("want a model's name, with * for any characters but /, such as \"qwen*\", \"gemma3:4b\" or \"hf.co/someone/*\"".to_owned());
        }
        Ok(short)
    }

    /// The patterns, in order.
    pub fn patterns(&self) -> &[String] {
        &self.0
    }

    /// Whether a model is one of them.
    pub fn contains(&self, model: &Model) -> bool {
        let whole = model.name.as_bytes();
        let short = whole.strip_suffix(b":latest");
        self.0.iter().map(String::as_bytes).any(|pattern| {
            pattern == b"*" || matches(pattern, whole) || short.is_some_and(|short| matches(pattern, short))
        })
    }

    /// The models of either.
    #[must_use]
    pub fn union(&self, other: &Models) -> Models {
        Models::of(self.0.iter().chain(&*other.0).cloned().collect())
    }
}

/// Whether the pattern is the text. On a mismatch the last `*` takes one more character; an earlier one never has to.
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

    fn name(text: &str) -> String {
        Model::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}")).to_string()
    }

    #[test]
    fn one_name_for_all_spellings_of_a_model() {
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
    fn models_in_the_cloud_say_so_and_are_never_taken_for_local_ones() {
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
    fn what_could_mean_two_models_or_none_is_no_name() {
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

    #[test]
    fn patterns() {
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
        fn a_name_is_its_own_name(text in "(https?://)?([a-c.]{1,3}(:[0-9])?/)?([a-c]{1,2}/)?[a-cA-C-]{1,3}(:[a-c-]{1,3})?(:cloud|-cloud)?") {
            if let Ok(model) = Model::parse(&text) {
                prop_assert_eq!(Model::parse(&model.to_string()), Ok(model));
            }
        }

        #[test]
        fn a_pattern_matches_as_a_plain_reading_of_it_does(pattern in "[ab/*]{0,8}", text in "[ab/]{0,8}") {
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

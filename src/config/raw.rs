//! The config as it stands: the file, and what goes before it. Reading never stops at the first
//! fault: a value of the wrong type and a key that nobody knows are noted, to be told together with
//! everything else, each with the line where it was written.
//!
//! The keys that are read are the keys that there are: no second list of them exists.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::ConfigFault;
use super::section::Section;
use crate::secret;

/// A value from the command line or the environment, which goes before the file's.
#[derive(Clone, PartialEq, Eq)]
pub struct Override {
    /// The full name of the key, for example `listen.port`.
    pub key: &'static str,
    /// The value, without quotation marks.
    pub value: String,
    /// The flag or the variable, as somebody would write it.
    pub source: String,
}

impl fmt::Debug for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} = {:?}", self.source, self.key, secret::scrub(&self.value))
    }
}

/// Where something was written.
#[derive(Clone)]
pub(super) enum Origin {
    /// Nowhere, which is the fault.
    Nowhere,
    /// In the file, after so many bytes.
    File(usize),
    /// On the command line or in the environment.
    Elsewhere(String),
}

/// Gives out sections and collects faults.
pub(super) struct Raw<'a> {
    file: &'a str,
    text: &'a str,
    overrides: &'a [Override],
    root: DeTable<'a>,
    sections: Vec<&'static str>,
    keys: Vec<String>,
    unknown: Vec<(&'static str, Entry<'a>)>,
    faults: Vec<(Origin, ConfigFault)>,
}

type Entry<'a> = (Spanned<Cow<'a, str>>, Spanned<DeValue<'a>>);

impl<'a> Raw<'a> {
    /// Reads the text of a file that faults call `file`. What can't be read is a fault like others.
    pub(super) fn new(file: &'a str, text: &'a str, overrides: &'a [Override]) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut raw = Raw {
            file,
            text,
            overrides,
            // What was understood of a broken file may not be what was meant.
            root: if errors.is_empty() { root.into_inner() } else { DeTable::new() },
            sections: Vec::new(),
            keys: Vec::new(),
            unknown: Vec::new(),
            faults: Vec::new(),
        };
        let mut lines = Vec::new();
        for error in errors {
            let span = error.span().unwrap_or_default();
            let line = raw.line(span.start);
            // Whatever else is said about the line follows from the first.
            if !lines.contains(&line) {
                lines.push(line);
                let reason = match error.message() {
                    "duplicate key" => format!("{} is there twice", raw.slice(span.clone())),
                    said if said.starts_with("invalid boolean") || said.starts_with("string values must") => {
                        "want true, false, a number or text in quotation marks".to_owned()
                    }
                    said => said.replace('\n', ": "),
                };
                raw.fault(Origin::File(span.start), "", "", &reason);
            }
        }
        raw
    }

    /// Whether no fault was noted so far.
    pub(super) fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    /// Reads one section.
    pub(super) fn section<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Section<'_, 'a>) -> T,
    ) -> T {
        self.sections.push(name);
        let table = match self.root.remove(name).map(|value| (value.span(), value.into_inner())) {
            None => DeTable::new(),
            Some((_, DeValue::Table(table))) => table,
            Some((span, other)) => {
                let reason = format!("want a section, [{name}], not {}", with_article(other.type_str()));
                let text = self.slice(span.clone());
                self.fault(Origin::File(span.start), name, &text, &reason);
                DeTable::new()
            }
        };
        let mut section = Section::new(self, name, table);
        let value = read(&mut section);
        let rest = section.rest();
        self.unknown.extend(rest.into_iter().map(|entry| (name, entry)));
        value
    }

    /// Makes a key known by its full name, and says what goes before the file's value.
    pub(super) fn register(&mut self, key: &str) -> Option<&'a Override> {
        self.keys.push(key.to_owned());
        self.overrides.iter().find(|o| o.key == key)
    }

    /// Whether a fault of the key was noted.
    pub(super) fn is_faulty(&self, key: &str) -> bool {
        self.faults.iter().any(|(_, fault)| fault.key == key)
    }

    /// Notes a fault; `key` is the full name.
    pub(super) fn fault(&mut self, place: Origin, key: &str, value: &str, reason: &str) {
        let fault = ConfigFault::new(&self.source(&place), key, value, reason);
        self.faults.push((place, fault));
    }

    /// All faults in the order of the file, and every key there is in the order of reading.
    pub(super) fn finish(mut self) -> (Vec<ConfigFault>, Vec<String>) {
        let unknown = std::mem::take(&mut self.unknown);
        let root = std::mem::take(&mut self.root);
        for (section, (key, value)) in unknown.into_iter().chain(root.into_iter().map(|e| ("", e))) {
            let name = bare(key.get_ref());
            let place = Origin::File(key.span().start);
            let reason = self.why_unknown(section, &name, value.get_ref().is_table());
            let full = if section.is_empty() { name } else { format!("{section}.{name}") };
            let text = self.slice(value.span());
            let fault = ConfigFault::unknown(&self.source(&place), &full, &text, &reason);
            self.faults.push((place, fault));
        }
        self.faults.sort_by_key(|(place, _)| match place {
            Origin::Nowhere => (0, 0),
            Origin::File(at) => (1, *at),
            Origin::Elsewhere(_) => (2, 0), // in the order of reading
        });
        (self.faults.into_iter().map(|(_, fault)| fault).collect(), self.keys)
    }

    fn why_unknown(&self, section: &str, name: &str, is_table: bool) -> String {
        let suffix = format!(".{name}");
        let elsewhere = self.keys.iter().find_map(|key| key.strip_suffix(&suffix));
        if let Some(elsewhere) = elsewhere.filter(|_| !is_table) {
            return format!("this key belongs in [{elsewhere}]");
        }
        let list = |names: Vec<&str>| names.join(", ");
        if section.is_empty() {
            let what = if is_table { "section" } else { "key outside of a section" };
            return format!(
                "there is no such {what}; there are the sections {}",
                list(self.sections.clone())
            );
        }
        let prefix = format!("{section}.");
        let keys = self.keys.iter().filter_map(|key| key.strip_prefix(&prefix)).collect();
        format!("there is no such key; [{section}] takes {}", list(keys))
    }

    fn source(&self, place: &Origin) -> String {
        match place {
            Origin::Nowhere => self.file.to_owned(),
            Origin::File(at) => format!("{}:{}", self.file, self.line(*at)),
            Origin::Elsewhere(source) => source.clone(),
        }
    }

    fn line(&self, at: usize) -> usize {
        self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|b| **b == b'\n').count() + 1
    }

    /// What was written, on one line and of bearable length.
    pub(super) fn slice(&self, span: Range<usize>) -> String {
        let text = self.text.get(span).unwrap_or_default();
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = if text.contains('\n') { line } else { text.to_owned() };
        match text.char_indices().nth(200) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}

/// A kind of value as a sentence names it.
pub(super) fn with_article(kind: &str) -> String {
    let an = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if an { "an" } else { "a" })
}

/// A key as it is written in TOML.
fn bare(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !key.is_empty() && key.chars().all(plain) {
        key.to_owned()
    } else {
        serde_json::Value::from(key).to_string()
    }
}

//! The config as it was written: the file and its overrides. Reading does not stop at a fault: it collects them all,
//! each with its line.
//!
//! Reading a key also registers it as known, so no second list of the keys exists.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::ConfigFault;
use crate::secret;

/// A value from the command line or the environment, which overrides the file's.
#[derive(Clone, PartialEq, Eq)]
pub struct Override {
    /// The full name of the key, for example `listen.port`.
    pub key: &'static str,
    /// The value, without quotation marks.
    pub value: String,
    /// The flag, such as `--port`, or the variable.
    pub source: String,
}

impl fmt::Debug for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} = {:?}", self.source, self.key, secret::scrub(&self.value))
    }
}

/// Where a value was written.
#[derive(Clone)]
pub(super) enum Origin {
    /// It was not written.
    Missing,
    /// In the file, at this byte.
    File(usize),
    /// In this flag or environment variable.
    Elsewhere(String),
}

/// The parsed file and its overrides; collects the known keys and the faults.
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
    /// Parses the text of a file, whose name in faults is `file`. A syntax error is a fault like others.
    pub(super) fn new(file: &'a str, text: &'a str, overrides: &'a [Override]) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut raw = Raw {
            file,
            text,
            overrides,
            // The parsed part of a broken file may differ from what the operator meant.
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
            // Further errors of a line usually follow from its first one.
            if !lines.contains(&line) {
                lines.push(line);
                let reason = raw.syntax_fault(error.message(), span.clone());
                raw.fault(Origin::File(span.start), "", "", &reason);
            }
        }
        raw
    }

    /// The parser's message, reworded where it would not help the operator.
    fn syntax_fault(&self, message: &str, span: Range<usize>) -> String {
        if message == "duplicate key" {
            self.twice(span)
        } else if message.starts_with("invalid boolean") || message.starts_with("string values must") {
            "expected true, false, a number, or text in quotation marks".to_owned()
        } else {
            message.replace('\n', ": ")
        }
    }

    /// A key that is set twice, or a section that begins twice, as it does when an example is pasted below the whole file.
    fn twice(&self, span: Range<usize>) -> String {
        let name = self.slice(span.clone());
        let header = format!("[{name}]");
        let above = self.text.get(..span.start).unwrap_or_default();
        let below = self.text.get(span.end..).unwrap_or_default();
        let is_header = above.ends_with('[') && below.starts_with(']');
        let begins = |line: &str| line.starts_with(&header) || line.starts_with(&format!("{name}."));
        match above.lines().position(|line| begins(line.trim_start())) {
            Some(first) if is_header => {
                format!("{name} begins at line {} already: put all of its keys below one {header}", first + 1)
            }
            _ => format!("{name} is set twice: remove one"),
        }
    }

    /// Whether there is no fault so far.
    pub(super) fn is_valid(&self) -> bool {
        self.faults.is_empty()
    }

    /// Takes the table of a section, which is empty if the file lacks the section.
    pub(super) fn take_table(&mut self, section: &'static str) -> DeTable<'a> {
        self.sections.push(section);
        match self.root.remove(section).map(|value| (value.span(), value.into_inner())) {
            None => DeTable::new(),
            Some((_, DeValue::Table(table))) => table,
            Some((span, other)) => {
                let reason = format!("expected the section [{section}], not {}", kind(&other));
                let text = self.slice(span.clone());
                self.fault(Origin::File(span.start), section, &text, &reason);
                DeTable::new()
            }
        }
    }

    /// Adds the values of a section that were not read, whose keys are unknown.
    pub(super) fn add_unknown(&mut self, section: &'static str, values: DeTable<'a>) {
        self.unknown.extend(values.into_iter().map(|entry| (section, entry)));
    }

    /// Registers a known key by its full name, and returns its override.
    pub(super) fn register(&mut self, key: &str) -> Option<&'a Override> {
        self.keys.push(key.to_owned());
        self.overrides.iter().find(|o| o.key == key)
    }

    /// Whether the key has a fault.
    pub(super) fn is_faulty(&self, key: &str) -> bool {
        self.faults.iter().any(|(_, fault)| fault.key == key)
    }

    /// Adds a fault; `key` is the full name.
    pub(super) fn fault(&mut self, place: Origin, key: &str, value: &str, reason: &str) {
        let fault = ConfigFault::new(&self.source(&place), key, value, reason);
        self.faults.push((place, fault));
    }

    /// All faults in the order of the file, and all known keys in the order of reading.
    pub(super) fn finish(mut self) -> (Vec<ConfigFault>, Vec<String>) {
        let unknown = std::mem::take(&mut self.unknown);
        let root = std::mem::take(&mut self.root);
        for (section, (key, value)) in unknown.into_iter().chain(root.into_iter().map(|e| ("", e))) {
            let name = bare(key.get_ref());
            let place = Origin::File(key.span().start);
            let reason = self.unknown_key(section, &name, value.get_ref().is_table());
            let full = if section.is_empty() { name } else { format!("{section}.{name}") };
            let text = self.slice(value.span());
            let fault = ConfigFault::unknown(&self.source(&place), &full, &text, &reason);
            self.faults.push((place, fault));
        }
        self.faults.sort_by_key(|(place, _)| match place {
            Origin::Missing => (0, 0),
            Origin::File(at) => (1, *at),
            Origin::Elsewhere(_) => (2, 0), // in the order of reading
        });
        (self.faults.into_iter().map(|(_, fault)| fault).collect(), self.keys)
    }

    /// Why the name is unknown in a section, or at the top level if `section` is empty.
    fn unknown_key(&self, section: &str, name: &str, is_table: bool) -> String {
        let suffix = format!(".{name}");
        let elsewhere: Vec<_> = self.keys.iter().filter_map(|key| key.strip_suffix(&suffix)).collect();
        if !elsewhere.is_empty() && !is_table {
            let sections: Vec<_> = elsewhere.iter().map(|section| format!("[{section}]")).collect();
            return format!("unknown key here: move it to {}", sections.join(" or "));
        }
        if !section.is_empty() && is_table && self.sections.contains(&name) {
            return format!("unknown key here: move it to [{name}]");
        }
        if section.is_empty() {
            let what = if is_table { "unknown section" } else { "unknown key outside of a section" };
            return match similar(name, &self.sections).filter(|_| is_table) {
                Some(similar) => format!("{what}: did you mean [{similar}]?"),
                None => format!("{what}: the sections are {}", self.sections.join(", ")),
            };
        }
        let prefix = format!("{section}.");
        let keys: Vec<_> = self.keys.iter().filter_map(|key| key.strip_prefix(&prefix)).collect();
        match similar(name, &keys) {
            Some(similar) => format!("unknown key: did you mean {similar}?"),
            None => format!("unknown key: the keys of [{section}] are {}", keys.join(", ")),
        }
    }

    fn source(&self, place: &Origin) -> String {
        match place {
            Origin::Missing => self.file.to_owned(),
            Origin::File(at) => format!("{}:{}", self.file, self.line(*at)),
            Origin::Elsewhere(source) => source.clone(),
        }
    }

    fn line(&self, at: usize) -> usize {
        self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|b| **b == b'\n').count() + 1
    }

    /// What was written, on one line, truncated to 200 characters.
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

/// The known name that `name` most likely misspells.
fn similar<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let distance = |known: &str| strsim::damerau_levenshtein(name, known);
    let nearest = known.iter().copied().min_by_key(|known| distance(known))?;
    (distance(nearest) <= 1 + name.len() / 8).then_some(nearest)
}

/// The kind of a value in words.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
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

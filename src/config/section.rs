//! One section of the config while it is read.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::DeTable;

use super::raw::{Origin, Raw, kind};
use super::typed::Typed;
use crate::secret::{self, REDACTED};

/// One section: gives out its values and adds their faults to [`Raw`].
pub(super) struct Section<'r, 'a> {
    raw: &'r mut Raw<'a>,
    name: &'static str,
    table: DeTable<'a>,
    written: BTreeMap<&'static str, (Origin, String)>,
}

/// A value with its text and its origin.
pub(super) struct Written<T> {
    value: T,
    text: String,
    origin: Origin,
}

/// Reads the section `[name]` with `read`. The keys that `read` does not take are unknown.
pub(super) fn section<T>(
    raw: &mut Raw<'_>,
    name: &'static str,
    read: impl FnOnce(&mut Section<'_, '_>) -> T,
) -> T {
    let table = raw.take_table(name);
    let mut section = Section { raw, name, table, written: BTreeMap::new() };
    let value = read(&mut section);
    let Section { raw, table, .. } = section;
    raw.add_unknown(name, table);
    value
}

impl Section<'_, '_> {
    /// A value, or `default` if it is absent or faulty.
    pub(super) fn get<T: Typed>(&mut self, key: &'static str, default: T) -> T {
        self.take(key).map_or(default, |written| written.value)
    }

    /// A parsed value, or `default` if it is absent or faulty.
    pub(super) fn parse<T: Typed, U>(
        &mut self,
        key: &'static str,
        default: U,
        parse: impl FnOnce(&T) -> Result<U, String>,
    ) -> U {
        let Some(written) = self.take::<T>(key) else { return default };
        parse(&written.value).unwrap_or_else(|reason| {
            self.raw.fault(written.origin, &self.full(key), &written.text, &reason);
            default
        })
    }

    /// A parsed text, or `default` if it is absent or faulty.
    pub(super) fn text<U>(
        &mut self,
        key: &'static str,
        default: U,
        parse: impl FnOnce(&str) -> Result<U, String>,
    ) -> U {
        self.parse(key, default, |text: &String| parse(text))
    }

    /// The valid items of a list of texts. Each invalid item is a fault.
    pub(super) fn list<U>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<U, String>) -> Vec<U> {
        let Some(Written { value: items, .. }) = self.take::<Vec<Spanned<String>>>(key) else {
            return Vec::new();
        };
        let mut parsed = Vec::new();
        for item in items {
            let (reason, text) = match (secret::proper_place(item.get_ref()), parse(item.get_ref())) {
                (Some(hint), _) => (hint.to_owned(), REDACTED.to_owned()),
                (None, Err(reason)) => (reason, self.raw.slice(item.span())),
                (None, Ok(value)) => {
                    parsed.push(value);
                    continue;
                }
            };
            self.raw.fault(Origin::File(item.span().start), &self.full(key), &text, &reason);
        }
        parsed
    }

    /// A key that may only be `false`. `false` changes nothing, but documents the operator's intent.
    pub(super) fn never(&mut self, key: &str, reason: &str) {
        let Some(value) = self.table.remove(key) else { return };
        if value.get_ref().as_bool() != Some(false) {
            let text = self.raw.slice(value.span());
            self.raw.fault(Origin::File(value.span().start), &self.full(key), &text, reason);
        }
    }

    /// Adds a fault of a value that was read, or of its absence.
    pub(super) fn fault(&mut self, key: &'static str, reason: &str) {
        let (origin, text) = self.written.get(key).cloned().unwrap_or((Origin::Missing, String::new()));
        self.raw.fault(origin, &self.full(key), &text, reason);
    }

    /// Whether the key has a value.
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.written.contains_key(key)
    }

    /// Whether the key has a fault.
    pub(super) fn is_faulty(&self, key: &str) -> bool {
        let full = self.full(key);
        self.raw.is_faulty(&full)
    }

    /// Adds a fault of an environment variable.
    pub(super) fn fault_elsewhere(&mut self, source: &str, reason: &str) {
        self.raw.fault(Origin::Elsewhere(source.to_owned()), "", "", reason);
    }

    fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }

    /// Takes a value of the right type: the override, or else the file's.
    fn take<T: Typed>(&mut self, key: &'static str) -> Option<Written<T>> {
        let full = self.full(key);
        let in_file = self.table.remove(key);
        let given = self.raw.register(&full);
        let (value, text, origin) = if let Some(given) = given {
            let (value, text) = T::from_override(&given.value);
            (value, text, Origin::Elsewhere(given.source.clone()))
        } else {
            let in_file = in_file?;
            let span = in_file.span();
            let value = T::from_toml(in_file.get_ref()).ok_or_else(|| kind(in_file.get_ref()));
            (value, self.raw.slice(span.clone()), Origin::File(span.start))
        };
        self.written.insert(key, (origin.clone(), text.clone()));
        let value = match value {
            Ok(value) => value,
            Err(other) => {
                self.raw.fault(origin, &full, &text, &format!("expected {}, not {other}", T::EXPECTED));
                return None;
            }
        };
        // A secret may be a valid value, such as a name, but never the intended one.
        if let Some(hint) = value.text().and_then(secret::proper_place) {
            self.raw.fault(origin, &full, REDACTED, hint);
            return None;
        }
        Some(Written { value, text, origin })
    }
}

//! One section of the config while it is read: values out, faults noted.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::DeTable;

use super::raw::{Place, Raw, with_article};
use super::typed::Typed;
use crate::secret::{self, REDACTED};

/// One section while it is read.
pub(super) struct Section<'r, 'a> {
    raw: &'r mut Raw<'a>,
    name: &'static str,
    table: DeTable<'a>,
    written: BTreeMap<&'static str, (Place, String)>,
}

/// A value and how it was written.
pub(super) struct Written<T> {
    value: T,
    text: String,
    place: Place,
}

impl<'r, 'a> Section<'r, 'a> {
    /// Reads from `table`, whose name is `name`.
    pub(super) fn new(raw: &'r mut Raw<'a>, name: &'static str, table: DeTable<'a>) -> Self {
        Section { raw, name, table, written: BTreeMap::new() }
    }

    /// What nobody has read.
    pub(super) fn rest(self) -> DeTable<'a> {
        self.table
    }

    /// A value, or `default` where it is absent or faulty.
    pub(super) fn get<T: Typed>(&mut self, key: &'static str, default: T) -> T {
        self.take(key).map_or(default, |written| written.value)
    }

    /// A value that needs parsing, or `default` where it is absent or faulty.
    pub(super) fn parse<T: Typed, U>(
        &mut self,
        key: &'static str,
        default: U,
        parse: impl FnOnce(&T) -> Result<U, String>,
    ) -> U {
        let Some(written) = self.take::<T>(key) else { return default };
        parse(&written.value).unwrap_or_else(|reason| {
            self.raw.fault(written.place, &self.full(key), &written.text, &reason);
            default
        })
    }

    /// Text that needs parsing, or `default` where it is absent or faulty.
    pub(super) fn text<U>(
        &mut self,
        key: &'static str,
        default: U,
        parse: impl FnOnce(&str) -> Result<U, String>,
    ) -> U {
        self.parse(key, default, |text: &String| parse(text))
    }

    /// The items of a list of texts that can be parsed; each of the others is a fault of its own.
    pub(super) fn list<U>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<U, String>) -> Vec<U> {
        let Some(Written { value: items, .. }) = self.take::<Vec<Spanned<String>>>(key) else {
            return Vec::new();
        };
        let mut parsed = Vec::new();
        for item in items {
            let (reason, text) = match (secret::proper_place(item.get_ref()), parse(item.get_ref())) {
                (Some(place), _) => (place.to_owned(), REDACTED.to_owned()),
                (None, Err(reason)) => (reason, self.raw.slice(item.span())),
                (None, Ok(value)) => {
                    parsed.push(value);
                    continue;
                }
            };
            self.raw.fault(Place::File(item.span().start), &self.full(key), &text, &reason);
        }
        parsed
    }

    /// A key that nobody may set to anything but `false`: saying that it is off changes nothing and
    /// may put a reader at ease.
    pub(super) fn never(&mut self, key: &str, reason: &str) {
        let Some(value) = self.table.remove(key) else { return };
        if value.get_ref().as_bool() != Some(false) {
            let text = self.raw.slice(value.span());
            self.raw.fault(Place::File(value.span().start), &self.full(key), &text, reason);
        }
    }

    /// Notes a fault of a value that was read, or of its absence.
    pub(super) fn fault(&mut self, key: &'static str, reason: &str) {
        let (place, text) = self.written.get(key).cloned().unwrap_or((Place::Nowhere, String::new()));
        self.raw.fault(place, &self.full(key), &text, reason);
    }

    /// Whether a value was there to be read.
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.written.contains_key(key)
    }

    /// Whether a fault of the key was noted.
    pub(super) fn is_faulty(&self, key: &str) -> bool {
        let full = self.full(key);
        self.raw.is_faulty(&full)
    }

    /// Notes a fault of something that is not in the file.
    pub(super) fn fault_elsewhere(&mut self, source: &str, reason: &str) {
        self.raw.fault(Place::Elsewhere(source.to_owned()), "", "", reason);
    }

    fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }

    /// Takes a value of the right type, from what goes before the file or from the file.
    fn take<T: Typed>(&mut self, key: &'static str) -> Option<Written<T>> {
        let full = self.full(key);
        let in_file = self.table.remove(key);
        let given = self.raw.register(&full);
        let (value, text, place) = if let Some(given) = given {
            let (value, text) = T::given(&given.value);
            (value, text, Place::Elsewhere(given.source.clone()))
        } else {
            let in_file = in_file?;
            let span = in_file.span();
            let value =
                T::written(in_file.get_ref()).ok_or_else(|| with_article(in_file.get_ref().type_str()));
            (value, self.raw.slice(span.clone()), Place::File(span.start))
        };
        self.written.insert(key, (place.clone(), text.clone()));
        let value = match value {
            Ok(value) => value,
            Err(other) => {
                self.raw.fault(place, &full, &text, &format!("want {}, not {other}", T::WANTED));
                return None;
            }
        };
        // Even where such a value would do, as a name for example, it was not meant.
        if let Some(belongs) = value.text().and_then(secret::proper_place) {
            self.raw.fault(place, &full, REDACTED, belongs);
            return None;
        }
        Some(Written { value, text, place })
    }
}

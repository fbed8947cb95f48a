//! The types of config values.

use toml::Spanned;
use toml::de::DeValue;

/// A type of config value, read from the file, the command line or the environment.
pub(super) trait Typed: Sized {
    /// The type in words.
    const EXPECTED: &'static str;

    /// The value in the file, if it has this type.
    fn from_toml(value: &DeValue<'_>) -> Option<Self>;

    /// The value of an override, or in words what it is instead; and its text as TOML.
    fn from_override(text: &str) -> (Result<Self, &'static str>, String);

    /// The value, if it is text.
    fn text(&self) -> Option<&str> {
        None
    }
}

impl Typed for String {
    const EXPECTED: &'static str = "text in quotation marks";

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }

    fn from_override(text: &str) -> (Result<Self, &'static str>, String) {
        (Ok(text.to_owned()), quoted(text))
    }

    fn text(&self) -> Option<&str> {
        Some(self)
    }
}

impl Typed for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }

    fn from_override(text: &str) -> (Result<Self, &'static str>, String) {
        unquoted(text)
    }
}

impl Typed for i64 {
    const EXPECTED: &'static str = "a whole number";

    /// A number out of range becomes the end of the range, which no key accepts.
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let number = value.as_integer()?;
        let end = if number.as_str().starts_with('-') { i64::MIN } else { i64::MAX };
        Some(i64::from_str_radix(number.as_str(), number.radix()).unwrap_or(end))
    }

    fn from_override(text: &str) -> (Result<Self, &'static str>, String) {
        unquoted(text)
    }
}

impl Typed for Vec<Spanned<String>> {
    const EXPECTED: &'static str = "a list of texts, such as [\"a\", \"b\"]";

    /// An item that is not text becomes the empty text, which no key accepts.
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let text = |item: &Spanned<DeValue<'_>>| {
            Spanned::new(item.span(), item.get_ref().as_str().unwrap_or_default().to_owned())
        };
        Some(value.as_array()?.iter().map(text).collect())
    }

    fn from_override(text: &str) -> (Result<Self, &'static str>, String) {
        (Err("text"), quoted(text))
    }
}

fn unquoted<T: std::str::FromStr>(text: &str) -> (Result<T, &'static str>, String) {
    match text.parse() {
        Ok(value) => (Ok(value), text.to_owned()),
        Err(_) => (Err("text"), quoted(text)),
    }
}

/// Text as TOML, in which every JSON string is valid.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

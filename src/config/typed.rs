//! The types that a value of the config may have.

use toml::Spanned;
use toml::de::DeValue;

/// A type of value, written in a file or given on the command line or in the environment.
pub(super) trait Typed: Sized {
    /// What to write.
    const WANTED: &'static str;

    /// The value in a file, if it has this type.
    fn written(value: &DeValue<'_>) -> Option<Self>;

    /// The value from elsewhere, or what it is instead; and how it would be written in a file.
    fn given(text: &str) -> (Result<Self, String>, String);

    /// The value, if it is text.
    fn text(&self) -> Option<&str> {
        None
    }
}

impl Typed for String {
    const WANTED: &'static str = "text in quotation marks";

    fn written(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }

    fn given(text: &str) -> (Result<Self, String>, String) {
        (Ok(text.to_owned()), quoted(text))
    }

    fn text(&self) -> Option<&str> {
        Some(self)
    }
}

impl Typed for bool {
    const WANTED: &'static str = "true or false";

    fn written(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }

    fn given(text: &str) -> (Result<Self, String>, String) {
        unquoted(text)
    }
}

impl Typed for i64 {
    const WANTED: &'static str = "a whole number";

    /// A number beyond the range is the end of the range, which no key takes.
    fn written(value: &DeValue<'_>) -> Option<Self> {
        let number = value.as_integer()?;
        let end = if number.as_str().starts_with('-') { i64::MIN } else { i64::MAX };
        Some(i64::from_str_radix(number.as_str(), number.radix()).unwrap_or(end))
    }

    fn given(text: &str) -> (Result<Self, String>, String) {
        unquoted(text)
    }
}

impl Typed for Vec<Spanned<String>> {
    const WANTED: &'static str = "a list of texts, such as [\"a\", \"b\"]";

    /// An item that is no text stays as the empty text, which nothing takes.
    fn written(value: &DeValue<'_>) -> Option<Self> {
        let text = |item: &Spanned<DeValue<'_>>| {
            Spanned::new(item.span(), item.get_ref().as_str().unwrap_or_default().to_owned())
        };
        Some(value.as_array()?.iter().map(text).collect())
    }

    fn given(text: &str) -> (Result<Self, String>, String) {
        (Err("one text".to_owned()), quoted(text))
    }
}

fn unquoted<T: std::str::FromStr>(text: &str) -> (Result<T, String>, String) {
    match text.parse() {
        Ok(value) => (Ok(value), text.to_owned()),
        Err(_) => (Err("this".to_owned()), quoted(text)),
    }
}

/// JSON's strings are strings of TOML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

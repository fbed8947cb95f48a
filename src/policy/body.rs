//! Which model a request's body names, and which settings of models it changes, read while it streams, exactly as Ollama
//! will read it.
//!
//! Ollama parses some bodies twice. Go's `encoding/json` into a struct matches keys without regard to case, takes the
//! last of several, and stops after the first value. Into a map it matches the exact key only, and reads the whole body.
//! So the proxy forwards a body only as long as both must find the same model: the body is one object, and it has one key
//! that either could take for the model. A second key may come last, so this holds for the whole body: never forward bytes
//! that [`feed`](ModelReader::feed) has not accepted.
//!
//! Where this reader is more lenient than Go's, as inside nested values, Go refuses the whole body.

mod settings;

pub use settings::{DeniedBy, DeniedKey, DeniedSettings, ModelSetting};

use crate::json::{Bracket, ShortText, Token, Tokenizer};

/// Follows a body of any length in at most 4 KiB of memory.
#[derive(Debug)]
pub struct ModelReader {
    tokenizer: Tokenizer,
    state: State,
    key: ShortText<KEY_MAX>,
    value: ShortText<VALUE_MAX>,
    keys: ModelKeys,
    denied: DeniedSettings,
    object: Object,
    model: Option<String>,
    /// The value of "name".
    name: Option<String>,
}

/// Which keys of a body can name its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelKeys {
    /// Only "model".
    Model,
    /// "model", or "name" where that is absent or empty, as at `/api/show`.
    ModelOrName,
    /// None: no rule is about the model.
    Ignored,
}

/// The object whose keys are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Object {
    Body,
    /// The value of the body's "options".
    Options,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    BeforeObject,
    /// Before a key. An object may end in place of its first one.
    BeforeKey {
        first: bool,
    },
    InKey,
    BeforeColon(Key),
    BeforeValue(Key),
    /// In the string that is the value of this key.
    InNameValue(Key),
    /// In a value that does not matter, with so many brackets open in it.
    Skipping {
        depth: u32,
    },
    /// In a number or a literal, or after any value.
    AfterValue,
    AfterObject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Model,
    Name,
    Options,
    Other,
}

/// Why a body does not name one certain model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// It is a multipart body, or the endpoint takes no other.
    #[error(
        "the proxy finds no model in a multipart body; use an endpoint that takes JSON, or ask for access without model rules"
    )]
    Multipart,
    /// It has a Content-Encoding.
    #[error("the body is compressed; send it plain")]
    Coded,
    /// It is no object, or something is in front of it or behind it, even a byte order mark.
    #[error("the body is not one JSON object")]
    NotObject,
    /// Two readers could take different ones.
    #[error("the body has the key \"model\" (or, at /api/show, \"name\") more than once")]
    Twice,
    /// The value is not a string, or longer than any name.
    #[error("the body's \"model\" is not a model's name")]
    NotName,
    /// The body has ended without one.
    #[error("the body has no \"model\"")]
    Missing,
    /// This many bytes have arrived without one.
    #[error(
        "the body's first {0} bytes have no \"model\"; put it first, or ask the operator to raise models.within"
    )]
    TooFar(u64),
    /// It has a key that the client may not set.
    #[error("{0}")]
    Denied(DeniedKey),
}

/// Each letter of a key may be written as an escape of six bytes.
const KEY_MAX: usize = 6 * settings::LONGEST;

/// A name has at most 600 characters, each of which may be an escape.
const VALUE_MAX: usize = 3600;

impl ModelReader {
    /// A reader at the beginning of a body.
    pub fn new(keys: ModelKeys) -> ModelReader {
        ModelReader {
            tokenizer: Tokenizer::default(),
            state: State::BeforeObject,
            key: ShortText::default(),
            value: ShortText::default(),
            keys,
            denied: DeniedSettings::default(),
            object: Object::Body,
            model: None,
            name: None,
        }
    }

    /// The same reader, which refuses a body that changes one of the `denied` settings.
    #[must_use]
    pub fn denying(self, denied: DeniedSettings) -> ModelReader {
        ModelReader { denied, ..self }
    }

    /// Reads the next bytes.
    ///
    /// # Errors
    /// Neither these bytes nor later ones may be forwarded.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), BodyFault> {
        while let Some(token) = self.tokenizer.next(&mut bytes) {
            self.state = self.next_state(token)?;
        }
        Ok(())
    }

    /// The model, once no later byte can change it.
    pub fn model(&self) -> Option<&str> {
        let is_given = |name: &&str| !name.is_empty();
        let model = self.model.as_deref().filter(is_given);
        match self.state {
            State::AfterObject => model.or(self.name.as_deref().filter(is_given)),
            _ => model,
        }
    }

    fn next_state(&mut self, token: Token<'_>) -> Result<State, BodyFault> {
        Ok(match (self.state, token) {
            (State::BeforeObject, Token::Open(Bracket::Object)) => State::BeforeKey { first: true },
            (State::BeforeKey { .. }, Token::StringStart) => {
                self.key.clear();
                State::InKey
            }
            (State::BeforeKey { first: true }, Token::Close(Bracket::Object)) => self.end_object(),
            (State::InKey, Token::StringPart(part)) => {
                self.key.push(part);
                State::InKey
            }
            (State::InKey, Token::StringEnd) => State::BeforeColon(self.named_key()?),
            (State::BeforeColon(key), Token::Colon) => State::BeforeValue(key),
            (State::BeforeValue(key), token) => self.begin_value(key, token)?,
            (State::InNameValue(key), Token::StringPart(part)) => {
                self.value.push(part);
                self.value.get().ok_or(BodyFault::NotName)?;
                State::InNameValue(key)
            }
            (State::InNameValue(key), _) => self.end_model(key)?,
            (State::Skipping { depth }, token) => skip(depth, token),
            (State::AfterValue, Token::Comma) => State::BeforeKey { first: false },
            (State::AfterValue, Token::Close(Bracket::Object)) => self.end_object(),
            (State::AfterValue, Token::Scalar(_)) => State::AfterValue,
            _ => return Err(BodyFault::NotObject),
        })
    }

    fn begin_value(&mut self, key: Key, token: Token<'_>) -> Result<State, BodyFault> {
        match (key, token) {
            (Key::Options, Token::Open(Bracket::Object)) => {
                self.object = Object::Options;
                Ok(State::BeforeKey { first: true })
            }
            (Key::Other | Key::Options, Token::StringStart) => Ok(State::Skipping { depth: 0 }),
            (Key::Other | Key::Options, Token::Open(_)) => Ok(State::Skipping { depth: 1 }),
            (Key::Other | Key::Options, Token::Scalar(_)) => Ok(State::AfterValue),
            (Key::Other | Key::Options, _) => Err(BodyFault::NotObject),
            (key, Token::StringStart) => {
                self.value.clear();
                Ok(State::InNameValue(key))
            }
            _ => Err(BodyFault::NotName),
        }
    }

    fn end_model(&mut self, key: Key) -> Result<State, BodyFault> {
        let text = self.value.get().and_then(unescape).ok_or(BodyFault::NotName)?;
        let slot = if key == Key::Name { &mut self.name } else { &mut self.model };
        match slot.replace(text) {
            None => Ok(State::AfterValue),
            Some(_) => Err(BodyFault::Twice),
        }
    }

    fn end_object(&mut self) -> State {
        match std::mem::replace(&mut self.object, Object::Body) {
            Object::Body => State::AfterObject,
            Object::Options => State::AfterValue,
        }
    }

    fn named_key(&self) -> Result<Key, BodyFault> {
        let Some(key) = self.key.get().and_then(fold) else { return Ok(Key::Other) };
        let denied = match self.object {
            Object::Body => self.denied.in_body(&key),
            Object::Options => self.denied.in_options(&key),
        };
        if let Some(denied) = denied {
            return Err(BodyFault::Denied(denied));
        }
        Ok(match (self.object, &*key) {
            (Object::Body, "model") if self.keys != ModelKeys::Ignored => Key::Model,
            (Object::Body, "name") if self.keys == ModelKeys::ModelOrName => Key::Name,
            (Object::Body, "options") if self.denied.load_options.is_some() => Key::Options,
            _ => Key::Other,
        })
    }
}

/// A key as Go's `encoding/json` compares it with the names of fields: without regard to case. Two letters beyond ASCII
/// fold to one of ASCII. Source: `foldName`, and `unicode.SimpleFold`.
fn fold(raw: &[u8]) -> Option<String> {
    let key = if raw.contains(&b'\\') { unescape(raw)? } else { String::from_utf8(raw.to_vec()).ok()? };
    let fold = |c: char| match c {
        '\u{212a}' => 'k',
        '\u{17f}' => 's',
        c => c.to_ascii_lowercase(),
    };
    Some(key.chars().map(fold).collect())
}

/// What follows a token within a value that does not matter. Go checks that brackets match.
fn skip(depth: u32, token: Token<'_>) -> State {
    let depth = match token {
        Token::Open(_) => depth.saturating_add(1),
        Token::Close(_) => depth.saturating_sub(1),
        Token::StringEnd => depth,
        _ => return State::Skipping { depth },
    };
    if depth == 0 { State::AfterValue } else { State::Skipping { depth } }
}

/// The string between its quotation marks; `None` where Go refuses it, or replaces parts that are not Unicode.
fn unescape(raw: &[u8]) -> Option<String> {
    serde_json::from_slice(&[b"\"", raw, b"\""].concat()).ok()
}

#[cfg(test)]
mod tests;

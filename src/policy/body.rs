//! Which model a request's body names, read while it streams, exactly as Ollama will read it.
//!
//! Ollama parses some bodies twice. Go's `encoding/json` into a struct matches keys without regard to case, takes the
//! last of several, and stops after the first value. Into a map it matches the exact key only, and reads the whole body.
//! So the proxy forwards a body only as long as both must find the same model: the body is one object, and it has one key
//! that either could take for the model. A second key may come last, so this holds for the whole body: never forward bytes
//! that [`feed`](ModelReader::feed) has not accepted.
//!
//! Where this reader is more lenient than Go's, as inside nested values, Go refuses the whole body.

use crate::json::{Bracket, ShortText, Token, Tokenizer};

/// Follows a body of any length in at most 4 KiB of memory.
#[derive(Debug)]
pub struct ModelReader {
    tokenizer: Tokenizer,
    state: State,
    key: ShortText<KEY_MAX>,
    value: ShortText<VALUE_MAX>,
    keys: ModelKeys,
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
}

/// Each of the five letters of "model" may be written as an escape of six bytes.
const KEY_MAX: usize = 30;

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
            model: None,
            name: None,
        }
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
            (State::BeforeKey { first: true }, Token::Close(Bracket::Object)) => State::AfterObject,
            (State::InKey, Token::StringPart(part)) => {
                self.key.push(part);
                State::InKey
            }
            (State::InKey, Token::StringEnd) => State::BeforeColon(self.named_key()),
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
            (State::AfterValue, Token::Close(Bracket::Object)) => State::AfterObject,
            (State::AfterValue, Token::Scalar(_)) => State::AfterValue,
            _ => return Err(BodyFault::NotObject),
        })
    }

    fn begin_value(&mut self, key: Key, token: Token<'_>) -> Result<State, BodyFault> {
        match (key, token) {
            (Key::Other, Token::StringStart) => Ok(State::Skipping { depth: 0 }),
            (Key::Other, Token::Open(_)) => Ok(State::Skipping { depth: 1 }),
            (Key::Other, Token::Scalar(_)) => Ok(State::AfterValue),
            (Key::Other, _) => Err(BodyFault::NotObject),
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

    /// Go folds letters beyond ASCII too, but none of them folds to a letter of these keys.
    fn named_key(&self) -> Key {
        let Some(raw) = self.key.get() else { return Key::Other };
        // Without an escape the key needs no copy.
        let is = |name: &str| {
            if raw.contains(&b'\\') {
                unescape(raw).is_some_and(|key| key.eq_ignore_ascii_case(name))
            } else {
                raw.eq_ignore_ascii_case(name.as_bytes())
            }
        };
        if is("model") {
            Key::Model
        } else if self.keys == ModelKeys::ModelOrName && is("name") {
            Key::Name
        } else {
            Key::Other
        }
    }
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The model that is known at the end of a body, read whole and byte by byte.
    fn read(keys: ModelKeys, body: &[u8]) -> Result<Option<String>, BodyFault> {
        let mut whole = ModelReader::new(keys);
        let fed = whole.feed(body).map(|()| whole.model().map(str::to_owned));
        let mut slow = ModelReader::new(keys);
        let slowly = body.iter().try_for_each(|b| slow.feed(&[*b])).map(|()| slow.model().map(str::to_owned));
        assert_eq!(fed, slowly);
        fed
    }

    fn model(body: &str) -> Result<Option<String>, BodyFault> {
        read(ModelKeys::Model, body.as_bytes())
    }

    #[test]
    fn model_is_found_at_any_place_and_in_any_spelling() {
        for body in [
            r#"{"model":"a"}"#,
            r#" { "model" : "a" } "#,
            "{\r\n\t\"stream\":true,\"model\":\"a\"}\n",
            r#"{"messages":[{"role":"user","content":"\"model\":\"b\"","model":"c"}],"model":"a"}"#,
            r#"{"x":{"model":"b"},"y":-1.5e3,"z":null,"":"","model":"a","w":[[[]]]}"#,
            r#"{"MODEL":"a"}"#,
            r#"{"Model":"a"}"#,
            r#"{"\u006dode\u006c":"\u0061"}"#,
            r#"{"x":"\\","model":"a","y":"\\\""}"#,
            r#"{"modelx":"b","mode":"c","models":"d","model ":"e","model":"a"}"#,
        ] {
            assert_eq!(model(body), Ok(Some("a".to_owned())), "{body}");
        }
    }

    #[test]
    fn model_is_known_before_the_body_ends() {
        let mut reader = ModelReader::new(ModelKeys::Model);
        reader.feed(br#"{"model":"a"#).unwrap();
        assert_eq!(reader.model(), None);
        reader.feed(br#"","messages":["#).unwrap();
        assert_eq!(reader.model(), Some("a"));
        assert_eq!(reader.feed(br#"],"mOdel":"b"}"#), Err(BodyFault::Twice));
    }

    #[test]
    fn ambiguous_bodies_are_refused() {
        for body in [
            r#"{"model":"a","model":"a"}"#,
            r#"{"model":"a","Model":"b"}"#,
            r#"{"model":"a","mod\u0065l":"b"}"#,
            r#"{"model":"","model":"b"}"#,
        ] {
            assert_eq!(model(body), Err(BodyFault::Twice), "{body}");
        }
        for body in
            [r#"{"model":1}"#, r#"{"model":null}"#, r#"{"model":["a"]}"#, r#"{"model":"a","MODEL":null}"#]
        {
            assert_eq!(model(body), Err(BodyFault::NotName), "{body}");
        }
        for body in [
            "\u{feff}{}",
            "[]",
            "null",
            "\"model\"",
            "x",
            r#"{"model":"a"}{"model":"b"}"#,
            r#"{"model":"a"}x"#,
            "{\"model\":\"a\"}\0",
            r#"{model:"a"}"#,
            "{,}",
            r#"{"a" "b"}"#,
            r#"{"a":}"#,
            r#"{"a":1:2}"#,
            r#"{'a':1}"#,
        ] {
            assert_eq!(model(body), Err(BodyFault::NotObject), "{body:?}");
        }
        assert_eq!(model(r#"{"model":"\ud800"}"#), Err(BodyFault::NotName));
        assert_eq!(read(ModelKeys::Model, b"{\"model\":\"\xff\"}"), Err(BodyFault::NotName));
        assert_eq!(model(&format!(r#"{{"model":"{}"}}"#, "a".repeat(5000))), Err(BodyFault::NotName));
        for none in ["", " ", "{}", "{", r#"{"model":""}"#, r#"{"model":"a"#, r#"{"name":"a"}"#] {
            assert_eq!(model(none), Ok(None), "{none}");
        }
    }

    #[test]
    fn name_replaces_an_absent_or_empty_model_at_api_show() {
        let show = |body: &str| read(ModelKeys::ModelOrName, body.as_bytes());
        for body in [
            r#"{"name":"a"}"#,
            r#"{"model":"","name":"a"}"#,
            r#"{"Name":"a","model":""}"#,
            r#"{"name":"b","model":"a"}"#,
            r#"{"model":"a","name":""}"#,
        ] {
            assert_eq!(show(body), Ok(Some("a".to_owned())), "{body}");
        }
        assert_eq!(show(r#"{"name":"a""#), Ok(None), "a model could follow");
        assert_eq!(show(r#"{"name":"a","NAME":"a"}"#), Err(BodyFault::Twice));
        assert_eq!(show(r#"{"model":"a","name":1}"#), Err(BodyFault::NotName));
    }

    #[test]
    fn deep_nesting_and_long_keys_take_no_memory() {
        let deep = format!(r#"{{"x":{}{},"model":"a"}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(model(&deep), Ok(Some("a".to_owned())));
        let mut reader = ModelReader::new(ModelKeys::Model);
        reader.feed(br#"{""#).unwrap();
        reader.feed(&vec![b'a'; 1 << 20]).unwrap();
        assert!(reader.key.get().is_none());
    }

    proptest! {
        /// serde_json's own output is read as serde_json wrote it.
        #[test]
        fn valid_objects_are_read_as_written(keys in proptest::collection::vec("[a-c\\\\\"]{0,3}|model|Model|name", 0..6), value in "\\PC{0,6}") {
            let json = |text: &str| serde_json::Value::from(text).to_string();
            let pairs: Vec<_> = keys.iter().map(|key| format!("{}:{}", json(key), json(&value))).collect();
            let body = format!("{{{}}}", pairs.join(","));
            let want = keys.iter().filter(|key| key.eq_ignore_ascii_case("model")).count();
            match want {
                0 => prop_assert_eq!(model(&body), Ok(None)),
                1 => prop_assert_eq!(model(&body), Ok(Some(value).filter(|v| !v.is_empty()))),
                _ => prop_assert_eq!(model(&body), Err(BodyFault::Twice)),
            }
        }
    }
}

//! Which model a body asks for, told while it streams, as Ollama will read it.
//!
//! Ollama reads a body twice where it may go to the cloud: with Go's `encoding/json` into a struct, which takes keys
//! without regard to case and of several the last, and stops after the first value; and into a map, which takes the exact
//! key only and the whole body. So a body passes only as long as both must come to the same: it is one object, and a key
//! that either could take for the model is there once. That holds for the body's whole length, since a second key may
//! be its last; whoever follows a body must hand on no part of it that [`feed`](ModelReader::feed) has not taken.
//!
//! Where this reader is easier to please than Go's, as with what is nested, Go refuses the body as a whole.

/// Follows a body of any length in a few bytes of memory.
#[derive(Debug)]
pub struct ModelReader {
    state: State,
    /// How many arrays and objects are open inside of the outer object.
    depth: u32,
    /// Whether a backslash has come just before, inside of a string.
    escaped: bool,
    /// The string that is read, as written, so far as it is worth keeping.
    text: Vec<u8>,
    model: Option<String>,
    /// Where it stands for an absent model.
    name: Option<Option<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the object.
    Start,
    /// Before a key; the first one may be missing.
    Key {
        first: bool,
    },
    InKey,
    /// After a key.
    Colon(Key),
    /// Before a value.
    Value(Key),
    /// In a string that is the value of a key that counts.
    InText(Key),
    /// In a number or a word, or behind a value.
    Rest,
    /// In another value: in a string of it, or not.
    Nested {
        string: bool,
    },
    /// Behind the object.
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Model,
    Name,
    Other,
}

/// Why it can't be told which model a body asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// It is compressed.
    #[error("the body is compressed; send it plain")]
    Coded,
    /// It is something else, or something in front of it or behind it, even a byte order mark.
    #[error("the body is not one JSON object")]
    NotObject,
    /// Two readers could take different ones.
    #[error("the body has the key \"model\" (or, at /api/show, \"name\") more than once")]
    Twice,
    /// It is a number, for example, or longer than any name.
    #[error("the body's \"model\" is not a model's name")]
    NotName,
    /// The body has ended.
    #[error("the body has no \"model\"")]
    Missing,
    /// So many bytes have come without it.
    #[error(
        "the body's first {0} bytes have no \"model\": put it first, or have the node's owner raise models.within"
    )]
    TooFar(u64),
}

/// Each of the five letters of "model" may be written as an escape of six bytes.
const KEY_MAX: usize = 30;

/// A name has at most 600 characters, each of which may be an escape.
const TEXT_MAX: usize = 3600;

impl ModelReader {
    /// A reader at the beginning of a body. With `name` the key of this name stands for the model where that is absent or
    /// empty, as it does for `/api/show`.
    pub fn new(name: bool) -> ModelReader {
        ModelReader {
            state: State::Start,
            depth: 0,
            escaped: false,
            text: Vec::new(),
            model: None,
            name: name.then_some(None),
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// They must not go on, nor any later ones.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), BodyFault> {
        while let Some((&byte, rest)) = bytes.split_first() {
            // What is in strings is most of a body.
            if matches!(self.state, State::Nested { string: true }) && !self.escaped {
                let plain = bytes.iter().take_while(|b| !matches!(**b, b'"' | b'\\')).count();
                if plain > 0 {
                    bytes = &bytes[plain..];
                    continue;
                }
            }
            bytes = rest;
            self.step(byte)?;
        }
        Ok(())
    }

    /// The model, once nothing that may still come could change it.
    pub fn model(&self) -> Option<&str> {
        let model = self.model.as_deref().filter(|model| !model.is_empty());
        match &self.name {
            Some(name) if self.state == State::Done => {
                model.or(name.as_deref().filter(|name| !name.is_empty()))
            }
            _ => model,
        }
    }

    fn step(&mut self, byte: u8) -> Result<(), BodyFault> {
        let blank = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        match self.state {
            State::InKey | State::InText(_) | State::Nested { string: true } => return self.in_string(byte),
            State::Nested { string: false } => self.nested(byte),
            _ if blank => {}
            State::Start if byte == b'{' => self.state = State::Key { first: true },
            State::Key { .. } if byte == b'"' => self.state = State::InKey,
            State::Key { first: true } if byte == b'}' => self.state = State::Done,
            State::Colon(key) if byte == b':' => self.state = State::Value(key),
            State::Value(key) => self.value(key, byte)?,
            State::Rest => match byte {
                b',' => self.state = State::Key { first: false },
                b'}' => self.state = State::Done,
                b'"' | b'{' | b'[' | b']' | b':' => return Err(BodyFault::NotObject),
                _ => {}
            },
            State::Start | State::Key { .. } | State::Colon(_) | State::Done => {
                return Err(BodyFault::NotObject);
            }
        }
        Ok(())
    }

    fn value(&mut self, key: Key, byte: u8) -> Result<(), BodyFault> {
        self.state = match (byte, key) {
            (b'"', Key::Other) => State::Nested { string: true },
            (b'"', key) => State::InText(key),
            (_, Key::Model | Key::Name) => return Err(BodyFault::NotName),
            (b'{' | b'[', _) => {
                self.depth = 1;
                State::Nested { string: false }
            }
            (b',' | b'}' | b']' | b':', _) => return Err(BodyFault::NotObject),
            _ => State::Rest,
        };
        Ok(())
    }

    fn nested(&mut self, byte: u8) {
        match byte {
            b'"' => self.state = State::Nested { string: true },
            // Go refuses more than ten thousand.
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        if self.depth == 0 {
            self.state = State::Rest;
        }
    }

    fn in_string(&mut self, byte: u8) -> Result<(), BodyFault> {
        let ends = byte == b'"' && !self.escaped;
        self.escaped = byte == b'\\' && !self.escaped;
        match self.state {
            State::Nested { .. } if ends && self.depth == 0 => self.state = State::Rest,
            State::Nested { .. } if ends => self.state = State::Nested { string: false },
            State::InKey if ends => {
                let key = self.key();
                self.text.clear();
                self.state = State::Colon(key);
            }
            State::InText(key) if ends => {
                let text = text(&self.text).ok_or(BodyFault::NotName)?;
                self.text.clear();
                let at = match key {
                    Key::Name => self.name.get_or_insert_default(),
                    _ => &mut self.model,
                };
                if at.replace(text).is_some() {
                    return Err(BodyFault::Twice);
                }
                self.state = State::Rest;
            }
            // One byte beyond what counts tells that it is longer.
            State::InKey if self.text.len() <= KEY_MAX => self.text.push(byte),
            State::InText(_) if self.text.len() >= TEXT_MAX => return Err(BodyFault::NotName),
            State::InText(_) => self.text.push(byte),
            _ => {}
        }
        Ok(())
    }

    /// Go folds letters beyond ASCII too, but none of them folds to one of these.
    fn key(&self) -> Key {
        let named = |name: &str| match self.text.len() <= KEY_MAX && self.text.contains(&b'\\') {
            true => text(&self.text).is_some_and(|text| text.eq_ignore_ascii_case(name)),
            false => self.text.eq_ignore_ascii_case(name.as_bytes()),
        };
        match () {
            () if named("model") => Key::Model,
            () if self.name.is_some() && named("name") => Key::Name,
            () => Key::Other,
        }
    }
}

/// A string by what stands between its quotation marks. Where this is `None` Go takes no string at all, or one with
/// characters in place of those that are none.
fn text(raw: &[u8]) -> Option<String> {
    serde_json::from_slice(&[b"\"", raw, b"\""].concat()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is known of a body once all of it is there, however it comes.
    fn read(name: bool, body: &[u8]) -> Result<Option<String>, BodyFault> {
        let mut whole = ModelReader::new(name);
        let fed = whole.feed(body).map(|()| whole.model().map(str::to_owned));
        let mut slow = ModelReader::new(name);
        let slowly = body.iter().try_for_each(|b| slow.feed(&[*b])).map(|()| slow.model().map(str::to_owned));
        assert_eq!(fed, slowly);
        fed
    }

    fn model(body: &str) -> Result<Option<String>, BodyFault> {
        read(false, body.as_bytes())
    }

    #[test]
    fn the_model_is_found_wherever_it_stands() {
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
    fn it_is_known_before_the_body_has_ended() {
        let mut reader = ModelReader::new(false);
        reader.feed(br#"{"model":"a"#).unwrap();
        assert_eq!(reader.model(), None);
        reader.feed(br#"","messages":["#).unwrap();
        assert_eq!(reader.model(), Some("a"));
        assert_eq!(reader.feed(br#"],"mOdel":"b"}"#), Err(BodyFault::Twice));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
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
        assert_eq!(read(false, b"{\"model\":\"\xff\"}"), Err(BodyFault::NotName));
        assert_eq!(model(&format!(r#"{{"model":"{}"}}"#, "a".repeat(5000))), Err(BodyFault::NotName));
        for none in ["", " ", "{}", "{", r#"{"model":""}"#, r#"{"model":"a"#, r#"{"name":"a"}"#] {
            assert_eq!(model(none), Ok(None), "{none}");
        }
    }

    #[test]
    fn a_name_stands_for_an_absent_model_where_ollama_takes_it_for_one() {
        let show = |body: &str| read(true, body.as_bytes());
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
    fn depth_and_length_cost_nothing() {
        let deep = format!(r#"{{"x":{}{},"model":"a"}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(model(&deep), Ok(Some("a".to_owned())));
        let mut reader = ModelReader::new(false);
        reader.feed(br#"{""#).unwrap();
        reader.feed(&vec![b'a'; 1 << 20]).unwrap();
        assert!(reader.text.capacity() <= 64);
    }

    proptest! {
        /// serde_json reads the same, wherever it reads at all.
        #[test]
        fn sound_objects(keys in proptest::collection::vec("[a-c\\\\\"]{0,3}|model|Model|name", 0..6), value in "\\PC{0,6}") {
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

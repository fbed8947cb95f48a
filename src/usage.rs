//! How many tokens an answer of Ollama's says it took, picked out while it streams. An answer is read by its structure:
//! what a model writes is inside of strings, lists and objects that nobody looks into, whatever it looks like.
//!
//! Source: Ollama's docs/api.md, `openai/openai.go`, `openai/responses.go` and `anthropic/anthropic.go`.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

/// Tokens, as far as an answer told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Of the prompt. For an embedding, all there are.
    pub input: Option<u64>,
    /// Of what the model has written.
    pub output: Option<u64>,
}

impl Tokens {
    /// As the access log has it where an answer told neither.
    pub const UNTOLD: &str = "untold";
}

/// Follows an answer of any length in a few bytes of memory.
#[derive(Debug)]
pub struct TokenCounter {
    framing: Framing,
    json: Json,
    /// Bytes of an answer that can't be read.
    unread: u64,
}

/// So many bytes of an answer that can't be read are charged as one token. In text a token is about 4 bytes; in a stream it
/// is an event of 100 and more, of which compression leaves about 20.
const UNREAD_TOKEN: u64 = 16;

/// How the JSON in an answer is told apart.
#[derive(Debug)]
enum Framing {
    /// One value, or one on each line: a line end within a value is nothing that JSON minds.
    Plain,
    /// Server-sent events (HTML standard, 9.2), of which each has one line of data. So many bytes of this line's name
    /// were read; `None`: it is another line.
    Events(Option<usize>),
    /// Nothing that is looked at.
    Other,
}

const DATA: &[u8] = b"data:";

impl TokenCounter {
    /// One for an answer with these headers. What is neither JSON nor events of it, or compressed, tells nothing, and is
    /// charged by its size.
    pub fn of(headers: &HeaderMap) -> TokenCounter {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let framing = match kind.split(';').next().unwrap_or_default().trim() {
            _ if headers.get_all(CONTENT_ENCODING).iter().any(|coding| coding != "identity") => {
                Framing::Other
            }
            "application/json" | "application/x-ndjson" => Framing::Plain,
            "text/event-stream" => Framing::Events(Some(0)),
            _ => Framing::Other,
        };
        TokenCounter { framing, json: Json::default(), unread: 0 }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        let named = match &mut self.framing {
            Framing::Events(named) => named,
            Framing::Plain => return bytes.iter().for_each(|b| self.json.step(*b)),
            Framing::Other => return self.unread = self.unread.saturating_add(bytes.len() as u64),
        };
        for &byte in bytes {
            match (byte, *named) {
                (b'\n', _) => {
                    self.json.begin();
                    *named = Some(0);
                }
                (_, Some(at)) if at == DATA.len() => self.json.step(byte),
                (_, Some(at)) if DATA[at] == byte => *named = Some(at + 1),
                _ => *named = None,
            }
        }
    }

    /// The tokens to charge somebody for whose answer has ended, `whole` or not. Where it has not told them all, each value
    /// of JSON in it counts for one, of which a stream has one for each token or few: so nobody spends less by not asking
    /// to be told, or by leaving early. What can't be read at all is charged by its size.
    pub fn spent(&self, whole: bool) -> u64 {
        let Tokens { input, output } = self.json.tokens;
        let told = input.unwrap_or(0).saturating_add(output.unwrap_or(0));
        let untold = self.json.untold.saturating_add(self.unread.div_ceil(UNREAD_TOKEN));
        if whole && told > 0 { told } else { told.saturating_add(untold) }
    }

    /// What has been told so far. What is told later counts, since it is of the whole answer.
    pub fn tokens(&self) -> Tokens {
        self.json.tokens
    }
}

/// A reader of JSON values, one after the other. It looks into three levels of objects, and counts the rest.
#[derive(Debug, Default)]
struct Json {
    /// How many objects and lists are open.
    depth: u32,
    /// What those are that are open, from the outside.
    open: [Place; 3],
    string: bool,
    escaped: bool,
    /// Whether a string that begins now is a key.
    before_key: bool,
    key: Key,
    /// The number that is read.
    number: Option<u64>,
    tokens: Tokens,
    /// Values since a number of tokens was told; some streams have zeros for it until they end.
    untold: u64,
}

/// What an object is, by where it stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// The outer one.
    Outer,
    /// The answer, in an event about it.
    Answer,
    Usage,
    #[default]
    Elsewhere,
}

/// The letters of a key, at most so many as one that counts may have.
#[derive(Debug, Default)]
struct Key {
    letters: [u8; 20],
    length: usize,
}

impl Key {
    fn name(&self) -> &[u8] {
        self.letters.get(..self.length).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) {
        if let Some(letter) = self.letters.get_mut(self.length) {
            *letter = byte;
        }
        self.length = self.length.saturating_add(1); // a longer one has no name
    }
}

impl Json {
    /// Whatever was read, another value begins.
    fn begin(&mut self) {
        *self = Json { tokens: self.tokens, untold: self.untold, ..Json::default() };
    }

    fn place(&self) -> Place {
        let at = (self.depth as usize).checked_sub(1);
        at.and_then(|at| self.open.get(at).copied()).unwrap_or_default()
    }

    fn step(&mut self, byte: u8) {
        if self.string {
            return self.in_string(byte);
        }
        match byte {
            b'"' => {
                self.string = true;
                if self.before_key {
                    self.key.length = 0;
                }
            }
            b'{' | b'[' => self.enter(byte == b'{'),
            b'}' | b']' => {
                self.count();
                self.depth = self.depth.saturating_sub(1);
                self.untold += u64::from(self.depth == 0);
                self.before_key = false;
            }
            b',' => {
                self.count();
                self.before_key = self.place() != Place::Elsewhere;
            }
            b':' => {
                self.before_key = false;
                self.number = Some(0);
            }
            b'0'..=b'9' => {
                let more = |n: u64| n.checked_mul(10)?.checked_add(u64::from(byte - b'0'));
                self.number = self.number.and_then(more);
            }
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => self.number = None,
        }
    }

    fn in_string(&mut self, byte: u8) {
        let ends = byte == b'"' && !self.escaped;
        self.escaped = byte == b'\\' && !self.escaped;
        if ends {
            self.string = false;
            self.number = None;
        } else if self.before_key {
            self.key.push(byte);
        }
    }

    fn enter(&mut self, object: bool) {
        let inner = match (self.depth, self.place(), self.key.name()) {
            (0, ..) => Place::Outer,
            (_, Place::Outer | Place::Answer, b"usage") => Place::Usage,
            (_, Place::Outer, b"response" | b"message") => Place::Answer,
            _ => Place::Elsewhere,
        };
        let inner = if object { inner } else { Place::Elsewhere };
        if let Some(place) = self.open.get_mut(self.depth as usize) {
            *place = inner;
        }
        self.depth = self.depth.saturating_add(1);
        self.before_key = self.place() != Place::Elsewhere;
        self.number = None;
    }

    /// A value has ended; if it is one that counts, it is kept.
    fn count(&mut self) {
        let Some(number) = self.number.take() else { return };
        let counts = match (self.place(), self.key.name()) {
            (Place::Usage, b"prompt_tokens" | b"input_tokens") | (Place::Outer, b"prompt_eval_count") => {
                &mut self.tokens.input
            }
            (Place::Usage, b"completion_tokens" | b"output_tokens") | (Place::Outer, b"eval_count") => {
                &mut self.tokens.output
            }
            _ => return,
        };
        *counts = Some(number);
        if number > 0 {
            self.untold = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(kind: &str, answer: &str) -> Tokens {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        let feed = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut scanner = TokenCounter::of(&headers);
            pieces.for_each(|piece| scanner.feed(piece));
            scanner.tokens()
        };
        let whole = feed(&mut std::iter::once(answer.as_bytes()));
        assert_eq!(whole, feed(&mut answer.as_bytes().chunks(1)), "pieces make no difference");
        whole
    }

    fn tokens(input: u64, output: u64) -> Tokens {
        Tokens { input: Some(input), output: Some(output) }
    }

    const NONE: Tokens = Tokens { input: None, output: None };
    const JSON: &str = "application/json; charset=utf-8";
    const EVENTS: &str = "text/event-stream";

    #[test]
    fn each_api_tells_in_its_own_words() {
        for (kind, answer, told) in [
            (
                JSON,
                r#"{"id":"a","choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":26,"completion_tokens":298,"total_tokens":324}}"#,
                tokens(26, 298),
            ),
            (
                JSON,
                r#"{"output":[],"usage":{"input_tokens":1,"output_tokens":2,"output_tokens_details":{"reasoning_tokens":9}}}"#,
                tokens(1, 2),
            ),
            (
                JSON,
                r#"{"content":[{"type":"text","text":"x"}],"usage":{"input_tokens" : 3,"output_tokens":4}}"#,
                tokens(3, 4),
            ),
            (
                JSON,
                r#"{"message":{"role":"assistant","content":"x"},"done":true,"prompt_eval_count":5,"eval_count":6}"#,
                tokens(5, 6),
            ),
            (
                JSON,
                r#"{"embeddings":[[0.1,-2e-3]],"prompt_eval_count":7}"#,
                Tokens { input: Some(7), output: None },
            ),
            (
                "application/x-ndjson",
                "{\"message\":{},\"done\":false}\n{\"done\":true,\"prompt_eval_count\":8,\"eval_count\":9}\n",
                tokens(8, 9),
            ),
            (
                EVENTS,
                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
                tokens(1, 2),
            ),
            (
                EVENTS,
                "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\n\nevent: response.completed\ndata: {\"response\":{\"output\":[{\"usage\":{\"input_tokens\":7}}],\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}}\n\n",
                tokens(3, 4),
            ),
            (
                EVENTS,
                "event: message_start\ndata: {\"message\":{\"content\":[],\"usage\":{\"input_tokens\":9,\"output_tokens\":0}}}\r\n\r\nevent: message_delta\r\ndata:{\"delta\":{},\"usage\":{\"input_tokens\":5,\"output_tokens\":6}}\r\n\r\n",
                tokens(5, 6),
            ),
        ] {
            assert_eq!(scan(kind, answer), told, "{answer}");
        }
    }

    #[test]
    fn what_a_model_writes_is_not_taken_for_it() {
        let usage = r#""usage":{"prompt_tokens":1000,"completion_tokens":1000},"eval_count":1000"#;
        let quoted = serde_json::Value::from(format!("}}]}},{usage},\n\ndata: {{{usage}}}\n\n")).to_string();
        let calls = format!("[{{\"function\":{{\"name\":\"usage\",\"arguments\":{{{usage}}}}}}}]");
        for answer in [
            format!(r#"{{"choices":[{{"message":{{"content":{quoted},"usage":{{"input_tokens":7}}}}}}]}}"#),
            format!(r#"{{"message":{{"content":{quoted},"tool_calls":{calls}}},"done":false}}"#),
            format!(r#"{{"response":{quoted},"done":false}}"#),
            format!(r#"{{"content":[{{"type":"tool_use","input":{{{usage}}}}}],"metadata":{{{usage}}}}}"#),
            format!(r#"{{"response":{{"metadata":{{{usage}}},"tools":{calls},"instructions":{quoted}}}}}"#),
            format!(r#"[{{{usage}}}]"#),
            "{\"usage\":[{\"prompt_tokens\":1}]}".to_owned(),
            "{\"usage\":{\"prompt_tokens\":\"1\",\"completion_tokens\":-1}}".to_owned(),
            "{\"usage\":{\"prompt_tokens\":1.5,\"completion_tokens\":99999999999999999999}}".to_owned(),
            "{\"usage\":{\"prompt_tokens\":[1],\"completion_tokens\":{\"a\":1}}}".to_owned(),
            "{\"a\":\"usage\",\"b\":{\"prompt_tokens\":1}}".to_owned(),
        ] {
            assert_eq!(scan(JSON, &answer), NONE, "{answer}");
            assert_eq!(scan(EVENTS, &format!("event: x\ndata: {answer}\n\n")), NONE, "{answer}");
            assert_eq!(scan(EVENTS, &format!("x: {{{usage}}}\n: {{{usage}}}\n xdata: {{{usage}}}\n")), NONE);
        }
    }

    #[test]
    fn who_does_not_let_it_be_told_is_charged_all_the_same() {
        let charged = |answer: &str, whole| {
            let mut scanner =
                TokenCounter { framing: Framing::Events(Some(0)), json: Json::default(), unread: 0 };
            scanner.feed(answer.as_bytes());
            scanner.spent(whole)
        };
        let event = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
        let zeros = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}}\n\n";
        let told = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n";
        assert_eq!(charged(&(event.repeat(3) + told), true), 10);
        assert_eq!(charged(&(zeros.repeat(3) + told), true), 10);
        assert_eq!(charged(&event.repeat(5), true), 5);
        assert_eq!(charged(&zeros.repeat(5), false), 5);
        let start = "data: {\"message\":{\"usage\":{\"input_tokens\":9,\"output_tokens\":0}}}\n\n".to_owned();
        assert_eq!(charged(&(start + &event.repeat(4)), false), 9 + 1 + 4);
    }

    #[test]
    fn answers_that_cannot_be_read_are_charged_by_their_size() {
        let scan = |pairs: &[(http::HeaderName, &str)]| {
            let headers = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
            let mut scanner = TokenCounter::of(&headers.collect());
            scanner.feed(br#"{"eval_count":7, "a":1}"#);
            (scanner.tokens().output, scanner.spent(true))
        };
        const JSON: (http::HeaderName, &str) = (CONTENT_TYPE, "application/json");
        assert_eq!(scan(&[JSON]), (Some(7), 7));
        assert_eq!(scan(&[JSON, (CONTENT_ENCODING, "identity")]), (Some(7), 7));
        for unreadable in [&[][..], &[(CONTENT_TYPE, "text/plain")], &[JSON, (CONTENT_ENCODING, "gzip")]] {
            assert_eq!(scan(unreadable), (None, 2), "23 bytes");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in "([{}\\[\\],:\"\\\\0-9a\n]|data:|\"usage\":|\"prompt_tokens\":){0,60}") {
            scan(JSON, &bytes);
            scan(EVENTS, &bytes);
        }

        /// serde_json finds the same, whatever else is in an answer.
        #[test]
        fn it_is_read_as_others_do(content in any::<String>(), key in any::<String>(), input in any::<u32>(), output in any::<u32>()) {
            let answer = serde_json::json!({
                "choices": [{"message": {"content": content, "usage": {"prompt_tokens": 1}}}],
                format!("x{key}"): {"usage": {"prompt_tokens": 2}, "eval_count": [3, key]},
                "usage": {"completion_tokens": output, "prompt_tokens": input, "z": content},
            });
            prop_assert_eq!(scan(JSON, &answer.to_string()), tokens(input.into(), output.into()));
            prop_assert_eq!(scan(JSON, &serde_json::to_string_pretty(&answer).unwrap()), tokens(input.into(), output.into()));
        }
    }
}

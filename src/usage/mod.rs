//! Counts the tokens that an answer of Ollama's reports, while it streams. `answer` finds the counts in the structure of
//! the JSON; whatever a model writes is inside of strings and nested values, which it skips.
//!
//! The framing of server-sent events is by hand: the crates for it hold each event until it ends, and Ollama's answers need
//! only the lines of data.

mod answer;
mod tokens;

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use answer::AnswerReader;
pub use tokens::Tokens;

/// Follows an answer of any length in a few bytes of memory.
#[derive(Debug)]
pub struct TokenCounter {
    framing: Framing,
    answer: AnswerReader,
    /// Bytes of an answer that is not JSON, or compressed.
    unreadable: u64,
}

/// This many bytes of an answer that the proxy can't read are charged as one token. In text a token is about 4 bytes; in a
/// stream it is an event of 100 or more, of which compression leaves about 20.
const UNREADABLE_BYTES_PER_TOKEN: u64 = 16;

/// The values from which a complete answer takes its counts: the one that has them, and one that may end the stream.
const LAST_VALUES: u64 = 2;

/// Where an answer has its JSON.
#[derive(Debug)]
enum Framing {
    /// Everywhere: one value, or one on each line.
    Plain,
    /// In the `data:` lines of server-sent events (HTML standard, 9.2). Ollama writes one such line for each event.
    Events(Line),
    /// Not readable by the proxy.
    Unreadable,
}

/// A line of server-sent events, as far as it has arrived.
#[derive(Debug, Clone, Copy)]
enum Line {
    /// These first bytes are those of `data:`.
    Prefix(usize),
    Data,
    /// A line of another name.
    Ignored,
}

const DATA: &[u8] = b"data:";

impl TokenCounter {
    /// A counter for an answer with these headers. An answer that is neither JSON nor events, or that is compressed, reports
    /// nothing and is charged by its size.
    pub fn of(headers: &HeaderMap) -> TokenCounter {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_coded = headers.get_all(CONTENT_ENCODING).iter().any(|coding| coding != "identity");
        let framing = match kind.split(';').next().unwrap_or_default().trim() {
            _ if is_coded => Framing::Unreadable,
            "application/json" | "application/x-ndjson" => Framing::Plain,
            "text/event-stream" => Framing::Events(Line::Prefix(0)),
            _ => Framing::Unreadable,
        };
        TokenCounter { framing, answer: AnswerReader::default(), unreadable: 0 }
    }

    /// A counter for an answer that reports nothing whatever its form, such as an image in JSON. It is charged by its size.
    pub fn by_size() -> TokenCounter {
        TokenCounter { framing: Framing::Unreadable, answer: AnswerReader::default(), unreadable: 0 }
    }

    /// Reads the next bytes of the answer.
    pub fn feed(&mut self, bytes: &[u8]) {
        match &mut self.framing {
            Framing::Plain => self.answer.feed(bytes),
            Framing::Events(line) => {
                for part in bytes.split_inclusive(|b| *b == b'\n') {
                    *line = feed_line(*line, part, &mut self.answer);
                }
            }
            Framing::Unreadable => self.unreadable = self.unreadable.saturating_add(bytes.len() as u64),
        }
    }

    /// The tokens to charge for an answer that has ended. If it was cut short (`whole` is false), or its last values report no
    /// counts, each JSON value since the last report counts as one token, as a stream has one value for a few tokens at most.
    /// So a client can't save tokens by not asking for the counts, by disconnecting early, or with a request that fails
    /// after the model has generated: a stream of `/v1/messages` begins with a count of the prompt.
    pub fn spent(&self, whole: bool) -> u64 {
        let Tokens { input, output } = self.answer.tokens();
        let reported = input.unwrap_or(0).saturating_add(output.unwrap_or(0));
        if whole && reported > 0 && self.answer.unreported() <= LAST_VALUES {
            return reported;
        }
        let unreadable = self.unreadable.div_ceil(UNREADABLE_BYTES_PER_TOKEN);
        reported.saturating_add(self.answer.unreported()).saturating_add(unreadable)
    }

    /// The counts so far. A later count replaces an earlier one, as each is for the whole answer.
    pub fn tokens(&self) -> Tokens {
        self.answer.tokens()
    }
}

/// Reads bytes of one line, its end included if they have it, and says where in a line the next byte is.
fn feed_line(line: Line, mut part: &[u8], answer: &mut AnswerReader) -> Line {
    let mut line = line;
    while let (Line::Prefix(at), Some((first, rest))) = (line, part.split_first()) {
        line = match DATA.get(at) {
            Some(expected) if expected == first => {
                part = rest;
                Line::Prefix(at + 1)
            }
            Some(_) => Line::Ignored,
            None => Line::Data,
        };
    }
    if matches!(line, Line::Data) {
        answer.feed(part);
    }
    if part.ends_with(b"\n") {
        answer.begin_value();
        line = Line::Prefix(0);
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(http::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    /// The counts of an answer, read whole and byte by byte.
    fn count(kind: &str, answer: &str) -> Tokens {
        let headers = headers(&[(CONTENT_TYPE, kind)]);
        let feed = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut counter = TokenCounter::of(&headers);
            pieces.for_each(|piece| counter.feed(piece));
            counter.tokens()
        };
        let whole = feed(&mut std::iter::once(answer.as_bytes()));
        assert_eq!(whole, feed(&mut answer.as_bytes().chunks(1)), "chunk borders make no difference");
        whole
    }

    fn tokens(input: u64, output: u64) -> Tokens {
        Tokens { input: Some(input), output: Some(output) }
    }

    const NONE: Tokens = Tokens { input: None, output: None };
    const JSON: &str = "application/json; charset=utf-8";
    const EVENTS: &str = "text/event-stream";

    #[test]
    fn each_api_reports_its_counts() {
        for (kind, answer, reported) in [
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
            // Since Ollama 0.33.3 answers say what of the prompt came from the cache. Anthropic's API counts it apart.
            (
                JSON,
                r#"{"usage":{"input_tokens":1,"cache_read_input_tokens":3,"output_tokens":8}}"#,
                tokens(4, 8),
            ),
            (
                EVENTS,
                "data: {\"message\":{\"usage\":{\"input_tokens\":9,\"output_tokens\":0}}}\n\ndata: {\"usage\":{\"cache_read_input_tokens\":3,\"input_tokens\":1,\"output_tokens\":8}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
                tokens(4, 8),
            ),
            (
                JSON,
                r#"{"usage":{"prompt_tokens":4,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens":8}}"#,
                tokens(4, 8),
            ),
            (
                JSON,
                r#"{"usage":{"input_tokens":4,"input_tokens_details":{"cached_tokens":3},"output_tokens":8}}"#,
                tokens(4, 8),
            ),
            (
                JSON,
                r#"{"done":true,"prompt_eval_count":4,"prompt_eval_cached_count":3,"eval_count":8}"#,
                tokens(4, 8),
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
            assert_eq!(count(kind, answer), reported, "{answer}");
        }
    }

    #[test]
    fn counts_written_by_a_model_are_ignored() {
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
            assert_eq!(count(JSON, &answer), NONE, "{answer}");
            assert_eq!(count(EVENTS, &format!("event: x\ndata: {answer}\n\n")), NONE, "{answer}");
            assert_eq!(count(EVENTS, &format!("x: {{{usage}}}\n: {{{usage}}}\n xdata: {{{usage}}}\n")), NONE);
        }
    }

    #[test]
    fn answers_without_counts_are_charged_by_their_events() {
        let charged = |answer: &str, whole| {
            let mut counter = TokenCounter::of(&headers(&[(CONTENT_TYPE, EVENTS)]));
            counter.feed(answer.as_bytes());
            counter.spent(whole)
        };
        let event = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
        let zeros = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}}\n\n";
        let reported = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n";
        assert_eq!(charged(&(event.repeat(3) + reported), true), 10);
        assert_eq!(charged(&(zeros.repeat(3) + reported), true), 10);
        assert_eq!(charged(&event.repeat(5), true), 5);
        assert_eq!(charged(&zeros.repeat(5), false), 5);
        let start = "data: {\"message\":{\"usage\":{\"input_tokens\":9,\"output_tokens\":0}}}\n\n".to_owned();
        let unfinished = start + &event.repeat(4);
        for whole in [false, true] {
            assert_eq!(charged(&unfinished, whole), 9 + 1 + 4, "whole: {whole}");
        }
        let failed = unfinished.clone() + "event: error\ndata: {\"type\":\"error\"}\n\n";
        assert_eq!(charged(&failed, true), 9 + 1 + 4 + 1);
        let finished = unfinished
            + "data: {\"delta\":{},\"usage\":{\"input_tokens\":8,\"output_tokens\":4}}\n\ndata: {\"type\":\"message_stop\"}\n\n";
        assert_eq!(charged(&finished, true), 8 + 4);
    }

    #[test]
    fn unreadable_answers_are_charged_by_their_size() {
        let charged = |pairs: &[(http::HeaderName, &str)]| {
            let mut counter = TokenCounter::of(&headers(pairs));
            counter.feed(br#"{"eval_count":7, "a":1}"#);
            (counter.tokens().output, counter.spent(true))
        };
        const JSON: (http::HeaderName, &str) = (CONTENT_TYPE, "application/json");
        assert_eq!(charged(&[JSON]), (Some(7), 7));
        assert_eq!(charged(&[JSON, (CONTENT_ENCODING, "identity")]), (Some(7), 7));
        for unreadable in [&[][..], &[(CONTENT_TYPE, "text/plain")], &[JSON, (CONTENT_ENCODING, "gzip")]] {
            assert_eq!(charged(unreadable), (None, 2), "23 bytes");
        }
    }

    proptest! {
        #[test]
        fn no_answer_causes_a_panic(bytes in "([{}\\[\\],:\"\\\\0-9a\n]|data:|\"usage\":|\"prompt_tokens\":){0,60}") {
            count(JSON, &bytes);
            count(EVENTS, &bytes);
        }

        /// The counts are found whatever else is in an answer.
        #[test]
        fn counts_are_those_of_serde_json(content in any::<String>(), key in any::<String>(), input in any::<u32>(), output in any::<u32>()) {
            let answer = serde_json::json!({
                "choices": [{"message": {"content": content, "usage": {"prompt_tokens": 1}}}],
                format!("x{key}"): {"usage": {"prompt_tokens": 2}, "eval_count": [3, key]},
                "usage": {"completion_tokens": output, "prompt_tokens": input, "z": content},
            });
            prop_assert_eq!(count(JSON, &answer.to_string()), tokens(input.into(), output.into()));
            prop_assert_eq!(count(JSON, &serde_json::to_string_pretty(&answer).unwrap()), tokens(input.into(), output.into()));
        }
    }
}

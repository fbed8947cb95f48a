//! Compares the counter of an answer's tokens with serde_json. Chunk borders must not change a count, nor may an answer that
//! ends early cost less than it has reported.
//!
//! The first byte of an input is the kind of answer: `j` for JSON, `n` for lines of JSON, `e` for events, and any other for
//! an answer that the proxy can't read. The rest is the answer.

#![no_main]

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};
use libfuzzer_sys::fuzz_target;
use remote_ollama_proxy::usage::{TokenCounter, Tokens};
use serde_json::{Map, Value};

const JSON: &str = "application/json; charset=utf-8";
const LINES: &str = "application/x-ndjson";
const EVENTS: &str = "text/event-stream";
const UNREADABLE: &str = "text/plain";

fuzz_target!(|input: &[u8]| {
    let Some((first, answer)) = input.split_first() else { return };
    let kind = match first {
        b'j' => JSON,
        b'n' => LINES,
        b'e' => EVENTS,
        _ => UNREADABLE,
    };
    let whole = count(kind, [answer]);
    for size in [1, 2, 3, 7, 64] {
        let chunked = count(kind, answer.chunks(size));
        assert_eq!(chunked.tokens(), whole.tokens(), "in chunks of {size}");
        assert_eq!((chunked.spent(true), chunked.spent(false)), (whole.spent(true), whole.spent(false)));
    }
    let Tokens { input, output } = whole.tokens();
    let reported = input.unwrap_or(0).saturating_add(output.unwrap_or(0));
    assert!(whole.spent(false) >= reported && whole.spent(false) >= whole.spent(true));
    if kind == UNREADABLE {
        assert_eq!((reported, whole.spent(true)), (0, (answer.len() as u64).div_ceil(16)));
    }
    if let Ok(Value::Object(object)) = serde_json::from_slice(answer) {
        compare(&object);
    }
});

fn count<'a>(kind: &'static str, chunks: impl IntoIterator<Item = &'a [u8]>) -> TokenCounter {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
    let mut counter = TokenCounter::of(&headers);
    chunks.into_iter().for_each(|chunk| counter.feed(chunk));
    counter
}

/// An object has the same counts in each framing, and they are those that serde_json finds.
fn compare(object: &Map<String, Value>) {
    let mut expected = Tokens::default();
    for (key, value) in object {
        match (key.as_str(), value) {
            ("prompt_eval_count", value) => replace(&mut expected.input, value),
            ("eval_count", value) => replace(&mut expected.output, value),
            ("usage", Value::Object(usage)) => read_usage(&mut expected, usage),
            ("response" | "message", Value::Object(answer)) => {
                if let Some(Value::Object(usage)) = answer.get("usage") {
                    read_usage(&mut expected, usage);
                }
            }
            _ => {}
        }
    }
    // serde_json has dropped repeated keys and spellings of its own are plain.
    let text = Value::from(object.clone()).to_string();
    for (kind, framed) in [
        (JSON, text.clone()),
        (LINES, format!("{text}\n")),
        (EVENTS, format!("event: x\r\ndata: {text}\r\n\r\ndata: [DONE]\n\n")),
    ] {
        assert_eq!(count(kind, [framed.as_bytes()]).tokens(), expected, "{framed}");
    }
}

fn read_usage(tokens: &mut Tokens, usage: &Map<String, Value>) {
    for (key, value) in usage {
        match key.as_str() {
            "prompt_tokens" | "input_tokens" => replace(&mut tokens.input, value),
            "completion_tokens" | "output_tokens" => replace(&mut tokens.output, value),
            _ => {}
        }
    }
}

/// The last count replaces earlier ones; other values do not.
fn replace(count: &mut Option<u64>, value: &Value) {
    *count = value.as_u64().or(*count);
}

//! Compares our reading of a body's model with Ollama's two readings: in whatever part of a body was forwarded, both find
//! the model that the proxy decided about, or none.
//!
//! The first byte of an input says whether "name" counts too, as it does for /api/show; the rest is the body.

#![no_main]

use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use remote_ollama_proxy::policy::{BodyFault, Model, ModelKeys, ModelReader};
use remote_ollama_proxy_fuzz::Oracle;

static ORACLE: LazyLock<Mutex<Oracle>> = LazyLock::new(|| Mutex::new(Oracle::start("body")));

fuzz_target!(|input: &[u8]| {
    let Some((first, body)) = input.split_first() else { return };
    let is_show = first % 2 == 1;
    let keys = if is_show { ModelKeys::ModelOrName } else { ModelKeys::Model };
    let whole = ModelReader::new(keys).feed(body);
    let (forwarded, known) = follow(keys, body, whole);
    let question = [&[u8::from(is_show)], forwarded].concat();
    let answer = ORACLE.lock().expect("one thread").ask(&question);
    let (bound, mapped) = answer.split_once(' ').expect("two words");
    let hex = |name: &str| name.bytes().map(|b| format!("{b:02x}")).collect::<String>();
    match &known {
        Some(name) => {
            for word in [bound, mapped] {
                assert!(word == "-" || word[1..] == hex(name), "{answer}, and we say {name:?}");
            }
            // Ollama trims some names.
            assert!(Model::parse(name).is_err() || name.trim() == name, "{name:?}");
        }
        // Nothing was forwarded. If the body was complete, it must not have had a model.
        None => assert!(whole.is_err() || matches!(bound, "-" | "="), "{answer}, and we found none"),
    }
});

/// The longest part of a body that may be forwarded, and its model. Chunk borders make no difference, and a model that is
/// known does not change.
fn follow(keys: ModelKeys, body: &[u8], whole: Result<(), BodyFault>) -> (&[u8], Option<String>) {
    let mut reader = ModelReader::new(keys);
    let mut known: Option<String> = None;
    for (at, byte) in body.iter().enumerate() {
        if let Err(fault) = reader.feed(&[*byte]) {
            assert_eq!(whole, Err(fault));
            return (&body[..at], known);
        }
        let now = reader.model().map(str::to_owned);
        assert!(known.is_none() || now == known, "{now:?} after {known:?}");
        known = now;
    }
    assert_eq!(whole, Ok(()));
    (body, known)
}

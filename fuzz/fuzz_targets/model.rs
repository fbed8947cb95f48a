//! Our reading of a body's model beside Ollama's two: whatever part of a body may have gone on, neither of them finds
//! another model in it than the one that was decided about.
//!
//! The first byte of an input says whether a "name" counts, as it does for /api/show; the rest is the body.

#![no_main]

use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use remote_ollama_proxy::policy::{BodyFault, Model, ModelReader};
use remote_ollama_proxy_fuzz::Oracle;

static ORACLE: LazyLock<Mutex<Oracle>> = LazyLock::new(|| Mutex::new(Oracle::start("body")));

fuzz_target!(|input: &[u8]| {
    let Some((first, body)) = input.split_first() else { return };
    let show = first % 2 == 1;
    let whole = ModelReader::new(show).feed(body);
    let (passed, known) = follow(show, body, whole);
    let question = [&[u8::from(show)], passed].concat();
    let told = ORACLE.lock().expect("one thread").ask(&question);
    let (bound, mapped) = told.split_once(' ').expect("two words");
    let hex = |name: &str| name.bytes().map(|b| format!("{b:02x}")).collect::<String>();
    match &known {
        Some(name) => {
            for word in [bound, mapped] {
                assert!(word == "-" || word[1..] == hex(name), "{told}, and we say {name:?}");
            }
            // Ollama trims some names, and goes by what is left.
            assert!(Model::parse(name).is_err() || name.trim() == name, "{name:?}");
        }
        // Nothing has gone on; a body that was whole must not have had a model.
        None => assert!(whole.is_err() || matches!(bound, "-" | "="), "{told}, and we found none"),
    }
});

/// The longest part of a body that can go on, and the model that is known by then. It makes no difference in which
/// pieces it comes, and what is known does not change.
fn follow(show: bool, body: &[u8], whole: Result<(), BodyFault>) -> (&[u8], Option<String>) {
    let mut reader = ModelReader::new(show);
    let mut known: Option<String> = None;
    for (at, byte) in body.iter().enumerate() {
        if let Err(doubt) = reader.feed(&[*byte]) {
            assert_eq!(whole, Err(doubt));
            return (&body[..at], known);
        }
        let now = reader.model().map(str::to_owned);
        assert!(known.is_none() || now == known, "{now:?} after {known:?}");
        known = now;
    }
    assert_eq!(whole, Ok(()));
    (body, known)
}

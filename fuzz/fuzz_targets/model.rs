//! Compares our reading of a body with Ollama's two readings: in whatever part of a body was forwarded, both find the
//! model that the proxy decided about, or none, and no setting that was denied.
//!
//! The first byte of an input says what the rules are: 1 if "name" counts too, as it does for /api/show, 2 if the settings
//! of models are denied, 4 if no rule is about the model. The rest is the body.

#![no_main]

use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use remote_ollama_proxy::policy::{BodyFault, DeniedBy, DeniedSettings, Model, ModelKeys, ModelReader};
use remote_ollama_proxy_fuzz::Oracle;

static ORACLE: LazyLock<Mutex<Oracle>> = LazyLock::new(|| Mutex::new(Oracle::start("body")));

fuzz_target!(|input: &[u8]| {
    let Some((first, body)) = input.split_first() else { return };
    let (is_show, denies, ignores) = (first & 1 != 0, first & 2 != 0, first & 4 != 0);
    let keys = match (ignores, is_show) {
        (true, _) => ModelKeys::Ignored,
        (false, true) => ModelKeys::ModelOrName,
        (false, false) => ModelKeys::Model,
    };
    let by = denies.then_some(DeniedBy::Config);
    let reader = || ModelReader::new(keys).denying(DeniedSettings { keep_alive: by, load_options: by });
    let whole = reader().feed(body);
    let (forwarded, known) = follow(reader(), body, whole);
    let ask = |body: &[u8]| {
        let question = [&[u8::from(is_show)], body].concat();
        ORACLE.lock().expect("one thread").ask(&question)
    };
    let answer = ask(forwarded);
    let [bound, mapped, settings] = answer.split(' ').collect::<Vec<_>>()[..] else { panic!("{answer}") };
    assert!(!denies || matches!(settings, "-" | "="), "{answer}, although settings are denied");
    if let Err(BodyFault::Denied(denied)) = whole {
        check_denied(denied.key, ask(body).split(' ').next_back().expect("a word"));
    }
    let hex = |name: &str| name.bytes().map(|b| format!("{b:02x}")).collect::<String>();
    match &known {
        Some(name) => {
            for word in [bound, mapped] {
                assert!(word == "-" || word[1..] == hex(name), "{answer}, and we say {name:?}");
            }
            // Ollama trims some names.
            assert!(Model::parse(name).is_err() || name.trim() == name, "{name:?}");
        }
        None if ignores => {}
        // Nothing was forwarded. If the body was complete, it must not have had a model.
        None => assert!(whole.is_err() || matches!(bound, "-" | "="), "{answer}, and we found none"),
    }
});

/// A key is refused only if Ollama finds it, too. A later value may replace `options`, and we also refuse other spellings
/// of their keys.
fn check_denied(key: &str, settings: &str) {
    let letter = match key {
        "keep_alive" => "k",
        "shift" => "s",
        _ => return,
    };
    assert!(settings == "-" || settings.contains(letter), "{key} was refused, and Ollama finds {settings}");
}

/// The longest part of a body that may be forwarded, and its model. Chunk borders make no difference, and a model that is
/// known does not change.
fn follow(mut reader: ModelReader, body: &[u8], whole: Result<(), BodyFault>) -> (&[u8], Option<String>) {
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

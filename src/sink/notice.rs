//! The notice in the place of lost lines, in the format of the lines around it.

use jiff::Timestamp;
use serde_json::json;

use crate::peer::printable;

/// A notice of lost lines.
pub struct Notice<'a> {
    /// When writing worked again.
    pub at: Timestamp,
    /// How many lines were lost.
    pub lost: u64,
    /// Why the last of them was lost.
    pub why: &'a str,
}

/// The target of the event, as in other lines of the diagnostics.
const TARGET: &str = "remote_ollama_proxy::sink";

/// The message of the event.
const MESSAGE: &str = "lines were lost here, since they could not be written";

/// The notice in text, as tracing-subscriber formats it.
pub fn in_text(Notice { at, lost, why }: &Notice<'_>) -> String {
    format!("{at:.6}  WARN {TARGET}: {MESSAGE} lost={lost} error={:?}", printable(why))
}

/// The notice in JSON, as tracing-subscriber formats it.
pub fn in_json(Notice { at, lost, why }: &Notice<'_>) -> String {
    json!({
        "timestamp": format!("{at:.6}"),
        "level": "WARN",
        "message": MESSAGE,
        "lost": lost,
        "error": printable(why),
        "target": TARGET,
    })
    .to_string()
}

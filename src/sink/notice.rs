//! The line that stands where lines were lost, in the format of those around it.

use std::time::SystemTime;

use humantime::format_rfc3339_micros;
use serde_json::json;

use crate::peer::printable;

/// What it tells.
pub struct Notice<'a> {
    /// When writing went on.
    pub at: SystemTime,
    /// How many lines were lost before it.
    pub lost: u64,
    /// Why the last of them was.
    pub why: &'a str,
}

/// As the log's other lines are attributed.
pub(crate) const TARGET: &str = "remote_ollama_proxy::sink";

/// What the line in the log says.
pub(crate) const MESSAGE: &str = "lines were lost here, since they could not be written";

/// For a log in text, as tracing-subscriber writes it.
pub fn in_text(Notice { at, lost, why }: &Notice<'_>) -> String {
    let at = format_rfc3339_micros(*at);
    format!("{at}  WARN {TARGET}: {MESSAGE} lost={lost} error={:?}", printable(why))
}

/// For a log in JSON, as tracing-subscriber writes it.
pub fn in_json(Notice { at, lost, why }: &Notice<'_>) -> String {
    json!({
        "timestamp": format_rfc3339_micros(*at).to_string(),
        "level": "WARN",
        "message": MESSAGE,
        "lost": lost,
        "error": printable(why),
        "target": TARGET,
    })
    .to_string()
}

/// For the journal.
pub fn in_journal(Notice { at, lost, why }: &Notice<'_>) -> String {
    json!({ "time": format_rfc3339_micros(*at).to_string(), "lost": lost, "error": printable(why) })
        .to_string()
}

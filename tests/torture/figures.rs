//! Figures for the table of `make torture`.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Mutex, MutexGuard};

/// Held by each test: two at once would measure each other.
pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// The goal of a figure.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Meant {
    AtMost(f64),
    AtLeast(f64),
    /// No goal.
    Told,
}

/// Adds a line to the table: `part` is its heading, `what` says what was measured. Without `make torture` the line is
/// only printed.
pub(crate) fn figure(part: &str, what: &str, value: f64, unit: &str, meant: Meant) {
    let (meant, holds) = match meant {
        Meant::AtMost(most) => (format!("at most {most}"), value <= most),
        Meant::AtLeast(least) => (format!("at least {least}"), value >= least),
        Meant::Told => (String::new(), true),
    };
    println!("{part}: {what}: {value:.3} {unit} {meant}");
    let Some(path) = std::env::var_os("FIGURES") else { return };
    let line =
        json!({"part": part, "what": what, "value": value, "unit": unit, "meant": meant, "holds": holds});
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(file, "{line}").unwrap();
}

/// The value below which the share `q` (0 to 1) of `times` lies, in milliseconds.
pub(crate) fn percentile(times: &mut [Duration], q: f64) -> f64 {
    assert!(!times.is_empty());
    times.sort_unstable();
    let at = ((times.len() as f64 * q).ceil() as usize).clamp(1, times.len()) - 1;
    times[at].as_secs_f64() * 1e3
}

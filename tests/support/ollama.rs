//! A real Ollama with the models `tiny` and `slow`, shared by the tests of one process.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Its URL. It answers one request per model at a time.
pub(crate) fn url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| start("one", &["--preload", "tiny", "--preload", "slow"]))
}

/// The URL of a second one, which answers eight requests at a time.
pub(crate) fn parallel_url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| start("eight", &["--preload", "tiny", "--parallel", "8"]))
}

/// It ends with this process, since its standard input closes then.
fn start(name: &str, options: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ollama/ollama.sh");
    let mut child = Command::new(&script)
        .arg("run")
        .args(options)
        .arg(folder(name))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}", script.display()));
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let server: serde_json::Value = serde_json::from_str(&line)
        .unwrap_or_else(|e| panic!("tests/ollama/ollama.sh run said {line:?}: {e}"));
    // Kept with its standard input open until this process ends.
    std::mem::forget(child);
    server["url"].as_str().unwrap().to_owned()
}

/// The folder of `one` or `eight`, with its server.log.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ollama-{}-{name}", std::process::id()))
}

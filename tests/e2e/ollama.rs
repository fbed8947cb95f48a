//! A real Ollama with the models `tiny` and `slow`, one for all tests of this process.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Its URL. It ends with this process, whose end closes its standard input.
pub(crate) fn url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ollama-{}", std::process::id()));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ollama/ollama.sh");
        let mut child = Command::new(&script)
            .args(["run", "--preload", "tiny", "--preload", "slow"])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", script.display()));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: serde_json::Value = serde_json::from_str(&line)
            .unwrap_or_else(|e| panic!("tests/ollama/ollama.sh run said {line:?}: {e}"));
        // Kept open until this process ends.
        std::mem::forget(child.stdin.take());
        told["url"].as_str().unwrap().to_owned()
    })
}

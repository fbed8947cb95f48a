//! Go's reading of a request or a body, by a child process.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use crate::go::go;

/// `fuzz/oracle`, which says how Ollama reads a request or a body.
pub struct Oracle {
    _child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Oracle {
    /// Builds it, unless Go has it in its cache, and starts it for questions about `what`: `request` or `body`. It ends
    /// with this process.
    pub fn start(what: &str) -> Oracle {
        let mut child = go()
            .args(["run", "-tags", "nomsgpack", ".", what]) // a part of gin that takes long to compile
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/oracle"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("go run in fuzz/oracle");
        let to = child.stdin.take().expect("piped");
        let from = BufReader::new(child.stdout.take().expect("piped"));
        Oracle { _child: child, to, from }
    }

    /// Sends a question; returns the answer's line.
    pub fn ask(&mut self, question: &[u8]) -> String {
        let length = u32::try_from(question.len()).expect("a short question").to_be_bytes();
        self.to.write_all(&[&length, question].concat()).expect("the oracle reads");
        let mut line = String::new();
        self.from.read_line(&mut line).expect("the oracle answers");
        assert!(line.ends_with('\n'), "the oracle has ended");
        line.trim_end().to_owned()
    }
}

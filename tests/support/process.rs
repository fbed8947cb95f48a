//! Child processes. Tests wait for lines of their output; a failed test prints it.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// Long enough for the slowest machine. No test waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process that ends when this value is dropped.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    changed: watch::Receiver<()>,
}

impl Process {
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Process {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = command.spawn().unwrap_or_else(|e| panic!("{name} does not start: {e}: {command:?}"));
        Self::of(name, child)
    }

    /// Collects the output of `child` where it has a pipe.
    pub(crate) fn of(name: &'static str, mut child: Child) -> Process {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (change, changed) = watch::channel(());
        if let Some(stdout) = child.stdout.take() {
            collect(stdout, Arc::clone(&lines), change.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            collect(stderr, Arc::clone(&lines), change);
        }
        Process { name, child, lines, changed }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("the process has ended")
    }

    pub(crate) fn output(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits for the first line that has all of `words`.
    pub(crate) async fn line(&mut self, words: &[&str]) -> String {
        self.next_line(&mut 0, words).await
    }

    /// Waits for this many lines that have all of `words`.
    #[allow(dead_code, reason = "not every test binary waits for more than one")]
    pub(crate) async fn lines(&mut self, words: &[&str], count: usize) {
        let mut from = 0;
        for _ in 0..count {
            self.next_line(&mut from, words).await;
        }
    }

    /// Waits for the first line from number `from` on that has all of `words`, and moves `from` past it.
    pub(crate) async fn next_line(&mut self, from: &mut usize, words: &[&str]) -> String {
        let waiting = async {
            loop {
                self.changed.mark_unchanged();
                {
                    let lines = self.lines.lock().unwrap();
                    let fits = |line: &String| words.iter().all(|w| line.contains(w));
                    if let Some(at) = lines[*from..].iter().position(fits) {
                        *from += at + 1;
                        return Some(lines[*from - 1].clone());
                    }
                    *from = lines.len();
                }
                if self.changed.changed().await.is_err() {
                    return None;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(Some(line)) => line,
            Ok(None) => panic!("{} ended without a line with {words:?}", self.name),
            Err(_) => panic!("{}: no line with {words:?} within {PATIENCE:?}", self.name),
        }
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for the process to end by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        self.ended_within(PATIENCE).await
    }

    /// The same, for a process that has more to do.
    pub(crate) async fn ended_within(&mut self, patience: Duration) -> ExitStatus {
        match tokio::time::timeout(patience, self.child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("{} still runs after {patience:?}", self.name),
        }
    }

    /// Waits for the process to end by itself with this exit code.
    pub(crate) async fn ended_with(&mut self, code: i32) {
        let status = self.ended().await;
        assert_eq!(status.code(), Some(code), "{}: {status}", self.name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- output of {}:\n{}\n----", self.name, self.output());
        }
    }
}

fn collect(
    from: impl AsyncRead + Unpin + Send + 'static,
    lines: Arc<Mutex<Vec<String>>>,
    change: watch::Sender<()>,
) {
    tokio::spawn(async move {
        let mut from = BufReader::new(from).lines();
        while let Ok(Some(line)) = from.next_line().await {
            lines.lock().unwrap().push(line);
            change.send_replace(());
        }
    });
}

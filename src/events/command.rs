//! One run of the operator's command: without a shell, with a small environment, in a process group of its own, and with a
//! time limit.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::peer::printable;
use crate::process_group::ProcessGroup;

/// The variables that the command inherits. No other one reaches it, so neither do secrets in the environment. The last two
/// are how a program finds the desktop's message bus on Linux.
const INHERITED: [&str; 10] = [
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SHELL",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
];

/// Where the command's programs are found if the proxy has no PATH.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// How many bytes of the end of each output are kept.
const OUTPUT_MAX: usize = 2048;

/// The operator's command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventCommand {
    /// The absolute path of the program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

impl fmt::Display for EventCommand {
    /// As a shell would need it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.program.to_string_lossy();
        let words = [&*program].into_iter().chain(self.args.iter().map(String::as_str));
        // An error: a word contains NUL, which the config does not accept.
        f.write_str(&shlex::try_join(words).unwrap_or_else(|_| program.clone().into_owned()))
    }
}

/// What became of one run.
#[derive(Debug)]
pub struct CommandRun {
    /// Whether it succeeded.
    pub outcome: Result<(), RunFault>,
    /// The end of its standard output, printable.
    pub stdout: String,
    /// The end of its standard error, printable.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum RunFault {
    /// The program can't be started.
    #[error("cannot start it: {0}")]
    Start(std::io::Error),
    /// It did not end in time.
    #[error("it did not end within {}, so it was killed", crate::time::format_duration(*.0))]
    TimedOut(Duration),
    /// It can't be waited for.
    #[error("cannot wait for it: {0}")]
    Wait(std::io::Error),
    /// It ended with a code other than 0, or by a signal.
    #[error("it ended with {0}")]
    Failed(ExitStatus),
}

/// What the command has written.
#[derive(Default)]
struct Output {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl EventCommand {
    /// Runs the command with `input` on its standard input, until it has ended and closed its output. After `limit` its
    /// process group is killed, and so it is if this is cancelled.
    pub async fn run(&self, input: &str, limit: Duration) -> CommandRun {
        let begun = Instant::now();
        let mut output = Output::default();
        let ended = timeout(limit, self.run_to_end(input, &mut output)).await;
        CommandRun {
            outcome: ended.unwrap_or(Err(RunFault::TimedOut(limit))),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            took: begun.elapsed(),
        }
    }

    async fn run_to_end(&self, input: &str, output: &mut Output) -> Result<(), RunFault> {
        let mut command = self.prepared();
        // On another thread: a file system that hangs may block it.
        let started = spawn_blocking(move || command.spawn().map(ProcessGroup)).await;
        let mut group =
            started.map_err(std::io::Error::other).and_then(|group| group).map_err(RunFault::Start)?;
        let (stdin, stdout, stderr) = (group.0.stdin.take(), group.0.stdout.take(), group.0.stderr.take());
        let write = async {
            if let Some(mut stdin) = stdin {
                // A command that does not read its input is no fault.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        tokio::join!(write, keep_end(stdout, &mut output.stdout), keep_end(stderr, &mut output.stderr));
        // Only now: until the process is waited for, its number is not given to another one.
        let status = group.0.wait().await.map_err(RunFault::Wait)?;
        if status.success() { Ok(()) } else { Err(RunFault::Failed(status)) }
    }

    /// The standard library opens every descriptor close-on-exec, and so does Go, so the process inherits only the three
    /// pipes.
    fn prepared(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).current_dir("/").process_group(0).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| OsString::from(PATH)));
        command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Reads to the end, and keeps the last [`OUTPUT_MAX`] bytes.
async fn keep_end(from: Option<impl AsyncRead + Unpin>, end: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        end.extend(buffer.iter().take(read));
        let excess = end.len().saturating_sub(OUTPUT_MAX);
        end.drain(..excess);
    }
}

/// Printable, with `; ` between lines.
fn text(output: &[u8]) -> String {
    let output = String::from_utf8_lossy(output);
    let lines = output.lines().map(str::trim_end).filter(|line| !line.is_empty());
    lines.map(printable).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;

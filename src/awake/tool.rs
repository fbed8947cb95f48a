//! The system's own tool that holds a lock for as long as it runs: `caffeinate` on macOS, `systemd-inhibit` on Linux. Both end
//! with the proxy, even if the proxy is killed.
//!
//! The crate keepawake 0.6.1 (MIT, 2025) would add 45 crates on Linux (zbus) and 11 on macOS to a build without the feature
//! `keychain`, and it does not notice that a lock is lost.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::keeper::Inhibitor;
use crate::panics;
use crate::process_group::ProcessGroup;

/// How long the tool may take to get the lock, or to end.
const TIME_MAX: Duration = Duration::from_secs(5);

/// How much of the tool's complaint is read, in bytes.
const COMPLAINT_MAX: u64 = 500;

/// The variables that the tool gets. Those of the proxy can hold a key.
const VARIABLES: [&str; 2] = ["PATH", "DBUS_SYSTEM_BUS_ADDRESS"];

/// Takes locks by a tool.
pub struct InhibitorTool {
    program: &'static str,
    arguments: Vec<String>,
    /// Whether the tool runs `cat` once it has the lock, and ends with it.
    runs_cat: bool,
}

/// The tool while it holds a lock.
pub struct ToolLock {
    tool: ProcessGroup,
    /// Held, since `cat` ends when its input closes.
    input: ChildStdin,
    output: ChildStdout,
}

impl InhibitorTool {
    /// This system's tool.
    pub fn system() -> Self {
        if cfg!(target_os = "macos") { Self::caffeinate() } else { Self::systemd_inhibit() }
    }

    /// `-i` is the assertion against idle sleep, which lets the display sleep. With `-w` it ends when the proxy does
    /// (caffeinate(8)). It is not given `cat` to run: by Apple's source (PowerManagement, caffeinate.c) it replaces itself by
    /// such a command and holds the assertion in a child, so its failures would not be seen.
    fn caffeinate() -> Self {
        let arguments = ["-i".to_owned(), "-w".to_owned(), std::process::id().to_string()].into();
        InhibitorTool { program: "/usr/bin/caffeinate", arguments, runs_cat: false }
    }

    /// logind gives the lock `idle` to every account; the lock `sleep` needs a local session (org.freedesktop.login1.policy),
    /// and would also refuse a person's order to sleep.
    fn systemd_inhibit() -> Self {
        let arguments = [
            "--what=idle",
            "--mode=block",
            "--who=remote-ollama-proxy",
            "--why=a request runs or waits",
            "cat",
        ];
        let arguments = arguments.map(str::to_owned).into();
        InhibitorTool { program: "systemd-inhibit", arguments, runs_cat: true }
    }

    async fn start(&self) -> Result<ToolLock, String> {
        let name = self.program;
        let mut command = Command::new(name);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C at a terminal ends the proxy's group. The lock is needed until the proxy has drained.
            .process_group(0);
        // A file system that hangs may block it.
        let started = panics::off_thread(move || command.spawn().map(ProcessGroup)).await;
        let mut tool = started.map_err(|error| format!("cannot run {name}: {error}"))?;
        match (tool.0.stdin.take(), tool.0.stdout.take()) {
            (Some(input), Some(output)) => Ok(ToolLock { tool, input, output }),
            _ => Err(format!("cannot run {name}: it has no pipes")),
        }
    }

    /// Waits until the tool ends, and returns its reason. Cancel-safe.
    async fn complaint(&self, tool: &mut ProcessGroup) -> String {
        let ended = match tool.0.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let complaint = match tool.0.stderr.take() {
            // A process that it started may still have the pipe open.
            Some(text) => timeout(TIME_MAX, read_text(text)).await.unwrap_or_default(),
            None => String::new(),
        };
        let name = self.program;
        if complaint.is_empty() {
            format!("{name}: {ended}")
        } else {
            format!("{name}: {complaint} ({ended})")
        }
    }
}

/// What the tool says, on one line.
async fn read_text(text: impl AsyncRead + Unpin) -> String {
    let mut bytes = Vec::new();
    let _ = text.take(COMPLAINT_MAX).read_to_end(&mut bytes).await; // what was read until then says the most
    String::from_utf8_lossy(&bytes).split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Inhibitor for InhibitorTool {
    type Lock = ToolLock;

    /// An answer of `cat` shows that the tool has the lock. Without `cat` there is no such sign: a tool that gets no lock ends,
    /// and `lost` reports it.
    async fn take(&self) -> Result<ToolLock, String> {
        let mut lock = self.start().await?;
        if !self.runs_cat {
            return Ok(lock);
        }
        let answer = async {
            lock.input.write_all(b"\n").await?;
            lock.output.read_exact(&mut [0]).await
        };
        let refused = match timeout(TIME_MAX, answer).await {
            Ok(Ok(_)) => return Ok(lock),
            Ok(Err(_)) => timeout(TIME_MAX, self.complaint(&mut lock.tool)).await,
            Err(late) => Err(late),
        };
        Err(refused.unwrap_or_else(|_| format!("{}: no lock within {TIME_MAX:?}", self.program)))
    }

    async fn lost(&self, lock: &mut ToolLock) -> String {
        self.complaint(&mut lock.tool).await
    }

    /// The system releases the lock of a tool that is killed, and `cat` ends with its input.
    async fn release(&self, lock: ToolLock) {
        let ToolLock { mut tool, input, .. } = lock;
        drop(input);
        tool.kill();
        let _ = timeout(TIME_MAX, tool.0.wait()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell in place of the system's tool.
    fn shell(script: &str, runs_cat: bool) -> InhibitorTool {
        InhibitorTool { program: "/bin/sh", arguments: ["-c", script].map(str::to_owned).into(), runs_cat }
    }

    /// Holds a lock as the system's tools do.
    fn tools_that_hold() -> [InhibitorTool; 2] {
        [shell("exec cat", true), shell("exec sleep 1000", false)]
    }

    #[tokio::test]
    async fn tool_holds_the_lock_until_it_is_released() {
        for tool in tools_that_hold() {
            let lock = tool.take().await.unwrap();
            let pid = lock.tool.0.id().unwrap();
            tool.release(lock).await;
            let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
            assert!(rustix::process::test_kill_process(pid).is_err(), "it ended, and its exit was read");
        }
    }

    #[tokio::test]
    async fn tool_that_ends_has_lost_the_lock() {
        for tool in tools_that_hold() {
            let mut lock = tool.take().await.unwrap();
            lock.tool.0.start_kill().unwrap();
            let reason = tool.lost(&mut lock).await;
            assert!(reason.contains("signal: 9"), "{reason}");
        }
    }

    #[tokio::test]
    async fn what_the_tool_started_ends_with_the_lock() {
        let tool = shell("sleep 1000 & cat", true);
        let mut lock = tool.take().await.unwrap();
        let mut held_open = lock.tool.0.stderr.take().unwrap();
        tool.release(lock).await;
        // It ends once no process has the other end.
        let mut rest = Vec::new();
        timeout(Duration::from_secs(30), held_open.read_to_end(&mut rest))
            .await
            .expect("sleep runs")
            .unwrap();
    }

    #[tokio::test]
    async fn tool_that_is_missing_or_refuses_gives_its_reason() {
        let missing = InhibitorTool { program: "/nowhere/systemd-inhibit", ..shell("", true) };
        let refused = missing.take().await.err().unwrap();
        assert!(refused.starts_with("cannot run /nowhere/systemd-inhibit: No such file"), "{refused}");

        let script = "echo 'Failed to inhibit:\n Access denied' >&2; exit 1";
        let reason = "/bin/sh: Failed to inhibit: Access denied (exit status: 1)";
        let refused = shell(script, true).take().await.err().unwrap();
        assert_eq!(refused, reason);
        let silent = shell(script, false);
        let mut lock = silent.take().await.unwrap();
        assert_eq!(silent.lost(&mut lock).await, reason);
    }

    #[tokio::test]
    async fn tool_gets_no_variable_of_the_proxy_that_may_hold_a_key() {
        let tool = shell("env | cut -d= -f1 | tr '\n' ' ' >&2; exit 1", true);
        let shown = tool.take().await.err().unwrap();
        assert!(shown.contains("PATH"), "{shown}");
        assert!(!shown.contains("CARGO"), "{shown}");
    }
}

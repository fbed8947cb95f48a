//! The system's own tool that holds a lock: `caffeinate` on macOS, `systemd-inhibit` on Linux. Each runs a command and holds
//! its lock for as long as the command runs. The command is `cat`, which ends when its input closes, so the lock ends with
//! the proxy, even if the proxy is killed.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::keeper::Inhibitor;
use crate::panics;

/// The tool with its arguments. `-i` is the assertion against idle sleep, which lets the display sleep (caffeinate(8)).
#[cfg(target_os = "macos")]
const SYSTEM: [&str; 3] = ["/usr/bin/caffeinate", "-i", "/bin/cat"];

/// The tool with its arguments. logind gives the lock `idle` to every account; the lock `sleep` needs a local session
/// (org.freedesktop.login1.policy), and would also refuse a person's order to sleep.
#[cfg(not(target_os = "macos"))]
const SYSTEM: [&str; 6] = [
    "systemd-inhibit",
    "--what=idle",
    "--mode=block",
    "--who=remote-ollama-proxy",
    "--why=a request runs or waits",
    "cat",
];

/// How long the tool may take to get the lock, or to end.
const TIME_MAX: Duration = Duration::from_secs(5);

/// How much of the tool's complaint is read, in bytes.
const COMPLAINT_MAX: u64 = 500;

/// The variables that the tool gets. Those of the proxy can hold a key.
const VARIABLES: [&str; 2] = ["PATH", "DBUS_SYSTEM_BUS_ADDRESS"];

/// Takes locks by a tool.
pub struct InhibitorTool {
    command: &'static [&'static str],
}

/// The tool while it holds a lock.
pub struct ToolLock {
    tool: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl InhibitorTool {
    /// This system's tool.
    pub fn system() -> Self {
        InhibitorTool { command: &SYSTEM }
    }

    async fn start(&self) -> Result<ToolLock, String> {
        let [name, arguments @ ..] = self.command else { return Err("no tool".to_owned()) };
        let mut command = Command::new(name);
        command
            .args(arguments)
            .env_clear()
            .envs(VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C at a terminal ends the proxy's group. The lock is needed until the proxy has drained.
            .process_group(0)
            .kill_on_drop(true);
        // A file system that hangs may block it.
        let started = panics::off_thread(move || command.spawn()).await;
        let mut tool = started.map_err(|error| format!("cannot run {name}: {error}"))?;
        match (tool.stdin.take(), tool.stdout.take()) {
            (Some(input), Some(output)) => Ok(ToolLock { tool, input, output }),
            _ => Err(format!("cannot run {name}: it has no pipes")),
        }
    }

    /// Why the tool has ended, or is about to end.
    async fn complaint(&self, tool: &mut Child) -> String {
        let complaint = match tool.stderr.take() {
            Some(text) => timeout(TIME_MAX, read_text(text)).await.unwrap_or_default(),
            None => String::new(),
        };
        let ended = match timeout(TIME_MAX, tool.wait()).await {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it closed its output".to_owned(),
        };
        let name = self.command.first().copied().unwrap_or_default();
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

    /// The tool has the lock once `cat` answers: it starts `cat` after it got the lock.
    async fn take(&self) -> Result<ToolLock, String> {
        let mut lock = self.start().await?;
        let answers = async {
            lock.input.write_all(b"\n").await?;
            lock.output.read_exact(&mut [0]).await
        };
        match timeout(TIME_MAX, answers).await {
            Ok(Ok(_)) => Ok(lock),
            Ok(Err(_)) => Err(self.complaint(&mut lock.tool).await),
            Err(_) => Err(format!("{}: no lock within {TIME_MAX:?}", self.command.join(" "))),
        }
    }

    async fn lost(&self, lock: &mut ToolLock) -> String {
        // An error is an end of the output, too.
        let _ = lock.output.read(&mut [0]).await;
        self.complaint(&mut lock.tool).await
    }

    /// Without its input `cat` ends, and the tool with it. One that does not is killed when it is dropped.
    async fn release(&self, lock: ToolLock) {
        let ToolLock { mut tool, input, .. } = lock;
        drop(input);
        let _ = timeout(TIME_MAX, tool.wait()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds a lock as the system's tools do.
    const HOLDS: InhibitorTool = InhibitorTool { command: &["/bin/sh", "-c", "cat"] };

    #[tokio::test]
    async fn tool_holds_the_lock_until_it_is_released() {
        let lock = HOLDS.take().await.unwrap();
        let pid = lock.tool.id().unwrap();
        HOLDS.release(lock).await;
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        assert!(rustix::process::test_kill_process(pid).is_err(), "it ended, and its exit was read");
    }

    #[tokio::test]
    async fn tool_that_ends_has_lost_the_lock() {
        let mut lock = HOLDS.take().await.unwrap();
        lock.tool.start_kill().unwrap();
        let reason = HOLDS.lost(&mut lock).await;
        assert!(reason.contains("signal: 9"), "{reason}");
    }

    #[tokio::test]
    async fn tool_that_is_missing_or_refuses_gives_its_reason() {
        for (command, reason) in [
            (&["/nowhere/systemd-inhibit"][..], "cannot run /nowhere/systemd-inhibit: No such file"),
            (
                &["/bin/sh", "-c", "echo 'Failed to inhibit:\n Access denied' >&2; exit 1"],
                "/bin/sh: Failed to inhibit: Access denied (exit status: 1)",
            ),
        ] {
            let refused = InhibitorTool { command }.take().await.err().unwrap();
            assert!(refused.starts_with(reason), "{refused}");
        }
    }

    #[tokio::test]
    async fn tool_gets_no_variable_of_the_proxy_that_may_hold_a_key() {
        let found: &[_] = &["/bin/sh", "-c", "env | cut -d= -f1 | tr '\n' ' ' >&2; exit 1"];
        let shown = InhibitorTool { command: found }.take().await.err().unwrap();
        assert!(shown.contains("PATH"), "{shown}");
        assert!(!shown.contains("CARGO"), "{shown}");
    }
}

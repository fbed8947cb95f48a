//! Runs the commands of the service managers, which are found in PATH.

use std::process::Command;

use super::ServiceFault;

/// How a command ended.
pub(super) struct ToolOutput {
    /// The exit code; `None` if a signal ended the command.
    pub(super) code: Option<i32>,
    pub(super) out: String,
    command: String,
    err: String,
}

/// Runs a command to its end. A failure of the command is no fault here.
pub(super) fn run_tool(tool: &'static str, args: &[&str]) -> Result<ToolOutput, ServiceFault> {
    let output = Command::new(tool)
        .args(args)
        .output()
        .map_err(|reason| ServiceFault::ToolMissing { tool, reason })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok(ToolOutput {
        code: output.status.code(),
        out: text(&output.stdout),
        err: text(&output.stderr),
        command: format!("{tool} {}", args.join(" ")),
    })
}

impl ToolOutput {
    pub(super) fn is_ok(&self) -> bool {
        self.code == Some(0)
    }

    /// The standard output, if the command succeeded.
    pub(super) fn ok(self, hint: &'static str) -> Result<String, ServiceFault> {
        if self.is_ok() { Ok(self.out) } else { Err(self.refused(hint)) }
    }

    pub(super) fn refused(self, hint: &'static str) -> ServiceFault {
        let code = self.code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
        let message = if self.err.is_empty() { self.out } else { self.err };
        ServiceFault::Refused { command: self.command, code, message, hint }
    }
}

//! The only way to a manager: its command, as PATH has it.

use std::process::Command;

use super::ServiceFault;

/// What a command came to.
pub(super) struct ToolOutput {
    /// The exit code; none if a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) out: String,
    command: String,
    err: String,
}

/// Runs a command to its end, whichever that is.
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

    /// What it printed, if it succeeded.
    pub(super) fn ok(self, hint: &'static str) -> Result<String, ServiceFault> {
        if self.is_ok() { Ok(self.out) } else { Err(self.refused(hint)) }
    }

    pub(super) fn refused(self, hint: &'static str) -> ServiceFault {
        let code = self.code.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
        let said = if self.err.is_empty() { self.out } else { self.err };
        ServiceFault::Refused { command: self.command, code, said, hint }
    }
}

//! Runs the system's tools.

use std::process::Command;

/// What a tool printed on its standard output. `Err`: why there is no answer, in the tool's own words if it has any.
pub(super) fn ask(tool: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(tool)
        .args(arguments)
        .env("LC_ALL", "C")
        // Some versions of systemd's tools colour errors in a pipe, too.
        .env("SYSTEMD_COLORS", "0")
        .output()
        .map_err(|error| format!("cannot run {tool}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    // defaults(1) was seen to complain on either.
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8_lossy(&said).split_whitespace().collect::<Vec<_>>().join(" ");
    Err(format!("{tool}: {said} ({})", output.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_or_the_reason_why_there_is_none() {
        assert_eq!(ask("echo", &["0"]).unwrap(), "0\n");
        let failed = ask("sh", &["-c", "echo no such >&2; echo key; exit 3"]).unwrap_err();
        assert_eq!(failed, "sh: no such key (exit status: 3)");
        assert_eq!(ask("sh", &["-c", "echo $LC_ALL $SYSTEMD_COLORS"]).unwrap(), "C 0\n");
        assert!(ask("/nowhere/pmset", &[]).unwrap_err().starts_with("cannot run /nowhere/pmset: "));
    }
}

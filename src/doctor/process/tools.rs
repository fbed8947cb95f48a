//! Processes by lsof(8) and ps(1), as macOS has them.

use std::process::Command;

use super::found::{Environment, OllamaProcess};

pub(super) fn listeners(pid: u32) -> Result<Vec<String>, String> {
    let arguments = ["-nP", "-a", "-iTCP", "-sTCP:LISTEN", "-Fn", "-p"];
    let output = Command::new("lsof").args(arguments).arg(pid.to_string()).output();
    let output =
        output.map_err(|error| format!("cannot run lsof, which lists the sockets of a process: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| line.strip_prefix('n')).map(str::to_owned).collect())
}

pub(super) fn ollamas(port: Option<u16>) -> Vec<OllamaProcess> {
    let at = port.map_or_else(|| "-iTCP".to_owned(), |port| format!("-iTCP:{port}"));
    let found = output("lsof", &["-nP", "-a", "-c", "ollama", &at, "-sTCP:LISTEN", "-t"]).unwrap_or_default();
    let pids = found.lines().filter_map(|line| line.trim().parse().ok());
    pids.map(|pid: u32| {
        let shown = output("ps", &["-E", "-ww", "-o", "command=", "-p", &pid.to_string()]);
        OllamaProcess { pid, environment: shown.and_then(|shown| environment(&shown)) }
    })
    .collect()
}

fn output(tool: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(tool).args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// ps shows the variables after the arguments, apart by spaces; it shows none of a process that it may not read. A value
/// with spaces is truncated, which none of those that doctor asks for has.
fn environment(shown: &str) -> Option<Environment> {
    let found = Environment::parse(shown.split_whitespace());
    found.get("PATH").is_some().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_is_unknown_if_ps_shows_none() {
        let found =
            environment("/usr/local/bin/ollama serve HOME=/a/b PATH=/bin OLLAMA_DEBUG_LOG_REQUESTS=1\n");
        let found = found.unwrap();
        assert_eq!(found.get("OLLAMA_DEBUG_LOG_REQUESTS"), Some("1"));
        assert!(environment("/usr/local/bin/ollama serve\n").is_none());
    }
}

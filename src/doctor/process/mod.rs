//! What the system says of processes, and not they of themselves: on Linux from /proc, elsewhere by lsof and ps. Of the
//! processes of other accounts it says little.

mod found;
mod proc;
mod tools;

use std::path::Path;

pub(super) use found::OllamaProcess;

const PROC: &str = "/proc";

/// The TCP ports that a process listens on, with their addresses; or why they are not known.
pub(super) fn listeners(pid: u32) -> Result<Vec<String>, String> {
    if !cfg!(target_os = "linux") {
        return tools::listeners(pid);
    }
    match proc::listeners(Path::new(PROC), pid) {
        Ok(all) => Ok(all.iter().map(ToString::to_string).collect()),
        Err(error) => Err(format!("cannot read the sockets of process {pid} in {PROC}: {error}")),
    }
}

/// The Ollama that listens on this port; without a port, each Ollama. If there is none among the processes that may be
/// read, those that may not be read.
pub(super) fn ollamas(port: Option<u16>) -> Vec<OllamaProcess> {
    if cfg!(target_os = "linux") { proc::ollamas(Path::new(PROC), port) } else { tools::ollamas(port) }
}

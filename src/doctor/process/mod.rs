//! What the system says of processes, and not they of themselves: on Linux from /proc, elsewhere by lsof and ps. Of the
//! processes of other accounts it says little.

mod proc;
mod tools;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Where the system's answers come from.
pub(super) enum System {
    /// A folder like Linux' /proc.
    Proc(PathBuf),
    /// The commands lsof and ps.
    Tools,
}

/// A process of `ollama serve`.
pub(super) struct OllamaProcess {
    pub(super) pid: u32,
    /// `None`: it may not be read, usually because the process belongs to another account.
    pub(super) environment: Option<Environment>,
}

/// The variables of a process. Some are secret, so it can't be printed.
pub(super) struct Environment(HashMap<String, String>);

impl Environment {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn parse<'a>(pairs: impl Iterator<Item = &'a str>) -> Environment {
        let pairs = pairs.filter_map(|pair| pair.split_once('='));
        Environment(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

impl System {
    pub(super) fn native() -> System {
        if cfg!(target_os = "linux") { System::Proc(Path::new("/proc").to_owned()) } else { System::Tools }
    }

    /// The TCP ports that a process listens on, with their addresses; or why they are not known.
    pub(super) fn listeners(&self, pid: u32) -> Result<Vec<String>, String> {
        match self {
            System::Proc(root) => proc::listeners(root, pid)
                .map(|all| all.iter().map(ToString::to_string).collect())
                .map_err(|error| format!("cannot read the sockets of process {pid} in /proc: {error}")),
            System::Tools => tools::listeners(pid),
        }
    }

    /// The Ollama that listens on this port of loopback; without a port, each Ollama. If none of those that may be read
    /// does, also those that may not be read.
    pub(super) fn ollamas(&self, port: Option<u16>) -> Vec<OllamaProcess> {
        match self {
            System::Proc(root) => proc::ollamas(root, port),
            System::Tools => tools::ollamas(port),
        }
    }
}

//! A program that the proxy runs, with everything that it starts.

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

/// A process that leads a process group. Dropping it kills the group, unless the process was waited for.
#[derive(Debug)]
pub(crate) struct ProcessGroup(pub(crate) Child);

impl ProcessGroup {
    /// Kills the group, unless the process was waited for: its number may belong to another one by now.
    pub(crate) fn kill(&self) {
        let leader = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(leader) = leader {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

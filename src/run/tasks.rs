//! The parts of the proxy that run until it ends, each in a task of its own: the first that ends takes the
//! process with it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;

use tokio::task::{Id, JoinSet};

use super::RunError;
use crate::panics;

/// Those tasks. They end when this is dropped.
#[derive(Default)]
pub(super) struct Tasks {
    tasks: JoinSet<RunError>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    /// Runs `part`, which ends only by a failure.
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        part: impl Future<Output = RunError> + Send + 'static,
    ) {
        let id = self.tasks.spawn(panics::named(name, part)).id();
        self.names.insert(id, name);
    }

    /// Runs what serves a port.
    pub(super) fn serve(
        &mut self,
        name: &'static str,
        port: impl Future<Output = io::Result<Infallible>> + Send + 'static,
    ) {
        self.spawn(name, async {
            match port.await {
                Ok(never) => match never {},
                Err(ended) => RunError::Listener(ended),
            }
        });
    }

    /// Waits for the first failure. A part that panicked has failed. Cancel-safe.
    pub(super) async fn failed(&mut self) -> RunError {
        match self.tasks.join_next_with_id().await {
            Some(Ok((_, failure))) => failure,
            Some(Err(error)) => {
                RunError::Panicked { part: self.names.get(&error.id()).copied().unwrap_or("a part") }
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn panicked_part_fails_by_its_name() {
        let mut tasks = Tasks::default();
        tasks.spawn("lasting", std::future::pending());
        tasks.spawn("planted", async { panic!("planted") });
        let failure = tasks.failed().await;
        assert!(matches!(failure, RunError::Panicked { part: "planted" }), "{failure}");
    }
}

//! The parts of the proxy that run until it ends, each in a task of its own. If one of them fails, the proxy ends.

use std::collections::HashMap;
use std::io;

use tokio::task::{Id, JoinSet};
use tracing::Instrument;

use super::error::RunError;
use crate::panics;

/// Those tasks. They end when this is dropped.
#[derive(Default)]
pub(super) struct Tasks {
    /// `None`: the task has ended as it should.
    tasks: JoinSet<Option<RunError>>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    /// Runs `part`, which ends only by a failure.
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        part: impl Future<Output = RunError> + Send + 'static,
    ) {
        self.insert(name, async { Some(part.await) });
    }

    /// Runs `part`, which does not end.
    pub(super) fn spawn_endless(
        &mut self,
        name: &'static str,
        part: impl Future<Output = ()> + Send + 'static,
    ) {
        self.insert(name, async move {
            part.await;
            Some(RunError::Ended { part: name })
        });
    }

    /// Runs the server of a port, which ends only if its listener does.
    pub(super) fn spawn_server<T>(
        &mut self,
        name: &'static str,
        server: impl Future<Output = io::Result<T>> + Send + 'static,
    ) {
        self.insert(name, async move {
            Some(server.await.map_or_else(RunError::Listener, |_| RunError::Ended { part: name }))
        });
    }

    /// Runs `part`, which ends at the first signal.
    pub(super) fn spawn_until_stop(
        &mut self,
        name: &'static str,
        part: impl Future<Output = ()> + Send + 'static,
    ) {
        self.insert(name, async {
            part.await;
            None
        });
    }

    fn insert(&mut self, name: &'static str, part: impl Future<Output = Option<RunError>> + Send + 'static) {
        let id = self.tasks.spawn(named(name, part)).id();
        self.names.insert(id, name);
    }

    /// Waits for the first failure. A panic is one. Cancel-safe.
    pub(super) async fn until_failed(&mut self) -> RunError {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            match ended {
                Ok((_, Some(failure))) => return failure,
                Ok((_, None)) => {}
                Err(error) => {
                    let part = self.names.get(&error.id()).copied().unwrap_or("unnamed");
                    return RunError::Panicked { part };
                }
            }
        }
        RunError::AllEnded
    }
}

/// `future` in a span of this name. Its panic is logged under the name.
pub(super) fn named<F: Future>(name: &'static str, future: F) -> impl Future<Output = F::Output> {
    // Of the highest level, so that lines of every level have it.
    panics::named(name, future.instrument(tracing::error_span!("task", name)))
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn panicked_task_fails_under_its_name() {
        let mut tasks = Tasks::default();
        tasks.spawn_endless("lasting", pending());
        tasks.spawn("planted", async { panic!("planted") });
        let failure = tasks.until_failed().await;
        assert!(matches!(failure, RunError::Panicked { part: "planted" }), "{failure}");
    }

    #[tokio::test]
    async fn endless_task_that_ends_fails_under_its_name() {
        let mut tasks = Tasks::default();
        tasks.spawn_until_stop("stopped", async {});
        tasks.spawn_server("lasting", pending::<io::Result<()>>());
        tasks.spawn_endless("planted", async {});
        let failure = tasks.until_failed().await;
        assert!(matches!(failure, RunError::Ended { part: "planted" }), "{failure}");
    }
}

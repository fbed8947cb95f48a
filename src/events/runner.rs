//! Runs the command for one event at a time.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::throttle::{QUIET, Throttle};
use super::{CommandRun, Event, EventReport, Incoming};
use crate::config::Config;
use crate::tailnet::NodeStatus;

/// How many events may wait for the command. Further ones are dropped, so that those that wait show how it began.
const WAITING: usize = 64;

/// Runs the command for each event that is to be told, until `stop`. The run at that moment goes on to its end; cancelling
/// this kills it.
pub async fn run_events(
    incoming: Incoming,
    node: watch::Receiver<NodeStatus>,
    stop: impl Future<Output = ()>,
) {
    let Incoming { config, events, dropped } = incoming;
    let (queue, next) = mpsc::channel(WAITING);
    let runner = Runner { config, node, dropped: Arc::clone(&dropped) };
    tokio::join!(coalesce(events, queue, &dropped), runner.run_each(next, stop));
}

/// Passes on the events that are to be told, at their time.
async fn coalesce(mut events: mpsc::Receiver<Event>, queue: mpsc::Sender<Event>, dropped: &AtomicU64) {
    let mut throttle = Throttle::default();
    loop {
        let next = throttle.next_due().unwrap_or_else(|| Instant::now() + QUIET);
        let ready = tokio::select! {
            event = events.recv() => match event {
                Some(event) => throttle.offer(event, Instant::now()).into_iter().collect(),
                None => return,
            },
            () = sleep_until(next) => throttle.due(Instant::now()),
            () = queue.closed() => return,
        };
        for event in ready {
            if queue.try_send(event).is_err() {
                dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

struct Runner {
    config: watch::Receiver<Arc<Config>>,
    node: watch::Receiver<NodeStatus>,
    dropped: Arc<AtomicU64>,
}

impl Runner {
    async fn run_each(&self, mut queue: mpsc::Receiver<Event>, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        loop {
            let event = tokio::select! {
                biased;
                () = &mut stop => break,
                event = queue.recv() => event,
            };
            let Some(event) = event else { break };
            self.run_once(event).await;
        }
        queue.close();
        let left = queue.len();
        if left > 0 {
            tracing::warn!(events = left, "stopping: the command of [events] is not run for these events");
        }
    }

    async fn run_once(&self, event: Event) {
        let config = Arc::clone(&self.config.borrow());
        let kind = event.occurrence.kind();
        // A reload may have changed what is wanted while the event waited.
        let Some(command) = config.events.command.as_ref().filter(|_| config.events.wants(kind)) else {
            return;
        };
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(events = dropped, "events dropped: too many waited for the command of [events]");
        }
        let name = self.node.borrow().dns_name.clone();
        let proxy = if name.is_empty() { &config.node.hostname } else { &name };
        let report = EventReport::new(event, proxy, dropped);
        let CommandRun { outcome, stderr, took, .. } =
            command.run(&report.line(), config.events.timeout).await;
        let (event, ms) = (kind.name(), u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        match outcome {
            Ok(()) => tracing::info!(event, ms, "the command of [events] was run"),
            Err(error) => tracing::warn!(event, ms, %error, stderr, "the command of [events] failed"),
        }
    }
}

#[cfg(test)]
mod tests;

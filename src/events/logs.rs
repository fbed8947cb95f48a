//! Notices that a log loses lines.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::sleep;

use super::{EventKind, Events, LogLost, Occurrence};
use crate::sink::{SinkState, Sinks};

/// How often the logs are looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// Raises an event each time that a log begins to lose lines. Does nothing while the config wants no such events. Ends
/// only if the settings do.
pub async fn watch_logs(events: Events, sinks: Sinks) {
    let mut configs = events.configs();
    let mut outages = Outages::default();
    loop {
        // An error: the settings are gone, and the proxy ends.
        if configs.wait_for(|config| config.events.wants(EventKind::LogLost)).await.is_err() {
            return;
        }
        outages.begun(sinks.states()).into_iter().for_each(|log| events.raise(Occurrence::LogLost(log)));
        sleep(INTERVAL).await;
    }
}

/// How many lines each log had lost at the last look, and whether it was losing lines.
#[derive(Default)]
struct Outages(HashMap<String, (u64, bool)>);

impl Outages {
    /// The logs that have begun to lose lines since the last call.
    fn begun(&mut self, logs: Vec<SinkState>) -> Vec<LogLost> {
        logs.into_iter().filter_map(|log| self.note(log)).collect()
    }

    fn note(&mut self, log: SinkState) -> Option<LogLost> {
        let (before, was_losing) = self.0.get(&log.name).copied().unwrap_or_default();
        let has_lost = log.lost > before;
        self.0.insert(log.name.clone(), (log.lost, has_lost || log.fault.is_some()));
        let SinkState { name, to, lost, fault, .. } = log;
        (has_lost && !was_losing).then_some(LogLost { log: name, to, lost, error: fault })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(lost: u64, fault: Option<&str>) -> Vec<SinkState> {
        vec![SinkState {
            name: "access".to_owned(),
            to: "/a".to_owned(),
            lost,
            last_lost: None,
            fault: fault.map(str::to_owned),
            grows: None,
            unremoved: None,
        }]
    }

    #[test]
    fn each_outage_is_told_once() {
        let mut outages = Outages::default();
        let mut told = |lost, fault| outages.begun(state(lost, fault)).first().map(|log| log.lost);
        assert_eq!(told(0, None), None);
        assert_eq!(told(2, Some("full")), Some(2));
        assert_eq!(told(9, Some("full")), None);
        assert_eq!(told(9, None), None);
        assert_eq!(told(9, None), None);
        assert_eq!(told(12, None), Some(12), "it was full between two looks");
    }
}

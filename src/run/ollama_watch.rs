//! Raises an event when Ollama stops to answer, and when it answers again.

use std::time::Duration;

use tokio::time::sleep;

use super::ollama_health::OllamaHealth;
use crate::events::{EventKind, Events, Occurrence, OllamaDown, OllamaUp};
use crate::ollama::OllamaClient;

/// The pause between two probes of Ollama, each of which may take 2 s.
const PROBE: Duration = Duration::from_secs(2);

/// Probes Ollama, but only while the config wants one of the two events. Ends only if the settings do.
pub(super) async fn watch_ollama(events: Events) {
    let mut configs = events.configs();
    let mut health = OllamaHealth::assumed_up();
    let wanted = [EventKind::OllamaDown, EventKind::OllamaBack];
    loop {
        // An error: the settings are gone, and the proxy ends.
        let config = configs.wait_for(|config| wanted.iter().any(|kind| config.events.wants(*kind))).await;
        let Ok(upstream) = config.map(|config| config.upstream.clone()) else { return };
        let fault = OllamaClient::new(&upstream).version().await.err().map(|error| error.to_string());
        if health.note(fault.is_none()) {
            let upstream = upstream.to_string();
            events.raise(match fault {
                Some(error) => Occurrence::OllamaDown(OllamaDown { upstream, error }),
                None => Occurrence::OllamaBack(OllamaUp { upstream }),
            });
        }
        sleep(PROBE).await;
    }
}

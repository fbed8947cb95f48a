//! Hosting a Tailscale Service: clients are to be led here for as long as they would be served.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Stop;
use crate::admin;
use crate::config::Withdraw;
use crate::settings::Settings;
use crate::tailnet::{Service, Situation};
use crate::tsnet::Node;

/// How often Ollama is asked whether it answers, which it has two seconds for.
const PROBE: Duration = Duration::from_secs(2);

/// The Service, on a node that is up.
pub(super) struct Host {
    node: Arc<Node>,
    settings: Arc<Settings>,
    name: String,
    situation: watch::Sender<Situation>,
    health: Health,
}

impl Host {
    /// `situation` has to be of a node whose Service the listener takes connections for.
    pub(super) fn new(
        name: String,
        node: Arc<Node>,
        settings: Arc<Settings>,
        situation: watch::Sender<Situation>,
    ) -> Self {
        Host { node, settings, name, situation, health: Health::default() }
    }

    /// Advertises the Service while Ollama answers, until the process is told to stop. Where the Service
    /// is withdrawn first, that returns once clients have had the time to be led elsewhere.
    pub(super) async fn until(&mut self, stop: &Stop) {
        self.follow(stop).await;
        let Withdraw::First(handover) = self.settings.config().shutdown.withdraw else { return };
        if !self.withdraw().await {
            return; // nobody is led here as it is
        }
        tracing::info!(service = self.name, ?handover, "stopping: clients may be led to other hosts first");
        tokio::select! {
            () = tokio::time::sleep(handover) => {}
            () = stop.at_once() => {}
        }
    }

    /// Has the tailnet lead nobody here any more; false: it did not, or can't be told.
    pub(super) async fn withdraw(&mut self) -> bool {
        let told = "the proxy has been told to stop";
        let withdrawn = std::mem::take(&mut self.health.up) && self.advertise(Some(told.to_owned())).await;
        if withdrawn {
            tracing::info!(service = self.name, "the Service is withdrawn, since {told}");
        }
        withdrawn
    }

    async fn follow(&mut self, stop: &Stop) {
        loop {
            let upstream = self.settings.config().upstream.clone();
            let fault = tokio::select! {
                answered = admin::version(&upstream) => answered.err(),
                () = stop.wait() => return,
            };
            if self.health.note(fault.is_none()) {
                self.heed(fault).await; // to its end: a word on its way to the tailnet can't be taken back
            }
            tokio::select! {
                () = tokio::time::sleep(PROBE) => {}
                () = stop.wait() => return,
            }
        }
    }

    async fn heed(&mut self, fault: Option<String>) {
        let service = &self.name;
        if !self.advertise(fault.clone()).await {
            self.health.up = !self.health.up; // for another try
            return;
        }
        match fault {
            None => tracing::info!(service, "the Service is advertised: the tailnet may lead clients here"),
            Some(fault) => {
                tracing::warn!(service, fault, "the Service is withdrawn, since Ollama does not answer");
            }
        }
    }

    /// Tells the tailnet that clients may be led here, or, for a reason, that they may not; false: it
    /// can't be told.
    async fn advertise(&self, withdrawn: Option<String>) -> bool {
        if let Err(error) = self.node.advertise_service(withdrawn.is_none()).await {
            tracing::error!(service = self.name, %error, "the tailnet can't be told whether to lead clients here");
            return false;
        }
        self.situation.send_modify(|known| {
            if let Some(service) = &mut known.service {
                service.withdrawn = withdrawn;
            }
        });
        true
    }
}

/// Of a node that has just come up.
pub(super) fn hosted(name: &str) -> Service {
    Service {
        name: name.to_owned(),
        addresses: Vec::new(), // an event will tell
        withdrawn: Some("Ollama has yet to answer".to_owned()),
    }
}

/// Whether clients would be served, by Ollama's last answers. It takes several in a row to change that, so
/// that clients are not led to and fro.
#[derive(Debug, Default)]
struct Health {
    up: bool,
    /// How many answers in a row say that it is otherwise.
    otherwise: u32,
    /// It has been down before.
    wary: bool,
}

impl Health {
    const DOWN: u32 = 2;
    const UP_AGAIN: u32 = 3;

    /// Takes an answer, or its absence; whether that changes anything.
    fn note(&mut self, answered: bool) -> bool {
        if answered == self.up {
            self.otherwise = 0;
            return false;
        }
        self.otherwise += 1;
        let enough = match answered {
            false => Self::DOWN,
            true if self.wary => Self::UP_AGAIN,
            true => 1,
        };
        let changes = self.otherwise >= enough;
        if changes {
            *self = Health { up: answered, otherwise: 0, wary: true };
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_changes_nothing_but_the_first() {
        let mut health = Health::default();
        // Whether it answers, and whether that changes anything.
        for (i, (answered, changes)) in [
            (false, false),
            (true, true),
            (false, false),
            (true, false),
            (false, false),
            (false, true),
            (false, false),
            (true, false),
            (true, false),
            (false, false),
            (true, false),
            (true, false),
            (true, true),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(health.note(answered), changes, "answer {i}: {health:?}");
        }
    }
}

//! Hosts a Tailscale Service: advertises it while Ollama answers, and withdraws it before the proxy ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::ollama_health::OllamaHealth;
use super::stop::Stop;
use crate::ollama::OllamaClient;
use crate::settings::Settings;
use crate::tailnet::{NodeStatus, ServiceStatus};
use crate::tsnet::{Error, Node};

/// The pause between two probes of Ollama, each of which may take 2 s.
const PROBE: Duration = Duration::from_secs(2);

/// How long the tailnet library may take to apply a change.
const ADVERTISE_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause before a failed withdrawal is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Tells the tailnet whether to route the Service's clients here: a node, or a test.
pub(super) trait Advertise: Send + Sync + 'static {
    /// See [`Node::advertise_service`].
    fn advertise(&self, on: bool) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Advertise for Node {
    fn advertise(&self, on: bool) -> impl Future<Output = Result<(), Error>> + Send {
        self.advertise_service(on)
    }
}

/// The host of one Service.
pub(super) struct ServiceHost<N = Node> {
    node: Arc<N>,
    settings: Arc<Settings>,
    service: String,
    node_status: watch::Sender<NodeStatus>,
    /// Locked while a change is applied.
    advertised: Mutex<Advertised>,
}

/// Whether the tailnet routes clients here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Advertised {
    No,
    Yes,
    /// Either one: the last change failed.
    Unknown,
}

/// A change of the advertisement.
enum Change {
    Advertise,
    Withdraw(WithdrawReason),
}

enum WithdrawReason {
    /// The fault of the last probe.
    OllamaDown(String),
    Stopping,
}

impl<N: Advertise> ServiceHost<N> {
    /// `node` takes the connections of `service` already.
    pub(super) fn new(
        service: String,
        node: Arc<N>,
        settings: Arc<Settings>,
        node_status: watch::Sender<NodeStatus>,
    ) -> Self {
        let status = ServiceStatus {
            name: service.clone(),
            addresses: Vec::new(), // an event of the node has them
            withdrawn: Some("Ollama has yet to answer".to_owned()),
        };
        node_status.send_modify(|node| node.service = Some(status));
        ServiceHost { node, settings, service, node_status, advertised: Mutex::new(Advertised::No) }
    }

    /// Advertises the Service while Ollama answers, until the first signal.
    pub(super) async fn follow_ollama(&self, stop: &Stop) {
        let mut health = OllamaHealth::default();
        loop {
            let upstream = self.settings.config().upstream.clone();
            let client = OllamaClient::new(&upstream);
            let fault = tokio::select! {
                answered = client.version() => answered.err().map(|error| error.to_string()),
                () = stop.wait() => return,
            };
            health.note(fault.is_none());
            let change = if health.up {
                Change::Advertise
            } else {
                let fault = fault.unwrap_or_else(|| "it has yet to answer again".to_owned());
                Change::Withdraw(WithdrawReason::OllamaDown(fault))
            };
            // Outside of the select: a call into the library can't be taken back.
            self.apply(change).await;
            tokio::select! {
                () = sleep(PROBE) => {}
                () = stop.wait() => return,
            }
        }
    }

    /// Withdraws the Service and returns after `handover`, in which clients move to other hosts. Returns at once if the
    /// Service is not advertised, or at a second signal.
    pub(super) async fn hand_over(&self, handover: Duration, stop: &Stop) {
        tokio::select! {
            () = self.withdraw_and_wait(handover) => {}
            () = stop.at_once() => {}
        }
    }

    async fn withdraw_and_wait(&self, handover: Duration) {
        if *self.advertised.lock().await == Advertised::No {
            return;
        }
        tracing::info!(service = self.service, ?handover, "stopping: handing clients over to other hosts");
        let deadline = Instant::now() + handover;
        let withdrawing = async {
            while !self.withdraw().await {
                sleep(RETRY).await;
            }
        };
        let _ = timeout_at(deadline, withdrawing).await;
        sleep_until(deadline).await;
    }

    /// Has the tailnet route no more clients here. Returns whether it does so.
    pub(super) async fn withdraw(&self) -> bool {
        self.apply(Change::Withdraw(WithdrawReason::Stopping)).await
    }

    /// Tells the tailnet of a change, unless it is applied already. Returns whether it is applied now.
    async fn apply(&self, change: Change) -> bool {
        let mut advertised = self.advertised.lock().await;
        let (on, wanted) = match change {
            Change::Advertise => (true, Advertised::Yes),
            Change::Withdraw(_) => (false, Advertised::No),
        };
        if *advertised == wanted {
            return true;
        }
        // Unknown until the call has returned, should this be cancelled.
        let before = std::mem::replace(&mut *advertised, Advertised::Unknown);
        let error = match timeout(ADVERTISE_TIMEOUT, self.node.advertise(on)).await {
            Ok(Ok(())) => {
                *advertised = wanted;
                self.report(change);
                return true;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {ADVERTISE_TIMEOUT:?}"),
        };
        if before != Advertised::Unknown {
            let service = &self.service;
            tracing::error!(service, error, "cannot advertise or withdraw the Service: retrying");
        }
        false
    }

    /// Logs an applied change, and has the node's status show it.
    fn report(&self, change: Change) {
        const STOPPING: &str = "the proxy is stopping";
        let service = &self.service;
        let withdrawn = match change {
            Change::Advertise => {
                tracing::info!(service, "the Service is advertised: the tailnet may route clients here");
                None
            }
            Change::Withdraw(WithdrawReason::OllamaDown(fault)) => {
                tracing::warn!(service, fault, "the Service is withdrawn: Ollama does not answer");
                Some(fault)
            }
            Change::Withdraw(WithdrawReason::Stopping) => {
                tracing::info!(service, "the Service is withdrawn: {STOPPING}");
                Some(STOPPING.to_owned())
            }
        };
        self.node_status.send_modify(|node| {
            if let Some(service) = &mut node.service {
                service.withdrawn = withdrawn;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;
    use crate::auth::Environment;
    use crate::settings::Source;

    /// Fails as often as the test wants, and notes each call: what was asked for, and whether it succeeded.
    struct PlannedTailnet {
        failures: AtomicU32,
        calls: std::sync::Mutex<Vec<(bool, bool)>>,
    }

    impl Advertise for PlannedTailnet {
        async fn advertise(&self, on: bool) -> Result<(), Error> {
            let fails = self.failures.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
            self.calls.lock().unwrap().push((on, !fails));
            if fails { Err(Error::Other("planted".to_owned())) } else { Ok(()) }
        }
    }

    fn host(failures: u32) -> ServiceHost<PlannedTailnet> {
        let config = crate::config::load(Some("/dev/null".as_ref()), &[], &Environment::default()).unwrap();
        let source = Source { load: Box::new(|| unreachable!()), set_log_level: Box::new(|_| {}) };
        let node = Arc::new(PlannedTailnet { failures: failures.into(), calls: Default::default() });
        let status = watch::Sender::new(NodeStatus::default());
        ServiceHost::new("svc:test".to_owned(), node, Arc::new(Settings::new(config, source)), status)
    }

    const HANDOVER: Duration = Duration::from_secs(10);

    /// The calls that a hand-over makes, and how long it takes.
    async fn hand_over(host: &ServiceHost<PlannedTailnet>) -> (Vec<(bool, bool)>, Duration) {
        host.node.calls.lock().unwrap().clear();
        let began = tokio::time::Instant::now();
        host.hand_over(HANDOVER, &Stop::never()).await;
        (host.node.calls.lock().unwrap().clone(), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn hand_over_withdraws_the_service_and_waits_for_clients_to_move() {
        let host = host(0);
        assert!(host.apply(Change::Advertise).await);
        assert_eq!(hand_over(&host).await, (vec![(false, true)], HANDOVER));
    }

    #[tokio::test(start_paused = true)]
    async fn failed_withdrawal_is_retried_and_the_hand_over_is_not_skipped() {
        let host = host(0);
        assert!(host.apply(Change::Advertise).await);
        host.node.failures.store(3, Relaxed);
        let (calls, took) = hand_over(&host).await;
        assert_eq!(calls, [(false, false), (false, false), (false, false), (false, true)]);
        assert_eq!(took, HANDOVER);
        host.node.failures.store(u32::MAX, Relaxed);
        assert!(host.withdraw().await, "it is withdrawn already");
    }

    #[tokio::test(start_paused = true)]
    async fn service_whose_advertising_failed_is_withdrawn() {
        let host = host(1);
        assert!(!host.apply(Change::Advertise).await);
        assert_eq!(hand_over(&host).await, (vec![(false, true)], HANDOVER));
    }

    #[tokio::test(start_paused = true)]
    async fn hand_over_ends_in_time_if_every_withdrawal_fails() {
        let host = host(0);
        assert!(host.apply(Change::Advertise).await);
        host.node.failures.store(u32::MAX, Relaxed);
        let (calls, took) = hand_over(&host).await;
        assert!(calls.len() > 10 && calls.iter().all(|call| *call == (false, false)), "{calls:?}");
        assert_eq!(took, HANDOVER);
        assert!(!host.withdraw().await);
    }

    #[tokio::test(start_paused = true)]
    async fn hand_over_returns_at_once_without_an_advertised_service() {
        assert_eq!(hand_over(&host(0)).await, (vec![], Duration::ZERO));
    }
}

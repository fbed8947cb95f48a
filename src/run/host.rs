//! Hosting a Tailscale Service: clients are to be led here for as long as they would be served.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};

use super::Stop;
use crate::ollama::OllamaClient;
use crate::settings::Settings;
use crate::tailnet::{Service, Situation};
use crate::tsnet::{Error, Node};

/// How often Ollama is asked whether it answers, which it has two seconds for.
const PROBE: Duration = Duration::from_secs(2);

/// How long the tailnet library may take to pass a change on.
const PATIENCE: Duration = Duration::from_secs(5);

/// After how long withdrawing is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Tells the tailnet whether it may lead clients of the Service here: a node, or a test.
pub(super) trait Advertise: Send + Sync + 'static {
    /// See [`Node::advertise_service`].
    fn advertise(&self, on: bool) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Advertise for Node {
    fn advertise(&self, on: bool) -> impl Future<Output = Result<(), Error>> + Send {
        self.advertise_service(on)
    }
}

/// The Service, on a node that is up.
pub(super) struct Host<N = Node> {
    node: Arc<N>,
    settings: Arc<Settings>,
    name: String,
    situation: watch::Sender<Situation>,
    /// Held while the tailnet is told.
    advertised: Mutex<Advertised>,
}

/// Why the tailnet is to lead no client here.
enum Why {
    /// For this fault of it.
    OllamaDown(String),
    Stopping,
}

impl Why {
    const STOPPING: &str = "the proxy has been told to stop";
}

/// Whether the tailnet leads clients here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Advertised {
    No,
    Yes,
    /// Telling it has failed, so either.
    Unknown,
}

impl<N: Advertise> Host<N> {
    /// `situation` has to be of a node whose Service the listener takes connections for.
    pub(super) fn new(
        name: String,
        node: Arc<N>,
        settings: Arc<Settings>,
        situation: watch::Sender<Situation>,
    ) -> Self {
        situation.send_modify(|known| known.service = Some(hosted(&name)));
        Host { node, settings, name, situation, advertised: Mutex::new(Advertised::No) }
    }

    /// Advertises the Service while Ollama answers, until the process is told to stop.
    pub(super) async fn follow(&self, stop: &Stop) {
        let mut health = Health::default();
        loop {
            let upstream = self.settings.config().upstream.clone();
            let client = OllamaClient::new(&upstream);
            let fault = tokio::select! {
                answered = client.version() => answered.err().map(|error| error.to_string()),
                () = stop.wait() => return,
            };
            health.note(fault.is_none());
            let down =
                |fault: Option<String>| fault.unwrap_or_else(|| "it has yet to answer again".to_owned());
            // To its end: a call that has begun can't be taken back.
            self.tell((!health.up).then(|| Why::OllamaDown(down(fault)))).await;
            tokio::select! {
                () = tokio::time::sleep(PROBE) => {}
                () = stop.wait() => return,
            }
        }
    }

    /// Has the tailnet lead clients elsewhere, and returns once they have had `handover` for that. Told to
    /// stop at once, it returns at once.
    pub(super) async fn hand_over(&self, handover: Duration, stop: &Stop) {
        let handing_over = async {
            if *self.advertised.lock().await == Advertised::No {
                return; // no client is led here as it is
            }
            tracing::info!(
                service = self.name,
                ?handover,
                "stopping: clients may be led to other hosts first"
            );
            let withdrawing = async {
                while !self.withdraw().await {
                    tokio::time::sleep(RETRY).await;
                }
                std::future::pending().await
            };
            tokio::select! {
                () = tokio::time::sleep(handover) => {}
                () = withdrawing => {}
            }
        };
        tokio::select! {
            () = handing_over => {}
            () = stop.at_once() => {}
        }
    }

    /// Has the tailnet lead no client here any more; false: it can't be told.
    pub(super) async fn withdraw(&self) -> bool {
        self.tell(Some(Why::Stopping)).await
    }

    /// Tells the tailnet that clients may be led here, or, for a reason, that they may not. Nothing is
    /// said twice, but after a failure it may be either, and is said again. False: it can't be told.
    async fn tell(&self, withdrawn: Option<Why>) -> bool {
        let mut advertised = self.advertised.lock().await;
        let wanted = if withdrawn.is_none() { Advertised::Yes } else { Advertised::No };
        if *advertised == wanted {
            return true;
        }
        let before = std::mem::replace(&mut *advertised, Advertised::Unknown);
        let told = self.node.advertise(withdrawn.is_none());
        let told = tokio::time::timeout(PATIENCE, told).await;
        let service = &self.name;
        let Ok(Ok(())) = told else {
            let error = match told {
                Ok(Err(error)) => error.to_string(),
                _ => format!("no answer within {PATIENCE:?}"),
            };
            if before != Advertised::Unknown {
                tracing::error!(service, error, "cannot advertise or withdraw the Service: retrying");
            }
            return false;
        };
        *advertised = wanted;
        match &withdrawn {
            None => tracing::info!(service, "the Service is advertised: the tailnet may lead clients here"),
            Some(Why::OllamaDown(fault)) => {
                tracing::warn!(service, fault, "the Service is withdrawn, since Ollama does not answer");
            }
            Some(Why::Stopping) => {
                tracing::info!(service, "the Service is withdrawn, since {}", Why::STOPPING);
            }
        }
        self.situation.send_modify(|known| {
            if let Some(service) = &mut known.service {
                service.withdrawn = withdrawn.map(|why| match why {
                    Why::OllamaDown(fault) => fault,
                    Why::Stopping => Why::STOPPING.to_owned(),
                });
            }
        });
        true
    }
}

/// Of a node that has just come up.
fn hosted(name: &str) -> Service {
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
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;
    use crate::auth::Environment;
    use crate::settings::Source;

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

    /// Fails as often as it is told to, and notes what it was told.
    struct Tailnet {
        failures: AtomicU32,
        told: std::sync::Mutex<Vec<(bool, bool)>>,
    }

    impl Advertise for Tailnet {
        async fn advertise(&self, on: bool) -> Result<(), Error> {
            let fails = self.failures.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
            self.told.lock().unwrap().push((on, !fails));
            if fails { Err(Error::Other("planted".to_owned())) } else { Ok(()) }
        }
    }

    fn host(failures: u32) -> Host<Tailnet> {
        let config = crate::config::load(Some("/dev/null".as_ref()), &[], &Environment::default()).unwrap();
        let source = Source { load: Box::new(|| unreachable!()), log: Box::new(|_| {}) };
        let node = Arc::new(Tailnet { failures: failures.into(), told: Default::default() });
        let situation = watch::Sender::new(Situation::default());
        Host::new("svc:test".to_owned(), node, Arc::new(Settings::new(config, source)), situation)
    }

    const HANDOVER: Duration = Duration::from_secs(10);

    /// What the tailnet was told after `before`, and how long a hand-over took.
    async fn handed_over(host: &Host<Tailnet>) -> (Vec<(bool, bool)>, Duration) {
        host.node.told.lock().unwrap().clear();
        let began = tokio::time::Instant::now();
        host.hand_over(HANDOVER, &Stop::never()).await;
        (host.node.told.lock().unwrap().clone(), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn advertised_service_is_withdrawn_first_and_clients_get_the_time() {
        let host = host(0);
        assert!(host.tell(None).await);
        assert_eq!(handed_over(&host).await, (vec![(false, true)], HANDOVER));
    }

    #[tokio::test(start_paused = true)]
    async fn failed_withdrawal_is_tried_again_and_the_hand_over_is_not_skipped() {
        let host = host(0);
        assert!(host.tell(None).await);
        host.node.failures.store(3, Relaxed);
        let (told, took) = handed_over(&host).await;
        assert_eq!(told, [(false, false), (false, false), (false, false), (false, true)]);
        assert_eq!(took, HANDOVER);
        host.node.failures.store(u32::MAX, Relaxed);
        assert!(host.withdraw().await, "it is withdrawn already");
    }

    #[tokio::test(start_paused = true)]
    async fn service_whose_advertising_failed_may_be_advertised_and_is_withdrawn() {
        let host = host(1);
        assert!(!host.tell(None).await);
        assert_eq!(handed_over(&host).await, (vec![(false, true)], HANDOVER));
    }

    #[tokio::test(start_paused = true)]
    async fn hand_over_ends_in_time_though_the_tailnet_can_never_be_told() {
        let host = host(0);
        assert!(host.tell(None).await);
        host.node.failures.store(u32::MAX, Relaxed);
        let (told, took) = handed_over(&host).await;
        assert!(told.len() > 10 && told.iter().all(|told| *told == (false, false)), "{told:?}");
        assert_eq!(took, HANDOVER);
        assert!(!host.withdraw().await);
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_advertised_service_nothing_waits() {
        assert_eq!(handed_over(&host(0)).await, (vec![], Duration::ZERO));
    }
}

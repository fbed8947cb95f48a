use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::*;
use crate::admission::{Limits, RunningSlot};
use crate::policy::Grant;

/// What the keeper asked of the system.
#[derive(Debug, PartialEq)]
enum Call {
    Taken,
    Refused,
    Released,
}

/// Refuses as often as the test wants, and reports each call.
struct PlannedSystem {
    refusals: Arc<AtomicU32>,
    calls: mpsc::UnboundedSender<Call>,
    /// A lock is lost when this is notified.
    loss: Arc<tokio::sync::Notify>,
}

struct PlannedLock(mpsc::UnboundedSender<Call>);

impl Drop for PlannedLock {
    fn drop(&mut self) {
        let _ = self.0.send(Call::Released);
    }
}

impl Inhibitor for PlannedSystem {
    type Lock = PlannedLock;

    async fn take(&self) -> Result<PlannedLock, String> {
        if self.refusals.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
            let _ = self.calls.send(Call::Refused);
            return Err("planted".to_owned());
        }
        let _ = self.calls.send(Call::Taken);
        Ok(PlannedLock(self.calls.clone()))
    }

    async fn lost(&self, _: &mut PlannedLock) -> String {
        self.loss.notified().await;
        "lost".to_owned()
    }

    async fn release(&self, lock: PlannedLock) {
        drop(lock);
    }
}

/// A keeper at work.
struct Site {
    admission: Admission,
    configs: watch::Sender<Arc<Config>>,
    state: watch::Receiver<AwakeState>,
    refusals: Arc<AtomicU32>,
    calls: mpsc::UnboundedReceiver<Call>,
    loss: Arc<tokio::sync::Notify>,
}

fn config(keep_awake: bool) -> Arc<Config> {
    let config = crate::config::load(Some("/dev/null".as_ref()), &[], &Default::default()).unwrap();
    Arc::new(Config { keep_awake, ..config })
}

impl Site {
    fn new(keep_awake: bool) -> Self {
        let (sender, calls) = mpsc::unbounded_channel();
        let configs = watch::Sender::new(config(keep_awake));
        let state = watch::Sender::new(AwakeState::default());
        let (refusals, loss) = (Arc::<AtomicU32>::default(), Arc::<tokio::sync::Notify>::default());
        let system =
            PlannedSystem { refusals: Arc::clone(&refusals), calls: sender, loss: Arc::clone(&loss) };
        let admission = Admission::default();
        let receiver = state.subscribe();
        tokio::spawn(Keeper::new(admission.clone(), configs.subscribe(), state, system).run());
        Site { admission, configs, state: receiver, refusals, calls, loss }
    }

    async fn request(&self) -> RunningSlot {
        self.admission.admit(&Limits::NONE, "anna", &Grant::EVERYTHING, true).await.unwrap()
    }

    async fn short_request(&self) {
        let request = self.request().await;
        tokio::time::advance(Duration::from_millis(10)).await;
        drop(request);
    }

    /// The next call, and how long it took to come.
    async fn next(&mut self) -> (Call, Duration) {
        let since = Instant::now();
        (self.calls.recv().await.unwrap(), since.elapsed())
    }

    /// No call within an hour.
    async fn rests(&mut self) {
        let call = timeout(Duration::from_secs(3600), self.calls.recv()).await;
        assert!(call.is_err(), "{call:?}");
    }

    async fn shows(&mut self, state: AwakeState) {
        let wait = self.state.wait_for(|now| *now == state);
        timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("not {state:?}")).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn lock_is_held_while_a_request_runs_and_released_within_seconds_after() {
    let mut site = Site::new(true);
    site.shows(AwakeState::NotHeld).await;
    let request = site.request().await;
    assert_eq!(site.next().await, (Call::Taken, Duration::ZERO));
    site.shows(AwakeState::Held).await;
    site.rests().await;
    drop(request);
    let (call, after) = site.next().await;
    assert_eq!(call, Call::Released);
    assert!(after >= LINGER && after <= LINGER + INTERVAL, "{after:?}");
    site.shows(AwakeState::NotHeld).await;
    site.rests().await;
}

#[tokio::test(start_paused = true)]
async fn lock_is_held_while_a_request_waits() {
    let mut site = Site::new(true);
    let limits = Limits { running: 0, running_per_identity: 1, waiting: 4, ..Limits::NONE };
    let limits = Limits { wait: Duration::from_secs(7200), ..limits };
    let admission = site.admission.clone();
    let waiting =
        tokio::spawn(
            async move { admission.admit(&limits, "anna", &Grant::EVERYTHING, true).await.map(drop) },
        );
    assert_eq!(site.next().await.0, Call::Taken);
    site.rests().await;
    waiting.abort();
    assert_eq!(site.next().await.0, Call::Released);
}

#[tokio::test(start_paused = true)]
async fn stream_of_short_requests_takes_the_lock_once() {
    let mut site = Site::new(true);
    for _ in 0..20 {
        site.short_request().await;
        tokio::time::advance(LINGER - Duration::from_secs(1)).await;
    }
    assert_eq!(site.next().await, (Call::Taken, Duration::ZERO));
    assert!(site.calls.try_recv().is_err());
    assert_eq!(site.next().await.0, Call::Released);
}

#[tokio::test(start_paused = true)]
async fn refused_lock_is_asked_for_again_only_after_minutes() {
    let mut site = Site::new(true);
    site.refusals.store(2, Relaxed);
    site.short_request().await;
    assert_eq!(site.next().await.0, Call::Refused);
    site.shows(AwakeState::NotAvailable { reason: "planted".to_owned() }).await;
    site.rests().await; // there is no request
    let request = site.request().await;
    assert_eq!(site.next().await, (Call::Refused, Duration::ZERO));
    assert_eq!(site.next().await, (Call::Taken, RETRY));
    site.shows(AwakeState::Held).await;
    drop(request);
}

#[tokio::test(start_paused = true)]
async fn lost_lock_is_taken_again_while_the_request_runs() {
    let mut site = Site::new(true);
    let request = site.request().await;
    assert_eq!(site.next().await.0, Call::Taken);
    site.loss.notify_one();
    assert_eq!(site.next().await.0, Call::Released);
    site.shows(AwakeState::NotAvailable { reason: "lost".to_owned() }).await;
    assert_eq!(site.next().await, (Call::Taken, RETRY));
    drop(request);
}

#[tokio::test(start_paused = true)]
async fn setting_takes_effect_while_a_request_runs() {
    let mut site = Site::new(false);
    let _request = site.request().await;
    site.rests().await;
    assert_eq!(*site.state.borrow(), AwakeState::Off);
    site.configs.send_replace(config(true));
    assert_eq!(site.next().await.0, Call::Taken);
    site.configs.send_replace(config(false));
    assert_eq!(site.next().await.0, Call::Released);
    site.shows(AwakeState::Off).await;
}

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::policy::Priority;

const ALL: Grant = Grant::EVERYTHING;

/// Admission with fixed limits.
#[derive(Clone)]
struct Fixed(Admission, Limits);

impl Fixed {
    fn new(limits: Limits) -> Self {
        Fixed(Admission::default(), limits)
    }

    async fn admit(&self, identity: &str, grant: &Grant, computes: bool) -> Result<RunningSlot, Busy> {
        self.0.admit(&self.1, identity, grant, computes).await
    }
}

impl std::ops::Deref for Fixed {
    type Target = Admission;

    fn deref(&self) -> &Admission {
        &self.0
    }
}

fn limits(running: u32, waiting: u32) -> Limits {
    Limits { running, waiting, wait: Duration::from_secs(60), ..Limits::NONE }
}

#[tokio::test(start_paused = true)]
async fn grant_limits_concurrent_requests() {
    let admission = Fixed::new(Limits::NONE);
    let grant = Grant { max_concurrent: Some(2), ..ALL };
    let first = admission.admit("a", &grant, false).await.ok().unwrap();
    let _second = admission.admit("a", &grant, true).await.ok().unwrap();
    assert_eq!(admission.admit("a", &grant, false).await.err(), Some(Busy::Concurrent(2)));
    assert!(admission.admit("b", &grant, false).await.is_ok());
    drop(first);
    assert!(admission.admit("a", &grant, false).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn waiting_requests_count_as_concurrent() {
    let admission = Fixed::new(limits(1, 100));
    let served = Served::default();
    let _running = admission.admit("x", &ALL, true).await.ok().unwrap();
    enqueue(&admission, "a", Priority::Normal, &served).await;
    let grant = Grant { max_concurrent: Some(1), ..ALL };
    assert_eq!(admission.admit("a", &grant, true).await.err(), Some(Busy::Concurrent(1)));
    assert!(admission.admit("b", &grant, false).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn rate_limit_holds_in_any_minute() {
    let admission = Fixed::new(Limits { requests_per_minute: Some(60), ..Limits::NONE });
    let grant = Grant { requests_per_minute: Some(6), ..ALL };
    for _ in 0..6 {
        assert!(admission.admit("a", &grant, false).await.is_ok());
    }
    tokio::time::advance(Duration::from_secs(40)).await;
    let busy = Busy::Rate { limit: 6, wait: Duration::from_secs(20) };
    assert_eq!(admission.admit("a", &grant, false).await.err(), Some(busy));
    // With a smaller limit, the next may start when all but three are a minute old.
    let fewer = Grant { requests_per_minute: Some(3), ..ALL };
    let busy = Busy::Rate { limit: 3, wait: Duration::from_secs(20) };
    assert_eq!(admission.admit("a", &fewer, false).await.err(), Some(busy));
    tokio::time::advance(Duration::from_secs(20)).await;
    assert!(admission.admit("a", &grant, false).await.is_ok());
    tokio::time::advance(Duration::from_secs(3600)).await;
    let mut started = 0;
    for _ in 0..20 {
        started += usize::from(admission.admit("a", &grant, false).await.is_ok());
    }
    assert_eq!(started, 6);
    // A grant can't exceed the node's limit.
    let wide = Grant { requests_per_minute: Some(1000), ..ALL };
    let mut started = 0;
    for _ in 0..100 {
        started += usize::from(admission.admit("b", &wide, false).await.is_ok());
    }
    assert_eq!(started, 60);
}

/// Polls `future` once. Whether it has to wait.
async fn is_pending<F: Future>(future: &mut Pin<Box<F>>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// The requests that have started, in order. Each holds its running slot until it is taken from here.
struct Served {
    started: UnboundedSender<(&'static str, Result<RunningSlot, Busy>)>,
    requests: UnboundedReceiver<(&'static str, Result<RunningSlot, Busy>)>,
}

impl Default for Served {
    fn default() -> Self {
        let (started, requests) = unbounded_channel();
        Served { started, requests }
    }
}

impl Served {
    /// Waits for the next request to start.
    async fn next(&mut self) -> (&'static str, RunningSlot) {
        let (identity, slot) = self.requests.recv().await.unwrap();
        (identity, slot.unwrap_or_else(|busy| panic!("{identity}: {busy:?}")))
    }

    /// The order in which the next `n` requests start, if each ends at once.
    async fn order(&mut self, n: usize) -> Vec<&'static str> {
        let mut order = Vec::new();
        while order.len() < n {
            order.push(self.next().await.0);
        }
        order
    }
}

/// Enqueues a request of `identity`, which goes to `served` once it runs.
async fn enqueue(admission: &Fixed, identity: &'static str, priority: Priority, served: &Served) {
    let before = admission.load().1;
    let (queue, started) = (admission.clone(), served.started.clone());
    let mut request = Box::pin(async move {
        let slot = queue.admit(identity, &Grant { priority, ..ALL }, true).await;
        let _ = started.send((identity, slot)); // an error: the test has ended
    });
    assert!(is_pending(&mut request).await, "{identity} does not wait");
    assert_eq!(admission.load().1, before + 1);
    tokio::spawn(request);
}

#[tokio::test(start_paused = true)]
async fn identity_with_one_request_overtakes_one_with_many() {
    let admission = Fixed::new(limits(1, 100));
    let mut served = Served::default();
    let running = admission.admit("greedy", &ALL, true).await.ok().unwrap();
    for _ in 0..4 {
        enqueue(&admission, "greedy", Priority::Normal, &served).await;
    }
    enqueue(&admission, "modest", Priority::Normal, &served).await;
    enqueue(&admission, "late", Priority::Normal, &served).await;
    drop(running);
    assert_eq!(served.order(6).await, ["modest", "late", "greedy", "greedy", "greedy", "greedy"]);
    assert_eq!(admission.load(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn higher_priority_starts_first() {
    let admission = Fixed::new(limits(1, 100));
    let mut served = Served::default();
    let running = admission.admit("x", &ALL, true).await.ok().unwrap();
    enqueue(&admission, "low", Priority::Low, &served).await;
    enqueue(&admission, "normal", Priority::Normal, &served).await;
    enqueue(&admission, "high", Priority::High, &served).await;
    drop(running);
    assert_eq!(served.order(3).await, ["high", "normal", "low"]);
}

#[tokio::test(start_paused = true)]
async fn one_identity_can_not_take_all_running_slots() {
    let each = Limits { running_per_identity: 1, ..limits(2, 10) };
    let admission = Fixed::new(each);
    let served = Served::default();
    let _one = admission.admit("a", &ALL, true).await.ok().unwrap();
    enqueue(&admission, "a", Priority::High, &served).await;
    // A slot is free, but not for the identity that waits.
    assert!(admission.admit("b", &ALL, true).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn queue_is_bounded_in_length_and_time() {
    let admission = Fixed::new(limits(1, 1));
    let running = admission.admit("a", &ALL, true).await.ok().unwrap();
    let mut waiting = Box::pin(admission.admit("b", &ALL, true));
    assert!(is_pending(&mut waiting).await);
    assert_eq!(admission.admit("c", &ALL, true).await.err(), Some(Busy::Full(1)));
    // A request that does not compute never waits.
    assert!(admission.admit("c", &ALL, false).await.is_ok());
    assert_eq!(waiting.await.err(), Some(Busy::Waited(Duration::from_secs(60))));
    assert_eq!(admission.load(), (1, 0));
    drop(running);
    assert!(admission.admit("d", &ALL, true).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn cancelled_waiters_get_no_running_slot() {
    let admission = Fixed::new(limits(1, 10));
    let mut served = Served::default();
    let running = admission.admit("a", &ALL, true).await.ok().unwrap();
    for _ in 0..3 {
        let mut waiting = Box::pin(admission.admit("gone", &ALL, true));
        assert!(is_pending(&mut waiting).await);
        assert_eq!(admission.load(), (1, 1));
        drop(waiting);
        assert_eq!(admission.load(), (1, 0));
    }
    enqueue(&admission, "b", Priority::Normal, &served).await;
    drop(running);
    assert_eq!(served.order(1).await, ["b"]);
    assert_eq!(admission.load(), (0, 0));
    assert!(admission.state.lock().queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn identities_that_come_and_go_do_not_starve_a_waiter() {
    let admission = Fixed::new(limits(1, 100));
    let mut served = Served::default();
    // One start makes anna's next start rank behind those of new identities.
    let first = admission.admit("anna", &ALL, true).await.ok().unwrap();
    enqueue(&admission, "bob", Priority::Normal, &served).await;
    enqueue(&admission, "anna", Priority::Normal, &served).await;
    drop(first);
    let mut order = Vec::new();
    while order.len() < 6 && !order.contains(&"anna") {
        let (identity, slot) = served.next().await;
        order.push(identity);
        // While one runs, the other is enqueued; the queue forgets each in between.
        enqueue(&admission, if identity == "bob" { "eve" } else { "bob" }, Priority::Normal, &served).await;
        drop(slot);
    }
    assert!(order.len() <= 4 && order.contains(&"anna"), "{order:?}");
}

#[tokio::test(start_paused = true)]
async fn one_identity_can_not_take_all_waiting_slots() {
    let admission = Fixed::new(limits(1, 8));
    let served = Served::default();
    let _running = admission.admit("x", &ALL, true).await.ok().unwrap();
    enqueue(&admission, "greedy", Priority::Normal, &served).await;
    enqueue(&admission, "greedy", Priority::Normal, &served).await;
    assert_eq!(admission.admit("greedy", &ALL, true).await.err(), Some(Busy::Full(2)));
    enqueue(&admission, "modest", Priority::Normal, &served).await;
}

#[tokio::test(start_paused = true)]
async fn spectator_waits_for_every_request_and_takes_no_slot() {
    let admission = Fixed::new(limits(1, 10));
    let served = &mut Served::default();
    let running = admission.admit("a", &ALL, true).await.ok().unwrap();
    let mut spectator = Box::pin(admission.slot_is_free(&admission.1));
    assert!(is_pending(&mut spectator).await);
    enqueue(&admission, "b", Priority::Low, served).await;
    drop(running);
    let (name, running) = served.next().await;
    assert_eq!(name, "b");
    assert!(is_pending(&mut spectator).await, "a request of the lowest priority goes first");
    drop(running);
    assert!(!is_pending(&mut spectator).await);
    // The slot is still free.
    assert_eq!(admission.load(), (0, 0));
    let _running = admission.admit("a", &ALL, true).await.ok().unwrap();
    let mut second = Box::pin(admission.slot_is_free(&admission.1));
    assert!(is_pending(&mut second).await);
    admission.limit(&limits(2, 10));
    assert!(!is_pending(&mut second).await, "a higher limit frees a slot");
}

use std::sync::Mutex;

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

/// Enqueues a request of `identity`. Once it runs it is in `served`, until it is taken out.
async fn enqueue(admission: &Fixed, identity: &'static str, priority: Priority, served: &Served) {
    let (admission, served) = (admission.clone(), Arc::clone(served));
    let before = admission.load().1;
    let queue = admission.clone();
    tokio::spawn(async move {
        let grant = Grant { priority, ..ALL };
        if let Ok(slot) = admission.admit(identity, &grant, true).await {
            served.lock().unwrap().push((identity, slot));
        }
    });
    while queue.load().1 == before {
        tokio::task::yield_now().await;
    }
}

type Served = Arc<Mutex<Vec<(&'static str, RunningSlot)>>>;

async fn order(served: &Served, n: usize) -> Vec<&'static str> {
    let mut order = Vec::new();
    while order.len() < n {
        let done = served.lock().unwrap().pop();
        order.extend(done.map(|(identity, _slot)| identity));
        tokio::task::yield_now().await;
    }
    order
}

#[tokio::test(start_paused = true)]
async fn identity_with_one_request_overtakes_one_with_many() {
    let admission = Fixed::new(limits(1, 100));
    let served = Served::default();
    let running = admission.admit("greedy", &ALL, true).await.ok().unwrap();
    for _ in 0..4 {
        enqueue(&admission, "greedy", Priority::Normal, &served).await;
    }
    enqueue(&admission, "modest", Priority::Normal, &served).await;
    enqueue(&admission, "late", Priority::Normal, &served).await;
    drop(running);
    assert_eq!(order(&served, 6).await, ["modest", "late", "greedy", "greedy", "greedy", "greedy"]);
    assert_eq!(admission.load(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn higher_priority_starts_first() {
    let admission = Fixed::new(limits(1, 100));
    let served = Served::default();
    let running = admission.admit("x", &ALL, true).await.ok().unwrap();
    enqueue(&admission, "low", Priority::Low, &served).await;
    enqueue(&admission, "normal", Priority::Normal, &served).await;
    enqueue(&admission, "high", Priority::High, &served).await;
    drop(running);
    assert_eq!(order(&served, 3).await, ["high", "normal", "low"]);
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
    let waits = admission.clone();
    let waiting = tokio::spawn(async move { waits.admit("b", &ALL, true).await.err() });
    while admission.load().1 == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(admission.admit("c", &ALL, true).await.err(), Some(Busy::Full(1)));
    // A request that does not compute never waits.
    assert!(admission.admit("c", &ALL, false).await.is_ok());
    assert_eq!(waiting.await.unwrap(), Some(Busy::Waited(Duration::from_secs(60))));
    assert_eq!(admission.load(), (1, 0));
    drop(running);
    assert!(admission.admit("d", &ALL, true).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn cancelled_waiters_get_no_running_slot() {
    let admission = Fixed::new(limits(1, 10));
    let served = Served::default();
    let running = admission.admit("a", &ALL, true).await.ok().unwrap();
    for _ in 0..3 {
        let waits = admission.clone();
        let waiting = tokio::spawn(async move { waits.admit("gone", &ALL, true).await.is_ok() });
        while admission.load().1 == 0 {
            tokio::task::yield_now().await;
        }
        waiting.abort();
        assert!(waiting.await.is_err());
        assert_eq!(admission.load(), (1, 0));
    }
    enqueue(&admission, "b", Priority::Normal, &served).await;
    drop(running);
    assert_eq!(order(&served, 1).await, ["b"]);
    assert_eq!(admission.load(), (0, 0));
    assert!(admission.state.lock().queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn identities_that_come_and_go_do_not_starve_a_waiter() {
    let admission = Fixed::new(limits(1, 100));
    let served = Served::default();
    // One start makes anna's next start rank behind those of new identities.
    let first = admission.admit("anna", &ALL, true).await.ok().unwrap();
    enqueue(&admission, "bob", Priority::Normal, &served).await;
    enqueue(&admission, "anna", Priority::Normal, &served).await;
    drop(first);
    let mut order = Vec::new();
    while order.len() < 6 && !order.contains(&"anna") {
        while served.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let (identity, slot) = served.lock().unwrap().pop().unwrap();
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

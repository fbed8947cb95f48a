//! SIGHUP, a reload of the same config, each millisecond during 100 streams. A handler that ran on a goroutine's stack would
//! overwrite Go's memory, and sooner or later end the process.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::MissedTickBehavior;

use crate::figures::{self, Meant, figure};
use crate::standin::Standin;
use crate::swarm::{Swarm, chat, connect};
use crate::tailnet::World;

const PART: &str = "Signals during 100 running streams";
const STREAMS: u64 = 100;
const CONFIG: &str = "limits.running = 200\nlimits.running_per_identity = 200\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_signals_harm_no_stream() {
    let _alone = figures::alone().await;
    let ollama = Standin::new().await;
    let mut world = World::new(&ollama.url, CONFIG).await;
    let swarm = Swarm::new(&world, 4).await;
    let streams = (0..STREAMS).map(|n| {
        let at = swarm.at(n);
        async move {
            let mut client = connect(at).await;
            client.send(chat(n, "do=stream&ms=10&count=500")).await;
            let head = client.head().await.unwrap();
            client.body(&head).await.expect("a stream was cut").len()
        }
    });
    let streams: Vec<_> = streams.map(tokio::spawn).collect();
    ollama.runs(STREAMS as usize).await;
    let mut signals = 0;
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !streams.iter().all(|stream| stream.is_finished()) {
        world.proxy.process.signal(Signal::HUP);
        signals += 1;
        ticks.tick().await;
    }
    for stream in streams {
        assert_eq!(stream.await.unwrap(), 500 * b"data: word\n\n".len(), "a stream has lost something");
    }
    world.proxy.process.signal(Signal::TERM);
    world.proxy.process.ended_with(0).await;
    figure(PART, "signals sent", f64::from(signals), "", Meant::AtLeast(1000.0));
}

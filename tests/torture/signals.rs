//! SIGHUP, a reload of the same config, each millisecond during 100 streams. A handler that ran on a goroutine's stack would
//! overwrite Go's memory, and sooner or later end the process.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::time::MissedTickBehavior;

use crate::drain::{STREAMS, begin};
use crate::figures::{self, Meant, figure};
use crate::standin::Standin;
use crate::swarm::Swarm;
use crate::tailnet::World;

const PART: &str = "Signals during 100 running streams";
const SIGNALS: u32 = 5000;
const CONFIG: &str =
    "limits.running = 200\nlimits.running_per_identity = 200\nshutdown.drain_timeout = \"500ms\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_signals_end_no_stream() {
    let _alone = figures::alone().await;
    let ollama = Standin::new().await;
    let mut world = World::new(&ollama.url, CONFIG).await;
    let swarm = Swarm::new(&world, 4).await;
    for (_, mut client) in begin(&swarm, "do=stream&ms=10").await {
        // Until the end of the connection, which is no error here: the proxy says below which streams it has cut.
        tokio::spawn(async move { tokio::io::copy(&mut client.stream, &mut tokio::io::sink()).await });
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..SIGNALS {
        world.proxy.process.signal(Signal::HUP);
        ticks.tick().await;
    }
    world.proxy.process.signal(Signal::TERM);
    world.proxy.process.ended_with(0).await;
    let line = world.proxy.process.line(&["\"message\":\"stopped\""]).await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["cut"], STREAMS, "streams ended before the stop: {line}");
    figure(PART, "signals that ended no stream", f64::from(SIGNALS), "", Meant::Told);
}

//! Slow clients, made by slowhttptest: five hundred connections that send a head or a body, or read an answer, in
//! small pieces. A well-behaved client must not notice.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::process::Command;

use crate::figures::{self, Meant, figure, percentile};
use crate::held::{allow_descriptors, held, held_before_requests, settled};
use crate::http::delay;
use crate::process::Process;
use crate::standin::Standin;
use crate::swarm::{Good, Steady};
use crate::tailnet::{Elsewhere, World};

const CONNECTIONS: &str = "500";
const SECONDS: u64 = 12;
const PACE: Duration = Duration::from_millis(20);

/// Attackers have their own computers. Here they get the processor time that the others leave.
const LAST: [&str; 3] = ["nice", "-n", "19"];

/// slowhttptest uses the address that it connects to as the Host.
const CONFIG: &str = "http.hosts = [\"127.0.0.1\"]\n";

/// Attacks for `SECONDS`.
async fn attack(at: SocketAddr, path: &str, mode: &[&str]) -> Process {
    let mut command = Command::new(LAST[0]);
    command.args(&LAST[1..]).arg("slowhttptest");
    // -i: a piece every second; -r: all within five seconds; -p: the timeout of the tool's own probe.
    let common = ["-c", CONNECTIONS, "-l", &SECONDS.to_string(), "-i", "1", "-r", "100", "-p", "3"];
    command.args(mode).args(common).args(["-u", &format!("http://{at}{path}")]);
    let mut attack = Process::start("slowhttptest", &mut command);
    attack.ended().await;
    attack
}

async fn withstand(part: &str, path: &str, mode: &[&str]) {
    let _alone = figures::alone().await;
    allow_descriptors();
    let ollama = Standin::new().await;
    let world = World::new(&ollama.url, CONFIG).await;
    let attacker = Elsewhere::new(&world, &LAST).await;
    let process = &world.proxy.process;
    let quiet = held_before_requests(process);

    let steady = Steady::start(world.at, PACE);
    delay(Duration::from_secs(SECONDS)).await; // measures without the attack
    let (before, mut calm) = steady.stop().await;
    let steady = Steady::start(world.at, PACE);
    let attack = attack(attacker.at, path, mode).await;
    let (good, mut times) = steady.stop().await;
    println!("{}", attack.output());
    let full = held(process);
    let all = Good { served: before.served + good.served, lost: before.lost + good.lost };
    assert!(all.lost == 0 && good.served > 100, "{before:?} before, {good:?} during the attack");
    let after = settled(process, quiet.descriptors).await;

    let (calm, during) = (percentile(&mut calm, 0.99), percentile(&mut times, 0.99));
    figure(part, "good requests", good.served as f64, "", Meant::Told);
    figure(part, "of them served", good.part(), "%", Meant::AtLeast(99.9));
    figure(part, "p99 of a good request before", calm, "ms", Meant::Told);
    figure(part, "p99 of a good request meanwhile", during, "ms", Meant::Told);
    figure(part, "ratio of the two", during / calm, "", Meant::AtMost(2.0));
    figure(part, "memory of the proxy before", quiet.rss, "MB", Meant::Told);
    figure(part, "memory of the proxy at the end of the attack", full.rss, "MB", Meant::AtMost(256.0));
    let left = after.descriptors as f64 - quiet.descriptors as f64;
    figure(part, "descriptors left behind", left, "", Meant::AtMost(0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_do_not_affect_other_clients() {
    withstand("Slow heads (slowhttptest -H)", "/api/version?n=1", &["-H"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_bodies_do_not_affect_other_clients() {
    withstand("Slow bodies (slowhttptest -B)", "/api/show?n=1&do=silent", &["-B", "-s", "65536"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_do_not_affect_other_clients() {
    // Five bytes a second of an endless answer. A list of models needs no slot.
    let path = "/v1/models?n=1&do=flood";
    let mode = ["-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "5"];
    withstand("Slow reading (slowhttptest -X)", path, &mode).await;
}

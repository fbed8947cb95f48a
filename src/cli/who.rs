//! `who`: the peers that this node sees, their rights, and what they do now.

use std::fmt::Write;

use clap::Args;
use http::Method;

use super::args::ConfigArgs;
use super::ask::{ask, refuse_to_ask};
use super::units::{bytes, count};
use super::{exit, show};
use crate::admin::{Who, WhoPeer};
use crate::policy::{PageRight, Priority};

/// What `who` takes.
#[derive(Debug, Args)]
pub(super) struct WhoArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn who(args: &WhoArgs) -> u8 {
    let config = match args.config.load() {
        Ok(config) => config,
        Err(faults) => return refuse_to_ask(&faults),
    };
    match ask::<Who>(&config, Method::GET, "/who") {
        Ok(answer) => {
            let who = answer.value;
            let text = if args.json { format!("{}\n", answer.text) } else { listing(&who) };
            // As `status` does while no peer can be served.
            let in_tailnet = who.joined && who.out_of_tailnet.is_none();
            show(&text).max(if in_tailnet { exit::OK } else { exit::UNAVAILABLE })
        }
        Err(code) => code,
    }
}

// Writing to a String cannot fail, so the results of `writeln!` are dropped.
fn listing(who: &Who) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}, access by {}, capability {}", ports(who), who.access, who.capability);
    if !who.joined {
        return text + "\nthe node has not joined the tailnet yet, so no peer is known\n";
    }
    if let Some(reason) = &who.out_of_tailnet {
        let _ = writeln!(text, "\nno peer can connect: the node is no longer in the tailnet ({reason})");
        return text;
    }
    let (admitted, others): (Vec<_>, Vec<_>) = who.peers.iter().partition(|p| p.may_connect);
    let (auxiliary, others): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|p| p.metrics || p.page.is_some());
    let _ = writeln!(text, "\n{} may connect", count(admitted.len(), "peer"));
    admitted.iter().for_each(|peer| add_admitted(&mut text, who, peer));
    add_auxiliary_only(&mut text, &auxiliary);
    add_others(&mut text, &others);
    text + "\nthe tailnet policy hides all other devices from this node; they cannot connect\n"
}

fn ports(who: &Who) -> String {
    let ollama = match who.https_port {
        None => format!("port {}", who.port),
        Some(https) if https == who.port => format!("HTTPS on port {https}"),
        Some(https) => format!("port {}, HTTPS on port {https}", who.port),
    };
    let metrics = who.metrics_port.map(|port| format!(", metrics on port {port}"));
    let page = who.page_port.map(|port| format!(", page on port {port}"));
    ollama + &metrics.unwrap_or_default() + &page.unwrap_or_default()
}

/// A peer that may connect to an Ollama port, with its rights.
fn add_admitted(text: &mut String, who: &Who, peer: &WhoPeer) {
    let _ = writeln!(text, "  {}", name(peer));
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "    {name:<12} {value}");
    };
    line("may use", &endpoints(peer));
    line("rights from", &format!("{}{}", peer.through, limits(peer)));
    for quota in &peer.quotas {
        line("used", &format!("{}, until {}", quota.used_of_limit(), quota.resets));
    }
    line("sessions", &sessions(peer));
    if who.https_port.is_some() {
        let ports: Vec<_> = peer.ports.iter().map(u16::to_string).collect();
        line("at ports", &ports.join(", "));
    }
    if peer.metrics {
        line("metrics", "may be read");
    }
    if let Some(page) = peer.page {
        line("page", page_right(page));
    }
    peer.faults.iter().for_each(|fault| line("faulty grant", fault));
}

/// The peers without rights at an Ollama port, by what they may do at the auxiliary ports.
fn add_auxiliary_only(text: &mut String, peers: &[&WhoPeer]) {
    for (rights, metrics, page) in [
        ("may read the metrics only", true, false),
        ("may see the page only", false, true),
        ("may read the metrics and see the page only", true, true),
    ] {
        let own: Vec<_> = peers.iter().filter(|p| (p.metrics, p.page.is_some()) == (metrics, page)).collect();
        if !own.is_empty() {
            let _ = writeln!(text, "\n{} {rights}", count(own.len(), "peer"));
        }
        for peer in own {
            let page = peer.page.map(|page| format!(": {}", page_right(page))).unwrap_or_default();
            let _ = writeln!(text, "  {}{page}", name(peer));
        }
    }
}

/// The peers without any right.
fn add_others(text: &mut String, peers: &[&WhoPeer]) {
    if peers.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{} may not connect", count(peers.len(), "peer"));
    for peer in peers {
        let reason = if peer.member.expired { ": its key has expired" } else { "" };
        let _ = writeln!(text, "  {}{reason}", name(peer));
    }
}

fn name(peer: &WhoPeer) -> String {
    let owner = peer.member.user.clone().unwrap_or_else(|| peer.member.tags.join(", "));
    format!("{} ({owner})", peer.member.node)
}

fn page_right(page: PageRight) -> &'static str {
    match page {
        PageRight::View => "shows what belongs to its identity",
        PageRight::Admin => "shows everything, and can cancel requests",
    }
}

fn endpoints(peer: &WhoPeer) -> String {
    if peer.endpoints.is_empty() {
        return "nothing".to_owned();
    }
    let models = peer.models.as_ref().map(|models| format!(", models {}", models.join(", ")));
    peer.endpoints.join(", ") + &models.unwrap_or_default()
}

fn limits(peer: &WhoPeer) -> String {
    let limit = |value: Option<u64>, unit: &str| value.map(|n| format!(", at most {n} {unit}"));
    let priority = match peer.priority {
        Priority::Normal => None,
        Priority::Low => Some(", priority low".to_owned()),
        Priority::High => Some(", priority high".to_owned()),
    };
    let all = [
        (!peer.keep_alive).then(|| ", no keep_alive".to_owned()),
        (!peer.load_options).then(|| ", no load options".to_owned()),
        limit(peer.max_concurrent.map(u64::from), "at once"),
        limit(peer.requests_per_minute.map(u64::from), "per minute"),
        peer.max_body.map(|n| format!(", at most {} each", bytes(n))),
        priority,
    ];
    all.into_iter().flatten().collect()
}

fn sessions(peer: &WhoPeer) -> String {
    let WhoPeer { connections, running, .. } = peer;
    if running.is_empty() {
        return connections.to_string();
    }
    format!("{connections}, running {}", running.join(", "))
}

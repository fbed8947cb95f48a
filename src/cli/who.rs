//! `who`: every peer that this node sees, what it may do here, and what it does now.

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
        Ok((answer, who)) => {
            let text = if args.json { format!("{answer}\n") } else { listing(&who) };
            // What `status` ends with while nobody is served.
            let serves = who.joined && who.out_of_tailnet.is_none();
            show(&text).max(if serves { exit::OK } else { exit::UNAVAILABLE })
        }
        Err(code) => code,
    }
}

fn listing(who: &Who) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let ports = match who.https_port {
        None => format!("port {}", who.port),
        Some(https) if https == who.port => format!("HTTPS on port {https}"),
        Some(https) => format!("port {}, HTTPS on port {https}", who.port),
    };
    let beside = |what, port: Option<u16>| port.map(|port| format!(", {what} on port {port}"));
    let metrics = beside("metrics", who.metrics_port).unwrap_or_default();
    let page = beside("page", who.page_port).unwrap_or_default();
    let _ = writeln!(text, "{ports}{metrics}{page}, access by {}, capability {}", who.access, who.capability);
    if !who.joined {
        text += "\nthe node has not joined yet: the tailnet has not said who may connect\n";
        return text;
    }
    if let Some(why) = &who.out_of_tailnet {
        let _ = writeln!(text, "\nno peer can connect: the node is no longer in the tailnet ({why})");
        return text;
    }
    let (admitted, others): (Vec<_>, Vec<_>) = who.peers.iter().partition(|p| p.may_connect);
    let _ = writeln!(text, "\n{} may connect", count(admitted.len(), "peer"));
    for peer in &admitted {
        let _ = writeln!(text, "  {} ({})", peer.member.node, principal(peer));
        let _ = writeln!(text, "    may use      {}", rights(peer));
        let priority = match peer.priority {
            Priority::Normal => "",
            Priority::Low => ", priority low",
            Priority::High => ", priority high",
        };
        let _ = writeln!(text, "    through      {}{}{priority}", peer.through, limits(peer));
        let _ = writeln!(text, "    connections  {}{}", peer.connections, running(peer));
        if who.https_port.is_some() {
            let ports: Vec<_> = peer.ports.iter().map(u16::to_string).collect();
            let _ = writeln!(text, "    at ports     {}", ports.join(", "));
        }
        if peer.metrics {
            let _ = writeln!(text, "    metrics      may be read");
        }
        if let Some(page) = peer.page {
            let _ = writeln!(text, "    page         {}", sees(page));
        }
        for fault in &peer.faults {
            let _ = writeln!(text, "    faulty grant {fault}");
        }
    }
    let (beside, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|p| p.metrics || p.page.is_some());
    for (may, metrics, page) in [
        ("may read the metrics only", true, false),
        ("may see the page only", false, true),
        ("may read the metrics and see the page only", true, true),
    ] {
        let own: Vec<_> =
            beside.iter().filter(|p| (p.metrics, p.page.is_some()) == (metrics, page)).collect();
        if !own.is_empty() {
            let _ = writeln!(text, "\n{} {may}", count(own.len(), "peer"));
        }
        for peer in own {
            let how = peer.page.map(|page| format!(": {}", sees(page))).unwrap_or_default();
            let _ = writeln!(text, "  {} ({}){how}", peer.member.node, principal(peer));
        }
    }
    if !others.is_empty() {
        let _ = writeln!(
            text,
            "\n{} may not, though this node sees {}",
            count(others.len(), "peer"),
            if others.len() == 1 { "it" } else { "them" }
        );
        for peer in &others {
            let why = if peer.member.expired { ": its key has expired" } else { "" };
            let _ = writeln!(text, "  {} ({}){why}", peer.member.node, principal(peer));
        }
    }
    let _ = writeln!(
        text,
        "\nwhoever is not listed is not even shown to this node by the tailnet policy, and can't connect"
    );
    text
}

fn sees(page: PageRight) -> &'static str {
    match page {
        PageRight::View => "may be seen, as far as it is their own",
        PageRight::Admin => "may be seen whole, and requests cancelled there",
    }
}

fn principal(peer: &WhoPeer) -> String {
    peer.member.user.clone().unwrap_or_else(|| peer.member.tags.join(", "))
}

fn rights(peer: &WhoPeer) -> String {
    let models = peer.models.as_ref().map(|models| format!(", models {}", models.join(", ")));
    match peer.endpoints.is_empty() {
        true => "nothing".to_owned(),
        false => peer.endpoints.join(", ") + &models.unwrap_or_default(),
    }
}

fn limits(peer: &WhoPeer) -> String {
    let limit = |value: Option<u64>, unit: &str| value.map(|n| format!(", at most {n} {unit}"));
    [
        limit(peer.max_concurrent.map(u64::from), "at once"),
        limit(peer.requests_per_minute.map(u64::from), "per minute"),
        limit(peer.tokens_per_day, "tokens a day"),
        peer.max_body.map(|n| format!(", at most {} each", bytes(n))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn running(peer: &WhoPeer) -> String {
    if peer.running.is_empty() { String::new() } else { format!(", running {}", peer.running.join(", ")) }
}

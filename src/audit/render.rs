//! Records as events of the diagnostics, for people. Nothing reads these back: programs read `access.jsonl` and
//! `journal.jsonl`.

use serde_json::Value;

use super::{
    AccessChange, AccessEvent, AccessRecord, Ended, LinesLost, PeerName, PeerRefused, PeerRule, SessionCut,
};
use crate::peer::printable;
use crate::usage::Tokens;

pub(super) fn event(event: &AccessEvent) {
    match event {
        AccessEvent::Request(record) => request(record),
        AccessEvent::PeerRefused(refused) => peer_refused(refused),
        AccessEvent::SessionCut(cut) => session_cut(cut),
        // The sink writes this one itself, and reports it.
        AccessEvent::LinesLost(LinesLost { .. }) => {}
    }
}

fn request(record: &AccessRecord) {
    tracing::info!(
        target: "access",
        parent: None,
        id = record.id,
        node = &*printable(&record.peer.node),
        principal = &*printable(&record.peer.principal),
        addr = %record.addr,
        port = record.port,
        method = record.method,
        endpoint = record.endpoint.as_deref(),
        path = record.path,
        status = record.status,
        rule = record.rule.as_deref(),
        model = record.model,
        bytes_in = record.bytes_in,
        bytes_out = record.bytes_out,
        tokens_in = record.tokens.and_then(|tokens| tokens.input),
        tokens_out = record.tokens.and_then(|tokens| tokens.output),
        tokens = (record.tokens == Some(Tokens::default())).then_some("untold"),
        queue_ms = record.queued.map(f64::from),
        first_byte_ms = record.first_byte.map(f64::from),
        ms = f64::from(record.took),
        ended = record.ended.name(),
    );
}

/// `laptop.example.ts.net (anna@example.com, 100.64.0.2:51234)`.
fn named(peer: &PeerName, addr: std::net::SocketAddr) -> String {
    format!("{} ({}, {addr})", printable(&peer.node), printable(&peer.principal))
}

fn peer_refused(refused: &PeerRefused) {
    let PeerRefused { peer, addr, port, rule, reason, .. } = refused;
    let (peer, name) = (named(peer, *addr), rule.name());
    let reason = reason.as_deref().map(printable);
    let reason = reason.as_deref();
    match rule {
        PeerRule::NoAccess => {
            tracing::info!(target: "access", parent: None, peer, port, rule = name, "connection refused: the tailnet policy no longer admits the peer");
        }
        PeerRule::Connections => {
            tracing::warn!(target: "access", parent: None, peer, port, rule = name, reason, "connection refused: too many are open (limits.connections, limits.connections_per_peer)");
        }
        PeerRule::HeadTime => {
            tracing::info!(target: "access", parent: None, peer, port, rule = name, "slow request refused");
        }
        PeerRule::Malformed => {
            tracing::info!(target: "access", parent: None, peer, port, rule = name, reason, "malformed request refused");
        }
        PeerRule::Tls => {
            tracing::info!(target: "access", parent: None, peer, port, rule = name, reason, "TLS handshake failed");
        }
    }
}

fn session_cut(cut: &SessionCut) {
    let SessionCut { peer, addr, port, ended, id, by, .. } = cut;
    let (peer, by) = (named(peer, *addr), by.as_deref().map(printable));
    let by = by.as_deref();
    match ended {
        Ended::Revoked => {
            tracing::info!(target: "access", parent: None, peer, port, "access lost: connection cut")
        }
        Ended::Cancelled => {
            tracing::info!(target: "access", parent: None, peer, port, id, by, "cancelled: connection cut")
        }
        ended => {
            tracing::info!(target: "access", parent: None, peer, port, ended = ended.name(), "connection cut")
        }
    }
}

pub(super) fn change(change: &AccessChange) {
    let AccessChange { access, port, peer, grants, faults, .. } = change;
    let (node, principal) = (printable(&peer.node), printable(&peer.principal));
    let grants = Value::from(grants.clone()).to_string();
    tracing::info!(
        target: "journal", access = access.name(), port, node = &*node, principal = &*principal,
        stable_id = &*printable(&peer.stable_id), grants = %printable(&grants),
    );
    for fault in faults {
        tracing::warn!(
            target: "journal", node = &*node, principal = &*principal,
            "a grant of the tailnet policy grants nothing: {}", printable(fault),
        );
    }
}

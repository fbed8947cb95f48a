//! An invented event of each kind, to try the command with.

use jiff::Timestamp;

use super::event::{
    AccessOf, Event, EventReport, KeyExpires, LogLost, Occurrence, OllamaDown, OllamaUp, PeerRefusedFirst,
    QuotaReached,
};
use super::kind::EventKind;
use crate::audit::PeerName;
use crate::policy::Rule;

impl EventReport {
    /// An invented event of this kind, marked as such.
    pub fn sample(kind: EventKind, proxy: &str) -> EventReport {
        let report = EventReport::new(Event::now(occurrence(kind)), proxy, 0);
        EventReport { message: format!("test: {}", report.message), test: true, ..report }
    }
}

fn occurrence(kind: EventKind) -> Occurrence {
    let peer = PeerName {
        node: "laptop.example.ts.net".to_owned(),
        stable_id: "nExample1CNTRL".to_owned(),
        principal: "anna@example.com".to_owned(),
    };
    let (port, upstream) = (11434, "http://127.0.0.1:11434".to_owned());
    match kind {
        EventKind::AccessGained => Occurrence::AccessGained(AccessOf { peer, port }),
        EventKind::AccessLost => Occurrence::AccessLost(AccessOf { peer, port }),
        EventKind::PeerRefused => Occurrence::PeerRefused(PeerRefusedFirst {
            peer,
            addr: ([100, 64, 0, 2], 51234).into(),
            port,
            rule: Rule::Management.name().to_owned(),
            method: Some("POST".to_owned()),
            endpoint: None,
            path: Some("/api/pull".to_owned()),
            model: None,
        }),
        EventKind::KeyExpires => {
            let expires = Timestamp::now() + jiff::SignedDuration::from_hours(13 * 24);
            Occurrence::KeyExpires(KeyExpires { expires })
        }
        EventKind::OllamaDown => Occurrence::OllamaDown(OllamaDown {
            upstream,
            error: "Connection refused (os error 111)".to_owned(),
        }),
        EventKind::OllamaBack => Occurrence::OllamaBack(OllamaUp { upstream }),
        EventKind::QuotaReached => Occurrence::QuotaReached(QuotaReached {
            identity: peer.identity().to_owned(),
            peer,
            port,
            rule: Rule::Tokens.name().to_owned(),
        }),
        EventKind::LogLost => Occurrence::LogLost(LogLost {
            log: "access".to_owned(),
            to: "/var/log/access.jsonl".to_owned(),
            lost: 3,
            error: Some("No space left on device (os error 28)".to_owned()),
        }),
    }
}

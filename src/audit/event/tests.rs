use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::audit::{ChangeKind, Millis};
use crate::usage::Tokens;

fn peer() -> impl Strategy<Value = PeerName> {
    (any::<String>(), any::<String>(), any::<String>()).prop_map(|(node, stable_id, principal)| PeerName {
        node,
        stable_id,
        principal,
    })
}

/// To the millisecond, from 1970 to 9999.
fn time() -> impl Strategy<Value = Timestamp> {
    (0..253_402_207_200_000i64).prop_map(|ms| Timestamp::from_millisecond(ms).unwrap())
}

fn millis() -> impl Strategy<Value = Millis> {
    // A year.
    (0..31_536_000_000_000u64).prop_map(|micros| Duration::from_micros(micros).into())
}

fn ended() -> impl Strategy<Value = Ended> {
    prop::sample::select(&Ended::ALL[..])
}

fn text() -> impl Strategy<Value = Option<String>> {
    prop::option::of(any::<String>())
}

prop_compose! {
    fn record()(
        (time, id, peer, addr) in (time(), any::<String>(), peer(), any::<SocketAddr>()),
        (port, method, endpoint, path) in (any::<u16>(), any::<String>(), text(), text()),
        (status, rule, model, ended) in (any::<Option<u16>>(), text(), text(), ended()),
        (bytes_in, bytes_out, tokens) in
            (any::<u64>(), any::<u64>(), any::<Option<(Option<u64>, Option<u64>)>>()),
        (queued, first_byte, took) in (prop::option::of(millis()), prop::option::of(millis()), millis()),
    ) -> AccessRecord {
        AccessRecord {
            time,
            id,
            peer,
            addr: without_scope(addr),
            port,
            method,
            endpoint: endpoint.map(Into::into),
            path,
            status,
            rule: rule.map(Into::into),
            model,
            bytes_in,
            bytes_out,
            tokens: tokens.map(|(input, output)| Tokens { input, output }),
            queued,
            first_byte,
            took,
            ended,
        }
    }
}

/// An address as a tailnet has them.
fn without_scope(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip(), addr.port())
}

fn event() -> impl Strategy<Value = AccessEvent> {
    let rule = prop::sample::select(&PeerRule::ALL[..]);
    let refused = (time(), peer(), any::<SocketAddr>(), any::<u16>(), rule, text());
    let refused = refused.prop_map(|(time, peer, addr, port, rule, reason)| {
        AccessEvent::PeerRefused(PeerRefused { time, peer, addr: without_scope(addr), port, rule, reason })
    });
    let cut = (time(), peer(), any::<SocketAddr>(), any::<u16>(), ended(), text(), text());
    let cut = cut.prop_map(|(time, peer, addr, port, ended, id, by)| {
        AccessEvent::SessionCut(SessionCut { time, peer, addr: without_scope(addr), port, ended, id, by })
    });
    prop_oneof![
        record().prop_map(AccessEvent::Request),
        refused,
        cut,
        lost().prop_map(AccessEvent::LinesLost)
    ]
}

fn lost() -> impl Strategy<Value = LinesLost> {
    (time(), any::<u64>(), any::<String>()).prop_map(|(time, lost, error)| LinesLost { time, lost, error })
}

fn entry() -> impl Strategy<Value = JournalEntry> {
    let access = prop::sample::select(
        &[ChangeKind::Present, ChangeKind::Gained, ChangeKind::Changed, ChangeKind::Lost][..],
    );
    let grant =
        prop_oneof![any::<String>().prop_map(Value::from), prop::num::f64::NORMAL.prop_map(Value::from)];
    let grants = prop::collection::vec(grant, 0..3);
    let change = (time(), access, any::<u16>(), peer(), grants, any::<Vec<String>>());
    let change = change.prop_map(|(time, access, port, peer, grants, faults)| {
        JournalEntry::Change(AccessChange { time, access, port, peer, grants, faults })
    });
    prop_oneof![change, lost().prop_map(JournalEntry::LinesLost)]
}

/// One line without control characters.
fn assert_is_line(line: &str) {
    let line = line.strip_suffix('\n').unwrap();
    assert!(!line.contains(char::is_control), "{line:?}");
}

proptest! {
    #[test]
    fn access_event_reads_back_equal(event in event()) {
        let line = line(&event);
        assert_is_line(&line);
        prop_assert_eq!(serde_json::from_str::<AccessEvent>(&line).unwrap(), event);
    }

    #[test]
    fn journal_entry_reads_back_equal(entry in entry()) {
        let line = line(&entry);
        assert_is_line(&line);
        prop_assert_eq!(serde_json::from_str::<JournalEntry>(&line).unwrap(), entry);
        prop_assert!(serde_json::from_str::<AccessEvent>(&line).is_err());
    }

    #[test]
    fn part_of_a_line_is_no_record(event in event(), cut in any::<prop::sample::Index>()) {
        let line = line(&event);
        let part = &line.as_bytes()[..cut.index(line.len() - 1)];
        prop_assert!(serde_json::from_slice::<AccessEvent>(part).is_err());
        prop_assert!(serde_json::from_slice::<AccessEvent>(&[part, line.as_bytes()].concat()).is_err() || part.is_empty());
    }
}

#[test]
fn order_of_times_as_text_is_their_order() {
    let texts = ["13", "13.02", "13.022", "14"].map(|second| {
        let time = format!("2026-11-24T16:44:{second}Z").parse().unwrap();
        line(&JournalEntry::LinesLost(LinesLost { time, lost: 1, error: String::new() }))
    });
    assert!(texts.is_sorted(), "{texts:?}");
    assert!(texts[0].contains(r#""time":"2026-11-24T16:44:13.000Z""#), "{}", texts[0]);
}

#[test]
fn line_of_an_older_version_is_read_and_new_fields_are_ignored() {
    let line = r#"{"event":"request","time":"2026-11-24T16:44:13.022Z","id":"1-1","node":"a","stable_id":"n1","principal":"tag:x","addr":"100.64.0.2:5","port":80,"method":"GET","bytes_in":0,"bytes_out":0,"ms":1,"ended":"client-left","later":{"a":[1]}}"#;
    let AccessEvent::Request(record) = serde_json::from_str(line).unwrap() else { panic!() };
    assert_eq!((record.took, record.queued), (Duration::from_millis(1).into(), None));
    assert_eq!(record.peer.identity(), "n1");
}

#[test]
fn journal_of_older_versions_is_read() {
    let line = r#"{"access":"gained","faults":[],"grants":[{"endpoints":["*"]}],"node":"a","port":80,"principal":"anna@example.com","stable_id":"n1","time":"2026-11-24T16:44:13.022Z"}"#;
    let JournalEntry::Change(change) = serde_json::from_str(line).unwrap() else { panic!() };
    assert_eq!((change.access, change.peer.identity()), (ChangeKind::Gained, "anna@example.com"));
}

#[test]
fn rule_name_is_the_serialized_form() {
    for rule in PeerRule::ALL {
        assert_eq!(serde_json::json!(rule), rule.name());
    }
}

#[test]
fn odd_durations_are_bounded() {
    for (json, expected) in [("-1", 0), ("1.5", 1500), ("1e300", u64::MAX)] {
        let millis: Millis = serde_json::from_str(json).unwrap();
        assert_eq!(millis.duration(), Duration::from_micros(expected), "{json}");
    }
}

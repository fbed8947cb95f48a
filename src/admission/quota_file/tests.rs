use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, symlink};
use std::time::SystemTime;

use proptest::prelude::*;

use super::*;
use crate::policy::QuotaUnit;

fn now() -> SystemTime {
    crate::time::parse_rfc3339("2026-11-29T12:00:00Z").unwrap()
}

fn restored(content: &[u8]) -> (SpentQuotas, Restored) {
    let mut spent = SpentQuotas::default();
    let restored = restore(content, &mut spent, super::super::calendar::day(now()));
    (spent, restored)
}

fn counts(spent: &SpentQuotas) -> BTreeMap<String, Spent> {
    spent.snapshot().1.into_iter().collect()
}

fn write_all(spent: &SpentQuotas) -> Vec<u8> {
    let (day, counts) = spent.snapshot();
    write(day, &counts)
}

fn spent_by(identities: &BTreeMap<String, (u64, u64)>) -> SpentQuotas {
    let mut spent = SpentQuotas::default();
    for (identity, (requests, tokens)) in identities {
        spent.spend(identity, QuotaUnit::Requests, *requests, now());
        spent.spend(identity, QuotaUnit::Tokens, *tokens, now());
    }
    spent
}

fn identities() -> impl Strategy<Value = BTreeMap<String, (u64, u64)>> {
    proptest::collection::btree_map(".{1,20}", (1..=u64::MAX, any::<u64>()), 1..8)
}

proptest! {
    #[test]
    fn what_is_written_is_read(identities in identities()) {
        let spent = spent_by(&identities);
        let (read, report) = restored(&write_all(&spent));
        prop_assert_eq!(report, Restored { identities: identities.len(), unreadable: 0 });
        prop_assert_eq!(counts(&read), counts(&spent));
    }

    /// A file that ends early, or that has other bytes between its lines, loses no whole line.
    #[test]
    fn whole_lines_of_a_damaged_file_are_read(
        identities in identities(),
        cut in any::<prop::sample::Index>(),
        other in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let spent = spent_by(&identities);
        let content = write_all(&spent);
        let (whole, at) = (counts(&spent), cut.index(content.len()));
        let lines = content.iter().take(at).filter(|byte| **byte == b'\n').count();
        let (read, report) = restored(&content[..at]);
        prop_assert!(report.identities >= lines && report.unreadable <= 1);
        prop_assert!(counts(&read).iter().all(|(identity, spent)| whole.get(identity) == Some(spent)));

        let damaged: Vec<u8> = content
            .split_inclusive(|byte| *byte == b'\n')
            .flat_map(|line| [line, &other, b"\n"].concat())
            .collect();
        let read = counts(&restored(&damaged).0);
        prop_assert!(whole.iter().all(|(identity, spent)| read.get(identity) == Some(spent)));
    }

    #[test]
    fn no_content_causes_a_panic(
        content in "(\\{\"identity\":\"[a-b]?\",\"day\":\"[-0-9]{1,11}\"(,\"(tokens|requests|x)\":(\\{\"(day|week|month)\":-?[0-9]{1,21}\\}|null|[\\[{]{1,200})){0,2}\\}?\n?){0,5}",
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        for content in [content.as_bytes(), &bytes] {
            let (mut spent, _) = restored(content);
            spent.spend("a", QuotaUnit::Tokens, 1, now());
            write_all(&spent);
        }
    }
}

#[test]
fn lines_of_other_versions_are_read_as_far_as_they_are_known() {
    let content = br#"{"identity":"older","day":"2026-11-29","tokens":{"day":3}}
{"identity":"newer","day":"2026-11-29","tokens":{"day":1,"week":2,"month":3,"year":4},"images":{"day":9},"version":7}
{"identity":"twice","day":"2026-11-29","tokens":{"day":9}}
{"identity":"twice","day":"2026-11-29","requests":{"day":5},"tokens":{"day":1}}
{"identity":"negative","day":"2026-11-29","tokens":{"day":-1}}
{"identity":"","day":"2026-11-29","tokens":{"day":1}}
{"identity":"no-day","tokens":{"day":1}}
"#;
    let (spent, report) = restored(content);
    assert_eq!(report, Restored { identities: 4, unreadable: 3 });
    let counts = counts(&spent);
    assert_eq!(counts["older"].tokens.day, 3);
    assert_eq!((counts["newer"].tokens.day, counts["newer"].tokens.month), (1, 3));
    assert_eq!((counts["twice"].tokens.day, counts["twice"].requests.day), (9, 5));
}

#[test]
fn file_with_too_many_identities_keeps_those_that_spent_most() {
    let line =
        |n: u64| format!("{{\"identity\":\"{n}\",\"day\":\"2026-11-29\",\"tokens\":{{\"month\":{n}}}}}\n");
    let content: String = (1..=50_000).map(line).collect();
    let (spent, report) = restored(content.as_bytes());
    assert_eq!(report, Restored { identities: 50_000, unreadable: 0 });
    let counts = counts(&spent);
    assert!(counts.len() == 10_000 && counts.values().all(|spent| spent.tokens.month > 40_000));
}

/// The lines of one file have the same day. If they don't, each is taken for its own.
#[test]
fn counts_of_an_earlier_day_keep_only_what_is_still_current() {
    let line = |identity: &str, day: &str| {
        format!(r#"{{"identity":"{identity}","day":"{day}","tokens":{{"day":1,"week":2,"month":3}}}}"#)
    };
    let lines = [line("today", "2026-11-29"), line("monday", "2026-11-23"), line("october", "2026-10-31")];
    let (spent, _) = restored(lines.join("\n").as_bytes());
    let counts = counts(&spent);
    let tokens = |identity: &str| {
        let count = counts.get(identity).map(|spent| spent.tokens).unwrap_or_default();
        (count.day, count.week, count.month)
    };
    assert_eq!((tokens("today"), tokens("monday"), tokens("october")), ((1, 2, 3), (0, 2, 3), (0, 0, 0)));
}

#[test]
fn file_is_private_and_replaced_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (file, elsewhere) = (QuotaFile::new(dir.path()), dir.path().join("elsewhere"));
    assert_eq!(file.read().unwrap(), b"");
    fs::write(&elsewhere, "untouched").unwrap();
    symlink(&elsewhere, dir.path().join(QuotaFile::NEXT)).unwrap();
    for content in [&b"one\n"[..], b"two\n"] {
        file.replace(content).unwrap();
        assert_eq!(file.read().unwrap(), content);
        assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "untouched");
    assert!(!dir.path().join(QuotaFile::NEXT).exists());

    fs::remove_file(file.path()).unwrap();
    fs::create_dir(file.path()).unwrap();
    assert!(file.read().is_err() && file.replace(b"three\n").is_err());
    fs::remove_dir(file.path()).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(file.path()).status().unwrap().success());
    assert!(file.read().is_err(), "a pipe is not waited for");
}

#[test]
fn line_of_a_day_to_come_ends_no_count_of_the_others() {
    let content = br#"{"identity":"anna","day":"2026-11-29","tokens":{"day":100,"week":100,"month":100}}
{"identity":"ben","day":"2027-11-29","tokens":{"day":1,"week":1,"month":1}}
"#;
    let (mut spent, report) = restored(content);
    assert_eq!(report, Restored { identities: 2, unreadable: 0 });
    spent.spend("anna", QuotaUnit::Tokens, 1, now());
    let counts = counts(&spent);
    assert_eq!((counts["anna"].tokens.day, counts["ben"].tokens.day), (101, 1));
    assert_eq!(spent.day().to_string(), "2026-11-29");
}

#[test]
fn file_that_can_not_be_read_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let file = QuotaFile::new(dir.path());
    let content = vec![b'\n'; 8 << 20];
    std::fs::write(file.path(), &content).unwrap();
    assert_eq!(file.read().unwrap().len(), content.len());
    std::fs::write(file.path(), [&content[..], b"x"].concat()).unwrap();
    assert!(file.read().unwrap_err().to_string().contains("8388608 bytes"));
    let kept = file.set_aside().unwrap();
    assert_eq!(std::fs::metadata(kept).unwrap().len(), (8 << 20) + 1);
    assert!(file.read().unwrap().is_empty());
}

//! The access log and the journal. Whatever a peer is called and asks for, each record is one line without control
//! characters, and it reads back as what happened. Whatever a file contains, each line that reads as a record is written
//! and read back equal.
//!
//! An input has the node's name, its user, tags, stable id, the method, the path and the grants, separated by bytes 0xFF.
//! Any other input is a file.

#![no_main]

use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use remote_ollama_proxy::audit::{
    AccessEvent, AuditSink, Ended, Journal, JournalEntry, OpenRecord, lost_in_access_log, lost_in_journal,
};
use remote_ollama_proxy::history::{History, Recent, Span};
use remote_ollama_proxy::peer::Peer;
use remote_ollama_proxy::policy::{AccessMode, Rule};
use remote_ollama_proxy::sink::{Output, Sink, SinkOptions};
use remote_ollama_proxy::tailnet::{Address, Member};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

static JSON: Buffer = Buffer(Mutex::new(Vec::new()));
static TEXT: Buffer = Buffer(Mutex::new(Vec::new()));
static ACCESS_LOG: Buffer = Buffer(Mutex::new(Vec::new()));
static JOURNAL: Buffer = Buffer(Mutex::new(Vec::new()));

/// The diagnostics in both formats, as `cli::run` sets them up, and the files in memory.
static FILES: LazyLock<Files> = LazyLock::new(|| {
    let json = fmt::layer().with_writer(|| &JSON).json().flatten_event(true);
    let text = fmt::layer().with_writer(|| &TEXT).with_ansi(false);
    tracing_subscriber::registry().with(json).with(text).init();
    let sink = |name, notice, to| {
        let report = Box::new(|state: &_| panic!("{state}"));
        Arc::new(
            Sink::start(SinkOptions { name, to: String::new(), notice, report }, InMemory(to))
                .expect("a thread"),
        )
    };
    let access_log = sink("access", lost_in_access_log, &ACCESS_LOG);
    let journal = sink("journal", lost_in_journal, &JOURNAL);
    let audit = AuditSink::new(Some(Arc::clone(&access_log)), Some(Arc::clone(&journal)), None);
    Files { access_log, journal, audit: Arc::new(audit) }
});

struct Files {
    access_log: Arc<Sink>,
    journal: Arc<Sink>,
    audit: Arc<AuditSink>,
}

struct InMemory(&'static Buffer);

impl Output for InMemory {
    fn append(&mut self, mut line: &[u8]) -> io::Result<()> {
        line = line.strip_suffix(b"\n").expect("a line");
        writeln!(self.0, "{}", str::from_utf8(line).expect("text"))
    }
}

fuzz_target!(|input: &[u8]| {
    let fields: Vec<String> =
        input.split(|b| *b == 0xff).map(|field| String::from_utf8_lossy(field).into_owned()).collect();
    let [node, user, tags, stable_id, method, path, grants] = &fields[..] else { return file(input) };
    let user = (!user.is_empty()).then(|| user.clone());
    let tags: Vec<String> = tags.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    let grants: Vec<Value> = serde_json::from_str(grants).unwrap_or_default();
    let ip = [100, 64, 0, 2].into();
    let peer = Arc::new(Peer {
        addr: (ip, 51234).into(),
        node: node.clone(),
        stable_id: stable_id.clone(),
        user: user.clone(),
        tags: tags.clone(),
        os: String::new(),
    });

    if let Ok(method) = Method::from_bytes(method.as_bytes()) {
        request(&peer, &method, path);
    }
    let address = Address { ip, at: None, admitted: true, grants: grants.clone() };
    let member = Member {
        node: node.clone(),
        stable_id: stable_id.clone(),
        user,
        tags,
        os: String::new(),
        online: true,
        expired: false,
        direct: None,
        relay: None,
        addresses: vec![address],
    };
    present(&member);
});

/// A refused request is one line in each file.
fn request(peer: &Arc<Peer>, method: &Method, path: &str) {
    let audit = Arc::clone(&FILES.audit);
    let mut record = OpenRecord::new(Arc::clone(peer), 11434, method, Arc::default(), audit);
    record.failed(StatusCode::FORBIDDEN, Rule::Allowlist, path, Ended::Refused);
    drop(record);
    assert!(FILES.access_log.flush(Duration::from_secs(60)));
    one_line(&TEXT.take());
    let shown = one_object(&JSON.take());
    assert_eq!(
        (&shown["node"], &shown["principal"]),
        (&escaped(&peer.node).into(), &escaped(&peer.principal()).into())
    );

    let line = ACCESS_LOG.take();
    let AccessEvent::Request(record) = reads_back(one_line(&line)) else { panic!("no record") };
    assert_eq!((record.status, record.ended), (Some(403), Ended::Refused));
    assert_eq!(record.path.is_none(), path.is_empty());
    let path = record.path.unwrap_or_default();
    assert!(path.bytes().all(|b| b.is_ascii_graphic()) && path.len() <= 100, "{path:?}");
    assert_eq!((&record.peer.node, record.peer.principal), (&peer.node, peer.principal()));
}

/// A peer with access is one line of the journal.
fn present(member: &Member) {
    Journal::new(Arc::clone(&FILES.audit)).observe(11434, AccessMode::Network, std::slice::from_ref(member));
    assert!(FILES.journal.flush(Duration::from_secs(60)));
    let journal = JOURNAL.take();
    for line in TEXT.take().split_inclusive(|b| *b == b'\n') {
        one_line(line);
    }
    for line in JSON.take().split_inclusive(|b| *b == b'\n') {
        assert_eq!(one_object(line)["target"], "journal");
    }
    if member.user.is_some() || !member.tags.is_empty() {
        let JournalEntry::Change(change) = reads_back(one_line(&journal)) else { panic!("no change") };
        assert_eq!((&change.peer.node, &change.peer.stable_id), (&member.node, &member.stable_id));
        // Read back in the same way: a number may be too long for a float.
        let grants = Value::from(member.grants()).to_string();
        assert_eq!(Value::from(change.grants), serde_json::from_str::<Value>(&grants).expect("JSON"));
    } else {
        assert!(journal.is_empty());
    }
}

/// Lines of a file are read without a panic, and what reads as a record is one.
fn file(bytes: &[u8]) {
    for line in bytes.split(|b| *b == b'\n').filter_map(|line| str::from_utf8(line).ok()) {
        if serde_json::from_str::<AccessEvent>(line).is_ok() {
            reads_back::<AccessEvent>(line);
        }
        if serde_json::from_str::<JournalEntry>(line).is_ok() {
            reads_back::<JournalEntry>(line);
        }
    }
    let (since, until) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
    let mut history = History::new(Span { since, until });
    history.read("file", bytes).expect("memory");
    history.summary();
    let mut recent = Recent::new(until);
    recent.read(bytes, until).expect("memory");
    recent.days(until, None, 10);
}

/// What is written of what was read is read equal.
fn reads_back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(line: &str) -> T {
    let value: T = serde_json::from_str(line).expect("a record");
    let again = serde_json::to_string(&value).expect("JSON");
    assert_eq!(serde_json::from_str::<T>(&again).expect("a record"), value, "{line}");
    value
}

/// A name as the diagnostics show it. The files have it as it is.
fn escaped(text: &str) -> String {
    // Invisible: marks of direction, and characters without width.
    let invisible = |c| {
        "\u{61c}\u{feff}".contains(c)
            || matches!(u32::from(c), 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x2069)
    };
    let escape = |c: char| {
        if c.is_control() || invisible(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }
    };
    text.chars().map(escape).collect()
}

/// One line and nothing that moves a terminal's cursor.
fn one_line(bytes: &[u8]) -> &str {
    let line = str::from_utf8(bytes).expect("text");
    let line = line.strip_suffix('\n').expect("a line");
    assert!(!line.chars().any(char::is_control), "{line:?}");
    line
}

fn one_object(bytes: &[u8]) -> Value {
    let value: Value = serde_json::from_str(one_line(bytes)).expect("JSON");
    assert!(value.is_object());
    value
}

struct Buffer(Mutex<Vec<u8>>);

impl Buffer {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().expect("one thread"))
    }
}

impl Write for &Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("one thread").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

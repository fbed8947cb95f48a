//! What is logged of requests and of access gained and lost: whatever a peer is called and asks for, each record is one
//! line without control characters, and as JSON it says what was the case.
//!
//! An input has the node's name, its user, tags, stable id, the method, the path and the grants, apart by bytes 0xFF.

#![no_main]

use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use http::{Method, StatusCode};
use libfuzzer_sys::fuzz_target;
use remote_ollama_proxy::audit::{Ended, Journal, Metrics, Record};
use remote_ollama_proxy::peer::Peer;
use remote_ollama_proxy::policy::AccessMode;
use remote_ollama_proxy::sink::{Labels, Output, Sink, in_journal};
use remote_ollama_proxy::tailnet::{Address, Member};
use serde_json::Value;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

static JSON: Buffer = Buffer(Mutex::new(Vec::new()));
static TEXT: Buffer = Buffer(Mutex::new(Vec::new()));
static JOURNAL: Buffer = Buffer(Mutex::new(Vec::new()));

/// What is counted of requests, identities among it.
static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(Arc::default);

/// The log in both formats, as `cli::run` sets it up, and where the journal goes.
static LOG: LazyLock<Arc<Sink>> = LazyLock::new(|| {
    let json = fmt::layer().with_writer(|| &JSON).json().flatten_event(true);
    let text = fmt::layer().with_writer(|| &TEXT).with_ansi(false);
    tracing_subscriber::registry().with(json).with(text).init();
    let report = Box::new(|journal: &_| panic!("{journal}"));
    let labels = Labels { name: "journal", to: String::new(), notice: in_journal, report };
    Arc::new(Sink::start(labels, InMemory).expect("a thread"))
});

/// The journal's lines.
struct InMemory;

impl Output for InMemory {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        (&JOURNAL).write_all(line)
    }
}

fuzz_target!(|input: &[u8]| {
    let journal = Arc::clone(&LOG);
    let fields: Vec<String> =
        input.split(|b| *b == 0xff).map(|field| String::from_utf8_lossy(field).into_owned()).collect();
    let [node, user, tags, stable_id, method, path, grants] = &fields[..] else { return };
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
        recorded(&peer, &method, path);
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
    journalled(journal, &member);
});

/// A request is recorded in one line.
fn recorded(peer: &Arc<Peer>, method: &Method, path: &str) {
    let mut record = Record::new(Arc::clone(peer), 11434, method, Arc::default(), Arc::clone(&METRICS));
    record.failed(StatusCode::FORBIDDEN, "allowlist", path, Ended::Refused);
    drop(record);
    one_line(&TEXT.take());
    let record = one_object(&JSON.take());
    assert_eq!(record["target"], "access");
    assert_eq!((&record["status"], &record["ended"]), (&403.into(), &"refused".into()));
    let told = record["path"].as_str().expect("a path");
    assert!(told.bytes().all(|b| b.is_ascii_graphic()) && told.len() <= 100, "{told:?}");
    assert_eq!(record["node"], escaped(&peer.node));
    assert_eq!(record["principal"], escaped(&peer.principal()));
    one_line(format!("{peer}\n").as_bytes());
}

/// A peer with access is noted in one line of the journal.
fn journalled(sink: Arc<Sink>, member: &Member) {
    Journal::new(Arc::clone(&sink)).observe(11434, AccessMode::Network, std::slice::from_ref(member));
    assert!(sink.flush(Duration::from_secs(60)));
    let noted = JOURNAL.take();
    for line in TEXT.take().split_inclusive(|b| *b == b'\n') {
        one_line(line);
    }
    for line in JSON.take().split_inclusive(|b| *b == b'\n') {
        assert_eq!(one_object(line)["target"], "journal");
    }
    if member.user.is_some() || !member.tags.is_empty() {
        let note = one_object(&noted);
        assert_eq!(note["access"], "present");
        assert_eq!(
            (&note["node"], &note["stable_id"]),
            (&member.node[..].into(), &member.stable_id[..].into())
        );
        // Read back in the same way, since reading a number may round it.
        let grants = Value::from(member.grants()).to_string();
        assert_eq!(note["grants"], serde_json::from_str::<Value>(&grants).expect("JSON"));
    } else {
        assert!(noted.is_empty());
    }
}

/// A name as the log has it; the journal's file, which programs read, has it as it is.
fn escaped(text: &str) -> String {
    // What nobody sees: marks of direction, and what has no width.
    let unseen = |c| {
        "\u{61c}\u{feff}".contains(c)
            || matches!(u32::from(c), 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x2069)
    };
    let escape = |c: char| {
        if c.is_control() || unseen(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }
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

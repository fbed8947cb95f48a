//! One line of the access log, in either format, or of the journal, as what it tells.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::{Tally, text};
use crate::audit::{Done, Ended};
use crate::peer::{self, printable};
use crate::policy::Endpoint;
use crate::sink;
use crate::usage::Tokens;

/// What a line tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Line {
    /// A request has ended.
    Request(Request),
    /// A peer was refused before a request could be made of what it sent.
    Refused { at: SystemTime, peer: Peer, rule: &'static str },
    /// The tailnet says something else of a peer's access than before.
    Access { at: SystemTime, peer: Peer, access: String, port: u64 },
    /// So many lines are missing here: they could not be written.
    Lost { at: SystemTime, lines: u64, in_journal: bool },
    /// Something else that the log tells.
    Other { at: SystemTime },
}

/// A device, and as whom it acts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Peer {
    pub(super) node: String,
    pub(super) principal: String,
}

impl Peer {
    /// As the log has it.
    pub(super) fn of(peer: &peer::Peer) -> Peer {
        Peer { node: plain(&peer.node), principal: plain(&peer.principal()) }
    }

    /// As whom it is counted: a user with all devices, a tagged device by itself.
    pub(super) fn identity(&self) -> &str {
        identity(&self.node, &self.principal)
    }
}

/// See [`Peer::identity`].
pub(super) fn identity<'a>(node: &'a str, principal: &'a str) -> &'a str {
    if principal.starts_with("tag:") { node } else { principal }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    pub(super) at: SystemTime,
    pub(super) peer: Peer,
    /// At which of the node's ports.
    pub(super) port: Option<u64>,
    pub(super) method: String,
    /// The endpoint, where one was settled.
    pub(super) route: Option<String>,
    /// The path in that case.
    pub(super) path: Option<String>,
    pub(super) status: Option<u64>,
    pub(super) rule: Option<String>,
    /// The model that it was refused for.
    pub(super) model: Option<String>,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    /// As far as the answer told, where they were counted.
    pub(super) tokens_in: Option<u64>,
    pub(super) tokens_out: Option<u64>,
    /// They were to be counted, and the answer told neither.
    pub(super) untold: bool,
    pub(super) ended: Ended,
    /// From its turn to its end.
    after_queue: Duration,
}

impl Request {
    /// The same of a request that has just ended here.
    pub(super) fn of(at: SystemTime, done: &Done<'_>) -> Request {
        let passed = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let tokens = done.tokens.unwrap_or_default();
        // As the log has it: what is let in and gets no turn has waited all along.
        let queued = done.queued.or(done.endpoint.map(|_| done.took)).unwrap_or_default();
        Request {
            at,
            peer: Peer::of(done.peer),
            port: Some(done.port.into()),
            method: plain(done.method),
            route: done.endpoint.map(|endpoint| endpoint.name().to_owned()),
            path: done.path.map(plain),
            status: done.status.map(|status| status.as_u16().into()),
            rule: done.rule.map(str::to_owned),
            model: done.model.map(plain),
            bytes_in: passed(&done.traffic.bytes_in),
            bytes_out: passed(&done.traffic.bytes_out),
            tokens_in: tokens.input,
            tokens_out: tokens.output,
            untold: done.tokens == Some(Tokens::default()),
            ended: done.ended,
            after_queue: done.took.saturating_sub(queued),
        }
    }

    /// What it adds to what is counted.
    pub(super) fn tally(&self) -> Tally {
        Tally {
            requests: 1,
            refused: self.is_refused().into(),
            errors: self.has_failed().into(),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            tokens_in: self.tokens_in.unwrap_or(0),
            tokens_out: self.tokens_out.unwrap_or(0),
            tokens_untold: self.untold.into(),
            worked: self.worked(),
        }
    }

    /// How long Ollama worked on it, as far as can be told from outside: from its turn to its end, if
    /// it made a model run.
    pub(super) fn worked(&self) -> Duration {
        let endpoint = self.route.as_deref().and_then(Endpoint::named);
        let computes = endpoint.is_some_and(Endpoint::computes) && self.method == "POST";
        if computes && !self.is_refused() { self.after_queue } else { Duration::ZERO }
    }

    /// Whether a rule of the proxy refused it. Where Ollama fails, the proxy names a rule, too, and where it
    /// only says that the same is to be had by HTTPS.
    pub(super) fn is_refused(&self) -> bool {
        self.rule.as_deref().is_some_and(|rule| rule != REDIRECTED) && self.ended != Ended::UpstreamFailed
    }

    /// Whether it failed though it was let through.
    pub(super) fn has_failed(&self) -> bool {
        let server_error = self.status.is_some_and(|status| status >= 500);
        self.ended == Ended::UpstreamFailed || server_error && !self.is_refused()
    }
}

/// The rule of a request that is led to HTTPS.
const REDIRECTED: &str = "https";

/// What refuses a peer before there is a request, by what the log says of it: the words, what
/// follows the peer in text, and the name of the rule.
const REFUSED: [(&str, &str, &str); 5] = [
    ("connection refused: the tailnet policy no longer lets the peer in", "", "no-access"),
    (
        "connection refused: too many are open (limits.connections, limits.connections_per_peer)",
        " all=",
        "connections",
    ),
    ("slow request refused", " rule=", "head-time"),
    ("malformed request refused", " error=", "malformed"),
    ("TLS handshake failed", " error=", "tls"),
];

/// What `line` tells, without its end; nothing if the proxy did not write it so, or not to its end.
pub(super) fn read(line: &str) -> Option<Line> {
    if !line.starts_with('{') {
        return of_text(line);
    }
    let fields = serde_json::from_str(line).ok()?;
    if string(&fields, "target").is_none() {
        return of_journal(&fields);
    }
    let at = time(&fields, "timestamp")?;
    if fields["target"] != "access" {
        let lines = (fields["target"] == sink::TARGET).then(|| fields.get("lost")?.as_u64()).flatten();
        return Some(lines.map_or(Line::Other { at }, |lines| Line::Lost { at, lines, in_journal: false }));
    }
    match (string(&fields, "message"), string(&fields, "peer")) {
        (None, _) => request(at, &fields).map(Line::Request),
        (Some(message), Some(peer)) => refused(at, message, peer),
        (Some(_), None) => Some(Line::Other { at }),
    }
}

/// `TIME LEVEL TARGET: FIELDS`, as tracing-subscriber has it.
fn of_text(line: &str) -> Option<Line> {
    let (at, rest) = line.split_once(' ')?;
    let at = humantime::parse_rfc3339(at).ok()?;
    let (target, told) = after_time(rest)?;
    if has_another(told) {
        return None;
    }
    if target == sink::TARGET {
        let lost = told.strip_prefix(sink::MESSAGE)?.strip_prefix(" lost=")?.split_once(' ')?.0;
        return Some(Line::Lost { at, lines: lost.parse().ok()?, in_journal: false });
    }
    if target != "access" {
        return Some(Line::Other { at });
    }
    // A message comes before all fields, and none of ours begins like that.
    if told.starts_with("id=") {
        return request(at, &text::fields(told)?).map(Line::Request);
    }
    let (message, more) = told.split_once(" peer=")?;
    let after = REFUSED.iter().find(|(words, ..)| *words == message).map_or("", |(_, after, _)| after);
    // From the end, since a name may hold anything.
    let peer = if after.is_empty() { more } else { &more[..more.rfind(after)?] };
    refused(at, message, peer)
}

/// `LEVEL TARGET: FIELDS`: the target and the fields.
fn after_time(text: &str) -> Option<(&str, &str)> {
    let (level, rest) = text.trim_start_matches(' ').split_once(' ')?;
    matches!(level, "ERROR" | "WARN" | "INFO" | "DEBUG" | "TRACE").then_some(())?;
    let (target, told) = rest.split_once(' ')?;
    Some((target.strip_suffix(':')?, told))
}

/// Whether another line begins in what a line of text tells: it was written in part, and the next was
/// appended to it. A path has no space, and within quotes a quote is escaped: a whole line looks so only if
/// a device or a user is called like that.
fn has_another(told: &str) -> bool {
    let ends_time = |at: usize| told[..at].ends_with(|c: char| c.is_ascii_digit());
    told.match_indices("Z ").any(|(at, _)| ends_time(at) && after_time(&told[at + 1..]).is_some())
        || told.match_indices("{\"").any(|(at, _)| read(&told[at..]).is_some())
}

/// `peer` as it displays itself: `NODE (PRINCIPAL, ADDR)`. A node's name has no space.
fn refused(at: SystemTime, message: &str, peer: &str) -> Option<Line> {
    let Some((.., rule)) = REFUSED.iter().find(|(words, ..)| *words == message) else {
        return Some(Line::Other { at });
    };
    let (node, rest) = peer.strip_suffix(')')?.split_once(" (")?;
    let (principal, _) = rest.rsplit_once(", ")?;
    Some(Line::Refused { at, peer: Peer { node: plain(node), principal: plain(principal) }, rule })
}

fn request(at: SystemTime, fields: &Map<String, Value>) -> Option<Request> {
    let own = |name| string(fields, name).map(plain);
    let number = |name| fields.get(name).and_then(Value::as_u64);
    let ms = |name| fields.get(name).and_then(Value::as_f64).map(millis);
    let ended = string(fields, "ended")?;
    Some(Request {
        at,
        peer: peer(fields)?,
        port: number("port"),
        method: own("method")?,
        route: own("route"),
        path: own("path"),
        status: number("status"),
        rule: own("rule"),
        model: own("model"),
        bytes_in: number("bytes_in")?,
        bytes_out: number("bytes_out")?,
        tokens_in: number("tokens_in"),
        tokens_out: number("tokens_out"),
        untold: string(fields, "tokens") == Some(Tokens::UNTOLD),
        ended: Ended::ALL.into_iter().find(|e| e.name() == ended)?,
        after_queue: ms("ms")?.saturating_sub(ms("queue_ms")?),
    })
}

fn of_journal(fields: &Map<String, Value>) -> Option<Line> {
    if let Some(lines) = fields.get("lost").and_then(Value::as_u64) {
        return Some(Line::Lost { at: time(fields, "time")?, lines, in_journal: true });
    }
    let access = string(fields, "access")?;
    matches!(access, "present" | "gained" | "changed" | "lost").then_some(())?;
    Some(Line::Access {
        at: time(fields, "time")?,
        peer: peer(fields)?,
        access: access.to_owned(),
        port: fields.get("port").and_then(Value::as_u64)?,
    })
}

fn peer(fields: &Map<String, Value>) -> Option<Peer> {
    Some(Peer { node: plain(string(fields, "node")?), principal: plain(string(fields, "principal")?) })
}

fn string<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name)?.as_str()
}

fn time(fields: &Map<String, Value>, name: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(string(fields, name)?).ok()
}

fn millis(ms: f64) -> Duration {
    // What is no number or negative becomes 0, what is too large the largest.
    Duration::from_micros((ms * 1000.0).round() as u64)
}

/// The most characters of a text that are kept. The proxy cuts a path at 100, and a name in DNS has 253.
const TEXT_MAX: usize = 300;

/// A text that can be shown anywhere, and does not fill the memory, whatever a file has.
pub(super) fn plain(text: &str) -> String {
    let text = printable(text);
    match text.char_indices().nth(TEXT_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::SocketAddr;
    use std::sync::{Arc, Mutex};

    use http::{Method, StatusCode};
    use proptest::prelude::*;
    use tracing_subscriber::fmt;
    use tracing_subscriber::prelude::*;

    use super::*;
    use crate::audit::{Journal, Record};
    use crate::policy::AccessMode;
    use crate::rotated::RotatedFile;
    use crate::sink::{Labels, Notice, Sink, in_journal, in_json, in_text};
    use crate::tailnet::{Address, Member};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is logged by `log`, in both formats, as `cli::run` sets them up.
    fn logged(log: impl FnOnce()) -> [String; 2] {
        let written: [Written; 2] = Default::default();
        let [text, json] = written.clone();
        let text = fmt::layer().with_writer(move || text.clone()).with_ansi(false);
        let json = fmt::layer().with_writer(move || json.clone()).json().flatten_event(true);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(text).with(json), log);
        written.map(|w| String::from_utf8(std::mem::take(&mut w.0.lock().unwrap())).unwrap())
    }

    fn peer_of(node: &str, user: &str) -> crate::peer::Peer {
        crate::peer::Peer {
            addr: "100.64.0.2:51259".parse::<SocketAddr>().unwrap(),
            node: node.to_owned(),
            stable_id: "n1".to_owned(),
            user: Some(user.to_owned()),
            tags: Vec::new(),
            os: String::new(),
        }
    }

    /// Has the proxy write a line of each kind that there is in the log.
    fn write_one(kind: usize, node: &str, user: &str) {
        let peer = Arc::new(peer_of(node, user));
        let record = |peer| Record::new(peer, 11434, &Method::POST, Arc::default(), Arc::default());
        match kind {
            0 => record(peer).failed(StatusCode::FORBIDDEN, "management", "/api/pull", Ended::Refused),
            1 => record(peer).end(Ended::Complete),
            2 => {
                tracing::warn!(target: "access", %peer, rule = "head-time", "slow request refused");
            }
            _ => tracing::info!(given = "a", "the tailnet node is healthy again"),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn what_the_proxy_writes_is_read_back(node in ".{0,40}", user in ".{0,40}", path in ".{0,120}", port: u16, tokens: Option<(Option<u64>, Option<u64>)>) {
            let texts = logged(|| {
                let peer = Arc::new(peer_of(&node, &user));
                let mut refused = Record::new(Arc::clone(&peer), port, &Method::POST, Arc::default(), Arc::default());
                refused.refused_for("qwen3:30b");
                refused.failed(StatusCode::FORBIDDEN, "management", &path, Ended::Refused);
                drop(refused);
                let mut served = Record::new(peer, port, &Method::GET, Arc::default(), Arc::default());
                served.endpoint = Endpoint::named("v1_models");
                served.begins(Duration::from_millis(3));
                served.answered(StatusCode::OK);
                served.traffic.bytes_out.fetch_add(187, std::sync::atomic::Ordering::Relaxed);
                served.tokens = tokens.map(|(input, output)| Tokens { input, output });
                served.end(Ended::Complete);
            });
            for text in texts {
                let lines: Vec<Line> = text.lines().map(|line| read(line).unwrap()).collect();
                let [Line::Request(refused), Line::Request(served)] = &lines[..] else { panic!("{lines:?}") };
                let peer = Peer { node: plain(&node), principal: plain(&user) };
                prop_assert_eq!((&refused.peer, &served.peer), (&peer, &peer));
                let plain_path: String =
                    path.chars().take(100).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect();
                prop_assert_eq!(refused.path.as_ref(), Some(&plain_path));
                prop_assert_eq!((&*refused.method, refused.status), ("POST", Some(403)));
                prop_assert_eq!((refused.rule.as_deref(), refused.ended), (Some("management"), Ended::Refused));
                prop_assert_eq!((&served.route, &served.path), (&Some("v1_models".to_owned()), &None));
                prop_assert_eq!((served.bytes_out, served.ended), (187, Ended::Complete));
                let told = (served.tokens_in, served.tokens_out);
                prop_assert_eq!((told, served.untold), (tokens.unwrap_or_default(), tokens == Some((None, None))));
                let ports = [refused.port, served.port];
                prop_assert_eq!(ports, [Some(port.into()); 2]);
                prop_assert_eq!((refused.model.as_deref(), &served.model), (Some("qwen3:30b"), &None));
                prop_assert_eq!((refused.tokens_in, refused.untold), (None, false));
            }
        }

        #[test]
        fn half_a_line_and_a_whole_one_are_never_one(
            node in ".{0,10}",
            user in ".{0,10}",
            kinds in (0usize..4, 0usize..4),
            formats in (0usize..2, 0usize..2),
            cut in any::<prop::sample::Index>(),
        ) {
            let half = logged(|| write_one(kinds.0, &node, &user))[formats.0].trim_end().to_owned();
            let whole = logged(|| write_one(kinds.1, &user, &node))[formats.1].trim_end().to_owned();
            // Up to all of it but for the end of the line.
            let cut = cut.index(half.len() + 1);
            let glued = [&half.as_bytes()[..cut], whole.as_bytes()].concat();
            // Where a character is cut through it is no text, and unreadable as well.
            let told = str::from_utf8(&glued).ok().and_then(read);
            let expected = if cut == 0 { read(&whole) } else { None };
            prop_assert!(cut > 0 || expected.is_some(), "{whole}");
            prop_assert_eq!(told, expected, "{}", String::from_utf8_lossy(&glued));
        }

        #[test]
        fn no_line_makes_it_panic(line in "(\\{|2026-11-24T16:44:13.022046Z  INFO access: )?.{0,80}") {
            read(&line);
        }

        #[test]
        fn half_a_line_is_none(at in 0usize..1000) {
            for line in [TEXT, JSON] {
                let at = at % line.len();
                prop_assert_eq!(read(&line[..at]), None, "{}", &line[..at]);
            }
        }
    }

    const TEXT: &str = r#"2026-11-24T16:44:13.022046Z  INFO access: id="1a20e718f5e-1" node="laptop.tailnet.test" principal="tag:ai-client" addr=100.64.0.2:51259 method="POST" route="v1_chat_completions" status=200 bytes_in=131 bytes_out=187 queue_ms=100.5 first_byte_ms=101.7 ms=1100.5 ended="complete""#;
    const JSON: &str = r#"{"timestamp":"2026-11-24T16:44:13.022046Z","level":"INFO","id":"1a20e718f5e-1","node":"laptop.tailnet.test","principal":"tag:ai-client","addr":"100.64.0.2:51259","method":"POST","route":"v1_chat_completions","status":200,"bytes_in":131,"bytes_out":187,"queue_ms":100.5,"first_byte_ms":101.7,"ms":1100.5,"ended":"complete","target":"access"}"#;

    #[test]
    fn both_formats_tell_the_same() {
        let (text, json) = (read(TEXT).unwrap(), read(JSON).unwrap());
        assert_eq!(text, json);
        let Line::Request(request) = json else { panic!("{json:?}") };
        assert_eq!(request.worked(), Duration::from_secs(1));
        assert!(!request.has_failed());
        assert_eq!(request.peer.identity(), "laptop.tailnet.test");
    }

    #[test]
    fn ollama_does_not_work_on_what_only_waited() {
        for (has_turn, worked) in [(true, 1500), (false, 0)] {
            let [text, _] = logged(|| {
                let peer = Arc::new(peer_of("a", "b"));
                let mut record = Record::new(peer, 11434, &Method::POST, Arc::default(), Arc::default());
                record.started -= Duration::from_secs(2);
                record.endpoint = Endpoint::named("v1_messages");
                if has_turn {
                    record.begins(Duration::from_millis(500));
                }
                record.end(Ended::ClientLeft);
            });
            let Some(Line::Request(request)) = read(text.trim_end()) else { panic!("{text}") };
            let at_least = Duration::from_millis(worked);
            assert!(request.worked() >= at_least, "{text}");
            assert_eq!(request.worked().is_zero(), at_least.is_zero(), "{text}");
        }
    }

    #[test]
    fn who_is_refused_before_there_is_a_request_is_known() {
        for (message, after, rule) in REFUSED {
            // The words are those of the writer.
            let written = [
                include_str!("../proxy/ports/port.rs"),
                include_str!("../proxy/ports/connection.rs"),
                include_str!("../tls/stream.rs"),
            ]
            .concat();
            assert!(written.contains(&format!("\"{message}\"")), "{message}");
            for name in ["anna@example.com", "a (b, 1.2.3.4:5) all=1 rule=", "a, b", ""] {
                let peer = peer_of("laptop.tailnet.test", name);
                let told = match after {
                    "" => String::new(),
                    " all=" => " all=3 of_peer=2".to_owned(),
                    after => format!("{after}\"head-time\""),
                };
                let text = format!("2026-11-24T16:44:13.022046Z  WARN access: {message} peer={peer}{told}");
                let json = serde_json::json!({
                    "timestamp": "2026-11-24T16:44:13.022046Z", "level": "WARN", "message": message,
                    "peer": peer.to_string(), "all": 3, "target": "access",
                });
                for line in [text, json.to_string()] {
                    let Some(Line::Refused { peer, rule: told, .. }) = read(&line) else { panic!("{line}") };
                    assert_eq!((&*peer.node, &*peer.principal), ("laptop.tailnet.test", name));
                    assert_eq!(told, rule);
                }
            }
        }
        assert!(include_str!("../proxy/sessions/timeouts.rs").contains("=> \"head-time\""));
    }

    #[test]
    fn who_is_led_to_https_is_not_refused() {
        let led =
            TEXT.replace("route=\"v1_chat_completions\" status=200", "path=\"/\" status=308 rule=\"https\"");
        let Some(Line::Request(led)) = read(&led.replace("\"complete\"", "\"refused\"")) else {
            panic!("{led}")
        };
        assert!(!led.is_refused() && !led.has_failed());
        assert_eq!((led.tally().refused, led.port), (0, None));
        // The word is that of the writer.
        assert!(
            include_str!("../proxy/refusal/failure.rs")
                .contains(&format!("Failure::Https(_) => {REDIRECTED:?}"))
        );
    }

    #[test]
    fn the_journal_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let member = Member {
            node: "a\u{1b}.tailnet.test".to_owned(),
            stable_id: "n1".to_owned(),
            user: Some("anna@example.com".to_owned()),
            addresses: vec![Address {
                ip: [100, 64, 0, 2].into(),
                at: None,
                admitted: true,
                grants: Vec::new(),
            }],
            ..Member::default()
        };
        let logged = logged(|| {
            let file = RotatedFile::new(&path, Journal::ROTATION);
            let labels =
                Labels { name: "journal", to: String::new(), notice: in_journal, report: Box::new(|_| {}) };
            let sink = Arc::new(Sink::start(labels, file).unwrap());
            let mut journal = Journal::new(Arc::clone(&sink));
            journal.observe(11434, AccessMode::Network, &[]);
            journal.observe(11434, AccessMode::Network, &[member]);
            assert!(sink.flush(Duration::from_secs(60)));
        });
        let noted = std::fs::read_to_string(&path).unwrap();
        let Some(Line::Access { peer, access, port, .. }) = read(noted.trim_end()) else { panic!("{noted}") };
        assert_eq!((&*peer.node, &*peer.principal), ("a\\u001b.tailnet.test", "anna@example.com"));
        assert_eq!((&*access, port), ("gained", 11434));
        // In the log it stands, too, and is not to be told twice.
        for line in logged {
            assert!(matches!(read(line.trim_end()), Some(Line::Other { .. })), "{line}");
        }
    }

    #[test]
    fn a_notice_of_lost_lines_is_read_back_and_looks_like_its_neighbours() {
        let at = humantime::parse_rfc3339("2026-11-24T16:44:13.022046Z").unwrap();
        let notice = Notice { at, lost: 3, why: "No space left on device (os error 28)" };
        for (line, in_journal) in
            [(in_text(&notice), false), (in_json(&notice), false), (in_journal(&notice), true)]
        {
            assert_eq!(read(&line), Some(Line::Lost { at, lines: 3, in_journal }), "{line}");
        }
        // But for the time and the target, whose name is that of its module, as tracing writes it.
        let [text, json] = logged(|| {
            tracing::warn!(target: sink::TARGET, lost = 3, error = notice.why, "{}", sink::MESSAGE);
        });
        assert_eq!(in_text(&notice)[27..], text.trim_end()[27..]);
        let keys = |line: &str| serde_json::from_str::<Map<String, Value>>(line).unwrap();
        assert_eq!(
            keys(&in_json(&notice)).keys().collect::<Vec<_>>(),
            keys(&json).keys().collect::<Vec<_>>()
        );
    }

    #[test]
    fn what_the_proxy_did_not_write_is_none() {
        for line in [
            "",
            "Started remote-ollama-proxy.service",
            "{}",
            "[1]",
            "null",
            r#"{"target":"access"}"#,
            r#"{"time":"2026-11-24T16:44:13Z","access":"taken","node":"a","principal":"b","port":1}"#,
            r#"{"time":"yesterday","access":"lost","node":"a","principal":"b","port":1}"#,
            "2026-11-24T16:44:13.022046Z  LOUD access: id=\"1\"",
            "\u{1b}[2m2026-11-24T16:44:13.022046Z\u{1b}[0m \u{1b}[32m INFO\u{1b}[0m access: id=\"1\"",
            "2026-11-24T16:44:13.022046Z  INFO access: id=\"1\" ended=\"complete\"",
            "2026-11-24T16:44:13.022046Z  INFO 2026-11-24T16:44:13.022046Z  INFO tsnet: up",
            "2026-11-24T16:44:13.022046Z  INFO tsnet: u2026-11-24T16:44:13.022046Z  INFO tsnet: up",
            "2026-11-24T16:44:13.022046Z  INFO tsnet: u{\"target\":\"a\",\"timestamp\":\"2026-11-24T16:44:13Z\"}",
            // A name twice, and one that is none of ours.
            &TEXT.replace("status=", "bytes_in="),
            &TEXT.replace("status=", "Status="),
        ] {
            assert_eq!(read(line), None, "{line}");
        }
        for line in [
            "2026-11-24T16:44:13.022046Z  INFO remote_ollama_proxy::run: listening in the tailnet given=a",
            "2026-11-24T16:44:13.022046Z  INFO access: access lost: connection cut peer=a (b, 1.2.3.4:5)",
            r#"{"timestamp":"2026-11-24T16:44:13Z","level":"INFO","message":"up","target":"tsnet"}"#,
        ] {
            assert!(matches!(read(line), Some(Line::Other { .. })), "{line}");
        }
    }

    #[test]
    fn a_text_has_an_end_and_no_control_characters() {
        assert_eq!(plain("a\n\u{9b}"), "a\\u000a\\u009b");
        assert_eq!(plain(&"ü".repeat(TEXT_MAX + 1)), "ü".repeat(TEXT_MAX) + "…");
        assert_eq!(millis(f64::NAN), Duration::ZERO);
        assert_eq!(millis(-1.0), Duration::ZERO);
        assert_eq!(millis(1.5), Duration::from_micros(1500));
    }
}

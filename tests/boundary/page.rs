//! The page port: who sees how much, and that only the page itself can send requests.

use std::sync::Arc;
use std::time::SystemTime;

use remote_ollama_proxy::admin::Admin;
use remote_ollama_proxy::audit::{AccessChange, ChangeKind, Observer};
use remote_ollama_proxy::config::{self, Override};
use remote_ollama_proxy::listen::Accepted;
use remote_ollama_proxy::page::{Page, RecentActivity};
use remote_ollama_proxy::peer::Peer;
use remote_ollama_proxy::policy::AccessMode;
use remote_ollama_proxy::proxy::Port;
use remote_ollama_proxy::settings::{Settings, Source};
use remote_ollama_proxy::sink::{Output, Sinks};
use remote_ollama_proxy::tailnet::{Address, Member, NodeStatus, PortMembers};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};

use crate::support::*;

const NO_OLLAMA: &str = "http://127.0.0.1:1";

/// Every path of the page, with its method.
const ROUTES: [(&str, &str); 6] = [
    ("GET", "/"),
    ("GET", "/page.css"),
    ("GET", "/page.js"),
    ("GET", "/icon.svg"),
    ("GET", "/events"),
    ("POST", "/requests/1-1/cancel"),
];

/// Headers that a browser adds to the page's own request to cancel.
const OWN: &str = "Origin: http://remote-ollama-proxy:11434\r\nX-Remote-Ollama-Proxy: page\r\n";

/// The page port of a running proxy.
struct Site {
    connect: mpsc::Sender<Accepted<DuplexStream>>,
    port: Port,
    recent: Arc<RecentActivity>,
    sinks: Sinks,
    _node: watch::Sender<NodeStatus>,
    roster: watch::Sender<Arc<Vec<Member>>>,
}

/// A full disk.
struct NoRoom;

impl Output for NoRoom {
    fn append(&mut self, _: &[u8]) -> std::io::Result<()> {
        Err(std::io::ErrorKind::StorageFull.into())
    }
}

fn bob() -> Peer {
    Peer {
        addr: "100.64.0.3:50000".parse().unwrap(),
        node: "bobs-phone.tailnet.test".to_owned(),
        stable_id: "n3".to_owned(),
        user: Some("bob@example.com".to_owned()),
        ..peer()
    }
}

fn member(peer: Peer, grants: Vec<Value>) -> Member {
    Member {
        node: peer.node,
        stable_id: peer.stable_id,
        user: peer.user,
        addresses: vec![Address { ip: peer.addr.ip(), at: None, admitted: true, grants }],
        ..Member::default()
    }
}

impl Site {
    fn of(running: &Running) -> Site {
        let pair = |(key, value): (&'static str, &str)| Override {
            key,
            value: value.to_owned(),
            source: "test".to_owned(),
        };
        let pairs = [("page.port", "80"), ("upstream.url", NO_OLLAMA)].map(pair);
        let config = config::load(Some("/dev/null".as_ref()), &pairs, &Default::default()).unwrap();
        let load = || Err(config::load(Some("/nowhere".as_ref()), &[], &Default::default()).unwrap_err());
        let source = Source { load: Box::new(load), set_log_level: Box::new(|_| {}) };
        let situation = NodeStatus { state: "Running".to_owned(), ..NodeStatus::default() };
        let node = watch::Sender::new(NodeStatus { addresses: vec![[100, 64, 0, 1].into()], ..situation });
        let members = vec![member(peer(), vec![]), member(bob(), vec![json!({"page": "view"})])];
        let roster = watch::Sender::new(Arc::new(members));
        let sinks = Sinks { log: sink("log", NoRoom), access: None, journal: sink("journal", NoRoom) };
        let admin = Arc::new(Admin {
            settings: Arc::new(Settings::new(config, source)),
            proxy: running.proxy.clone(),
            members: [11434, 80].map(|port| (port, roster.subscribe())).into(),
            node: node.subscribe(),
            started: SystemTime::now(),
            sinks: sinks.clone(),
        });
        let recent = Arc::clone(&running.recent);
        let port = running.proxy.port().another();
        let (connect, incoming) = mpsc::channel(64);
        tokio::spawn(Page::new(port.clone(), admin, Arc::clone(&recent)).serve(Memory(incoming)));
        Site { connect, port, recent, sinks, _node: node, roster }
    }

    async fn client(&self) -> Client<DuplexStream> {
        connect(&self.connect, "100.64.0.1:80".parse().unwrap()).await
    }

    /// One request on a connection of its own.
    async fn ask(&self, request: &str) -> Answer {
        let mut client = self.client().await;
        client.send(request).await;
        client.answer().await
    }

    /// The page's stream.
    async fn watch(&self) -> Stream {
        let mut client = self.client().await;
        client.send(get("/events")).await;
        let head = client.head().await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("text/event-stream"), "{head}");
        Stream { client, known: json!({}) }
    }

    /// Waits until there are so many connections.
    async fn has(&self, connections: usize) {
        let held = async || self.port.sessions().all().len() == connections;
        eventually("that many connections", held).await;
    }
}

/// The state of the page.
struct Stream {
    client: Client<DuplexStream>,
    known: Value,
}

impl Stream {
    /// The next event, or `None` at the end.
    async fn next(&mut self) -> Option<String> {
        let chunk = self.client.chunk().await.filter(|chunk| !chunk.is_empty())?;
        let text = String::from_utf8(chunk).unwrap();
        let data = text.strip_prefix("data: ").unwrap();
        let event: Value = serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap();
        for (name, section) in event.as_object().unwrap() {
            self.known[name] = section.clone();
        }
        Some(text)
    }

    async fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> String {
        let mut text = String::new();
        while text.is_empty() || !wanted(&self.known) {
            text += &self.next().await.unwrap_or_else(|| panic!("the stream has ended without {what}"));
        }
        text
    }

    fn nodes(&self, section: &str) -> Vec<&str> {
        let rows = self.known[section]["rows"].as_array().unwrap();
        rows.iter().map(|row| row["node"].as_str().unwrap()).collect()
    }
}

fn request(method: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: remote-ollama-proxy:11434\r\n{more}\r\n")
}

#[tokio::test]
async fn page_requires_its_grant() {
    for access in [AccessMode::Network, AccessMode::Grants] {
        let running = Boundary::new(NO_OLLAMA).access(access).start();
        let site = Site::of(&running);
        for grants in [
            vec![],
            vec![json!({})],
            vec![json!({"endpoints": ["*"], "metrics": true})],
            vec![json!({"page": true})],
            vec![json!({"page": "admin", "unheard": 1})],
        ] {
            running.grant(grants.clone());
            for (method, path) in ROUTES.into_iter().chain([("GET", "/nowhere"), ("PUT", "/")]) {
                let answer = site.ask(&request(method, path, OWN)).await;
                assert_eq!(answer.status(), 403, "{grants:?}: {method} {path}");
                assert!(answer.text().contains("(rule: grant)"), "{}", answer.text());
                let kind = answer.header("content-type").unwrap();
                assert!(kind.starts_with("application/json"), "{kind}");
            }
            // A person can read it in a browser; the text is the same for each path.
            let browser = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
            for path in ["/", "/page.js", "/&lt;"] {
                let answer = site.ask(&request("GET", path, browser)).await;
                let said = (answer.status(), answer.header("content-type"));
                assert_eq!(said, (403, Some("text/html; charset=utf-8")), "{path}");
                assert!(answer.header("content-security-policy").is_some_and(|csp| csp.contains("'none'")));
                let text = answer.text();
                let shown = path.replace('&', "&amp;");
                assert!(text.contains(&format!("<p>remote-ollama-proxy: GET {shown}: ")), "{text}");
                assert!(text.contains("(rule: grant)") && !text.contains("script"), "{text}");
                let id = answer.header("x-request-id").unwrap();
                assert!(text.contains(&format!("<p>Request: {id}</p>")), "{text}");
            }
        }
        for page in ["view", "admin"] {
            running.grant(vec![json!({"endpoints": []}), json!({"endpoints": [], "page": page})]);
            let answer = site.ask(&get("/")).await;
            assert_eq!(
                (answer.status(), answer.header("content-type")),
                (200, Some("text/html; charset=utf-8"))
            );
            assert!(answer.text().starts_with("<!doctype html>"));
            let mut stream = site.watch().await;
            stream.next().await.unwrap();
            assert_eq!(stream.known["you"]["page"], page);
        }
    }
}

#[tokio::test]
async fn page_port_serves_only_the_page_with_security_headers() {
    let ollama = Ollama::new().await;
    let running = Boundary::new(&ollama.url).start();
    let site = Site::of(&running);
    running.grant(vec![json!({"page": "admin"})]);
    let refused = [
        (get("/index.html"), 404, "page-only"),
        (get("/api/tags"), 404, "page-only"),
        (get("/metrics"), 404, "page-only"),
        (get("/requests"), 404, "page-only"),
        (post("/v1/chat/completions", "{}"), 404, "page-only"),
        (get("/%69con.svg"), 403, "target"),
        (get("/x/../page.js"), 403, "target"),
        (get("/").replace("remote-ollama-proxy", "evil.example"), 421, "host"),
        (get("/events").replace("remote-ollama-proxy", "127.0.0.1"), 421, "host"),
        (get("/").replace("Host: remote-ollama-proxy:11434\r\n", ""), 400, "framing"),
        (post("/", ""), 405, "method"),
        (post("/events", ""), 405, "method"),
        (get("/requests/1-1/cancel"), 405, "method"),
        (request("GET", "/events", "Origin: http://evil.example\r\n"), 403, "cross-site"),
        (request("GET", "/page.js", "Origin: null\r\n"), 403, "cross-site"),
        (
            request(
                "OPTIONS",
                "/requests/1-1/cancel",
                "Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\n",
            ),
            405,
            "method",
        ),
        (request("HEAD", "/page.js", "").replace("HEAD", "PUT"), 405, "method"),
    ];
    let sound = ["/", "/page.css", "/page.js", "/icon.svg"].map(|path| (get(path), 200, ""));
    for (request, status, rule) in refused.into_iter().chain(sound) {
        let answer = site.ask(&request).await;
        assert_eq!(answer.status(), status, "{request}");
        assert!(answer.text().contains(&format!("(rule: {rule})")) || status == 200, "{}", answer.text());
        let policy = answer.header("content-security-policy").unwrap();
        for part in
            ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'none'"]
        {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{request}");
        }
        assert!(!answer.head.to_lowercase().contains("access-control"), "{}", answer.head);
    }
    assert!(ollama.untouched().await);
    // Refusals are counted, and the Ollama port does not serve the page.
    assert!(running.counted().contains("refused_total{rule=\"page-only\"} 5\n"), "{}", running.counted());
    assert_eq!(running.ask(&get("/page.js")).await.status(), 403);
}

#[tokio::test]
async fn viewer_sees_only_their_own_requests() {
    let ollama = Ollama::new().await;
    let running = Boundary::new(&ollama.url).start();
    let site = Site::of(&running);
    running.grant(vec![json!({"page": "view"})]);
    let _running = (running.stream(&ollama).await, running.stream_of(bob(), &ollama).await);
    for peer in [peer(), bob()] {
        let mut client = running.client_of(peer.clone()).await;
        client.send(get(&format!("/refused-to-{}", peer.stable_id))).await;
        assert_eq!(client.answer().await.status(), 403);
        site.recent.access(&AccessChange {
            time: jiff::Timestamp::now(),
            access: ChangeKind::Gained,
            port: 80,
            peer: (&peer).into(),
            grants: Vec::new(),
            faults: Vec::new(),
        });
    }
    let mut stream = site.watch().await;
    let both =
        |known: &Value| known["refusals"]["rows"] != json!([]) && known["requests"]["rows"] != json!([]);
    let text = stream.until("what is theirs", both).await;
    assert!(!text.contains("bob") && !text.contains("n3"), "{text}");
    for section in ["requests", "peers", "refusals", "changes"] {
        assert_eq!(stream.nodes(section), ["laptop.tailnet.test"], "{section}");
        assert_eq!(stream.known[section]["more"], 0);
    }
    assert_eq!(stream.known["peers"]["others"], 0);
    let days = stream.known["days"]["identities"].as_array().unwrap();
    assert_eq!((days.len(), &days[0]["identity"]), (1, &json!("anna@example.com")));
    assert_eq!((&days[0]["requests"], &days[0]["refused"]), (&json!(1), &json!(1)));
    // A viewer sees how busy the node is.
    assert_eq!(stream.known["health"]["running"], 2);
    for secret in ["models", "fault"] {
        assert!(stream.known["health"]["ollama"].get(secret).is_none_or(Value::is_null), "{secret}");
    }

    running.grant(vec![json!({"page": "admin"})]);
    site.port.sweep().judge(&[PortMembers { port: 80, members: running.members().into() }]);
    let mut stream = site.watch().await;
    stream.until("everything", both).await;
    for section in ["requests", "peers", "refusals", "changes"] {
        let mut nodes = stream.nodes(section);
        nodes.sort_unstable();
        assert_eq!(nodes, ["bobs-phone.tailnet.test", "laptop.tailnet.test"], "{section}");
    }
    assert_eq!(stream.known["days"]["identities"].as_array().unwrap().len(), 2);
    let bobs = &stream.known["peers"]["rows"]
        .as_array()
        .unwrap()
        .iter()
        .find(|p| p["node"] == bob().node)
        .unwrap()
        .clone();
    assert_eq!((&bobs["page"], &bobs["through"]), (&json!("view"), &json!("network rule")));
}

#[tokio::test]
async fn lost_lines_are_shown_to_admins_only() {
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::of(&running);
    running.grant(vec![json!({"page": "admin"})]);
    let mut stream = site.watch().await;
    stream.next().await.unwrap();
    assert_eq!(stream.known["health"]["logs"], json!([]));
    site.sinks.journal.push(b"{}\n");
    stream.until("what was lost", |known| known["health"]["logs"] != json!([])).await;
    let [journal] = &stream.known["health"]["logs"].as_array().unwrap()[..] else { panic!() };
    assert_eq!((&journal["name"], &journal["to"]), (&json!("journal"), &json!("/var/journal")));
    assert_eq!((&journal["lost"], &journal["fault"]), (&json!(1), &json!("no storage space")));

    running.grant(vec![json!({"page": "view"})]);
    site.port.sweep().judge(&[PortMembers { port: 80, members: running.members().into() }]);
    let mut stream = site.watch().await;
    let text = stream.next().await.unwrap();
    assert!(stream.known["health"]["logs"].is_null() && !text.contains("/var/"), "{text}");
}

#[tokio::test]
async fn page_stream_sends_only_changes() {
    let ollama = Ollama::new().await;
    let running = Boundary::new(&ollama.url).start();
    let site = Site::of(&running);
    running.grant(vec![json!({"page": "admin"})]);
    let mut stream = site.watch().await;
    stream.until("Ollama's state", |known| !known["health"]["ollama"].is_null()).await;
    assert_eq!(stream.known["requests"]["rows"], json!([]));
    let (client, upstream) = running.stream(&ollama).await;
    let text = stream.until("the request", |known| known["requests"]["rows"] != json!([])).await;
    assert!(!text.contains("\"peers\"") && !text.contains("\"days\""), "{text}");
    let request = &stream.known["requests"]["rows"][0];
    assert_eq!((&request["endpoint"], &request["state"]), (&json!("v1_chat_completions"), &json!("running")));
    assert_eq!(request["bytes_out"], 5);
    drop((client, upstream));
    stream.until("its end", |known| known["requests"]["rows"] == json!([])).await;
    stream.until("its day", |known| known["days"]["identities"] != json!([])).await;

    site.roster.send_replace(Arc::new(vec![member(bob(), vec![])]));
    let text =
        stream.until("who is left", |known| known["peers"]["rows"].as_array().unwrap().len() == 1).await;
    assert!(!text.contains("\"days\""), "{text}");
}

#[tokio::test]
async fn page_stream_ends_with_its_grant() {
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::of(&running);
    for (before, after) in
        [("admin", json!({"page": "view"})), ("view", json!({"page": "admin"})), ("view", json!({}))]
    {
        running.grant(vec![json!({"page": before})]);
        let mut stream = site.watch().await;
        stream.next().await.unwrap();
        running.grant(vec![after]);
        assert_eq!(
            site.port.sweep().judge(&[PortMembers { port: 80, members: running.members().into() }]),
            0
        );
        while let Some(text) = stream.next().await {
            // Events that were made before.
            assert_eq!(stream.known["you"]["page"], before, "{text}");
        }
        drop(stream);
        site.has(0).await;
    }
    running.grant(vec![json!({"page": "view"})]);
    let mut stream = site.watch().await;
    stream.next().await.unwrap();
    running.revoke();
    assert_eq!(site.port.sweep().judge(&[PortMembers { port: 80, members: running.members().into() }]), 1);
    while stream.next().await.is_some() {}
    site.has(0).await;
}

#[tokio::test]
async fn only_an_admin_of_the_page_cancels() {
    let ollama = Ollama::new().await;
    let running = Boundary::new(&ollama.url).start();
    let site = Site::of(&running);
    let (mut client, _upstream) = running.stream_of(bob(), &ollama).await;
    let id = running.proxy.sessions().all().iter().find_map(|s| s.request()).unwrap().id;
    let path = format!("/requests/{id}/cancel");
    let header = "X-Remote-Ollama-Proxy: page\r\n";
    let own = "Origin: http://remote-ollama-proxy:11434\r\n";

    running.grant(vec![json!({"page": "view"})]);
    let answer = site.ask(&request("POST", &path, OWN)).await;
    assert_eq!(answer.status(), 403);
    assert!(answer.text().contains("(rule: grant)"), "{}", answer.text());

    running.grant(vec![json!({"page": "admin"})]);
    for more in [
        String::new(),
        header.to_owned(),
        own.to_owned(),
        "Sec-Fetch-Site: same-origin\r\n".to_owned(),
        format!("{header}Origin: http://evil.example\r\n"),
        format!("{header}Origin: null\r\n"),
        format!("{header}Origin: http://remote-ollama-proxy\r\n"),
        format!("{header}Origin: http://remote-ollama-proxy:80\r\n"),
        format!("{header}Origin: ftp://remote-ollama-proxy:11434\r\n"),
        format!("{header}Origin: http://remote-ollama-proxy:11434.evil.example\r\n"),
        format!("{header}{own}{own}"),
        format!("{header}{own}Sec-Fetch-Site: cross-site\r\n"),
        format!("{header}{own}Sec-Fetch-Site: same-site\r\n"),
        format!("{header}Sec-Fetch-Site: none\r\n"),
        format!("{header}Sec-Fetch-Site: same-origin\r\nOrigin: http://evil.example\r\n"),
        format!("{header}Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: same-origin\r\n"),
    ] {
        let answer = site.ask(&request("POST", &path, &more)).await;
        assert_eq!(answer.status(), 403, "{more}");
        assert!(answer.text().contains("(rule: cross-site)"), "{more}{}", answer.text());
    }
    assert_eq!(running.proxy.sessions().all().iter().filter(|s| s.running().is_some()).count(), 1);
    // A site whose name resolves to this address is another site.
    let rebound = request("POST", &path, &OWN.replace("remote-ollama-proxy:", "evil.example:"));
    let answer = site.ask(&rebound.replace("Host: remote-ollama-proxy", "Host: evil.example")).await;
    assert_eq!(answer.status(), 421);

    for (more, cancelled) in [
        (OWN.to_owned(), true),
        (OWN.to_owned(), false),
        (format!("{header}Sec-Fetch-Site: same-origin\r\n"), false),
    ] {
        let answer = site.ask(&request("POST", &path, &more)).await;
        assert_eq!((answer.status(), answer.text()), (200, &*json!({ "cancelled": cancelled }).to_string()));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn other_sites_cannot_read_the_page() {
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::of(&running);
    running.grant(vec![json!({"page": "admin"})]);
    for site_of in ["cross-site", "same-site", "unheard-of"] {
        let more = format!("Sec-Fetch-Site: {site_of}\r\n");
        for path in ["/events", "/page.js", "/page.css", "/icon.svg"] {
            let answer = site.ask(&request("GET", path, &more)).await;
            assert_eq!(answer.status(), 403, "{site_of} {path}");
            assert!(answer.text().contains("(rule: cross-site)"), "{}", answer.text());
        }
        // Links to the page work.
        assert_eq!(site.ask(&request("GET", "/", &more)).await.status(), 200);
    }
    for own in ["same-origin", "none"] {
        let answer = site.ask(&request("GET", "/page.js", &format!("Sec-Fetch-Site: {own}\r\n"))).await;
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test]
async fn page_streams_are_limited_per_identity() {
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::of(&running);
    running.grant(vec![json!({"page": "view"})]);
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut stream = site.watch().await;
        stream.next().await.unwrap();
        open.push(stream);
    }
    let answer = site.ask(&get("/events")).await;
    assert_eq!(answer.status(), 429);
    assert!(answer.text().contains("(rule: page-open)"), "{}", answer.text());
    open.pop();
    eventually("a free stream", async || site.ask_head().await == 200).await;
}

impl Site {
    /// The status of a stream, which is closed at once.
    async fn ask_head(&self) -> u16 {
        let mut client = self.client().await;
        client.send(get("/events")).await;
        client.head().await.and_then(|head| head.split(' ').nth(1)?.parse().ok()).unwrap()
    }
}

#[tokio::test]
async fn refusals_of_one_renamed_device_do_not_evict_those_of_others() {
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::of(&running);
    let refuse = async |peer: Peer| {
        let mut client = running.client_of(peer).await;
        client.send(get("/x")).await;
        assert_eq!(client.answer().await.status(), 403);
    };
    refuse(bob()).await;
    for n in 0..60 {
        let tags = vec!["tag:ci".to_owned()];
        let node = format!("ci-{}.tailnet.test", n % 12);
        refuse(Peer { node, stable_id: "n9".to_owned(), user: None, tags, ..peer() }).await;
    }
    running.grant(vec![json!({"page": "admin"})]);
    let mut stream = site.watch().await;
    let bobs = |known: &Value| known["refusals"]["rows"][5]["node"] == bob().node;
    stream.until("all refusals", |known| bobs(known) && known["refusals"]["rows"][4]["more"] == 55).await;
    assert_eq!(stream.nodes("refusals").len(), 6);
}

#[tokio::test]
async fn hostile_path_stays_text() {
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::of(&running);
    running.grant(vec![json!({"page": "admin"})]);
    let path = "/\"}\\n\\ndata:{};alert(1)&amp;'";
    running.ask(&get(path)).await;
    let mut stream = site.watch().await;
    stream.until("the refusal", |known| known["refusals"]["rows"] != json!([])).await;
    assert_eq!(stream.known["refusals"]["rows"][0]["asked"], path);
    assert_eq!(stream.known["refusals"]["rows"][0]["port"], 11434);
}

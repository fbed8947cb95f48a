//! The same boundary behind TLS: clients that do not speak TLS, or stop in the middle of it, and that no answer is
//! delayed, truncated unnoticed, or waited for too long.

use std::sync::Arc;
use std::time::Duration;

use remote_ollama_proxy::admission::{Limits, Timeouts};
use remote_ollama_proxy::listen::Accepted;
use remote_ollama_proxy::proxy::RedirectPort;
use remote_ollama_proxy::tailnet::{CertificateStatus, NodeStatus, PortMembers};
use remote_ollama_proxy::tls::{CurrentCertificate, DualListener};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::spellings;
use crate::support::*;

/// Never reached here.
const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(50);
const LENIENT: Timeouts = Timeouts { head: LONG, body: LONG, answer: LONG, idle: LONG };

const NAME: &str = "remote-ollama-proxy.tailnet.test";

/// A certificate in the node's form, and the roots that a client needs to trust it.
struct Pair {
    chain: String,
    key: String,
    trust: CertificateDer<'static>,
}

fn pair() -> Pair {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    Pair { chain: cert.pem(), key: signing_key.serialize_pem(), trust: cert.der().clone() }
}

/// A proxy with a port for HTTP and one for HTTPS.
struct Both {
    running: Running,
    https: mpsc::Sender<Accepted<DuplexStream>>,
    shown: Arc<CurrentCertificate>,
    pair: Pair,
}

impl Both {
    fn new(upstream: &str) -> Both {
        Both::limited(upstream, Limits::NONE, LENIENT)
    }

    fn limited(upstream: &str, limits: Limits, timeouts: Timeouts) -> Both {
        let (shown, pair) = (Arc::<CurrentCertificate>::default(), pair());
        let (https, incoming) = mpsc::channel(64);
        let ports = |http| {
            DualListener::new()
                .http(http)
                .https(Memory(incoming), Arc::clone(&shown), Arc::default())
                .unwrap()
        };
        let running = Boundary::new(upstream).limits(limits).timeouts(timeouts).start_on(ports);
        shown.set(&pair.chain, &pair.key).unwrap();
        Both { running, https, shown, pair }
    }

    /// A connection to the HTTPS port on which no byte has been sent.
    async fn raw(&self) -> Client<DuplexStream> {
        connect(&self.https, "100.64.0.1:443".parse().unwrap()).await
    }

    async fn client(&self) -> Client<TlsStream<DuplexStream>> {
        let mut offers: [&[u8]; 2] = [b"h2", b"http/1.1"];
        self.offering(&mut offers, rustls::DEFAULT_VERSIONS).await.unwrap()
    }

    async fn offering(
        &self,
        protocols: &mut [&[u8]],
        versions: &[&'static SupportedProtocolVersion],
    ) -> std::io::Result<Client<TlsStream<DuplexStream>>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.pair.trust.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        let name = ServerName::try_from(NAME).unwrap();
        let stream = self.raw().await.stream;
        Ok(Client::new(
            soon("a handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await?,
        ))
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn https_serves_http_1_1_only() {
    let (url, _seen) = Ollama::new().await.answering(OK);
    let both = Both::new(&url);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut client = both.offering(&mut [b"h2", b"http/1.1"], &[version]).await.unwrap();
        let (_, session) = client.stream.get_ref();
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(session.protocol_version(), Some(version.version));
        for _ in 0..2 {
            client.send(get("/api/tags")).await;
            assert_eq!(client.answer().await.text(), "ok");
        }
        client.send("GET /api/tags HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
        assert_eq!(client.answer().await.status(), 421);
    }
    assert!(both.offering(&mut [b"h2"], rustls::DEFAULT_VERSIONS).await.is_err());
    assert_eq!(rustls::version::TLS12.version, ProtocolVersion::TLSv1_2);
    // Without ALPN the protocol is HTTP/1.1 too.
    let mut client = both.offering(&mut [], rustls::DEFAULT_VERSIONS).await.unwrap();
    client.send(get("/api/tags")).await;
    assert_eq!(client.answer().await.text(), "ok");
    // The HTTP port still works.
    assert_eq!(both.running.ask(&get("/api/tags")).await.text(), "ok");
}

#[tokio::test]
async fn https_refuses_every_spelling_off_the_allowlist() {
    let (url, mut seen) = Ollama::new().await.answering(OK);
    let both = Both::new(&url);
    // A part of the requests that are tried without TLS, since the decision is the same.
    for spelling in spellings::all().iter().filter(|s| !s.allowed(&[])).step_by(97) {
        let mut client = both.client().await;
        let (answer, _) = spelling.ask(&mut client, NAME).await;
        assert!(answer.status() >= 400, "{spelling:?}: {}", answer.head);
    }
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn https_streams_without_delay() {
    let ollama = Ollama::new().await;
    let both = Both::new(&ollama.url);
    let mut client = both.client().await;
    client.send(post("/v1/chat/completions", "{}")).await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.head().await.unwrap();
    for piece in ["a", "bc", "def"] {
        upstream.send(format!("{:x}\r\n{piece}\r\n", piece.len())).await;
        assert_eq!(client.chunk().await.unwrap(), piece.as_bytes());
    }
    // Larger than a TLS record, and larger than a client's receive buffer.
    let large = "x".repeat(1 << 20);
    upstream.send(format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len())).await;
    let mut read = 0;
    while read < large.len() {
        read += client.chunk().await.unwrap().len();
    }
    assert_eq!(client.chunk().await.unwrap(), b"");
}

#[tokio::test]
async fn https_large_request_body_arrives_whole() {
    let (url, mut seen) = Ollama::new().await.answering(OK);
    let both = Both::new(&url);
    let (mut client, body) = (both.client().await, "y".repeat(3 << 20));
    client.send(post("/v1/chat/completions", &body)).await;
    assert_eq!(client.answer().await.text(), "ok");
    assert_eq!(seen.recv().await.unwrap().body.len(), body.len());
}

/// A cut session or a truncated answer has no close_notify of TLS, so that a part does not look like the whole.
#[tokio::test]
async fn https_truncated_answer_is_no_clean_end() {
    let ollama = Ollama::new().await;
    let both = Both::new(&ollama.url);
    for cut in [true, false] {
        for version in ["1.0", "1.1"] {
            let mut client = both.client().await;
            client.send(format!("GET /api/tags HTTP/{version}\r\nHost: {NAME}\r\n\r\n")).await;
            let mut upstream = ollama.accept().await;
            upstream.head().await.unwrap();
            upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
            client.head().await.unwrap();
            if cut {
                both.running.revoke();
                assert_eq!(
                    both.running
                        .proxy
                        .port()
                        .sweep()
                        .judge(&[PortMembers { port: 443, members: both.running.members().into() }]),
                    1
                );
                both.running.grant(Vec::new());
            } else {
                drop(upstream);
            }
            let mut rest = Vec::new();
            let ended = soon("the end", client.stream.read_to_end(&mut rest)).await;
            assert!(ended.is_err(), "HTTP/{version}: a clean end after {rest:?}");
        }
    }
    // A whole answer ends with one.
    let mut client = both.client().await;
    client.send(format!("GET /api/tags HTTP/1.0\r\nHost: {NAME}\r\n\r\n")).await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").await;
    let mut whole = Vec::new();
    soon("the end", client.stream.read_to_end(&mut whole)).await.unwrap();
    assert!(whole.ends_with(b"hello"));
}

#[tokio::test]
async fn client_without_tls_gets_no_answer() {
    let ollama = Ollama::new().await;
    let both = Both::new(&ollama.url);
    let mut client = both.raw().await;
    client.send(get("/api/tags")).await;
    let said = client.rest().await;
    assert!(!said.starts_with(b"HTTP") && said.len() < 16, "{said:?}");
    both.running.has(0).await;
    assert!(ollama.untouched().await);
}

#[tokio::test(start_paused = true)]
async fn silent_or_slow_tls_client_times_out() {
    let both = Both::limited("http://127.0.0.1:1", Limits::NONE, Timeouts { idle: SHORT, ..LENIENT });
    let mut silent = both.raw().await;
    assert!(silent.rest().await.is_empty());
    // The beginning of a ClientHello of 512 bytes.
    let mut half = both.raw().await;
    half.send([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await;
    assert!(half.rest().await.is_empty());
    // A slow client has no more time.
    let (mut from, mut to) = tokio::io::split(both.raw().await.stream);
    let drip = async {
        for byte in [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3].iter().chain([0].iter().cycle()) {
            if to.write_all(&[*byte]).await.is_err() {
                break;
            }
            pass(SHORT / 10).await;
        }
        std::future::pending().await
    };
    let mut said = Vec::new();
    tokio::select! {
        ended = soon("the end", from.read_to_end(&mut said)) => assert_eq!(ended.unwrap(), 0),
        never = drip => never,
    }
    // A client that completes the handshake and then sends nothing, or half a head.
    let mut client = both.client().await;
    assert!(client.rest().await.is_empty());
    both.running.has(0).await;
    let both = Both::limited("http://127.0.0.1:1", Limits::NONE, Timeouts { head: SHORT, ..LENIENT });
    let mut client = both.client().await;
    client.send("GET /api/tags HTTP/1.1\r\nHost: ").await;
    assert_eq!(client.answer().await.status(), 408);
    both.running.has(0).await;
}

/// The timeout also holds when the answer is complete and only TLS still holds its last piece.
#[tokio::test]
async fn https_client_that_does_not_read_times_out() {
    let ollama = Ollama::new().await;
    // Long enough for every handshake.
    let idle = Duration::from_secs(3);
    let both = Both::limited(&ollama.url, Limits::NONE, Timeouts { answer: SHORT, idle, ..LENIENT });
    // From sizes that fit in the buffers to sizes far above.
    let sizes: Vec<usize> = (12..=28).map(|n| (n * 8) << 10).chain([2 << 20]).collect();
    let (mut clients, mut answering) = (Vec::new(), tokio::task::JoinSet::new());
    for size in sizes {
        let mut client = both.client().await;
        client.send(get("/api/tags")).await;
        clients.push(client);
        let mut upstream = ollama.accept().await;
        answering.spawn(async move {
            upstream.head().await.unwrap();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n{}", "z".repeat(size));
            let _ = upstream.stream.write_all(answer.as_bytes()).await;
            upstream
        });
    }
    both.running.has(0).await;
}

#[tokio::test]
async fn http_and_https_connections_share_limits_and_are_cut_by_port() {
    let limits = Limits { connections: 2, ..Limits::NONE };
    let both = Both::limited("http://127.0.0.1:1", limits, LENIENT);
    // A handshake is not needed for this.
    let (mut http, mut https) = (both.running.client().await, both.raw().await);
    both.running.has(2).await;
    assert!(both.raw().await.rest().await.is_empty());
    let (lost, kept) = (Vec::new(), both.running.members());
    assert_eq!(
        both.running.proxy.port().sweep().judge(&[
            PortMembers { port: 443, members: lost.into() },
            PortMembers { port: 11434, members: kept.into() }
        ]),
        1
    );
    assert!(https.rest().await.is_empty());
    both.running.has(1).await;
    let stopped = both.running.stop();
    assert!(http.rest().await.is_empty());
    soon("the end", stopped).await.unwrap().unwrap();
}

#[tokio::test]
async fn new_certificate_applies_to_new_connections_only() {
    let (url, _seen) = Ollama::new().await.answering(OK);
    let mut both = Both::new(&url);
    let mut before = both.client().await;
    let new = pair();
    assert_eq!([(); 2].map(|()| both.shown.set(&new.chain, &new.key)), [Ok(true), Ok(false)]);
    assert!(both.offering(&mut [], rustls::DEFAULT_VERSIONS).await.is_err(), "the old one is shown");
    // A certificate that does not match its key changes nothing.
    for (chain, key) in [("", ""), (&*new.chain, ""), (&*new.chain, "x"), (&*new.chain, &*both.pair.key)] {
        assert!(both.shown.set(chain, key).is_err());
    }
    both.pair = new;
    let mut after = both.client().await;
    for client in [&mut before, &mut after] {
        client.send(get("/api/tags")).await;
        assert_eq!(client.answer().await.text(), "ok");
    }
    assert_eq!(format!("{:?}", both.shown), "CurrentCertificate([redacted])");
}

#[tokio::test]
async fn without_a_certificate_no_handshake_succeeds() {
    let (https, incoming) = mpsc::channel(1);
    let (pair, shown) = (pair(), Arc::<CurrentCertificate>::default());
    let ports = |_| DualListener::new().https(Memory(incoming), Arc::clone(&shown), Arc::default()).unwrap();
    let running = Boundary::new("http://127.0.0.1:1").timeouts(LENIENT).start_on(ports);
    let both = Both { running, https, shown, pair };
    assert!(both.offering(&mut [], rustls::DEFAULT_VERSIONS).await.is_err());
    both.running.has(0).await;
    both.shown.set(&both.pair.chain, &both.pair.key).unwrap();
    both.client().await;
}

#[tokio::test]
async fn redirect_leads_to_the_certificates_name() {
    let ollama = Ollama::new().await;
    let running = Boundary::new(&ollama.url).start();
    let (connect_to, incoming) = mpsc::channel(1);
    let (node, status) = watch::channel(NodeStatus::default());
    let port = running.proxy.port().another();
    let redirects = RedirectPort::new(port.clone(), status, 8443);
    tokio::spawn(redirects.serve(Memory(incoming)));
    let ask = async |request: &str| {
        let mut client = connect(&connect_to, "100.64.0.1:11434".parse().unwrap()).await;
        client.send(request).await;
        client.answer().await
    };
    let answer = ask(&get("/api/tags")).await;
    assert_eq!((answer.status(), answer.header("location")), (503, None));
    node.send_modify(|node| {
        let (name, expiry) = (NAME.to_owned(), Some("2030-01-01T00:00:00Z".to_owned()));
        node.certificate = Some(CertificateStatus { name, expiry, fault: None });
    });
    for (request, to) in [
        (get("/v1/models?x=//../@evil.example"), "/v1/models?x=//../@evil.example"),
        (post("/api/pull", "{}"), "/api/pull"),
        ("HEAD /api/tags HTTP/1.0\r\nHost: remote-ollama-proxy\r\n\r\n".to_owned(), "/api/tags"),
    ] {
        let mut client = connect(&connect_to, "100.64.0.1:11434".parse().unwrap()).await;
        client.send(&request).await;
        let head = client.head().await.unwrap();
        assert!(head.contains(" 308 "), "{request}: {head}");
        assert_eq!(header(&head, "location"), Some(&*format!("https://{NAME}:8443{to}")));
    }
    for (request, status) in [
        ("GET //evil.example HTTP/1.1\r\nHost: remote-ollama-proxy\r\n\r\n", 403),
        ("GET http://evil.example/ HTTP/1.1\r\nHost: remote-ollama-proxy\r\n\r\n", 403),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        ("GET / HTTP/1.1\nHost: remote-ollama-proxy\r\n\r\n", 400),
    ] {
        let answer = ask(request).await;
        assert_eq!((answer.status(), answer.header("location")), (status, None), "{request}");
    }
    assert!(running.counted().contains("refused_total{rule=\"https\"} 3"), "{}", running.counted());
    // A peer that may not connect may not be redirected either.
    assert_eq!(
        port.sweep().judge(&[PortMembers { port: 11434, members: Vec::new().into() }]),
        port.sessions().all().len()
    );
    assert!(ollama.untouched().await);
}

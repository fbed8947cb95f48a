//! HTTPS in a real tailnet: certificates from an ACME server that checks DNS, and the same boundary behind them.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::http::*;
use crate::ollama;
use crate::tailnet::{Start, World};

const NAME: &str = "remote-ollama-proxy.tailnet.test";

/// Clients may connect to these ports, and may ping, so that they always see the node.
fn policy(ports: &[&str]) -> Value {
    let ip = [ports, &["icmp:*"]].concat();
    json!({
        "tagOwners": {"tag:ai-server": [], "tag:ai-client": []},
        "grants": [{"src": ["tag:ai-client"], "dst": ["tag:ai-server"], "ip": ip}],
    })
}

/// The proxy with a certificate, and the address from which `laptop` reaches its HTTPS port.
struct Scene {
    world: World,
    at: SocketAddr,
    roots: Arc<RootCertStore>,
}

type Tls = Client<TlsStream<TcpStream>>;

impl Scene {
    /// Starts in a tailnet without HTTPS.
    async fn before(upstream: &str, config: &str) -> Scene {
        let world = World::new(upstream, &format!("https.enabled = true\n{config}")).await;
        world.tailnet.api("PUT", "/policy", policy(&["tcp:11434", "tcp:443"])).await;
        let at = world.tailnet.forward("laptop", "remote-ollama-proxy:443").await;
        let root = world.tailnet.api("GET", "/acme", Value::Null).await["root"].as_str().unwrap().to_owned();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
        Scene { world, at, roots: Arc::new(roots) }
    }

    async fn new(upstream: &str, config: &str) -> Scene {
        let mut scene = Scene::before(upstream, config).await;
        scene.certificates(true).await;
        scene.world.proxy.process.line(&["got a certificate for HTTPS", NAME]).await;
        scene
    }

    /// Switches certificates of the tailnet on or off.
    async fn certificates(&self, on: bool) {
        self.world.tailnet.api("PUT", "/settings", json!({"certificates": on})).await;
    }

    /// A connection with a valid certificate.
    async fn client(&self) -> Tls {
        self.handshake().await.unwrap()
    }

    async fn handshake(&self) -> std::io::Result<Tls> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = soon("a connection", TcpStream::connect(self.at)).await?;
        let name = ServerName::try_from(NAME).unwrap();
        let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream);
        Ok(Client::new(soon("a handshake", shaken).await?))
    }
}

/// The certificate that the client received.
fn shown(client: &Tls) -> CertificateDer<'static> {
    let (_, session) = client.stream.get_ref();
    session.peer_certificates().unwrap()[0].clone().into_owned()
}

fn secure(request: &str) -> String {
    request.replace("Host: remote-ollama-proxy:11434", &format!("Host: {NAME}"))
}

#[tokio::test]
async fn requests_over_https_reach_ollama() {
    let mut scene = Scene::before(ollama::url(), "").await;
    // Without certificates the HTTPS port serves nothing, and HTTP still works.
    scene.world.proxy.process.line(&["switch MagicDNS and HTTPS certificates on"]).await;
    assert!(scene.handshake().await.is_err());
    assert_eq!(scene.world.ask(&get("/api/tags")).await.status(), 200);
    scene.certificates(true).await;
    scene.world.proxy.process.line(&["got a certificate for HTTPS", NAME]).await;

    let mut client = scene.client().await;
    assert_eq!(client.stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    client.send(secure(&get("/api/tags"))).await;
    let answer = client.answer().await;
    assert!(answer.status() == 200 && answer.text().contains("tiny"), "{}", answer.text());
    // A real model's streamed answer.
    let body = json!({"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "stream": true});
    client.send(secure(&post("/v1/chat/completions", &body.to_string()))).await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"));
    let mut pieces = 0;
    while !client.chunk().await.unwrap().is_empty() {
        pieces += 1;
    }
    assert!(pieces > 1, "{pieces}");
    for (request, status) in [
        (get("/api/pull"), 403),
        (get("/%61pi/tags"), 403),
        (get("/api/tags").replace(":11434", ".evil.example"), 421),
        (get("/api/tags").replace("remote-ollama-proxy:11434", &format!("{NAME}:443")), 200),
    ] {
        client.send(&request).await;
        assert_eq!(client.answer().await.status(), status, "{request}");
    }
}

#[tokio::test]
async fn certificate_is_renewed_without_a_restart() {
    let mut scene = Scene::new(ollama::url(), "").await;
    let mut before = scene.client().await;
    let folder = scene.world.tailnet.dir.path().join("proxy-state/certs");
    let pem = std::fs::read_to_string(folder.join(format!("{NAME}.crt"))).unwrap();
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap());
    for file in files.filter(|file| file.file_name() != *format!("{NAME}.crt")) {
        assert_eq!(mode(&file.path()), 0o600, "{file:?}");
    }
    assert_eq!(mode(&folder), 0o700);

    // The ACME server wants a renewal. On request the node serves the old certificate, and renews it in the
    // background.
    scene.world.tailnet.api("POST", "/acme/hurry", json!({"certificate": pem})).await;
    let mut after = found("another certificate", async || {
        assert!(scene.world.run("reload", &[]).await.status.success());
        Some(scene.client().await).filter(|client| shown(client) != shown(&before))
    })
    .await;
    // Earlier connections are not affected.
    for client in [&mut before, &mut after] {
        client.send(secure(&get("/api/tags"))).await;
        assert_eq!(client.answer().await.status(), 200);
    }
    scene.world.proxy.process.line(&["renewed the certificate for HTTPS"]).await;

    // The certificate is reported, and disappears with the node.
    let status =
        scene.world.until("the certificate", "/status", |s| s["node"]["certificate"].is_object()).await;
    let certificate = &status["node"]["certificate"];
    assert_eq!((&certificate["name"], &certificate["fault"]), (&json!(NAME), &Value::Null));
    let expiry = std::time::SystemTime::try_from(
        certificate["expiry"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap(),
    )
    .unwrap();
    let seconds = expiry.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let metrics = scene.world.admin("GET", "/metrics").await;
    let gauge = format!("remote_ollama_proxy_certificate_expiry_timestamp_seconds {seconds}.0\n");
    assert!(metrics.text().contains(&gauge), "{}", metrics.text());
    let said = String::from_utf8(scene.world.run("status", &[]).await.stdout).unwrap();
    assert!(said.contains(&format!("HTTPS      {NAME}, expires ")), "{said}");
    scene.world.proxy.process.signal(rustix::process::Signal::TERM);
    scene.world.proxy.process.ended_with(0).await;
    Start::new(&scene.world.tailnet, ollama::url()).command(&["logout"]).ended_with(0).await;
    assert!(!folder.exists());
}

fn mode(path: &std::path::Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn reason_for_a_missing_certificate_is_reported() {
    let mut scene = Scene::before(ollama::url(), "").await;
    scene.world.tailnet.api("POST", "/acme/refuse", json!({"name": NAME})).await;
    scene.certificates(true).await;
    scene
        .world
        .proxy
        .process
        .line(&["\"WARN\"", "cannot get a certificate", "rejectedIdentifier", "\"5m\""])
        .await;
    let said = String::from_utf8(scene.world.run("status", &[]).await.stdout).unwrap();
    assert!(said.contains("HTTPS      none yet: ") && said.contains("rejectedIdentifier"), "{said}");
    assert!(scene.handshake().await.is_err());
    assert_eq!(scene.world.ask(&get("/api/tags")).await.status(), 200);
}

#[tokio::test]
async fn http_is_redirected_to_https() {
    let mut scene = Scene::before(ollama::url(), "listen.http = \"redirect\"").await;
    // Before HTTPS works, the redirect port refuses.
    let answer = scene.world.ask(&get("/api/tags")).await;
    assert_eq!((answer.status(), answer.header("location")), (503, None));
    let ready = scene.world.admin("GET", "/readyz").await;
    assert_eq!(ready.status(), 503, "{}", ready.head);
    assert!(ready.text().contains("\"certificate\"") && ready.text().contains("HTTPS"), "{}", ready.text());
    assert_eq!(scene.world.run("status", &[]).await.status.code(), Some(69));
    scene.certificates(true).await;
    scene.world.proxy.process.line(&["got a certificate for HTTPS"]).await;
    for target in ["/api/tags", "/v1/models?a=b%20c", "//evil.example/x?y=//z"] {
        let answer = scene.world.ask(&get(target)).await;
        let sound = !target.starts_with("//");
        let to = format!("https://{NAME}{target}");
        assert_eq!(answer.status(), if sound { 308 } else { 403 }, "{target}: {}", answer.head);
        assert_eq!(answer.header("location"), sound.then_some(&*to));
    }
    // The redirect uses no foreign name, and refuses without one.
    let foreign = get("/api/tags").replace("remote-ollama-proxy", "evil.example");
    let answer = scene.world.ask(&foreign).await;
    assert_eq!((answer.status(), answer.header("location")), (421, None));
    let upload =
        "POST /v1/chat/completions HTTP/1.1\r\nHost: remote-ollama-proxy\r\nContent-Length: 9\r\n\r\n{\"a\":";
    assert_eq!(scene.world.ask(upload).await.status(), 308);
    scene
        .world
        .proxy
        .process
        .line(&["\"access\"", "laptop", "/v1/models", "308", "\"https\"", "refused"])
        .await;
    let mut client = scene.client().await;
    client.send(secure(&get("/api/tags"))).await;
    assert_eq!(client.answer().await.status(), 200);
    let said = String::from_utf8(scene.world.run("who", &[]).await.stdout).unwrap();
    assert!(said.starts_with("HTTPS on port 443, ") && said.contains("at ports     443\n"), "{said}");
}

#[tokio::test]
async fn http_can_be_off() {
    let scene = Scene::new(ollama::url(), "listen.http = \"off\"").await;
    let mut client = scene.client().await;
    client.send(secure(&get("/api/tags"))).await;
    assert_eq!(client.answer().await.status(), 200);
    assert_eq!(scene.world.tailnet.dials("laptop", "remote-ollama-proxy:11434").await["ok"], false);
}

#[tokio::test]
async fn peer_revoked_on_one_port_is_cut_only_there() {
    let mut scene = Scene::new(ollama::parallel_url(), "").await;
    let body = json!({"model": "tiny", "messages": [{"role": "user", "content": "go!"}], "stream": true});
    let request = post("/v1/chat/completions", &body.to_string());
    let (mut lost, mut kept) = (scene.client().await, scene.world.connect().await);
    lost.send(secure(&request)).await;
    kept.send(&request).await;
    assert!(lost.head().await.unwrap().starts_with("HTTP/1.1 200"));
    lost.chunk().await.unwrap();
    kept.head().await.unwrap();
    scene.world.tailnet.api("PUT", "/policy", policy(&["tcp:11434"])).await;
    let ended = soon("the end", lost.stream.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_err(), "an end that looks whole");
    kept.chunk().await.unwrap();
    scene.world.proxy.process.line(&["\"revoked\"", "laptop"]).await;
    scene.world.proxy.process.line(&["\"journal\"", "\"lost\"", "\"port\":443"]).await;
    let who = scene.world.until("one port", "/who", |who| who["peers"][0]["ports"] == json!([11434])).await;
    assert_eq!((&who["port"], &who["https_port"]), (&json!(11434), &json!(443)));
    kept.chunk().await.unwrap();
}

#[tokio::test]
async fn https_port_does_not_answer_plain_http() {
    let mut scene = Scene::new(ollama::url(), "").await;
    let mut client = Client::new(TcpStream::connect(scene.at).await.unwrap());
    client.send(get("/api/tags")).await;
    let said = client.rest().await;
    assert!(!said.starts_with(b"HTTP") && said.len() < 16, "{said:?}");
    scene.world.proxy.process.line(&["\"access\"", "TLS handshake failed", "laptop"]).await;
}

//! A part that fails ends the run: running requests are cut, and `run` returns the failure.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::close::Open;
use super::error::RunError;
use super::ollama_port::OllamaPort;
use super::running::Running;
use super::stop::Stop;
use super::tasks::Tasks;
use super::{drain, wait};
use crate::audit::AuditSink;
use crate::auth::Environment;
use crate::listen::{Accepted, Listen};
use crate::ollama::Upstream;
use crate::peer::Peer;
use crate::proxy::Proxy;
use crate::settings::{Settings, Source};
use crate::tailnet::{Authorizer, NodeStatus, Verdict};

/// Turns a hang into a failure. It is below the drain timeout, so that a request that is not cut fails the test.
const PATIENCE: Duration = Duration::from_secs(20);

const LOCAL: ([u8; 4], u16) = ([100, 64, 0, 1], 11434);

/// Admits every peer.
struct AdmitsAll;

impl Authorizer for AdmitsAll {
    fn verdict(&self, _: &Peer, _: SocketAddr) -> Verdict {
        Verdict::Admit { grants: Vec::new() }
    }
}

/// Yields one connection.
struct OneClient(Option<DuplexStream>);

impl Listen for OneClient {
    type Io = DuplexStream;

    async fn accept(&mut self) -> io::Result<Accepted<DuplexStream>> {
        let Some(io) = self.0.take() else { return std::future::pending().await };
        let peer = Peer {
            addr: ([100, 64, 0, 2], 50_000).into(),
            node: "laptop.tailnet.test".to_owned(),
            stable_id: "n2".to_owned(),
            user: Some("anna@example.com".to_owned()),
            tags: Vec::new(),
            os: "linux".to_owned(),
        };
        Ok(Accepted { io, peer, local: LOCAL.into(), peer_gone: Box::new(|| false), abort: Box::new(|| {}) })
    }
}

/// How the part fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fails {
    Panics,
    Ends,
}

/// A proxy with one running request, and a part that fails as soon as it runs.
struct OneRequest {
    running: Running,
    client: DuplexStream,
    /// Ollama's end, which does not answer.
    _ollama: TcpStream,
}

impl OneRequest {
    async fn start(fails: Fails) -> Self {
        let ollama = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config =
            crate::config::load(Some("/dev/null".as_ref()), &[], &Environment::default()).unwrap();
        let upstream = format!("http://{}", ollama.local_addr().unwrap());
        config.upstream = Upstream::parse(&upstream).unwrap();
        assert!(config.shutdown.drain_timeout > PATIENCE);
        let source = Source { load: Box::new(|| unreachable!()), set_log_level: Box::new(|_| {}) };
        let settings = Arc::new(Settings::new(config, source));
        settings.set_names(String::new(), vec![LOCAL.0.into()], Vec::new());
        let audit = Arc::new(AuditSink::new(None, None, None));
        let proxy = Proxy::new(settings.rules(), Arc::new(AdmitsAll), audit);
        let (mut client, io) = tokio::io::duplex(1 << 16);
        let ollama_port = OllamaPort::spawn(proxy, OneClient(Some(io)));
        let node_status = watch::Sender::new(NodeStatus::default());
        let mut running =
            Running { settings, _node_status: node_status, tasks: Tasks::default(), ollama_port };

        client.write_all(b"GET /api/version HTTP/1.1\r\nHost: 100.64.0.1:11434\r\n\r\n").await.unwrap();
        let (mut ollama, _) = timeout(PATIENCE, ollama.accept()).await.unwrap().unwrap();
        ollama.read_u8().await.unwrap();
        running.tasks.spawn_endless("planted", async move {
            assert!(fails == Fails::Ends, "planted");
        });
        OneRequest { running, client, _ollama: ollama }
    }

    /// Asserts that the request is cut without an answer.
    async fn assert_cut(mut self) {
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, self.client.read_to_end(&mut answer)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "");
    }
}

impl Fails {
    fn assert_caused(self, failure: &RunError) {
        let caused = match self {
            Fails::Panics => matches!(failure, RunError::Panicked { part: "planted" }),
            Fails::Ends => matches!(failure, RunError::Ended { part: "planted" }),
        };
        assert!(caused, "{failure}");
    }
}

#[tokio::test]
async fn failed_part_cuts_requests_and_ends_the_run() {
    for fails in [Fails::Panics, Fails::Ends] {
        let mut one = OneRequest::start(fails).await;
        let (stop, mut open) = (Stop::never(), Open::default());
        let ended = wait::wait_for_stop(&mut one.running, &stop, &mut open);
        fails.assert_caused(&timeout(PATIENCE, ended).await.unwrap().unwrap_err());
        one.assert_cut().await;
    }
}

#[tokio::test]
async fn part_that_fails_during_the_drain_cuts_requests_and_ends_the_run() {
    for fails in [Fails::Panics, Fails::Ends] {
        let mut one = OneRequest::start(fails).await;
        let (stop, mut open) = (Stop::never(), Open::default());
        let ended = drain::drain(&mut one.running, &stop, &mut open);
        fails.assert_caused(&timeout(PATIENCE, ended).await.unwrap().err().unwrap());
        one.assert_cut().await;
    }
}

//! A hop in front of Ollama that counts requests and connections.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::http::soon;

/// The beginning of a counted request. No body of a test contains it.
const BEGINNING: &[u8] = b"POST /";

#[derive(Clone, Default)]
struct Counts {
    requests: watch::Sender<u64>,
    open: watch::Sender<u64>,
}

pub(crate) struct Counter {
    pub(crate) at: SocketAddr,
    counts: Counts,
}

impl Counter {
    pub(crate) async fn in_front_of(ollama: &str) -> Counter {
        let to: SocketAddr = ollama.trim_start_matches("http://").parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let counts = Counts::default();
        let shared = counts.clone();
        tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                shared.open.send_modify(|open| *open += 1);
                let counts = shared.clone();
                tokio::spawn(async move {
                    carry(near, to, &counts.requests).await;
                    counts.open.send_modify(|open| *open -= 1);
                });
            }
        });
        Counter { at, counts }
    }

    /// POST requests of which Ollama has at least the beginning.
    pub(crate) fn requests(&self) -> u64 {
        *self.counts.requests.borrow()
    }

    /// Waits for one request more than `before`.
    pub(crate) async fn one_more_than(&self, before: u64) {
        let mut requests = self.counts.requests.subscribe();
        soon("the request at Ollama", requests.wait_for(|requests| *requests > before)).await.unwrap();
    }

    /// Connections to Ollama now.
    pub(crate) fn open(&self) -> u64 {
        *self.counts.open.borrow()
    }

    /// Waits until no connection is open.
    pub(crate) async fn none_open(&self) {
        let mut open = self.counts.open.subscribe();
        soon("the connections to Ollama to be closed", open.wait_for(|open| *open == 0)).await.unwrap();
    }
}

/// Joins two connections. When one ends, both are closed, since the proxy never half-closes.
async fn carry(mut near: TcpStream, to: SocketAddr, requests: &watch::Sender<u64>) {
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    let (mut near_out, mut near_in) = near.split();
    let (mut far_out, mut far_in) = far.split();
    let asks = async {
        let (mut buffer, mut matched) = ([0u8; 4096], 0);
        while let Ok(n @ 1..) = near_out.read(&mut buffer).await {
            for byte in &buffer[..n] {
                matched = if *byte == BEGINNING[matched] {
                    matched + 1
                } else {
                    usize::from(*byte == BEGINNING[0])
                };
                if matched == BEGINNING.len() {
                    requests.send_modify(|requests| *requests += 1);
                    matched = 0;
                }
            }
            if far_in.write_all(&buffer[..n]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = asks => {}
        _ = tokio::io::copy(&mut far_out, &mut near_in) => {}
    }
}

//! A loopback hop in front of Ollama that counts connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::http::soon;

pub(crate) struct Recorder {
    pub(crate) url: String,
    connections: Arc<AtomicU64>,
    open: watch::Receiver<u64>,
}

impl Recorder {
    /// In front of the real Ollama.
    pub(crate) async fn new() -> Recorder {
        Self::in_front_of(crate::ollama::url()).await
    }

    pub(crate) async fn in_front_of(ollama: &str) -> Recorder {
        let to: SocketAddr = ollama.trim_start_matches("http://").parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&connections);
        let (now, open) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                now.send_modify(|open| *open += 1);
                let now = now.clone();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(to).await.unwrap();
                    let (mut near_out, mut near_in) = near.split();
                    let (mut far_out, mut far_in) = far.split();
                    // When one ends, both are closed: the proxy never half-closes, and Ollama does not always end a
                    // half-closed connection.
                    tokio::select! {
                        _ = tokio::io::copy(&mut near_out, &mut far_in) => {}
                        _ = tokio::io::copy(&mut far_out, &mut near_in) => {}
                    }
                    drop((near, far));
                    now.send_modify(|open| *open -= 1);
                });
            }
        });
        Recorder { url, connections, open }
    }

    /// Connections to Ollama so far.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until this many connections to Ollama are open.
    pub(crate) async fn has_open(&self, connections: u64) {
        let what = format!("{connections} open connections to Ollama");
        soon(&what, self.open.clone().wait_for(|open| *open == connections)).await.unwrap();
    }
}

//! Connections over in-memory streams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use remote_ollama_proxy::listen::{Accepted, Listen, PeerGone};
use remote_ollama_proxy::peer::Peer;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::{Notify, mpsc};

use super::peer;
use crate::http::*;

/// A listener whose connections the test sends.
pub(crate) struct Memory(pub(crate) mpsc::Receiver<Accepted<DuplexStream>>);

impl Listen for Memory {
    type Io = DuplexStream;

    async fn accept(&mut self) -> std::io::Result<Accepted<DuplexStream>> {
        match self.0.recv().await {
            Some(accepted) => Ok(accepted),
            None => std::future::pending().await,
        }
    }
}

/// Connects the peer to our address `local`, whose listener receives from `to`.
pub(crate) async fn connect(
    to: &mpsc::Sender<Accepted<DuplexStream>>,
    local: SocketAddr,
) -> Client<DuplexStream> {
    connect_as(peer(), to, local).await
}

/// The same for another peer.
pub(crate) async fn connect_as(
    peer: Peer,
    to: &mpsc::Sender<Accepted<DuplexStream>>,
    local: SocketAddr,
) -> Client<DuplexStream> {
    let (client, near) = tokio::io::duplex(64 << 10);
    let (far, io) = tokio::io::duplex(64 << 10);
    let abort = Arc::new(Notify::new());
    let aborted = Arc::clone(&abort);
    // The network, which `abort` cuts.
    let gone = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&gone);
    tokio::spawn(async move {
        let ((mut from, mut back), (mut away, mut to)) = (tokio::io::split(near), tokio::io::split(far));
        let forth = async {
            let _ = tokio::io::copy(&mut from, &mut to).await;
            over.store(true, Ordering::SeqCst);
            let _ = to.shutdown().await;
        };
        let back = async {
            let _ = tokio::io::copy(&mut away, &mut back).await;
            let _ = back.shutdown().await;
        };
        tokio::select! {
            _ = async { tokio::join!(forth, back) } => {}
            () = aborted.notified() => {}
        }
    });
    let abort = Box::new(move || abort.notify_one());
    let peer_gone: PeerGone = Box::new(move || gone.load(Ordering::SeqCst));
    to.send(Accepted { io, peer, local, peer_gone, abort }).await.unwrap();
    Client::new(client)
}

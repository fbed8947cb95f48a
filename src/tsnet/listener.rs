//! Accepts connections together with the identity of their peers.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;

use serde::Deserialize;
use tokio::net::UnixStream;

use super::ffi::Claim;
use super::identity::Identity;
use super::{Conn, Error};
use crate::listen::{self, Listen};
use crate::peer::Peer;

/// A port of the node's tailnet addresses. Dropping it ends it and resets the connections that wait.
pub struct Listener {
    /// Yields the ids of connections, 8 bytes each.
    ids: UnixStream,
}

/// A connection with its peer and our address.
pub struct PeerConn {
    /// The byte stream.
    pub conn: Conn,
    /// The peer.
    pub peer: Peer,
    /// Our tailnet address and port.
    pub local: SocketAddr,
}

impl Listener {
    pub(super) fn new(fd: OwnedFd) -> Result<Self, Error> {
        let ids =
            UnixStream::from_std(StdStream::from(fd)).map_err(|e| Error::Other(format!("listener: {e}")))?;
        Ok(Listener { ids })
    }

    /// Waits for a connection whose peer the tailnet identifies; any other is never yielded. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Closed`] once the node is closed.
    pub async fn accept(&mut self) -> Result<PeerConn, Error> {
        loop {
            let id = self.next_id().await.map_err(|_| Error::Closed)?;
            let Some((claim, info)) = Claim::new(id) else { continue };
            match identify(claim, &info) {
                Ok(accepted) => return Ok(accepted),
                Err(fault) => {
                    tracing::warn!(%fault, "connection refused: the tailnet library gave no valid identity for the peer");
                }
            }
        }
    }

    async fn next_id(&self) -> io::Result<u64> {
        loop {
            self.ids.readable().await?;
            let mut id = [0; 8];
            match self.ids.try_read(&mut id) {
                // The library writes each id at once.
                Ok(8) => return Ok(u64::from_le_bytes(id)),
                Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// A connection with its peer. Resets the connection if the identity is invalid.
fn identify(claim: Claim, info: &str) -> Result<PeerConn, Error> {
    #[derive(Deserialize)]
    struct Info {
        remote: SocketAddr,
        local: SocketAddr,
        #[serde(flatten)]
        identity: Identity,
    }
    let conn = Conn::new(claim);
    let identified = serde_json::from_str(info)
        .map_err(|e| Error::Other(format!("parse connection info: {e}")))
        .and_then(|Info { remote, local, identity }| Ok((identity.into_peer(remote)?, local)));
    match identified {
        Ok((peer, local)) => Ok(PeerConn { conn, peer, local }),
        Err(fault) => {
            conn.abort();
            Err(fault)
        }
    }
}

impl Listen for Listener {
    type Io = Conn;

    async fn accept(&mut self) -> io::Result<listen::Accepted<Conn>> {
        let PeerConn { conn, peer, local } = Listener::accept(self).await.map_err(io::Error::other)?;
        let aborter = conn.aborter();
        let (gone, abort) = (aborter.clone(), Box::new(move || aborter.abort()));
        Ok(listen::Accepted { io: conn, peer, local, peer_gone: Box::new(move || gone.peer_closed()), abort })
    }
}

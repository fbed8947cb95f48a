//! Accepting connections together with who is speaking.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use serde::Deserialize;
use tokio::io::unix::AsyncFd;

use super::ffi::{self, AcceptSlot, Accepted};
use super::{Conn, Error};
use crate::listen::{self, Listen};
use crate::peer::Peer;

/// A port of the node's tailnet addresses. Dropping it ends it and resets what waits.
pub struct Listener {
    fd: AsyncFd<OwnedFd>,
    slot: AcceptSlot,
}

impl Listener {
    pub(super) fn new(fd: OwnedFd) -> Result<Self, Error> {
        let fault = |e: io::Error| Error::Other(format!("listener: {e}"));
        rustix::io::ioctl_fionbio(&fd, true).map_err(|e| fault(e.into()))?;
        let fd = ffi::watch(fd).map_err(fault)?;
        Ok(Listener { fd, slot: AcceptSlot::new() })
    }

    /// Waits for a connection whose peer the tailnet knows; any other never comes out.
    ///
    /// # Errors
    /// [`Error::Closed`] once the node is closed.
    pub async fn accept(&mut self) -> Result<(Conn, Peer), Error> {
        loop {
            let mut ready = self.fd.readable().await.map_err(|_| Error::Closed)?;
            let Some(accepted) = self.slot.accept(ready.get_inner().as_fd())? else {
                ready.clear_ready();
                continue;
            };
            // Owned from here on: whatever fails below also closes and releases it.
            match introduce(accepted) {
                Ok(introduced) => return Ok(introduced),
                Err(fault) => {
                    tracing::warn!(%fault, "connection refused: the tailnet library gave no valid identity for the peer");
                }
            }
        }
    }
}

/// A connection with its peer; without one it is broken.
fn introduce(accepted: Accepted) -> Result<(Conn, Peer), Error> {
    let remote = &accepted.remote;
    let peer = remote
        .parse()
        .map_err(|e| Error::Other(format!("peer address {remote:?}: {e}")))
        .and_then(|addr| parse_peer(&accepted.identity, addr));
    let conn = Conn::new(accepted)?;
    match peer {
        Ok(peer) => Ok((conn, peer)),
        Err(fault) => {
            conn.abort();
            Err(fault)
        }
    }
}

impl Listen for Listener {
    type Io = Conn;

    async fn accept(&mut self) -> io::Result<listen::Accepted<Conn>> {
        let (io, peer) = Listener::accept(self).await.map_err(io::Error::other)?;
        let (local, aborter) = (io.local_addr(), io.aborter());
        let (left, abort) = (aborter.clone(), Box::new(move || aborter.abort()));
        Ok(listen::Accepted { io, peer, local, left: Box::new(move || left.peer_left()), abort })
    }
}

/// Reads the library's identity JSON. Fails closed: an owner or tags must be there.
pub(super) fn parse_peer(json: &str, addr: SocketAddr) -> Result<Peer, Error> {
    #[derive(Deserialize)]
    struct Identity {
        node: String,
        stable_id: String,
        user: Option<String>,
        #[serde(default)]
        tags: Vec<String>,
        #[serde(default)]
        os: String,
    }
    let id: Identity = serde_json::from_str(json)
        .map_err(|e| Error::Other(format!("identity of the peer at {addr}: {e}")))?;
    if id.stable_id.is_empty() || id.user.is_some() != id.tags.is_empty() {
        return Err(Error::Other(format!("the peer at {addr} has neither an owner nor tags")));
    }
    Ok(Peer { addr, node: id.node, stable_id: id.stable_id, user: id.user, tags: id.tags, os: id.os })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDR: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(100, 64, 0, 2)), 4711);

    #[test]
    fn a_user_or_tags_but_never_neither_or_both() {
        let peer = parse_peer(r#"{"node":"a","stable_id":"n1","user":"u@x","addresses":[]}"#, ADDR).unwrap();
        assert_eq!(peer.user.as_deref(), Some("u@x"));
        let peer =
            parse_peer(r#"{"node":"a","stable_id":"n1","tags":["tag:t"],"os":"linux"}"#, ADDR).unwrap();
        assert_eq!((peer.user, peer.tags), (None, vec!["tag:t".to_owned()]));
        for bad in [
            "",
            "{}",
            r#"{"node":"a","stable_id":"n1"}"#,
            r#"{"node":"a","stable_id":"","user":"u@x"}"#,
            r#"{"node":"a","stable_id":"n1","user":"u@x","tags":["tag:t"]}"#,
        ] {
            assert!(parse_peer(bad, ADDR).is_err(), "{bad}");
        }
    }
}

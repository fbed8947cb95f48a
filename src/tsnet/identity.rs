//! The identity of a peer as the library writes it.

use std::net::SocketAddr;

use serde::Deserialize;

use super::Error;
use crate::peer::Peer;

/// Identity of a peer: an owner or tags.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Identity {
    pub(super) node: String,
    pub(super) stable_id: String,
    pub(super) user: Option<String>,
    #[serde(default)]
    pub(super) tags: Vec<String>,
    #[serde(default)]
    pub(super) os: String,
}

impl Identity {
    /// The peer at `addr`. Fails closed unless there is either an owner or tags.
    pub(super) fn into_peer(self, addr: SocketAddr) -> Result<Peer, Error> {
        let Identity { node, stable_id, user, tags, os } = self;
        if stable_id.is_empty() || user.is_some() != tags.is_empty() {
            return Err(Error::Other(format!("the peer at {addr} has neither an owner nor tags")));
        }
        Ok(Peer { addr, node, stable_id, user, tags, os })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(json: &str) -> Option<Peer> {
        serde_json::from_str::<Identity>(json).ok()?.into_peer(([100, 64, 0, 2], 4711).into()).ok()
    }

    #[test]
    fn peer_has_either_a_user_or_tags() {
        let user = peer(r#"{"node":"a","stable_id":"n1","user":"u@x"}"#).unwrap();
        assert_eq!(user.user.as_deref(), Some("u@x"));
        let tagged = peer(r#"{"node":"a","stable_id":"n1","tags":["tag:t"],"os":"linux"}"#).unwrap();
        assert_eq!((tagged.user, tagged.tags), (None, vec!["tag:t".to_owned()]));
        for bad in [
            "",
            "{}",
            r#"{"node":"a","stable_id":"n1"}"#,
            r#"{"node":"a","stable_id":"","user":"u@x"}"#,
            r#"{"node":"a","stable_id":"n1","user":"u@x","tags":["tag:t"]}"#,
        ] {
            assert_eq!(peer(bad), None, "{bad}");
        }
    }
}

//! The configuration of a node.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::ffi::Handle;
use super::{Error, Node};

/// Configures and makes a [`Node`]. Unset fields have the library's defaults.
#[derive(Default, Clone, Serialize)]
pub struct Builder {
    hostname: String,
    dir: String,
    auth_key: Option<String>,
    client_secret: Option<String>,
    control_url: Option<String>,
    tags: Vec<String>,
    ephemeral: bool,
    port_mapping: bool,
    start_offline: bool,
}

impl Builder {
    /// A node with the library's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wanted name in the tailnet: one DNS label. The tailnet appends `-1` and so on if it is taken.
    pub fn hostname(mut self, name: &str) -> Self {
        name.clone_into(&mut self.hostname);
        self
    }

    /// Folder for the node's keys; made with mode 0700 if absent. One process at a time may use it.
    pub fn state_dir(mut self, dir: &Path) -> Self {
        self.dir = dir.to_string_lossy().into_owned();
        self
    }

    /// Auth key for the first start; ignored once the state folder holds a node.
    pub fn auth_key(mut self, key: Option<&str>) -> Self {
        self.auth_key = key.map(str::to_owned);
        self
    }

    /// OAuth client secret that is exchanged for an auth key; needs [`tags`](Self::tags).
    pub fn client_secret(mut self, secret: Option<&str>) -> Self {
        self.client_secret = secret.map(str::to_owned);
        self
    }

    /// Control server; `None` means Tailscale's own.
    pub fn control_url(mut self, url: Option<&str>) -> Self {
        self.control_url = url.map(str::to_owned);
        self
    }

    /// Tags to advertise, each `tag:name`.
    pub fn tags(mut self, tags: &[String]) -> Self {
        self.tags = tags.to_vec();
        self
    }

    /// Whether the tailnet removes the node when it goes offline.
    pub fn ephemeral(mut self, on: bool) -> Self {
        self.ephemeral = on;
        self
    }

    /// Whether to ask the router for a port (UPnP, NAT-PMP, PCP). Off: the node sends the router nothing.
    pub fn port_mapping(mut self, on: bool) -> Self {
        self.port_mapping = on;
        self
    }

    /// Whether a stored node comes up with a cached netmap, if there is one, before the control server has
    /// answered.
    pub fn start_offline(mut self, on: bool) -> Self {
        self.start_offline = on;
        self
    }

    /// Makes the node. It uses the network once [`Node::up`] is called.
    ///
    /// # Errors
    /// Failures of the library.
    pub fn build(self) -> Result<Node, Error> {
        let config = serde_json::to_string(&self)
            .map_err(|e| Error::Other(format!("encode config of the node: {e}")))?;
        Ok(Node::new(Handle::new(&config)?))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redacted = |secret: &Option<String>| secret.as_ref().map(|_| "[redacted]");
        f.debug_struct("Builder")
            .field("hostname", &self.hostname)
            .field("dir", &self.dir)
            .field("auth_key", &redacted(&self.auth_key))
            .field("client_secret", &redacted(&self.client_secret))
            .field("control_url", &self.control_url)
            .field("tags", &self.tags)
            .field("ephemeral", &self.ephemeral)
            .field("port_mapping", &self.port_mapping)
            .field("start_offline", &self.start_offline)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn failures_of_the_library_are_errors() {
        let node = Builder::new().build().unwrap();
        let access = || node.check_access([100, 64, 0, 2].into(), ([100, 64, 0, 1], 80).into());
        assert_eq!(access(), Err(Error::Other("the node has not started".to_owned())));
        node.close().await;
        assert_eq!(access(), Err(Error::Closed));
        assert_eq!(node.listen(80).await.err(), Some(Error::Closed));
    }

    #[test]
    fn debug_redacts_credentials() {
        let builder = Builder::new().auth_key(Some("tskey-auth-1")).client_secret(Some("tskey-client-2"));
        let shown = format!("{builder:?}");
        assert!(shown.contains("[redacted]") && !shown.contains("tskey"), "{shown}");
    }
}

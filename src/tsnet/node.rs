//! The node: what it is to be, coming up, and what it knows of itself and its peers.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::task::spawn_blocking;

use super::ffi::{Handle, Opt};
use super::listener::{Listener, parse_peer};
use super::{Conn, Error, Events};
use crate::peer::Peer;

/// What a node is to be.
#[derive(Default, Clone)]
pub struct Builder {
    hostname: Option<String>,
    state_dir: Option<PathBuf>,
    auth_key: Option<String>,
    client_secret: Option<String>,
    control_url: Option<String>,
    tags: Vec<String>,
    ephemeral: bool,
    port_mapping: bool,
}

impl Builder {
    /// A node with the library's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Name wanted in the tailnet: one DNS label. The tailnet appends `-1` and so on if it is taken.
    pub fn hostname(mut self, name: &str) -> Self {
        self.hostname = Some(name.to_owned());
        self
    }

    /// Folder for the node's keys; made 0700 if absent. One process at a time may use it.
    pub fn state_dir(mut self, dir: &Path) -> Self {
        self.state_dir = Some(dir.to_owned());
        self
    }

    /// Auth key for the first start; ignored once the state folder holds a node.
    pub fn auth_key(mut self, key: Option<&str>) -> Self {
        self.auth_key = key.map(str::to_owned);
        self
    }

    /// OAuth client secret that auth keys are made from; needs [`tags`](Self::tags).
    pub fn client_secret(mut self, secret: Option<&str>) -> Self {
        self.client_secret = secret.map(str::to_owned);
        self
    }

    /// Control server; `None` is Tailscale's own.
    pub fn control_url(mut self, url: Option<&str>) -> Self {
        self.control_url = url.map(str::to_owned);
        self
    }

    /// Tags to advertise, each `tag:name`.
    pub fn tags(mut self, tags: &[String]) -> Self {
        self.tags = tags.to_vec();
        self
    }

    /// Whether the tailnet forgets the node when it goes offline.
    pub fn ephemeral(mut self, on: bool) -> Self {
        self.ephemeral = on;
        self
    }

    /// Whether to ask the router for a port (UPnP, NAT-PMP, PCP). Off: nothing is sent to it.
    pub fn port_mapping(mut self, on: bool) -> Self {
        self.port_mapping = on;
        self
    }

    /// Makes the node. Nothing happens on the network before [`Node::up`].
    ///
    /// # Errors
    /// A value with a NUL byte.
    pub fn build(self) -> Result<Node, Error> {
        let handle = Handle::new();
        let state_dir = self.state_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned());
        let tags = (!self.tags.is_empty()).then(|| self.tags.join(","));
        for (option, value) in [
            (Opt::Hostname, &self.hostname),
            (Opt::Dir, &state_dir),
            (Opt::AuthKey, &self.auth_key),
            (Opt::ClientSecret, &self.client_secret),
            (Opt::ControlUrl, &self.control_url),
            (Opt::Tags, &tags),
        ] {
            if let Some(value) = value {
                handle.set(option, value)?;
            }
        }
        handle.set_ephemeral(self.ephemeral)?;
        handle.set_port_mapping(self.port_mapping)?;
        Ok(Node { handle: Arc::new(handle) })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redacted = |secret: &Option<String>| secret.as_ref().map(|_| "[redacted]");
        f.debug_struct("Builder")
            .field("hostname", &self.hostname)
            .field("state_dir", &self.state_dir)
            .field("auth_key", &redacted(&self.auth_key))
            .field("client_secret", &redacted(&self.client_secret))
            .field("control_url", &self.control_url)
            .field("tags", &self.tags)
            .field("ephemeral", &self.ephemeral)
            .field("port_mapping", &self.port_mapping)
            .finish()
    }
}

/// What a node that is up knows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// MagicDNS name without the final dot; empty in a tailnet without MagicDNS.
    pub dns_name: String,
    /// Tailnet addresses: usually one IPv4 and one IPv6.
    pub addresses: Vec<IpAddr>,
}

/// A member of a tailnet. Closed when dropped; [`close`](Node::close) waits for it.
pub struct Node {
    handle: Arc<Handle>,
}

impl Node {
    /// Starts the node and waits until it is a working member of the tailnet, for at most
    /// `deadline`. Dropping the future cancels it.
    ///
    /// # Errors
    /// At once when waiting can't help (a refused key, a login, an approval, required logging, an
    /// unusable state folder), [`Error::ControlUnreachable`] at the deadline.
    pub async fn up(&self, deadline: Duration) -> Result<Status, Error> {
        let cancel = CancelUp(Some(&self.handle));
        self.blocking(move |handle| handle.up(deadline)).await?;
        cancel.done();
        self.status().await
    }

    /// The node's name and addresses.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn status(&self) -> Result<Status, Error> {
        let json = self.blocking(Handle::status).await?;
        serde_json::from_str(&json).map_err(|e| Error::Other(format!("status of the tailnet node: {e}")))
    }

    /// Listens on `port` of the node's IPv4 and IPv6 tailnet addresses.
    ///
    /// # Errors
    /// [`Error::Closed`], or the library's words.
    pub async fn listen(&self, port: u16) -> Result<Listener, Error> {
        let fd = self.blocking(move |handle| handle.listen(&format!(":{port}"))).await?;
        Listener::new(fd)
    }

    /// Connects to `addr`, `name:port` or `ip:port`, in the tailnet within 30 seconds.
    ///
    /// # Errors
    /// The library's words.
    pub async fn dial(&self, addr: &str) -> Result<Conn, Error> {
        let addr = addr.to_owned();
        let dialled = self.blocking(move |handle| handle.dial(&addr)).await?;
        Conn::new(dialled.fd, dialled.id, &dialled.local)
    }

    /// Who is at a tailnet address.
    ///
    /// # Errors
    /// No visible peer has the address.
    pub async fn whois(&self, addr: SocketAddr) -> Result<Peer, Error> {
        let json = self.blocking(move |handle| handle.whois(&addr.to_string())).await?;
        parse_peer(&json, addr)
    }

    /// Whether the tailnet policy, as it stands now, lets `src` connect to our address `dst`.
    ///
    /// # Errors
    /// [`Error::Closed`], or the node has not started.
    pub fn check_access(&self, src: IpAddr, dst: SocketAddr) -> Result<bool, Error> {
        self.handle.check_access(&src.to_string(), &dst.to_string())
    }

    /// Changes in the node's life, the present situation first.
    ///
    /// # Errors
    /// [`Error::Closed`], or the library's words.
    pub async fn events(&self) -> Result<Events, Error> {
        Events::new(self.blocking(Handle::events).await?)
    }

    /// Stops the node: its connections and listeners end.
    pub async fn close(self) {
        // The result is that of a call that can't fail.
        let _ = self
            .blocking(|handle| {
                handle.close();
                Ok(())
            })
            .await;
    }

    /// Calls into the library wait, so they run on a thread that may.
    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Handle) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let handle = Arc::clone(&self.handle);
        match spawn_blocking(move || call(&handle)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Closed), // the runtime is shutting down
        }
    }
}

/// Cancels a running `up` unless it is done.
struct CancelUp<'a>(Option<&'a Handle>);

impl CancelUp<'_> {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelUp<'_> {
    fn drop(&mut self) {
        if let Some(handle) = self.0 {
            handle.cancel_up();
        }
    }
}

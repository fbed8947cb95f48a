//! The node: joins the tailnet and answers about its peers.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::task::spawn_blocking;

use super::ffi::Handle;
use super::{Certificate, Error, Events, Listener, Status, netmap};
use crate::tailnet::Member;

/// The outcome of [`Node::logout`]. The stored state is removed in any case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LogoutResult {
    /// Whether there was a node.
    pub stored: bool,
    /// Why the control server was not told.
    #[serde(default)]
    pub error: Option<String>,
}

/// A node of a tailnet. Dropping it closes it in the background; [`close`](Node::close) waits.
pub struct Node {
    handle: Arc<Handle>,
}

impl Node {
    pub(super) fn new(handle: Handle) -> Self {
        Node { handle: Arc::new(handle) }
    }

    /// Starts the node and waits until it is a working member of the tailnet. Dropping the future cancels.
    ///
    /// # Errors
    /// At once if only a user can help: a rejected key, a login, an approval, required logging, an unusable
    /// state folder. [`Error::ControlUnreachable`] after `deadline`.
    pub async fn up(&self, deadline: Duration) -> Result<Status, Error> {
        let fault = |e: io::Error| Error::Other(format!("read the outcome of coming up: {e}"));
        let fd = self.handle.begin_up(deadline)?;
        let mut outcome = UnixStream::from_std(StdStream::from(fd)).map_err(fault)?;
        let mut json = Vec::new();
        outcome.read_to_end(&mut json).await.map_err(fault)?;
        Status::from_outcome(&json)
    }

    /// Listens on `port` of the node's IPv4 and IPv6 tailnet addresses.
    ///
    /// # Errors
    /// [`Error::Closed`], or the port already has a listener.
    pub async fn listen(&self, port: u16) -> Result<Listener, Error> {
        Listener::new(self.blocking(move |handle| handle.listen(port)).await?)
    }

    /// Delivers connections to `port` at the addresses of a Tailscale Service to the listener on that port,
    /// with the Service's address as the local one. `name` is `svc:` and a DNS label. A node hosts at most one
    /// Service.
    ///
    /// # Errors
    /// [`Error::Closed`], an invalid name, or the node is not up.
    pub async fn host_service(&self, name: &str, port: u16) -> Result<(), Error> {
        let name = name.to_owned();
        self.blocking(move |handle| handle.host_service(&name, port)).await
    }

    /// Starts or stops advertising the hosted Service. It is off at first. Connections that arrive while it is
    /// off are still accepted.
    ///
    /// # Errors
    /// [`Error::Closed`], or the node hosts no Service.
    pub async fn advertise_service(&self, on: bool) -> Result<(), Error> {
        self.blocking(move |handle| handle.advertise_service(on)).await
    }

    /// Whether the current tailnet policy lets `src` connect to our address `dst`.
    ///
    /// # Errors
    /// [`Error::Closed`], or the node has not started.
    pub fn check_access(&self, src: IpAddr, dst: SocketAddr) -> Result<bool, Error> {
        self.handle.check_access(&src.to_string(), &dst.to_string())
    }

    /// The app capabilities that the current tailnet policy grants to `src` at our address `dst`: a JSON object
    /// of arrays, as in the policy's `app` fields.
    /// Source: Tailscale documentation, "Grants".
    ///
    /// # Errors
    /// [`Error::Closed`], or the node has not started.
    pub fn capabilities(&self, src: IpAddr, dst: SocketAddr) -> Result<serde_json::Value, Error> {
        let json = self.handle.capabilities(&src.to_string(), &dst.to_string())?;
        serde_json::from_str(&json).map_err(|e| Error::Other(format!("parse capabilities: {e} (peer={src})")))
    }

    /// All peers of one netmap, for each of our TCP `ports`: whether the port admits them, and what the tailnet
    /// policy grants them under the app capability `capability`.
    ///
    /// # Errors
    /// [`Error::Closed`], or the node has not started.
    pub async fn members(
        &self,
        ports: Vec<u16>,
        capability: &str,
    ) -> Result<BTreeMap<u16, Vec<Member>>, Error> {
        let capability = capability.to_owned();
        // Parsed on the same thread: for a large tailnet that takes too long for an async task.
        self.blocking(move |handle| {
            let json = handle.peers(&ports, &capability)?;
            netmap::parse(&json, &ports).map_err(|e| Error::Other(format!("parse peers: {e}")))
        })
        .await
    }

    /// The certificate for `name`, one of [`Status::cert_domains`]: the stored one, or a new one from the ACME
    /// server, within `deadline`. A stored certificate that is due for renewal is renewed in the background,
    /// for a later call; one that is valid for less than `at_least` is renewed first.
    ///
    /// # Errors
    /// [`Error::Closed`], or failures of the ACME server and the control server.
    pub async fn certificate(
        &self,
        name: &str,
        at_least: Duration,
        deadline: Duration,
    ) -> Result<Certificate, Error> {
        let name = name.to_owned();
        let json = self.blocking(move |handle| handle.certificate(&name, at_least, deadline)).await?;
        Certificate::parse(&json)
    }

    /// Logs a stored node out at the control server, within `deadline`, and removes its stored state. This node
    /// must not have started.
    ///
    /// # Errors
    /// [`Error::StateUnusable`], also while another process runs the node.
    pub async fn logout(&self, deadline: Duration) -> Result<LogoutResult, Error> {
        let json = self.blocking(move |handle| handle.logout(deadline)).await?;
        serde_json::from_str(&json).map_err(|e| Error::Other(format!("parse the outcome of logout: {e}")))
    }

    /// Changes of the node, the current state first.
    ///
    /// # Errors
    /// [`Error::Closed`], or the node can't start.
    pub async fn events(&self) -> Result<Events, Error> {
        Events::new(self.blocking(Handle::events).await?)
    }

    /// Stops the node: its connections and listeners end.
    pub async fn close(&self) {
        let handle = Arc::clone(&self.handle);
        // An error means that the runtime is shutting down.
        let _ = spawn_blocking(move || handle.close()).await;
    }

    /// Runs a call of the library that blocks.
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

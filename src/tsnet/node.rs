//! The node: what it is to be, coming up, and what it knows of itself and its peers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::task::spawn_blocking;

use super::ffi::{Handle, Opt, error_of};
use super::listener::{Listener, parse_peer};
use super::{Conn, Error, Events, netmap};
use crate::peer::Peer;
use crate::tailnet::Member;

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
    start_offline: bool,
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

    /// Whether a stored node is up by the netmap of an earlier day, if the tailnet had it keep one,
    /// before the control server has answered.
    pub fn start_offline(mut self, on: bool) -> Self {
        self.start_offline = on;
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
        handle.set_start_offline(self.start_offline)?;
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
            .field("start_offline", &self.start_offline)
            .finish()
    }
}

/// What a node that is up knows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Status {
    /// MagicDNS name without the final dot; empty in a tailnet without MagicDNS.
    pub dns_name: String,
    /// Tailnet addresses: usually one IPv4 and one IPv6.
    pub addresses: Vec<IpAddr>,
    /// Those of the Service that it hosts; none before the tailnet has approved it as a host.
    #[serde(default)]
    pub service_addresses: Vec<IpAddr>,
    /// The names for which it can have certificates; none where HTTPS is off in the tailnet.
    #[serde(default)]
    pub cert_domains: Vec<String>,
    /// Whether names of nodes resolve in the tailnet (MagicDNS).
    #[serde(default)]
    pub magic_dns: bool,
    /// Login name of its owner; absent for a tagged node.
    #[serde(default)]
    pub user: Option<String>,
    /// Tags; empty for a user's node.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether it was in the state folder already, and is used as it was.
    #[serde(default)]
    pub stored: bool,
}

/// The certificate for a name of the node's, with its key.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Certificate {
    /// In PEM, the certificate itself first.
    pub chain: String,
    /// In PEM.
    pub key: String,
    /// From when on it is valid, as RFC 3339.
    pub issued: String,
    /// Until when.
    pub expiry: String,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Certificate { issued, expiry, .. } = self;
        f.debug_struct("Certificate")
            .field("issued", issued)
            .field("expiry", expiry)
            .field("key", &"[redacted]")
            .finish_non_exhaustive()
    }
}

/// How logging out went. In any case nothing is left of the node here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Farewell {
    /// Whether there was a node.
    pub stored: bool,
    /// Why the control server could not be told of its end.
    #[serde(default)]
    pub error: Option<String>,
}

/// A member of a tailnet. Closed in the background when dropped; [`close`](Node::close) waits for
/// it.
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
        let fault = |e: io::Error| Error::Other(format!("coming up: {e}"));
        let fd = self.handle.begin_up(deadline)?;
        let mut outcome = UnixStream::from_std(StdStream::from(fd)).map_err(fault)?;
        let mut json = Vec::new();
        outcome.read_to_end(&mut json).await.map_err(fault)?;
        parse_outcome(&json)
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

    /// Has connections to `port` of a Tailscale Service's addresses come out of the listener on that
    /// port, with the address as the local one. `name` is `svc:` and a DNS label. A node hosts one
    /// Service.
    ///
    /// # Errors
    /// The node is not up, or the library's words.
    pub async fn host_service(&self, name: &str, port: u16) -> Result<(), Error> {
        let name = name.to_owned();
        self.blocking(move |handle| handle.host_service(&name, port)).await
    }

    /// Tells the tailnet whether clients of that Service may be led here; not so until it is told. Who
    /// comes nevertheless is accepted as before.
    ///
    /// # Errors
    /// No Service is hosted, or the library's words.
    pub async fn advertise_service(&self, on: bool) -> Result<(), Error> {
        self.blocking(move |handle| handle.advertise_service(on)).await
    }

    /// Connects to `addr`, `name:port` or `ip:port`, in the tailnet within 30 seconds. Dropping the
    /// future gives up the connection, but not the attempt.
    ///
    /// # Errors
    /// The library's words.
    pub async fn dial(&self, addr: &str) -> Result<Conn, Error> {
        let addr = addr.to_owned();
        Conn::new(self.blocking(move |handle| handle.dial(&addr)).await?)
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

    /// The app capabilities that the tailnet policy, as it stands now, grants to `src` at our
    /// address `dst`: a JSON object of arrays, as written in the policy's `app` fields.
    /// Source: Tailscale documentation, "Grants".
    ///
    /// # Errors
    /// [`Error::Closed`], or the node has not started.
    pub fn capabilities(&self, src: IpAddr, dst: SocketAddr) -> Result<serde_json::Value, Error> {
        let json = self.handle.capabilities(&src.to_string(), &dst.to_string())?;
        serde_json::from_str(&json).map_err(|e| Error::Other(format!("capabilities of {src}: {e}")))
    }

    /// Everybody in the netmap, with access to each of our TCP `ports` and what the tailnet policy
    /// grants under the app capability `capability`; all by one netmap.
    ///
    /// # Errors
    /// [`Error::Closed`], or the library's words.
    pub async fn members(
        &self,
        ports: Vec<u16>,
        capability: &str,
    ) -> Result<BTreeMap<u16, Vec<Member>>, Error> {
        let capability = capability.to_owned();
        // Parsed on the same thread: in a large tailnet that takes longer than a task may.
        self.blocking(move |handle| {
            let json = handle.peers(&ports, &capability)?;
            netmap::parse(&json, &ports).map_err(|e| Error::Other(format!("peers of the tailnet: {e}")))
        })
        .await
    }

    /// The certificate for `name`, one of [`Status::cert_domains`]: the stored one, or else a new one, for
    /// which the ACME server is asked, for at most `deadline`. A stored one that it is time to renew is
    /// renewed in the background, for a later call; one that is valid for less than `at_least` is renewed
    /// first.
    ///
    /// # Errors
    /// [`Error::Closed`], or the words of the library and of the ACME server.
    pub async fn certificate(
        &self,
        name: &str,
        at_least: Duration,
        deadline: Duration,
    ) -> Result<Certificate, Error> {
        let name = name.to_owned();
        let json = self.blocking(move |handle| handle.certificate(&name, at_least, deadline)).await?;
        // Not the parser's words, which may quote what they are about.
        serde_json::from_str(&json).map_err(|_| Error::Other("a certificate that can't be read".to_owned()))
    }

    /// Ends a stored node: tells the control server, for at most `deadline`, and removes what is
    /// stored of it. This node must not have started.
    ///
    /// # Errors
    /// [`Error::StateUnusable`], also while another process runs the node.
    pub async fn logout(&self, deadline: Duration) -> Result<Farewell, Error> {
        let json = self.blocking(move |handle| handle.logout(deadline)).await?;
        serde_json::from_str(&json).map_err(|e| Error::Other(format!("logging out: {e}")))
    }

    /// Changes in the node's life, the present situation first.
    ///
    /// # Errors
    /// [`Error::Closed`], or the library's words.
    pub async fn events(&self) -> Result<Events, Error> {
        Events::new(self.blocking(Handle::events).await?)
    }

    /// Stops the node: its connections and listeners end.
    pub async fn close(&self) {
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

/// How coming up ended, in the library's JSON. No answer: the node was closed.
fn parse_outcome(json: &[u8]) -> Result<Status, Error> {
    #[derive(Deserialize)]
    struct Outcome {
        kind: i32,
        #[serde(default)]
        error: String,
        #[serde(default)]
        login_url: String,
        status: Option<Status>,
    }
    if json.is_empty() {
        return Err(Error::Closed);
    }
    let outcome: Outcome = serde_json::from_slice(json)
        .map_err(|e| Error::Other(format!("answer of the tailnet node that is coming up: {e}")))?;
    outcome.status.ok_or_else(|| error_of(outcome.kind, outcome.error, outcome.login_url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_told_apart() {
        let up = parse_outcome(br#"{"kind":0,"status":{"dns_name":"n.t","addresses":["100.64.0.1"]}}"#);
        assert_eq!(up.unwrap().dns_name, "n.t");
        let reason = || "why".to_owned();
        for (kind, error) in [
            (2, Error::Closed),
            (3, Error::Canceled),
            (4, Error::KeyInvalid { reason: reason() }),
            (5, Error::KeyExpired { reason: reason() }),
            (6, Error::LoginNeeded { url: "https://c/a/1".to_owned() }),
            (7, Error::ApprovalPending),
            (8, Error::ControlUnreachable { reason: reason() }),
            (9, Error::LoggingRequired),
            (10, Error::StateUnusable { reason: reason() }),
            (11, Error::ExchangeFailed { reason: reason() }),
            (1, Error::Other(reason())),
        ] {
            let json = format!(r#"{{"kind":{kind},"error":"why","login_url":"https://c/a/1"}}"#);
            assert_eq!(parse_outcome(json.as_bytes()), Err(error), "kind {kind}");
        }
        assert_eq!(parse_outcome(b""), Err(Error::Closed));
    }

    #[test]
    fn secrets_are_redacted() {
        let builder = Builder::new().auth_key(Some("tskey-auth-1")).client_secret(Some("tskey-client-2"));
        let shown = format!("{builder:?}");
        assert!(shown.contains("[redacted]") && !shown.contains("tskey"), "{shown}");
        let pair = r#"{"chain":"c","key":"hidden","issued":"i","expiry":"e"}"#;
        let shown = format!("{:?}", serde_json::from_str::<Certificate>(pair).unwrap());
        assert!(shown.contains("[redacted]") && !shown.contains("hidden"), "{shown}");
    }
}

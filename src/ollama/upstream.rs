//! The address of Ollama, which is on this machine, and how to connect to it.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use http::HeaderValue;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use tokio::net::{TcpStream, UnixStream};

use super::stream::{OllamaStream, Socket};

/// Bytes that the kernel buffers for an answer that is not read. Its own choice is megabytes for each connection.
const RECEIVE_BUFFER: usize = 64 << 10;

/// Ollama's own port.
const DEFAULT_PORT: u16 = 11434;

/// Where Ollama listens. Every address is on the loopback interface. The name is resolved and checked once, when the
/// config is read, so a later answer of a resolver cannot change the address.
#[derive(Clone, PartialEq, Eq)]
pub struct Upstream {
    address: Address,
    host: HeaderValue,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    Tcp(Vec<SocketAddr>),
    Unix(PathBuf),
}

/// Why a value of `upstream.url` is refused.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamFault {
    /// It is neither of the two forms.
    #[error("want \"http://127.0.0.1:11434\" or \"unix:/absolute/path\"")]
    Form,
    /// The name has no address.
    #[error("{name} can't be resolved: {reason}")]
    Resolve {
        /// The host and port.
        name: String,
        /// The resolver's error.
        reason: io::Error,
    },
    /// An address is not loopback.
    #[error(
        "{0} is not on this machine's loopback interface, so requests would leave the machine unprotected; bind Ollama to 127.0.0.1 and use that address"
    )]
    NotLoopback(SocketAddr),
}

impl Upstream {
    /// Parses `http://host[:port]` or `unix:/path`. The default port is 11434.
    ///
    /// # Errors
    /// See [`UpstreamFault`].
    pub fn parse(url: &str) -> Result<Upstream, UpstreamFault> {
        if let Some(path) = url.strip_prefix("unix:") {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            if !path.is_absolute() {
                return Err(UpstreamFault::Form);
            }
            return Ok(Upstream {
                address: Address::Unix(path),
                host: HeaderValue::from_static("localhost"),
            });
        }
        let name = host_and_port(url).ok_or(UpstreamFault::Form)?;
        let host = HeaderValue::from_str(&name).map_err(|_| UpstreamFault::Form)?;
        Ok(Upstream { address: Address::Tcp(resolve(name)?), host })
    }

    /// The port; `None`: a Unix socket has none.
    pub fn port(&self) -> Option<u16> {
        match &self.address {
            Address::Tcp(addrs) => addrs.first().map(SocketAddr::port),
            Address::Unix(_) => None,
        }
    }

    /// The Host header that Ollama accepts.
    pub fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Connects.
    ///
    /// # Errors
    /// The error of the last address.
    pub async fn connect(&self) -> io::Result<OllamaStream> {
        let socket = match &self.address {
            Address::Tcp(addrs) => {
                let stream = TcpStream::connect(addrs.as_slice()).await?;
                stream.set_nodelay(true)?;
                set_socket_recv_buffer_size(&stream, RECEIVE_BUFFER)?;
                Socket::Tcp(stream)
            }
            Address::Unix(path) => Socket::Unix(UnixStream::connect(path).await?),
        };
        Ok(OllamaStream::new(socket))
    }
}

/// `host:port` of an `http` URL that has nothing else.
fn host_and_port(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    // The parser drops a fragment silently, and accepts a sign in a port.
    let bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !url.contains('#');
    let port = authority.as_str().strip_prefix(authority.host()).and_then(|p| p.strip_prefix(':'));
    let numeric = port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    let sound = bare && numeric && uri.scheme_str() == Some("http") && !authority.as_str().contains('@');
    sound.then(|| format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(DEFAULT_PORT)))
}

/// The addresses of `name`, if all are loopback.
fn resolve(name: String) -> Result<Vec<SocketAddr>, UpstreamFault> {
    let addrs: Vec<SocketAddr> = match name.to_socket_addrs() {
        Ok(addrs) => addrs.collect(),
        Err(reason) => return Err(UpstreamFault::Resolve { name, reason }),
    };
    if let Some(other) = addrs.iter().find(|a| !a.ip().to_canonical().is_loopback()) {
        return Err(UpstreamFault::NotLoopback(*other));
    }
    if addrs.is_empty() {
        return Err(UpstreamFault::Resolve { name, reason: io::Error::other("no address") });
    }
    Ok(addrs)
}

impl Default for Upstream {
    /// `http://127.0.0.1:11434`, Ollama's own default.
    fn default() -> Self {
        Upstream {
            address: Address::Tcp(vec![SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT))]),
            host: HeaderValue::from_static("127.0.0.1:11434"),
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp(_) => write!(f, "http://{}", self.host.to_str().unwrap_or_default()),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_accepted() {
        for (url, shown) in [
            ("http://127.0.0.1:11434", "http://127.0.0.1:11434"),
            ("http://127.0.0.1", "http://127.0.0.1:11434"),
            ("http://127.1.2.3:80/", "http://127.1.2.3:80"),
            ("http://[::1]:11434", "http://[::1]:11434"),
            ("http://localhost:1234", "http://localhost:1234"),
            ("unix:/run/ollama.sock", "unix:/run/ollama.sock"),
            ("unix:///run/ollama.sock", "unix:/run/ollama.sock"),
        ] {
            assert_eq!(Upstream::parse(url).unwrap().to_string(), shown);
        }
        for url in
            ["http://0.0.0.0:11434", "http://192.168.1.2:11434", "http://[::]:11434", "http://100.64.0.1"]
        {
            assert!(matches!(Upstream::parse(url), Err(UpstreamFault::NotLoopback(_))), "{url}");
        }
        for url in [
            "",
            "127.0.0.1:11434",
            "https://127.0.0.1",
            "http://127.0.0.1/v1",
            "http://a@127.0.0.1",
            "unix:x",
            "http://127.0.0.1/#x",
            "http://127.0.0.1:+80",
        ] {
            assert!(matches!(Upstream::parse(url), Err(UpstreamFault::Form)), "{url}");
        }
    }
}

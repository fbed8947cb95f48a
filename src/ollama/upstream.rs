//! Ollama on this machine: where it is, checked to be here, and connections to it.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::HeaderValue;
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_linger, set_socket_recv_buffer_size};
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// What the kernel holds of an answer that nobody reads, in bytes: left to itself it takes megabytes for
/// each connection.
const RECEIVE_BUFFER: usize = 64 << 10;

/// Where Ollama listens. Every address of it is on the loopback interface, checked once when the
/// config is read and kept, so no later answer of a resolver can move it.
#[derive(Clone, PartialEq, Eq)]
pub struct Upstream {
    at: At,
    host: HeaderValue,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    Tcp(Vec<SocketAddr>),
    Unix(PathBuf),
}

/// Why an address can't be an upstream.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamFault {
    /// Neither form.
    #[error("want \"http://127.0.0.1:11434\" or \"unix:/absolute/path\"")]
    Form,
    /// The name has no address.
    #[error("{name} can't be resolved: {reason}")]
    Resolve {
        /// The host and port.
        name: String,
        /// The resolver's words.
        reason: io::Error,
    },
    /// An address elsewhere.
    #[error(
        "{0} is not on this machine's loopback interface: what is forwarded there would leave the machine unprotected; bind Ollama to 127.0.0.1 and use that"
    )]
    NotLoopback(SocketAddr),
}

impl Upstream {
    /// Parses `http://host[:port]` or `unix:/path`. The port is 11434 unless given.
    ///
    /// # Errors
    /// See [`UpstreamFault`].
    pub fn parse(url: &str) -> Result<Upstream, UpstreamFault> {
        if let Some(path) = url.strip_prefix("unix:") {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            if !path.is_absolute() {
                return Err(UpstreamFault::Form);
            }
            return Ok(Upstream { at: At::Unix(path), host: HeaderValue::from_static("localhost") });
        }
        let uri: http::Uri = url.parse().map_err(|_| UpstreamFault::Form)?;
        let authority = uri.authority().ok_or(UpstreamFault::Form)?;
        // The parser drops a fragment without a word, and takes a sign for a port's.
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !url.contains('#');
        let port = authority.as_str().strip_prefix(authority.host()).and_then(|p| p.strip_prefix(':'));
        let bare = bare && port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
        if uri.scheme_str() != Some("http") || !bare || authority.as_str().contains('@') {
            return Err(UpstreamFault::Form);
        }
        let name = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(11434));
        let resolved = name.to_socket_addrs();
        let addrs: Vec<SocketAddr> = match resolved {
            Ok(addrs) => addrs.collect(),
            Err(reason) => return Err(UpstreamFault::Resolve { name, reason }),
        };
        if let Some(other) = addrs.iter().find(|a| !a.ip().to_canonical().is_loopback()) {
            return Err(UpstreamFault::NotLoopback(*other));
        }
        if addrs.is_empty() {
            return Err(UpstreamFault::Resolve { name, reason: io::Error::other("no address") });
        }
        let host = HeaderValue::from_str(&name).map_err(|_| UpstreamFault::Form)?;
        Ok(Upstream { at: At::Tcp(addrs), host })
    }

    /// The port, where there is one.
    pub fn port(&self) -> Option<u16> {
        match &self.at {
            At::Tcp(addrs) => addrs.first().map(SocketAddr::port),
            At::Unix(_) => None,
        }
    }

    /// The Host header that Ollama accepts.
    pub fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Connects.
    ///
    /// # Errors
    /// The last address's error.
    pub async fn connect(&self) -> io::Result<Stream> {
        match &self.at {
            At::Tcp(addrs) => {
                let stream = TcpStream::connect(addrs.as_slice()).await?;
                stream.set_nodelay(true)?;
                set_socket_recv_buffer_size(&stream, RECEIVE_BUFFER)?;
                Ok(Stream(Arc::new(Socket::Tcp(stream))))
            }
            At::Unix(path) => Ok(Stream(Arc::new(Socket::Unix(UnixStream::connect(path).await?)))),
        }
    }
}

impl Default for Upstream {
    /// `http://127.0.0.1:11434`, Ollama's own default.
    fn default() -> Self {
        Upstream {
            at: At::Tcp(vec![SocketAddr::from(([127, 0, 0, 1], 11434))]),
            host: HeaderValue::from_static("127.0.0.1:11434"),
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::Tcp(_) => write!(f, "http://{}", self.host.to_str().unwrap_or_default()),
            At::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A connection to Ollama. Clones are the same connection.
#[derive(Debug, Clone)]
pub struct Stream(Arc<Socket>);

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

macro_rules! each {
    ($stream:expr, $inner:pat => $call:expr) => {
        match &*$stream.0 {
            Socket::Tcp($inner) => $call,
            Socket::Unix($inner) => $call,
        }
    };
}

impl Stream {
    /// Has the connection reset when it is closed, with whatever is still to be sent.
    pub fn reset_on_close(&self) {
        if let Socket::Tcp(socket) = &*self.0 {
            // Where that fails, the end comes once everything is sent.
            let _ = set_socket_linger(socket, Some(Duration::ZERO));
        }
    }

    /// Whether Ollama holds its end of a connection on which nothing is due. Asks the kernel: the
    /// runtime may not have heard yet.
    pub fn is_open_and_silent(&self) -> bool {
        let mut byte = [0u8; 1];
        let peeked = each!(self, s => recv(s, &mut byte, RecvFlags::PEEK));
        matches!(peeked, Err(Errno::WOULDBLOCK))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(each!(self, s => s.poll_read_ready(cx)))?;
            match each!(self, s => s.try_read_buf(buf)) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done.map(|_| ())),
            }
        }
    }
}

impl Stream {
    fn poll_try(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&Socket) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(each!(self, s => s.poll_write_ready(cx)))?;
            match write(&self.0) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_try(cx, |socket| match socket {
            Socket::Tcp(s) => s.try_write(buf),
            Socket::Unix(s) => s.try_write(buf),
        })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_try(cx, |socket| match socket {
            Socket::Tcp(s) => s.try_write_vectored(bufs),
            Socket::Unix(s) => s.try_write_vectored(bufs),
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Does nothing: Ollama takes a half-close for the client's leaving and stops generating.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_or_nothing() {
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

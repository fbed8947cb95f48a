//! One connection, with TLS or without.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::audit::{AuditSink, PeerRule};
use crate::peer::Peer;

/// How much is taken at once of what is to be sent, in bytes: one record of TLS.
const RECORD: usize = 16 << 10;

/// A connection at either port.
pub struct Stream<Io>(Kind<Io>);

enum Kind<Io> {
    Plain(Io),
    Secure(Box<Secure<Io>>),
}

/// A connection with TLS.
struct Secure<Io> {
    state: State<Io>,
}

enum State<Io> {
    /// Has yet to agree with the client.
    Shaking(Accept<Io>, Client),
    Open(TlsStream<Io>),
    Failed,
}

/// Whose handshake it is, and where its failure is recorded.
struct Client {
    peer: Peer,
    port: u16,
    audit: Arc<AuditSink>,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Stream<Io> {
    /// One without TLS.
    pub(super) fn plain(io: Io) -> Self {
        Stream(Kind::Plain(io))
    }

    /// One whose client has to begin with a handshake.
    pub(super) fn secure(io: Io, tls: &TlsAcceptor, peer: &Peer, port: u16, audit: Arc<AuditSink>) -> Self {
        let client = Client { peer: peer.clone(), port, audit };
        Stream(Kind::Secure(Box::new(Secure { state: State::Shaking(tls.accept(io), client) })))
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Secure<Io> {
    /// The connection once the handshake is over, which this moves on.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut TlsStream<Io>>> {
        if let State::Shaking(accept, client) = &mut self.state {
            match ready!(Pin::new(accept).poll(cx)) {
                Ok(stream) => self.state = State::Open(stream),
                Err(error) => {
                    client.failed(&error);
                    self.state = State::Failed;
                    return Poll::Ready(Err(error));
                }
            }
        }
        match &mut self.state {
            State::Open(stream) => Poll::Ready(Ok(stream)),
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl Client {
    fn failed(&self, error: &io::Error) {
        match error.kind() {
            // An error of TLS itself; any other is one of the connection.
            io::ErrorKind::InvalidData => {
                self.audit.peer_refused(&self.peer, self.port, PeerRule::Tls, Some(error.to_string()));
            }
            _ => tracing::debug!(peer = %self.peer, %error, "connection ended within the TLS handshake"),
        }
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<Io> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Kind::Secure(secure) => Pin::new(ready!(secure.poll_open(cx))?).poll_read(cx, buf),
        }
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<Io> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Kind::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Kind::Secure(secure) => {
                let stream = ready!(secure.poll_open(cx))?;
                // TLS would take some more than the client does, and then nobody could tell that it takes nothing.
                ready!(Pin::new(&mut *stream).poll_flush(cx))?;
                Pin::new(stream).poll_write(cx, &buf[..buf.len().min(RECORD)])
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Kind::Plain(io) = &mut this.0 {
            return Pin::new(io).poll_write_vectored(cx, bufs);
        }
        let first = bufs.iter().find(|b| !b.is_empty()).map_or(&[][..], |b| &**b);
        Pin::new(this).poll_write(cx, first)
    }

    /// With TLS no: pieces that are put together first become one record.
    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Kind::Plain(io) => io.is_write_vectored(),
            Kind::Secure(_) => false,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Plain(io) => Pin::new(io).poll_flush(cx),
            Kind::Secure(secure) => match &mut secure.state {
                State::Open(stream) => Pin::new(stream).poll_flush(cx),
                // Nothing has been written.
                State::Shaking(..) | State::Failed => Poll::Ready(Ok(())),
            },
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Kind::Secure(secure) => match &mut secure.state {
                State::Open(stream) => Pin::new(stream).poll_shutdown(cx),
                State::Shaking(accept, _) => match accept.get_mut() {
                    Some(io) => Pin::new(io).poll_shutdown(cx),
                    None => Poll::Ready(Ok(())),
                },
                State::Failed => Poll::Ready(Ok(())),
            },
        }
    }
}

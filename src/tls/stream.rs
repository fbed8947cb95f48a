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

/// The longest write in bytes: one TLS record.
const RECORD: usize = 16 << 10;

/// A connection of a [`DualListener`](super::DualListener).
pub struct Stream<Io>(Kind<Io>);

enum Kind<Io> {
    Plain(Io),
    Secure(Box<Secure<Io>>),
}

/// A connection with TLS.
struct Secure<Io> {
    handshake: Handshake<Io>,
}

enum Handshake<Io> {
    Running(Accept<Io>, TlsClient),
    Done(TlsStream<Io>),
    Failed,
}

/// The peer of a handshake, and where its failure is recorded.
pub(super) struct TlsClient {
    pub(super) peer: Peer,
    pub(super) port: u16,
    pub(super) audit: Arc<AuditSink>,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Stream<Io> {
    /// A connection without TLS.
    pub(super) fn plain(io: Io) -> Self {
        Stream(Kind::Plain(io))
    }

    /// A connection that starts with a TLS handshake.
    pub(super) fn secure(io: Io, tls: &TlsAcceptor, client: TlsClient) -> Self {
        let handshake = Handshake::Running(tls.accept(io), client);
        Stream(Kind::Secure(Box::new(Secure { handshake })))
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Secure<Io> {
    /// Drives the handshake, and returns the connection once that is done.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut TlsStream<Io>>> {
        if let Handshake::Running(accept, client) = &mut self.handshake {
            match ready!(Pin::new(accept).poll(cx)) {
                Ok(stream) => self.handshake = Handshake::Done(stream),
                Err(error) => {
                    client.failed(&error);
                    self.handshake = Handshake::Failed;
                    return Poll::Ready(Err(error));
                }
            }
        }
        match &mut self.handshake {
            Handshake::Done(stream) => Poll::Ready(Ok(stream)),
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl TlsClient {
    fn failed(&self, error: &io::Error) {
        match error.kind() {
            // An error of TLS itself. All others mean that the connection has ended.
            io::ErrorKind::InvalidData => {
                self.audit.peer_refused(&self.peer, self.port, PeerRule::Tls, Some(error.to_string()));
            }
            _ => tracing::debug!(peer = %self.peer, %error, "connection ended during the TLS handshake"),
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
                // Backpressure: without this TLS would buffer, and a client that reads nothing could go unnoticed.
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

    /// Not with TLS: the caller then joins its buffers, which makes one record of them.
    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Kind::Plain(io) => io.is_write_vectored(),
            Kind::Secure(_) => false,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Plain(io) => Pin::new(io).poll_flush(cx),
            Kind::Secure(secure) => match &mut secure.handshake {
                Handshake::Done(stream) => Pin::new(stream).poll_flush(cx),
                // Nothing has been written.
                Handshake::Running(..) | Handshake::Failed => Poll::Ready(Ok(())),
            },
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Kind::Secure(secure) => match &mut secure.handshake {
                Handshake::Done(stream) => Pin::new(stream).poll_shutdown(cx),
                Handshake::Running(accept, _) => match accept.get_mut() {
                    Some(io) => Pin::new(io).poll_shutdown(cx),
                    None => Poll::Ready(Ok(())),
                },
                Handshake::Failed => Poll::Ready(Ok(())),
            },
        }
    }
}

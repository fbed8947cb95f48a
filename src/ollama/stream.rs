//! A connection to Ollama. tokio's streams are split or owned; here one is read, written and reset through clones, so the
//! two kinds of socket are joined by hand.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connection to Ollama. Clones are the same connection.
#[derive(Debug, Clone)]
pub struct OllamaStream(Arc<Socket>);

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

macro_rules! on_socket {
    ($stream:expr, $inner:pat => $call:expr) => {
        match &*$stream.0 {
            Socket::Tcp($inner) => $call,
            Socket::Unix($inner) => $call,
        }
    };
}

impl OllamaStream {
    pub(super) fn new(socket: Socket) -> Self {
        OllamaStream(Arc::new(socket))
    }

    /// Makes the close of the connection a reset, which discards unsent data. A Unix socket has no reset.
    pub fn reset_on_close(&self) {
        if let Socket::Tcp(socket) = &*self.0 {
            // Without it Ollama notices the end only after it has read the unsent data.
            let _ = set_socket_linger(socket, Some(Duration::ZERO));
        }
    }

    /// Whether an idle connection can be used again: Ollama has neither closed it nor sent anything. Asks the
    /// kernel, since the runtime's readiness may be out of date.
    pub fn is_open_and_silent(&self) -> bool {
        let mut byte = [0u8; 1];
        let peeked = on_socket!(self, s => recv(s, &mut byte, RecvFlags::PEEK));
        matches!(peeked, Err(Errno::WOULDBLOCK))
    }

    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&Socket) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(on_socket!(self, s => s.poll_write_ready(cx)))?;
            match write(&self.0) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncRead for OllamaStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = buf.remaining();
        loop {
            ready!(on_socket!(self, s => s.poll_read_ready(cx)))?;
            let mut count = 0;
            let tried = on_socket!(self, s => s.try_io(Interest::READABLE, || {
                count = s.try_read_buf(buf)?;
                // A read that fills only a part of the room has emptied the socket. As in tokio's own streams, this error
                // clears the readiness, so that the next read waits without a call to the kernel.
                if (1..room).contains(&count) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            }));
            match tried {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
                Err(_) if count == 0 => {}
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl AsyncWrite for OllamaStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |socket| match socket {
            Socket::Tcp(s) => s.try_write(buf),
            Socket::Unix(s) => s.try_write(buf),
        })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |socket| match socket {
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

    /// Does nothing: Ollama takes a half-close for a disconnect and stops generating.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::task::Waker;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn read_of_a_part_of_the_room_needs_no_second_one_to_find_the_socket_empty() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let mut stream = OllamaStream::new(Socket::Tcp(near));
        let mut room = [0; 8];
        far.write_all(b"ab").unwrap();
        assert_eq!(stream.read(&mut room).await.unwrap(), 2);
        // Until its driver runs, tokio does not know of these bytes. Only a call to the kernel would find them.
        far.write_all(b"cd").unwrap();
        let mut buf = ReadBuf::new(&mut room);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut stream).poll_read(&mut cx, &mut buf).is_pending());
        assert_eq!(stream.read(&mut room).await.unwrap(), 2);
        assert_eq!(&room[..2], b"cd");
        drop(far);
        assert_eq!(stream.read(&mut room).await.unwrap(), 0);
    }
}

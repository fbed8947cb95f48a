//! Forwards HTTP with hyper as the proxy does: HTTP/1.1 on both sides, and one upstream connection for
//! each client connection, reused for its next request and driven by the same task. There is no
//! policy, no grants, no admission, no audit, no timers and no disconnect detection: their cost is the
//! proxy's difference from this crate.

use std::env;
use std::io::Read;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// An error of a connection, which is not reported.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// The environment of a contestant, set by the bench.
#[derive(Debug, Clone)]
pub struct Site {
    /// Node name.
    pub name: String,
    /// URL of the control server.
    pub control: String,
    /// Auth key.
    pub key: String,
    /// Folder for the node's state.
    pub dir: String,
    /// Port to listen on in the tailnet.
    pub port: u16,
    /// Address of the stand-in for Ollama.
    pub upstream: SocketAddr,
}

impl Site {
    /// Reads the environment. From then on the process ends when its standard input closes.
    ///
    /// # Errors
    /// A variable is missing or can't be read.
    pub fn new() -> Result<Site, Fault> {
        std::thread::spawn(|| {
            let _ = std::io::stdin().read(&mut [0]);
            std::process::exit(0);
        });
        Ok(Site {
            name: env::var("BENCH_NAME")?,
            control: env::var("BENCH_CONTROL")?,
            key: env::var("TS_AUTHKEY")?,
            dir: env::var("BENCH_DIR")?,
            port: env::var("BENCH_PORT")?.parse()?,
            upstream: env::var("BENCH_UPSTREAM")?.parse()?,
        })
    }
}

/// Reports that connections are accepted.
pub fn ready() {
    println!("listening in the tailnet");
}

/// Serves one client connection to its end.
pub async fn serve(io: impl AsyncRead + AsyncWrite + Unpin, upstream: SocketAddr) {
    let slot = PoolSlot::default();
    let service = service_fn(move |request| forward(request, Arc::clone(&slot), upstream));
    // An error here is a client that disconnected.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(io), service).await;
}

type PoolSlot = Arc<Mutex<Option<UpstreamConn>>>;
type Driver = Pin<Box<Connection<TokioIo<TcpStream>, Incoming>>>;

/// A connection to the upstream.
struct UpstreamConn {
    sender: SendRequest<Incoming>,
    driver: Option<Driver>,
}

fn drive(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    if driver.as_mut().is_some_and(|d| d.as_mut().poll(cx).is_ready()) {
        *driver = None;
    }
}

async fn forward(
    request: Request<Incoming>,
    slot: PoolSlot,
    upstream: SocketAddr,
) -> Result<Response<Reply>, Fault> {
    let idle = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut conn = match idle {
        Some(conn) => conn,
        None => {
            let stream = TcpStream::connect(upstream).await?;
            stream.set_nodelay(true)?;
            let (sender, driver) = handshake(TokioIo::new(stream)).await?;
            UpstreamConn { sender, driver: Some(Box::pin(driver)) }
        }
    };
    std::future::poll_fn(|cx| {
        drive(&mut conn.driver, cx);
        conn.sender.poll_ready(cx)
    })
    .await?;
    let mut answer = std::pin::pin!(conn.sender.send_request(request));
    let driver = &mut conn.driver;
    let response = std::future::poll_fn(|cx| {
        drive(driver, cx);
        answer.as_mut().poll(cx)
    })
    .await?;
    Ok(response.map(|body| Reply { body, conn: Some(conn), slot }))
}

/// The body of an answer. At its end the connection goes back to the slot.
struct Reply {
    body: Incoming,
    conn: Option<UpstreamConn>,
    slot: PoolSlot,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        if let Some(conn) = &mut self.conn {
            drive(&mut conn.driver, cx);
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = self.conn.take();
        }
    }
}

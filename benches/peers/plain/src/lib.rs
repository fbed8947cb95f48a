//! The product's way with hyper and nothing else: HTTP/1.1 to both sides, one connection to the
//! upstream for each client connection, kept for its next request and driven by the same task. No
//! policy, no grants, no admission, no audit, no timers, no watch on the client: what they cost is
//! the product's difference from this.

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

/// What the bench tells a contestant.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its name in the tailnet.
    pub name: String,
    /// URL of the control server.
    pub control: String,
    /// What to join with.
    pub key: String,
    /// Folder for the node's state.
    pub dir: String,
    /// Port to listen on in the tailnet.
    pub port: u16,
    /// The stand-in for Ollama.
    pub upstream: SocketAddr,
}

impl Site {
    /// Reads the environment. From now on the process ends with its standard input.
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

/// Says that connections are accepted.
pub fn ready() {
    println!("listening in the tailnet");
}

/// Serves one client connection to its end.
pub async fn serve(io: impl AsyncRead + AsyncWrite + Unpin, upstream: SocketAddr) {
    let slot = Slot::default();
    let service = service_fn(move |request| forward(request, Arc::clone(&slot), upstream));
    // A client that leaves is no fault.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(io), service).await;
}

type Slot = Arc<Mutex<Option<Link>>>;
type Driver = Pin<Box<Connection<TokioIo<TcpStream>, Incoming>>>;

/// A connection to the upstream.
struct Link {
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
    slot: Slot,
    upstream: SocketAddr,
) -> Result<Response<Reply>, Fault> {
    let kept = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut link = match kept {
        Some(link) => link,
        None => {
            let stream = TcpStream::connect(upstream).await?;
            stream.set_nodelay(true)?;
            let (sender, driver) = handshake(TokioIo::new(stream)).await?;
            Link { sender, driver: Some(Box::pin(driver)) }
        }
    };
    std::future::poll_fn(|cx| {
        drive(&mut link.driver, cx);
        link.sender.poll_ready(cx)
    })
    .await?;
    let mut answer = std::pin::pin!(link.sender.send_request(request));
    let driver = &mut link.driver;
    let response = std::future::poll_fn(|cx| {
        drive(driver, cx);
        answer.as_mut().poll(cx)
    })
    .await?;
    Ok(response.map(|body| Reply { body, link: Some(link), slot }))
}

/// The body of an answer; its connection goes back to the slot at its end.
struct Reply {
    body: Incoming,
    link: Option<Link>,
    slot: Slot,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        for driven in [false, true] {
            let frame = Pin::new(&mut self.body).poll_frame(cx);
            if frame.is_ready() || driven {
                return frame;
            }
            if let Some(link) = &mut self.link {
                drive(&mut link.driver, cx);
            }
        }
        Poll::Pending
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
            *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = self.link.take();
        }
    }
}

//! One request and its answer on a connection to Ollama.
//!
//! A connection to Ollama belongs to one client connection and is driven by that client's task:
//! answers can't be paired with another client's request, and closing the one closes the other.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;

use super::kept::Slot;
use super::live::{self, Session};
use super::refuse::Failure;
use super::upload::{Alive, Upload};
use super::wire::{Busy, Trouble, Watch};
use crate::admission;
use crate::audit::{Ended, Metrics, Record};
use crate::ollama::{OllamaStream, Upstream};
use crate::policy::{Endpoint, Grant};
use crate::usage::TokenCounter;

/// How long a connection on the same machine may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How far Ollama is read ahead of a client that does not read, in bytes. A head of an answer has to fit.
const AHEAD_MAX: usize = 64 << 10;

type Driver = Pin<Box<Connection<TokioIo<OllamaStream>, Upload>>>;

/// A connection to Ollama.
pub(super) struct Link {
    to: Arc<Upstream>,
    stream: OllamaStream,
    /// The request's body on its way; the connection is no good for another request before its end.
    upload: Alive,
    /// Ollama speaks HTTP/1.1. One that speaks HTTP/1.0, whatever it says of keep-alive, can't read a chunked body.
    reusable: bool,
    sender: SendRequest<Upload>,
    /// `None` once it has ended.
    driver: Option<Driver>,
}

impl Link {
    async fn connect(upstream: &Arc<Upstream>) -> Result<Link, Failure> {
        let down = |reason| Failure::Down { upstream: upstream.to_string(), reason };
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, upstream.connect()).await;
        let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(down)?;
        let handshake = http1::Builder::new().max_buf_size(AHEAD_MAX).handshake(TokioIo::new(stream.clone()));
        let (sender, driver) = handshake.await.map_err(Failure::BrokenOff)?;
        Ok(Link {
            to: Arc::clone(upstream),
            stream,
            upload: Alive::default(),
            reusable: false,
            sender,
            driver: Some(Box::pin(driver)),
        })
    }

    /// The link of an earlier request, if it leads to `upstream` and Ollama still holds its end.
    async fn reuse(slot: &Slot, upstream: &Upstream) -> Option<Link> {
        let mut link = slot.take()?;
        if *link.to != *upstream {
            return None;
        }
        std::future::poll_fn(|cx| {
            drive(&mut link.driver, cx);
            let ready = matches!(link.sender.poll_ready(cx), Poll::Ready(Ok(())));
            Poll::Ready(ready && link.driver.is_some() && link.stream.is_open_and_silent())
        })
        .await
        .then_some(link)
    }

    /// Sends a request and waits for the head of its answer, unless the client leaves first. A
    /// request of which no byte was sent comes back.
    async fn send<Io: AsyncRead + Unpin>(
        &mut self,
        request: Request<Upload>,
        watch: &Watch<Io>,
    ) -> Result<Response<Incoming>, (Failure, Option<Request<Upload>>)> {
        self.upload = request.body().alive();
        let mut answer = std::pin::pin!(self.sender.try_send_request(request));
        let driver = &mut self.driver;
        let answered = std::future::poll_fn(|cx| {
            drive(driver, cx);
            answer.as_mut().poll(cx).map_err(|mut e| {
                let unsent = e.take_message();
                (Failure::BrokenOff(e.into_error()), unsent)
            })
        });
        let response = watch.unless_trouble(answered).await.map_err(|trouble| (trouble.into(), None))??;
        self.reusable = response.version() == Version::HTTP_11;
        Ok(response)
    }

    /// Takes what has come of an answer's body together with its head, without waiting, so that an answer which is broken
    /// there is never begun.
    async fn first(&mut self, body: Incoming) -> Result<Begun, Failure> {
        let mut begun = Begun { first: VecDeque::new(), body };
        std::future::poll_fn(|cx| {
            while begun.held() < AHEAD_MAX as u64 {
                match begun.poll_next(&mut self.driver, cx) {
                    Poll::Ready(Some(Ok(frame))) => begun.first.push_back(frame),
                    Poll::Ready(Some(Err(e))) => return Poll::Ready(Err(Failure::BrokenOff(e))),
                    Poll::Ready(None) | Poll::Pending => break,
                }
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        Ok(begun)
    }
}

/// Moves a connection to Ollama on. The error, if any, reaches whoever waits for the answer or its
/// body.
fn drive(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    if driver.as_mut().is_some_and(|d| d.as_mut().poll(cx).is_ready()) {
        *driver = None;
    }
}

/// The body of Ollama's answer.
pub(super) struct Begun {
    /// What came together with the head.
    first: VecDeque<Frame<Bytes>>,
    body: Incoming,
}

impl Begun {
    fn held(&self) -> u64 {
        self.first.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum()
    }

    fn poll_frame(
        &mut self,
        driver: &mut Option<Driver>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.first.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => self.poll_next(driver, cx),
        }
    }

    fn poll_next(
        &mut self,
        driver: &mut Option<Driver>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        // The first look at the body tells the connection that bytes are wanted.
        let looked = Pin::new(&mut self.body).poll_frame(cx);
        if looked.is_ready() {
            return looked;
        }
        drive(driver, cx);
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (first, rest) = (self.held(), self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + first);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + first);
        }
        hint
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // What is still to be sent of a request that nobody wants would keep Ollama from seeing the end.
        if !self.upload.is_over() {
            self.stream.reset_on_close();
        }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Left => Failure::Left,
            Trouble::Framing(fault) => Failure::Framing(fault),
            Trouble::Slow(awaited) => Failure::Slow(awaited),
        }
    }
}

/// Sends `request` to Ollama. It is sent once: only a request of which no byte has left is tried
/// again, on a fresh connection, after the kept one turned out to be stale.
pub(super) async fn exchange<Io: AsyncRead + Unpin>(
    upstream: &Arc<Upstream>,
    slot: &Slot,
    watch: &Watch<Io>,
    request: Request<Upload>,
) -> Result<(Response<Begun>, Link), Failure> {
    let kept = Link::reuse(slot, upstream).await;
    let mut unsent = request;
    if let Some(mut link) = kept {
        match link.send(unsent, watch).await {
            Ok(response) => return accept(response, link).await,
            Err((_, Some(back))) => unsent = back,
            Err((failure, None)) => return Err(failure),
        }
    }
    let mut link = watch.unless_trouble(Link::connect(upstream)).await??;
    match link.send(unsent, watch).await {
        Ok(response) => accept(response, link).await,
        Err((failure, _)) => Err(failure),
    }
}

async fn accept(response: Response<Incoming>, mut link: Link) -> Result<(Response<Begun>, Link), Failure> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failure::Switching);
    }
    let (head, body) = response.into_parts();
    let body = link.first(body).await?;
    Ok((Response::from_parts(head, body), link))
}

/// The body of Ollama's answer on its way to the client, chunk by chunk as it comes.
pub(super) struct Reply<Io> {
    body: Begun,
    /// `None` once something broke.
    link: Option<Link>,
    slot: Arc<Slot>,
    watch: Watch<Io>,
    ended: Option<Ended>,
    /// Looks for tokens, where they are counted.
    scanner: Option<TokenCounter>,
    job: Job,
}

/// What lasts as long as a request does; dropped with it.
pub(super) struct Job {
    pub(super) record: Record,
    session: Arc<Session>,
    slot: Option<admission::RunningSlot>,
    listed: bool,
    /// Whether the tokens of its answer are counted.
    pub(super) counted: bool,
    _busy: Busy,
}

impl Job {
    pub(super) fn new(session: &Arc<Session>, busy: Busy, method: &Method, metrics: Arc<Metrics>) -> Self {
        let record = session.record(method, metrics);
        Job { record, session: Arc::clone(session), slot: None, listed: false, counted: false, _busy: busy }
    }

    /// The policy has permitted the request, which waits for its turn.
    pub(super) fn permitted(&mut self, endpoint: Endpoint) {
        self.record.endpoint = Some(endpoint);
        self.listed = true;
        self.session.waits(live::Request {
            id: self.record.id(),
            endpoint,
            since: self.record.started,
            running: false,
            traffic: Arc::clone(&self.record.traffic),
        });
    }

    /// The request may run.
    pub(super) fn begin(&mut self, slot: admission::RunningSlot, queued: Duration) {
        self.record.begins(queued);
        self.session.begin();
        self.slot = Some(slot);
    }

    /// Whether it may still run under `grant`.
    pub(super) fn check(&self, grant: &Grant) -> Result<(), admission::Busy> {
        self.slot.as_ref().map_or(Ok(()), |slot| slot.check(grant))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if self.listed {
            self.session.done();
        }
    }
}

impl<Io> Reply<Io> {
    pub(super) fn new(
        body: Begun,
        link: Link,
        slot: Arc<Slot>,
        watch: Watch<Io>,
        scanner: Option<TokenCounter>,
        job: Job,
    ) -> Self {
        Reply { body, link: Some(link), slot, watch, ended: None, scanner, job }
    }
}

/// What breaks an answer off, so that the client can't take a part for the whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("{0}")]
    Client(Trouble),
    #[error("Ollama broke off: {0}")]
    Upstream(hyper::Error),
}

impl<Io: AsyncRead + Unpin> Reply<Io> {
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Poll::Ready(trouble) = self.watch.poll_trouble(cx) {
            return self.broken(Failure::from(trouble).ended(), Broken::Client(trouble));
        }
        let gone = &mut None;
        loop {
            let driver = self.link.as_mut().map_or(&mut *gone, |link| &mut link.driver);
            return match ready!(self.body.poll_frame(driver, cx)) {
                Some(Ok(frame)) => {
                    // Trailers belong to this hop; Ollama sends none.
                    let Ok(data) = frame.into_data() else { continue };
                    if let Some(scanner) = &mut self.scanner {
                        scanner.feed(&data);
                    }
                    self.job.record.traffic.bytes_out.fetch_add(data.len() as u64, Ordering::Relaxed);
                    Poll::Ready(Some(Ok(Frame::data(data))))
                }
                Some(Err(e)) => self.broken(Ended::UpstreamFailed, Broken::Upstream(e)),
                None => {
                    self.ended = Some(Ended::Complete);
                    Poll::Ready(None)
                }
            };
        }
    }

    fn broken(&mut self, ended: Ended, why: Broken) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.link = None; // closes: Ollama stops generating
        self.ended = Some(ended);
        Poll::Ready(Some(Err(why)))
    }
}

impl<Io> Reply<Io> {
    pub(super) fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<Io> Drop for Reply<Io> {
    fn drop(&mut self) {
        // The server stops asking once a body of known length is whole.
        let whole = self.ended == Some(Ended::Complete) || self.body.is_end_stream();
        if let Some(scanner) = &self.scanner {
            self.job.record.tokens = Some(scanner.tokens());
            if let Some(slot) = &self.job.slot {
                slot.spend(scanner.spent(whole));
            }
        }
        if let Some(ended) = self.ended.or(whole.then_some(Ended::Complete)) {
            self.job.record.end(ended);
        }
        // With a part of the request still to be sent, nobody would send it from the slot, and the
        // client's bytes would wait for it for ever.
        if let Some(link) = self.link.take().filter(|link| whole && link.reusable && link.upload.is_over()) {
            self.slot.put(link);
        }
    }
}

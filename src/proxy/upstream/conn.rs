//! One connection to Ollama.

use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;

use crate::ollama::{OllamaStream, Upstream};
use crate::proxy::refusal::failure::Failure;
use crate::proxy::sessions::stream::watch::Watch;
use crate::proxy::upstream::answer::AnswerBody;
use crate::proxy::upstream::driver::Driver;
use crate::proxy::upstream::upload::{Upload, UploadHandle};

/// How long connecting may take. Ollama is on the same machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How far Ollama is read ahead of a client that does not read, in bytes. The head of an answer has to fit.
const AHEAD_MAX: usize = 64 << 10;

pub(crate) struct UpstreamConn {
    upstream: Arc<Upstream>,
    stream: OllamaStream,
    /// The body of the current request. Before its end, the connection can't take another request.
    upload: UploadHandle,
    /// Whether Ollama speaks HTTP/1.1. A server of HTTP/1.0, whatever it says about keep-alive, can't read a chunked body.
    is_http_11: bool,
    sender: SendRequest<Upload>,
    pub(super) driver: Driver,
}

/// Why a request got no answer.
pub(super) struct SendError {
    pub(super) failure: Failure,
    /// The request, if no byte of it was sent.
    pub(super) unsent: Option<Request<Upload>>,
}

impl UpstreamConn {
    /// # Errors
    /// Ollama can't be reached.
    pub(super) async fn connect(upstream: &Arc<Upstream>) -> Result<UpstreamConn, Failure> {
        let down = |reason| Failure::Down { upstream: upstream.to_string(), reason };
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, upstream.connect()).await;
        let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(down)?;
        let handshake = http1::Builder::new().max_buf_size(AHEAD_MAX).handshake(TokioIo::new(stream.clone()));
        let (sender, connection) = handshake.await.map_err(Failure::BrokenOff)?;
        Ok(UpstreamConn {
            upstream: Arc::clone(upstream),
            stream,
            upload: UploadHandle::default(),
            is_http_11: false,
            sender,
            driver: Driver::new(connection),
        })
    }

    /// Whether it leads to `upstream`, and Ollama still holds its end open.
    pub(super) async fn is_usable(&mut self, upstream: &Upstream) -> bool {
        if *self.upstream != *upstream {
            return false;
        }
        std::future::poll_fn(|cx| {
            self.driver.drive(cx);
            let ready = matches!(self.sender.poll_ready(cx), Poll::Ready(Ok(())));
            Poll::Ready(ready && self.driver.is_open() && self.stream.is_open_and_silent())
        })
        .await
    }

    /// Sends a request and waits for the head of its answer, unless the client leaves first.
    pub(super) async fn send<Io: AsyncRead + Unpin>(
        &mut self,
        request: Request<Upload>,
        watch: &Watch<Io>,
    ) -> Result<Response<Incoming>, Box<SendError>> {
        self.upload = request.body().handle();
        let mut answer = std::pin::pin!(self.sender.try_send_request(request));
        let driver = &mut self.driver;
        let answered = std::future::poll_fn(|cx| {
            driver.drive(cx);
            answer.as_mut().poll(cx).map_err(|mut error| {
                let unsent = error.take_message();
                Box::new(SendError { failure: Failure::BrokenOff(error.into_error()), unsent })
            })
        });
        let response = watch
            .unless_fault(answered)
            .await
            .map_err(|fault| Box::new(SendError { failure: fault.into(), unsent: None }))??;
        self.is_http_11 = response.version() == Version::HTTP_11;
        Ok(response)
    }

    /// The body of an answer, with what arrived of it together with the head: an answer that is broken there is never begun.
    pub(super) async fn begin_answer(&mut self, body: Incoming) -> Result<AnswerBody, Failure> {
        AnswerBody::begin(body, &mut self.driver, AHEAD_MAX as u64).await.map_err(Failure::BrokenOff)
    }

    /// Whether it can take another request after a complete answer. Not with a part of the request's body still unsent: an
    /// idle connection is not polled, so the rest of the body would never be sent.
    pub(super) fn is_reusable(&self) -> bool {
        self.is_http_11 && self.upload.is_over()
    }
}

impl Drop for UpstreamConn {
    fn drop(&mut self) {
        // Without a reset the kernel sends what is buffered, and Ollama notices the end only after that.
        if !self.upload.is_over() {
            self.stream.reset_on_close();
        }
    }
}

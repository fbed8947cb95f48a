//! The half of a connection to Ollama that does its reading and writing. It is polled by what waits for the answer.

use std::pin::Pin;
use std::task::Context;

use hyper::client::conn::http1::Connection;
use hyper_util::rt::TokioIo;

use crate::ollama::OllamaStream;
use crate::proxy::upstream::upload::Upload;

type Http1 = Connection<TokioIo<OllamaStream>, Upload>;

/// `None` once the connection has ended.
pub(super) struct Driver(Option<Pin<Box<Http1>>>);

impl Driver {
    pub(super) fn new(connection: Http1) -> Self {
        Driver(Some(Box::pin(connection)))
    }

    /// Reads and writes as far as possible. Errors reach the caller through the answer or its body.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        if self.0.as_mut().is_some_and(|connection| connection.as_mut().poll(cx).is_ready()) {
            self.0 = None;
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.0.is_some()
    }
}

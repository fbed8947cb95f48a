//! What the three auxiliary ports (metrics, page, redirect) have in common. They have sessions of their own, which count
//! towards no limit of the Ollama port, and they record only the requests that they refuse.

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use tokio::io::AsyncRead;

use crate::proxy::ports::body::{Body, WatchedFeed};
use crate::proxy::ports::feed::Feed;
use crate::proxy::ports::handler::Client;
use crate::proxy::ports::port::Port;
use crate::proxy::refusal::answer::RefusalAnswer;
use crate::proxy::refusal::failure::Failure;

/// The body of an answer.
pub(crate) enum Content {
    Whole(Bytes),
    Feed(Feed),
}

/// A port other than the Ollama port.
pub(crate) struct AuxiliaryPort {
    port: Port,
}

impl AuxiliaryPort {
    pub(crate) fn new(port: Port) -> Self {
        AuxiliaryPort { port }
    }

    pub(crate) fn port(&self) -> &Port {
        &self.port
    }

    /// The answer of `content` to the request that begins with `head`.
    ///
    /// # Errors
    /// A refusal, which has been recorded, for the handler to send.
    pub(crate) async fn answer<Io, E>(
        &self,
        client: &Client<Io>,
        head: &Parts,
        content: impl Future<Output = Result<Response<Content>, E>>,
    ) -> Result<Response<Body<Io>>, RefusalAnswer>
    where
        Io: AsyncRead + Unpin,
        E: Into<Failure>,
    {
        let answering = client.watch.answering();
        match self.content(client, content).await {
            Ok(response) => Ok(response.map(|content| match content {
                Content::Whole(bytes) => Body::Whole(Some(bytes)),
                Content::Feed(feed) => Body::Feed(Box::new(WatchedFeed {
                    feed,
                    watch: client.watch.clone(),
                    _answering: answering,
                })),
            })),
            Err(failure) => Err(self.refuse(client, head, &failure)),
        }
    }

    async fn content<Io, E>(
        &self,
        client: &Client<Io>,
        content: impl Future<Output = Result<Response<Content>, E>>,
    ) -> Result<Response<Content>, Failure>
    where
        Io: AsyncRead + Unpin,
        E: Into<Failure>,
    {
        client.watch.check_next_head().map_err(Failure::Framing)?;
        client.watch.unless_fault(content).await?.map_err(Into::into)
    }

    /// Records a failure and makes its answer.
    pub(crate) fn refuse<Io>(&self, client: &Client<Io>, head: &Parts, failure: &Failure) -> RefusalAnswer {
        if matches!(failure, Failure::Left) {
            return RefusalAnswer::new(failure, head, String::new()); // the client has left and reads no answer
        }
        let mut record = client.caller.session.record(&head.method);
        let path = head.uri.path();
        record.failed(failure.status(path), failure.rule(), path, failure.ended());
        RefusalAnswer::new(failure, head, record.id())
    }
}

//! One request to Ollama and the beginning of its answer.

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::io::AsyncRead;

use crate::ollama::Upstream;
use crate::proxy::refusal::failure::Failure;
use crate::proxy::sessions::stream::watch::Watch;
use crate::proxy::upstream::answer::AnswerBody;
use crate::proxy::upstream::conn::{SendError, UpstreamConn};
use crate::proxy::upstream::pool::PoolEntry;
use crate::proxy::upstream::upload::Upload;

/// An answer that has begun, and the connection on which it arrives.
pub(crate) struct UpstreamAnswer {
    pub(crate) response: Response<AnswerBody>,
    pub(crate) conn: UpstreamConn,
}

/// Sends `request` to Ollama once. If a pooled connection turns out to be closed before the first byte of the request is
/// sent, sends it on a new one.
///
/// # Errors
/// Ollama does not answer, or the client does not go on with its request.
pub(crate) async fn exchange<Io: AsyncRead + Unpin>(
    upstream: &Arc<Upstream>,
    entry: &PoolEntry,
    watch: &Watch<Io>,
    request: Request<Upload>,
) -> Result<UpstreamAnswer, Failure> {
    let mut unsent = request;
    if let Some(mut conn) = pooled(entry, upstream).await {
        match conn.send(unsent, watch).await {
            Ok(response) => return begin(response, conn).await,
            Err(error) => {
                let SendError { failure, unsent: back } = *error;
                unsent = back.ok_or(failure)?;
            }
        }
    }
    let mut conn = watch.unless_fault(UpstreamConn::connect(upstream)).await??;
    match conn.send(unsent, watch).await {
        Ok(response) => begin(response, conn).await,
        Err(error) => Err(error.failure),
    }
}

async fn pooled(entry: &PoolEntry, upstream: &Upstream) -> Option<UpstreamConn> {
    let mut conn = entry.take()?;
    conn.is_usable(upstream).await.then_some(conn)
}

async fn begin(response: Response<Incoming>, mut conn: UpstreamConn) -> Result<UpstreamAnswer, Failure> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failure::Switching);
    }
    let (head, body) = response.into_parts();
    let body = conn.begin_answer(body).await?;
    Ok(UpstreamAnswer { response: Response::from_parts(head, body), conn })
}

//! One request on a stream of its own, to a server on this machine.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};

use super::upstream::Upstream;

/// The most bytes of an answer.
const MOST: usize = 16 << 20;

/// Why there is no answer.
pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Asks for `target` with a body, which may be empty; the answer's status and body.
pub(crate) async fn fetch<S>(
    stream: S,
    host: HeaderValue,
    method: Method,
    target: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = Uri::try_from(target)?;
    request.headers_mut().insert(http::header::HOST, host);
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        Ok((status, Limited::new(response.into_body(), MOST).collect().await?.to_bytes()))
    };
    // The connection does its work until the answer is whole.
    tokio::pin!(answer, connection);
    let mut open = true;
    loop {
        tokio::select! {
            whole = &mut answer => return whole,
            ended = &mut connection, if open => {
                ended?;
                open = false;
            }
        }
    }
}

/// Asks Ollama for `target`, whose answer has to be JSON.
pub(crate) async fn ask<T: DeserializeOwned>(
    upstream: &Upstream,
    method: Method,
    target: &str,
    body: Bytes,
) -> Result<T, Fault> {
    let stream = upstream.connect().await?;
    let (status, body) = fetch(stream, upstream.host().clone(), method, target, body).await?;
    if status != StatusCode::OK {
        return Err(format!("it answers {target} with {status}").into());
    }
    serde_json::from_slice(&body).map_err(|e| format!("its answer to {target} can't be read: {e}").into())
}

/// The answer, or why there is none within `patience`.
pub(crate) async fn in_time<T>(
    patience: Duration,
    asked: impl Future<Output = Result<T, Fault>>,
) -> Result<T, String> {
    match tokio::time::timeout(patience, asked).await {
        Ok(answered) => answered.map_err(|fault| fault.to_string()),
        Err(_) => Err(format!("no answer within {patience:?}")),
    }
}

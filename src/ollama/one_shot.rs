//! One HTTP/1.1 request over a stream of its own, to a server on this machine.

use std::error::Error;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Largest answer body, in bytes.
const MAX_BODY: usize = 16 << 20;

/// Why there is no whole answer.
pub(crate) type HttpError = Box<dyn Error + Send + Sync>;

/// Sends `request` over `stream` and reads the whole answer.
///
/// # Errors
/// The connection breaks, or the answer is not HTTP or too large.
pub(crate) async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    };
    tokio::pin!(answer, connection);
    // hyper does the reading and writing in `connection`, which may end before `answer` has taken everything.
    let mut open = true;
    loop {
        tokio::select! {
            answer = &mut answer => return answer,
            ended = &mut connection, if open => {
                ended?;
                open = false;
            }
        }
    }
}

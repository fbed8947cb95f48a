//! Where the socket is, and asking over it.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// The socket of the proxy with this state folder.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("admin.sock")
}

/// Why the running proxy did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AskFault {
    /// Nobody listens.
    #[error(
        "no proxy runs with the state folder {folder}: start it with `remote-ollama-proxy run`, or name its config with --config"
    )]
    NotRunning {
        /// The state folder.
        folder: PathBuf,
    },
    /// The socket can't be used.
    #[error("{path} can't be used: {reason}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// The system's words.
        reason: io::Error,
    },
    /// It broke off.
    #[error("the running proxy broke off: {0}")]
    BrokenOff(#[from] hyper::Error),
    /// It knows no such question.
    #[error("the running proxy answered {0}: is it of another version?")]
    Status(StatusCode),
}

/// Asks the proxy whose socket is at `path` for `target`, such as `GET /who`; its answer's body.
///
/// # Errors
/// See [`AskFault`].
pub async fn ask(path: &Path, method: Method, target: &str) -> Result<Bytes, AskFault> {
    let stream = UnixStream::connect(path).await.map_err(|reason| match reason.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            AskFault::NotRunning { folder: path.parent().unwrap_or(path).to_owned() }
        }
        _ => AskFault::Socket { path: path.to_owned(), reason },
    })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = method;
    *request.uri_mut() = http::Uri::try_from(target).unwrap_or_default();
    request.headers_mut().insert(http::header::HOST, http::HeaderValue::from_static("localhost"));
    let answer = async {
        let response: Response<_> = sender.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    };
    // The connection does its work until the answer is whole.
    tokio::pin!(answer, connection);
    let mut open = true;
    let (status, body) = loop {
        tokio::select! {
            whole = &mut answer => break whole.map_err(AskFault::BrokenOff)?,
            ended = &mut connection, if open => {
                ended?;
                open = false;
            }
        }
    };
    if status == StatusCode::OK { Ok(body) } else { Err(AskFault::Status(status)) }
}

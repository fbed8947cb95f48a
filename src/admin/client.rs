//! Where the socket is, and asking over it.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use tokio::net::UnixStream;

use crate::ollama::http::{Fault, fetch};

/// The socket of the proxy with this state folder.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("admin.sock")
}

/// Why the running proxy did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AskFault {
    /// Nobody listens.
    #[error(
        "no proxy runs with the state folder {folder}: start it with `remote-ollama-proxy run`, name its config with --config, or, if a proxy runs with another state folder, name that: --state-dir DIR"
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
    BrokenOff(Fault),
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
    let host = HeaderValue::from_static("localhost");
    let (status, body) =
        fetch(stream, host, method, target, Bytes::new()).await.map_err(AskFault::BrokenOff)?;
    if status == StatusCode::OK { Ok(body) } else { Err(AskFault::Status(status)) }
}

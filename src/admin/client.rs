//! The client of the admin socket, for the commands that ask the running proxy.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::header::HOST;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use tokio::net::UnixStream;

use crate::ollama::one_shot::{self, HttpError};

/// The socket of the proxy with this state folder.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("admin.sock")
}

/// Why the running proxy gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No process listens at the socket.
    #[error(
        "no proxy runs with the state folder {folder}: start it with `remote-ollama-proxy run`, name its config with --config, or, if a proxy runs with another state folder, name that: --state-dir DIR"
    )]
    NotRunning {
        /// The state folder.
        folder: PathBuf,
    },
    /// The system refuses the connection for another reason.
    #[error("cannot connect to {path}: {reason}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The system's error.
        reason: io::Error,
    },
    /// The connection broke before the answer was complete.
    #[error("the running proxy closed the connection before it answered: {0}; it may be stopping: try again")]
    BrokenOff(HttpError),
    /// The proxy does not know the request.
    #[error("the running proxy answered {0}: is it of another version than this command?")]
    Status(StatusCode),
}

/// Sends a request such as `GET /who` to the proxy whose socket is at `path`; returns the answer's body.
///
/// # Errors
/// See [`AdminError`].
pub async fn ask(path: &Path, method: Method, target: &str) -> Result<Bytes, AdminError> {
    let stream = UnixStream::connect(path).await.map_err(|reason| match reason.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            AdminError::NotRunning { folder: path.parent().unwrap_or(path).to_owned() }
        }
        _ => AdminError::Connect { path: path.to_owned(), reason },
    })?;
    let request = Request::builder().method(method).uri(target).header(HOST, "localhost");
    let request = request.body(Full::default()).map_err(|error| AdminError::BrokenOff(error.into()))?;
    let answer = one_shot::send(stream, request).await.map_err(AdminError::BrokenOff)?;
    if answer.status() == StatusCode::OK {
        Ok(answer.into_body())
    } else {
        Err(AdminError::Status(answer.status()))
    }
}

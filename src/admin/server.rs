//! The server of the admin socket, and which processes may connect.

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use super::api::Admin;
use super::client::path;
use crate::panics;

/// How long to wait before the next connection when one cannot be accepted, such as without a free descriptor.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The socket of a running proxy. Dropping it closes the socket and removes its file. The lock on the state folder
/// must be held until then.
pub struct AdminSocket {
    serving: JoinHandle<Infallible>,
    path: PathBuf,
}

impl AdminSocket {
    /// Waits until the server has ended, which only a panic can cause. Cancel-safe.
    pub async fn until_failed(&mut self) {
        let _ = (&mut self.serving).await;
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        self.serving.abort();
        // If this fails, the next start removes the file.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Admin {
    /// Opens the socket and starts the server.
    ///
    /// # Errors
    /// The socket cannot be created.
    pub fn start(self: Arc<Self>) -> io::Result<AdminSocket> {
        let path = path(&self.settings.config().node.state_dir);
        let listener = bind(&path)?;
        let serving = tokio::spawn(panics::named("the admin socket", self.serve(listener)));
        Ok(AdminSocket { serving, path })
    }

    async fn serve(self: Arc<Self>, listener: UnixListener) -> Infallible {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) if is_ours(&stream) => stream,
                Ok(_) => {
                    tracing::warn!(
                        "connection to the admin socket refused: the process belongs to another account"
                    );
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection to the admin socket: retrying");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            let admin = Arc::clone(&self);
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let admin = Arc::clone(&admin);
                async move { Ok::<_, Infallible>(admin.answer(request.method(), request.uri().path()).await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(panics::named("a connection of the admin socket", connection));
        }
    }
}

/// Opens the socket with mode 0600. The state folder has mode 0700 and the caller has locked it, so no other process
/// uses a socket that already exists there.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Whether the process at the other end belongs to this account or to root.
fn is_ours(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

//! The answering side: who may connect.

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use super::answer::Admin;
use super::client::path;
use crate::panics;

/// The socket of a running proxy. Dropping it closes it and removes it from the state folder, which must
/// be this process's until then.
pub struct AdminSocket {
    serving: JoinHandle<Infallible>,
    path: PathBuf,
}

impl AdminSocket {
    /// Waits until it answers no more, which takes a fault in the program. Cancel-safe.
    pub async fn failed(&mut self) {
        let _ = (&mut self.serving).await;
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        self.serving.abort();
        let _ = std::fs::remove_file(&self.path); // the next start removes it, too
    }
}

impl Admin {
    /// Opens the socket, and answers what connects.
    ///
    /// # Errors
    /// The socket can't be made.
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
                    tracing::warn!("a process of another account tried the admin socket");
                    continue;
                }
                Err(error) => {
                    // Such as no free descriptor; there may be one again.
                    tracing::warn!(%error, "the admin socket");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
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

/// Opens the socket, mode 0600, in the state folder, which is 0700 and locked by the caller, so a
/// socket that is there already belongs to nobody.
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

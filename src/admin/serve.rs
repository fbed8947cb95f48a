//! The answering side: who may connect.

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};

use super::answer::Admin;
use super::socket::path;

impl Admin {
    /// Opens the socket. What connects is answered until the runtime ends.
    ///
    /// # Errors
    /// The socket can't be made.
    pub fn start(self: Arc<Self>) -> io::Result<()> {
        let listener = bind(&path(&self.settings.config().node.state_dir))?;
        tokio::spawn(self.serve(listener));
        Ok(())
    }

    async fn serve(self: Arc<Self>, listener: UnixListener) {
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
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
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

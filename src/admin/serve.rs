//! The answering side: who may connect, and what is answered.

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::reload::Reload;
use super::socket::path;
use super::who::Who;
use crate::proxy::Proxy;
use crate::settings::Settings;
use crate::tailnet::Member;

/// What there is to ask about.
pub struct Admin {
    settings: Arc<Settings>,
    proxy: Proxy,
    roster: watch::Receiver<Arc<Vec<Member>>>,
}

impl Admin {
    /// An interface to a running proxy and the latest netmap in `roster`.
    pub fn new(settings: Arc<Settings>, proxy: Proxy, roster: watch::Receiver<Arc<Vec<Member>>>) -> Self {
        Admin { settings, proxy, roster }
    }

    /// Opens the socket. What connects is answered until the returned task is aborted.
    ///
    /// # Errors
    /// The socket can't be made.
    pub fn start(self) -> io::Result<tokio::task::JoinHandle<()>> {
        let listener = bind(&path(&self.settings.config().node.state_dir))?;
        Ok(tokio::spawn(Arc::new(self).serve(listener)))
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
            let service = service_fn(move |request| {
                let answer = admin.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let body = match (request.method(), request.uri().path()) {
            (&Method::GET, "/who") => serde_json::to_vec(&self.who()),
            (&Method::POST, "/reload") => serde_json::to_vec(&Reload::from(self.settings.reload())),
            _ => return answer(StatusCode::NOT_FOUND, b"{}".to_vec()),
        };
        match body {
            Ok(body) => answer(StatusCode::OK, body),
            Err(error) => {
                tracing::error!(%error, "an answer on the admin socket");
                answer(StatusCode::INTERNAL_SERVER_ERROR, b"{}".to_vec())
            }
        }
    }

    fn who(&self) -> Who {
        let roster = Arc::clone(&self.roster.borrow());
        Who::new(&self.settings.config(), &roster, &self.proxy.live().sessions())
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

fn answer(status: StatusCode, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

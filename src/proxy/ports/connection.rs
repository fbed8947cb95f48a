//! One HTTP/1.1 connection, from its admission to its end.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::audit::PeerRule;
use crate::policy::{FramingFault, HEAD_MAX};
use crate::proxy::ports::body::Body;
use crate::proxy::ports::handler::{Caller, Client, Handler};
use crate::proxy::ports::port::{Admitted, Port};
use crate::proxy::sessions::request_body::UnreadBodies;
use crate::proxy::sessions::session::Session;
use crate::proxy::sessions::stream;
use crate::proxy::sessions::stream::state::{StreamContext, StreamFault};
use crate::proxy::sessions::stream::watch::Watch;
use crate::proxy::sessions::timeouts::TimeoutKind;

/// The most headers that a request may have.
const HEADERS_MAX: usize = 100;

/// The answer to a head that is not complete in time. There is no request, and so no id.
const HEAD_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// The answer to a request line that is too long. There is no request, and so no id.
const TARGET_TOO_LONG: &[u8] = b"HTTP/1.1 414 URI Too Long\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Serves one connection until it ends or its session is cut.
pub(super) async fn serve<Io>(
    port: Port,
    admitted: Admitted<Io>,
    handler: Arc<impl Handler>,
    graceful: Watcher,
) where
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Admitted { io, peer_gone, entered } = admitted;
    let session = &entered.session;
    let unread = UnreadBodies::default();
    let context = StreamContext {
        peer_gone,
        session: Arc::clone(session),
        timeouts: port.access().rules().timeouts,
        stopping: Arc::clone(port.stopping()),
        awaits_continue: unread.awaits_continue(),
    };
    let (stream, watch) = stream::split(io, context);
    let client = Client {
        caller: Caller::new(Arc::clone(session), port.access().clone()),
        watch: watch.clone(),
        pool_entry: handler.pool_entry(),
    };
    let is_http_10 = Arc::new(AtomicBool::new(false));
    let service = service(client, handler, unread.clone(), Arc::clone(&is_http_10));
    let connection = http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .max_buf_size(2 * HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let served = async {
        let ended = tokio::select! {
            biased;
            ended = graceful.watch(connection) => ended,
            never = unread.discard() => match never {},
        };
        match ended {
            Ok(()) => watch.linger().await,
            Err(error) => end(error, session, watch, is_http_10.load(Ordering::Relaxed)).await,
        }
    };
    // The reason for a cut is in the access record of the request that it ends.
    tokio::select! {
        () = served => {}
        () = session.until_cut() => {}
    }
}

/// Answers each request of the connection, and notes whether the last one was HTTP/1.0.
fn service<Io>(
    client: Client<Io>,
    handler: Arc<impl Handler>,
    unread: UnreadBodies,
    is_http_10: Arc<AtomicBool>,
) -> impl Service<Request<Incoming>, Response = Response<Body<Io>>, Error = Infallible, Future: Send>
where
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let client = Arc::new(client);
    service_fn(move |request: Request<Incoming>| {
        is_http_10.store(request.version() == Version::HTTP_10, Ordering::Relaxed);
        let (client, handler, unread) = (Arc::clone(&client), Arc::clone(&handler), unread.clone());
        let (head, body) = request.into_parts();
        // In a box: the library keeps room for the future as long as the connection lasts.
        Box::pin(async move {
            let body = unread.begin(&head, body);
            let mut response = handler.answer(&client, head, body).await;
            unread.answered(&mut response);
            Ok(response)
        })
    })
}

/// Ends a connection that the HTTP library gave up.
async fn end<Io>(error: hyper::Error, session: &Session, watch: Watch<Io>, is_http_10: bool)
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    match watch.fault() {
        Some(StreamFault::Slow(TimeoutKind::Head)) => {
            session.record_refusal(PeerRule::HeadTime, None);
            watch.send_last(HEAD_TIMEOUT).await;
        }
        Some(StreamFault::Framing(fault @ FramingFault::TargetTooLong)) => {
            session.record_refusal(PeerRule::Malformed, Some(fault.to_string()));
            watch.clone().send_last(TARGET_TOO_LONG).await;
            watch.linger().await;
        }
        // So malformed that there is no request, and so no access record.
        _ if error.is_parse() || error.is_parse_too_large() => {
            session.record_refusal(PeerRule::Malformed, Some(error.to_string()));
            watch.linger().await;
        }
        _ => {
            tracing::debug!(%error, "connection ended");
            // In HTTP/1.0 the end of the connection may be the end of an answer, so a client could take a part for the whole.
            if is_http_10 {
                session.reset();
            }
        }
    }
}

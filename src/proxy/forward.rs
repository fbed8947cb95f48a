//! From a permit to Ollama's answer.

use http::request::Parts;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use tokio::io::AsyncRead;

use super::exchange::{Link, Slot, exchange};
use super::headers;
use super::refuse::Failure;
use super::upload::Upload;
use super::wire::Watch;
use crate::policy::Permit;
use crate::upstream::Upstream;

/// Forwards a permitted request. What goes upstream is built anew: the permit's method and target,
/// the headers that may pass, and the body as it comes. The same holds for what comes back.
pub(super) async fn forward<Io: AsyncRead + Unpin>(
    permit: &Permit,
    head: &Parts,
    body: Upload,
    upstream: &Upstream,
    slot: &Slot,
    watch: &Watch<Io>,
) -> Result<(Response<Incoming>, Link), Failure> {
    let mut request = Request::new(body);
    *request.method_mut() = permit.method().clone();
    *request.uri_mut() = Uri::from(permit.target().clone());
    *request.headers_mut() = headers::request(&head.headers, upstream.host());

    let (answer, link) = exchange(upstream, slot, watch, request).await?;
    let (from, body) = answer.into_parts();
    let mut response = Response::new(body);
    *response.status_mut() = from.status;
    *response.headers_mut() = headers::response(&from.headers);
    Ok((response, link))
}

//! From a permit to Ollama's answer.

use std::sync::Arc;

use http::header::TRANSFER_ENCODING;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::io::AsyncRead;

use super::exchange::{Link, exchange};
use super::headers;
use super::kept::Slot;
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
    upstream: &Arc<Upstream>,
    slot: &Slot,
    watch: &Watch<Io>,
) -> Result<(Response<Incoming>, Link), Failure> {
    let mut request = Request::new(body);
    *request.method_mut() = permit.method().clone();
    *request.uri_mut() = Uri::from(permit.target().clone());
    *request.headers_mut() = headers::request(&head.headers, upstream.host());

    // The library gives a GET no body unless it is told how the body is framed.
    if !request.body().is_end_stream() && request.body().size_hint().exact().is_none() {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }

    let (answer, link) = exchange(upstream, slot, watch, request).await?;
    let (from, body) = answer.into_parts();
    let codings = from.headers.get_all(TRANSFER_ENCODING).iter();
    if !codings.map(HeaderValue::as_bytes).all(|c| c.eq_ignore_ascii_case(b"chunked")) {
        return Err(Failure::Coded);
    }
    // Without a body to measure, Ollama's own word on its length is all there is.
    let bodiless = *permit.method() == Method::HEAD || from.status == StatusCode::NOT_MODIFIED;
    let mut response = Response::new(body);
    *response.status_mut() = from.status;
    *response.headers_mut() = headers::response(&from.headers, bodiless);
    Ok((response, link))
}

//! From a permit to Ollama's answer.

use std::sync::Arc;

use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use tokio::io::AsyncRead;

use super::exchange::{Begun, Link, exchange};
use super::headers;
use super::kept::Slot;
use super::refuse::Failure;
use super::upload::Upload;
use super::wire::Watch;
use crate::ollama::Upstream;
use crate::policy::Permit;

/// Forwards a permitted request. What goes upstream is built anew: the permit's method and target,
/// the headers that may pass, and the body as it comes. The same holds for what comes back. Where the tokens of the answer
/// are `counted`, it is asked for without a coding, which would hide them.
pub(super) async fn forward<Io: AsyncRead + Unpin>(
    permit: &Permit,
    head: &Parts,
    body: Upload,
    upstream: &Arc<Upstream>,
    slot: &Slot,
    watch: &Watch<Io>,
    counted: bool,
) -> Result<(Response<Begun>, Link), Failure> {
    let mut request = Request::new(body);
    *request.method_mut() = permit.method().clone();
    *request.uri_mut() = Uri::from(permit.target().clone());
    *request.headers_mut() = headers::request(&head.headers, upstream.host());
    if counted {
        // Without the header any coding would do (RFC 9110, 12.5.3).
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }

    // The library gives a GET no body unless it is told how the body is framed.
    if !request.body().is_end_stream() && request.body().size_hint().exact().is_none() {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }

    let (answer, link) = exchange(upstream, slot, watch, request).await?;
    let (from, body) = answer.into_parts();
    let mut codings = from.headers.get_all(TRANSFER_ENCODING).iter().map(HeaderValue::as_bytes);
    if codings.next().is_some_and(|c| !c.eq_ignore_ascii_case(b"chunked")) || codings.next().is_some() {
        return Err(Failure::Coded);
    }
    // Without a body to measure, Ollama's own word on its length is all there is. It says nothing beside a coding (RFC 9112,
    // 6.3), and a 204 has none (RFC 9110, 8.6).
    let bodiless = *permit.method() == Method::HEAD || from.status == StatusCode::NOT_MODIFIED;
    let length = if bodiless { length(&from.headers).ok_or(Failure::Length)? } else { None };
    let has_length = from.status != StatusCode::NO_CONTENT && !from.headers.contains_key(TRANSFER_ENCODING);
    let mut response = Response::new(body);
    *response.status_mut() = from.status;
    *response.headers_mut() = headers::response(&from.headers);
    if let Some(length) = length.filter(|_| has_length) {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok((response, link))
}

/// Content-Length, or that there is none; `None` if it is not one number (RFC 9110, 8.6).
fn length(headers: &HeaderMap) -> Option<Option<u64>> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
    let Some(value) = lengths.next() else { return Some(None) };
    let digits = std::str::from_utf8(value).ok().filter(|v| v.bytes().all(|b| b.is_ascii_digit()))?;
    // As Go reads it, in which clients and Ollama are written: no more than 63 bits.
    let length = digits.parse::<i64>().ok()?;
    lengths.next().is_none().then_some(u64::try_from(length).ok())
}

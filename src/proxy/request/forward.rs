//! The request as it is sent to Ollama, and Ollama's answer as it is sent to the client. Both heads are made from scratch,
//! of what may pass.

use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;

use crate::policy::Permit;
use crate::proxy::headers;
use crate::proxy::refusal::failure::Failure;
use crate::proxy::upstream::exchange::UpstreamAnswer;
use crate::proxy::upstream::upload::Upload;

/// A permitted request for Ollama at `host`: the permit's method and target, the headers that may pass, and the body as it
/// arrives.
pub(super) fn request_for_ollama(
    permit: &Permit,
    head: &Parts,
    body: Upload,
    host: &HeaderValue,
) -> Request<Upload> {
    let mut request = Request::new(body);
    *request.method_mut() = permit.method().clone();
    *request.uri_mut() = Uri::from(permit.target().clone());
    *request.headers_mut() = headers::request(&head.headers, host);
    // The HTTP library sends a GET's body only with a header that frames it.
    if !request.body().is_end_stream() && request.body().size_hint().exact().is_none() {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    request
}

/// Asks for an answer without a content coding, which would hide its tokens. Without the header any coding may be used (RFC
/// 9110, 12.5.3).
pub(super) fn refuse_codings(request: &mut Request<Upload>) {
    request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Ollama's answer to a request with `method`, for the client.
///
/// # Errors
/// The end of the answer can be read in several ways.
pub(super) fn answer_for_client(method: &Method, answer: UpstreamAnswer) -> Result<UpstreamAnswer, Failure> {
    let UpstreamAnswer { response, conn } = answer;
    let (from, body) = response.into_parts();
    check_transfer_encoding(&from.headers)?;
    let mut response = Response::new(body);
    *response.status_mut() = from.status;
    *response.headers_mut() = headers::response(&from.headers);
    // Without a body to measure, Content-Length is all that tells the length.
    if *method == Method::HEAD || from.status == StatusCode::NOT_MODIFIED {
        let length = content_length(&from.headers)?;
        // It means nothing next to a coding (RFC 9112, 6.3), and a 204 has none (RFC 9110, 8.6).
        let applies = from.status != StatusCode::NO_CONTENT && !from.headers.contains_key(TRANSFER_ENCODING);
        if let Some(length) = length.filter(|_| applies) {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
    }
    Ok(UpstreamAnswer { response, conn })
}

/// No transfer coding, or `chunked` once.
fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), Failure> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter().map(HeaderValue::as_bytes);
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Failure::Coded),
    }
}

/// Content-Length, if there is one. It has to be one number (RFC 9110, 8.6) of at most 63 bits, as in Go, in which Ollama
/// and many clients are written.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => std::str::from_utf8(value).map_err(|_| Failure::Length)?,
        _ => return Err(Failure::Length),
    };
    // Rust would take a sign as well.
    if !value.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Failure::Length);
    }
    let length: i64 = value.parse().map_err(|_| Failure::Length)?;
    Ok(u64::try_from(length).ok())
}

//! The files of the page, as they are in `static/`, and the headers of every answer.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Response};

use crate::proxy::{Content, RefusalAnswer};

pub(super) const HTML: &str = "text/html; charset=utf-8";

/// The files of `static/script/` as one script in one scope, so that the page has one file to load.
const PAGE_JS: &str = concat!(
    "\"use strict\";\n(() => {\n",
    include_str!("static/script/state.js"),
    include_str!("static/script/text.js"),
    include_str!("static/script/elements.js"),
    include_str!("static/script/health.js"),
    include_str!("static/script/requests.js"),
    include_str!("static/script/peers.js"),
    include_str!("static/script/activity.js"),
    include_str!("static/script/models.js"),
    include_str!("static/script/cancel.js"),
    include_str!("static/script/stream.js"),
    "})();\n",
);

/// A file that is compiled in.
pub(super) struct File {
    content_type: &'static str,
    text: &'static str,
}

pub(super) const INDEX: File = File { content_type: HTML, text: include_str!("static/index.html") };
pub(super) const STYLE: File =
    File { content_type: "text/css; charset=utf-8", text: include_str!("static/page.css") };
pub(super) const SCRIPT: File = File { content_type: "text/javascript; charset=utf-8", text: PAGE_JS };
pub(super) const SETUP_SCRIPT: File =
    File { content_type: "text/javascript; charset=utf-8", text: include_str!("static/setup.js") };
pub(super) const ICON: File = File { content_type: "image/svg+xml", text: include_str!("static/icon.svg") };

/// A page loads its own files only, cannot be framed or cached, and sends no referrer. No other site can read an answer,
/// since there is no `Access-Control-…` header. A Cross-Origin-Opener-Policy is left out: browsers ignore it over plain
/// HTTP, with a warning on the console.
pub(super) const HEADERS: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

impl File {
    pub(super) fn answer(&self) -> Response<Content> {
        answer(self.content_type, Content::Whole(Bytes::from_static(self.text.as_bytes())))
    }
}

pub(super) fn answer(content_type: &'static str, content: Content) -> Response<Content> {
    let mut response = Response::new(content);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Whether a browser shows the answer as a page, so that a refusal has to be HTML.
pub(super) fn wants_html(head: &Parts) -> bool {
    let accepted = head.headers.get(ACCEPT).and_then(|accepted| accepted.to_str().ok());
    head.method == Method::GET && accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

/// A text as HTML, between tags or in an attribute between double quotes. A library would be more code than the line.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A refusal as HTML: its message and the request's id. It holds nothing of the page.
pub(super) fn refusal(refusal: RefusalAnswer) -> RefusalAnswer {
    let message = escape(&refusal.message);
    let page = include_str!("static/refusal.html").replace("REQUEST_ID", &refusal.request_id);
    refusal.with_body(HTML, Bytes::from(page.replace("MESSAGE", &message)))
}

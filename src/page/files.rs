//! What the page is made of, as it stands in `static/`, and what each answer says of itself.

use bytes::Bytes;
use http::header::ACCEPT;
use http::request::Parts;
use http::{Method, Response};

use super::answer;
use crate::proxy::{Content, RefusalAnswer};

/// A file and its type.
pub(super) struct File(&'static str, &'static str);

pub(super) const INDEX: File = File(HTML, include_str!("static/index.html"));
pub(super) const STYLE: File = File("text/css; charset=utf-8", include_str!("static/page.css"));
pub(super) const SCRIPT: File = File("text/javascript; charset=utf-8", include_str!("static/page.js"));
pub(super) const ICON: File = File("image/svg+xml", include_str!("static/icon.svg"));

const HTML: &str = "text/html; charset=utf-8";

/// Whether a browser is to show the answer to somebody, whatever is asked for: only that it is no script's.
pub(super) fn is_for_people(head: &Parts) -> bool {
    let accepted = head.headers.get(ACCEPT).and_then(|accepted| accepted.to_str().ok());
    head.method == Method::GET && accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

/// A refusal for people: its message and the request's id.
pub(super) fn refusal(refusal: RefusalAnswer) -> RefusalAnswer {
    let page = include_str!("static/refusal.html")
        .replace("WORDS", &escaped(&refusal.message))
        .replace("REQUEST_ID", &escaped(&refusal.request_id));
    refusal.with_body(HTML, Bytes::from(page))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Nothing but its own files, no frame around it, nothing kept, nothing told to others. No header lets
/// another site read anything: there is no `Access-Control-…`. Nor is there a Cross-Origin-Opener-Policy: over
/// plain HTTP browsers complain of it and heed it not.
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
        answer(self.0, Content::Whole(Bytes::from_static(self.1.as_bytes())))
    }
}

//! What the page is made of, as it stands in `static/`, and what each answer says of itself.

use bytes::Bytes;
use http::Response;

use super::answer;
use crate::proxy::Content;

/// A file and its type.
pub(super) struct File(&'static str, &'static str);

pub(super) const INDEX: File = File("text/html; charset=utf-8", include_str!("static/index.html"));
pub(super) const STYLE: File = File("text/css; charset=utf-8", include_str!("static/page.css"));
pub(super) const SCRIPT: File = File("text/javascript; charset=utf-8", include_str!("static/page.js"));
pub(super) const ICON: File = File("image/svg+xml", include_str!("static/icon.svg"));

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

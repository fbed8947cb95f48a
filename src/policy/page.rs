//! The decision about one request at the port for the page.

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method};

use super::decide::{Policy, Refusal};
use super::grant::PageRight;
use super::rights::Rights;

/// What the page's port serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageRoute<'a> {
    /// The HTML.
    Index,
    /// The style sheet.
    Style,
    /// The script.
    Script,
    /// The icon.
    Icon,
    /// The stream of what the page shows.
    Events,
    /// Cancels the request with this id.
    Cancel(&'a str),
}

/// The header of the page's own requests, with any value. A form or an image of another site can't set it. A script there
/// needs a preflight first (Fetch standard, "CORS-safelisted request-header"), which is refused.
pub const PAGE_HEADER: &str = "x-remote-ollama-proxy";

impl<'a> PageRoute<'a> {
    fn at(path: &'a str) -> Option<(PageRoute<'a>, &'static [Method])> {
        let file = |route| Some((route, &[Method::GET][..]));
        match path {
            "/" => file(PageRoute::Index),
            "/page.css" => file(PageRoute::Style),
            "/page.js" => file(PageRoute::Script),
            "/icon.svg" => file(PageRoute::Icon),
            "/events" => file(PageRoute::Events),
            _ => {
                let id = path.strip_prefix("/requests/")?.strip_suffix("/cancel")?;
                Some((PageRoute::Cancel(id), &[Method::POST]))
            }
        }
    }
}

impl Policy {
    /// Decides about a request at the page's port: what it is for, and how much of the page the peer may see. A peer without
    /// a right to the page gets the same refusal on every path.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn decide_page<'a>(
        &self,
        rights: &Rights,
        head: &'a Parts,
    ) -> Result<(PageRight, PageRoute<'a>), Refusal> {
        let granted = rights.page().ok_or(Refusal::PageNotGranted);
        let (page, route) = self.decide_auxiliary(head, granted, Refusal::NotPage, PageRoute::at)?;
        let headers = &head.headers;
        match (route, page) {
            // A link on another site may lead here.
            (PageRoute::Index, _) => {}
            (PageRoute::Cancel(_), PageRight::View) => return Err(Refusal::PageViewOnly),
            (PageRoute::Cancel(_), PageRight::Admin) if !is_from_the_page(headers) => {
                return Err(Refusal::CrossSite);
            }
            _ if is_from_another_site(headers) => return Err(Refusal::CrossSite),
            _ if headers.contains_key(ORIGIN) && !is_own_origin(headers) => return Err(Refusal::CrossSite),
            _ => {}
        }
        Ok((page, route))
    }
}

/// A header's value, if the header is there exactly once and is text.
fn once(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Says which site makes a request (Fetch Metadata). Browsers do not send it over plain HTTP.
const FETCH_SITE: &str = "sec-fetch-site";

/// Whether the browser attributes the request to another site. `none` is a user's own action.
fn is_from_another_site(headers: &HeaderMap) -> bool {
    headers.contains_key(FETCH_SITE) && !matches!(once(headers, FETCH_SITE), Some("same-origin" | "none"))
}

/// Whether the browser attributes the request to the page itself: by at least one header, and by no header to another site.
fn is_from_the_page(headers: &HeaderMap) -> bool {
    let site = headers.contains_key(FETCH_SITE).then(|| once(headers, FETCH_SITE) == Some("same-origin"));
    let origin = headers.contains_key(ORIGIN).then(|| is_own_origin(headers));
    headers.contains_key(PAGE_HEADER)
        && [site, origin].into_iter().flatten().all(|own| own)
        && (site.is_some() || origin.is_some())
}

fn is_own_origin(headers: &HeaderMap) -> bool {
    let origin = once(headers, ORIGIN).and_then(|origin| origin.split_once("://"));
    let host = once(headers, HOST);
    origin.zip(host).is_some_and(|((scheme, authority), host)| {
        matches!(scheme, "http" | "https") && authority.eq_ignore_ascii_case(host)
    })
}

//! The decision about one request at the port for the page.

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method};

use super::decide::{Policy, Refusal};
use super::grant::PageRight;
use super::rights::Rights;

/// What is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageRoute<'a> {
    /// The page.
    Index,
    /// How it looks.
    Style,
    /// What it does.
    Script,
    /// Its picture.
    Icon,
    /// What it shows, as it changes.
    Events,
    /// Cancels the request with this id.
    Cancel(&'a str),
}

/// The header that the page's own requests have, with any value. None that a form or an image of another
/// site makes can have it, and a script there would have to ask first (Fetch standard, "CORS-safelisted
/// request-header"), which is refused.
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
    /// Decides whether a peer with these rights may have what the request that begins with `head` asks for
    /// at the port for the page, and how much it sees of it. Who may not is told nothing of what is there.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn decide_page<'a>(
        &self,
        rights: &Rights,
        head: &'a Parts,
    ) -> Result<(PageRight, PageRoute<'a>), Refusal> {
        let granted = rights.page().ok_or(Refusal::PageNotGranted);
        let (page, route) = self.beside(head, granted, Refusal::NotPage, PageRoute::at)?;
        let headers = &head.headers;
        match (route, page) {
            // A link on some other page may lead here.
            (PageRoute::Index, _) => {}
            (PageRoute::Cancel(_), PageRight::View) => return Err(Refusal::PageViewOnly),
            (PageRoute::Cancel(_), PageRight::Admin) if !is_of_the_page(headers) => {
                return Err(Refusal::CrossSite);
            }
            _ if !is_not_of_another_site(headers) => return Err(Refusal::CrossSite),
            _ if headers.contains_key(ORIGIN) && !is_own_origin(headers) => return Err(Refusal::CrossSite),
            _ => {}
        }
        Ok((page, route))
    }
}

/// What a header says, if it is there once and is text.
fn once(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Browsers say where a request comes from (Fetch Metadata), though not where the connection is plain HTTP.
const FETCH_SITE: &str = "sec-fetch-site";

/// Whether a browser does not say that a page of another site makes the request.
fn is_not_of_another_site(headers: &HeaderMap) -> bool {
    !headers.contains_key(FETCH_SITE) || matches!(once(headers, FETCH_SITE), Some("same-origin" | "none")) // none: a person
}

/// Whether a browser says that the page itself makes the request: all that it says of that is so, and it
/// says something.
fn is_of_the_page(headers: &HeaderMap) -> bool {
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

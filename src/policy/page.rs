//! The decision about one request at the port for the page.

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method};

use super::decide::{Policy, Refusal};
use super::endpoint::EndpointSet;
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
    Events {
        /// The peer's right to the page.
        page: PageRight,
        /// Whether it also has the set-up.
        has_setup: bool,
    },
    /// Cancels the request with this id.
    Cancel(&'a str),
    /// The set-up for the peer, as HTML or as text by what the client accepts.
    Setup,
    /// The set-up as text.
    SetupText,
    /// The script of the set-up page.
    SetupScript,
}

/// The header of the page's own requests, with any value. A form or an image of another site can't set it. A script there
/// needs a preflight first (Fetch standard, "CORS-safelisted request-header"), which is refused.
pub const PAGE_HEADER: &str = "x-remote-ollama-proxy";

impl<'a> PageRoute<'a> {
    /// The route at `path` for a peer with this right to the page, or with the set-up, or with both.
    fn at(
        path: &'a str,
        page: Option<PageRight>,
        has_setup: bool,
    ) -> Option<(PageRoute<'a>, &'static [Method])> {
        let file = |route| Some((route, &[Method::GET][..]));
        match (path, page) {
            ("/page.css", _) => file(PageRoute::Style),
            ("/icon.svg", _) => file(PageRoute::Icon),
            ("/setup", _) if has_setup => file(PageRoute::Setup),
            ("/setup.txt", _) if has_setup => file(PageRoute::SetupText),
            ("/setup.js", _) if has_setup => file(PageRoute::SetupScript),
            ("/", None) => file(PageRoute::Setup),
            (_, None) => None,
            ("/", Some(_)) => file(PageRoute::Index),
            ("/page.js", Some(_)) => file(PageRoute::Script),
            ("/events", Some(page)) => file(PageRoute::Events { page, has_setup }),
            (_, Some(_)) => {
                let id = path.strip_prefix("/requests/")?.strip_suffix("/cancel")?;
                Some((PageRoute::Cancel(id), &[Method::POST]))
            }
        }
    }
}

impl Policy {
    /// Decides what a request at the page's port is for. `offers_setup`: whether the set-up is on, and the peer may connect
    /// to Ollama. A peer that has neither the page nor the set-up gets the same refusal on every path; one that has only the
    /// set-up gets it on every other path.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn decide_page<'a>(
        &self,
        rights: &Rights,
        offers_setup: bool,
        head: &'a Parts,
    ) -> Result<PageRoute<'a>, Refusal> {
        let page = rights.page();
        let has_setup = offers_setup && self.usable(rights) != EndpointSet::EMPTY;
        let granted = (page.is_some() || has_setup).then_some(()).ok_or(Refusal::PageNotGranted);
        let nothing = if page.is_some() { Refusal::NotPage } else { Refusal::PageNotGranted };
        let ((), route) =
            self.decide_auxiliary(head, granted, nothing, |path| PageRoute::at(path, page, has_setup))?;
        let headers = &head.headers;
        match route {
            // A link on another site may lead here.
            PageRoute::Index | PageRoute::Setup => {}
            PageRoute::Cancel(_) if page != Some(PageRight::Admin) => return Err(Refusal::PageViewOnly),
            PageRoute::Cancel(_) if !is_from_the_page(headers) => return Err(Refusal::CrossSite),
            _ if is_from_another_site(headers) => return Err(Refusal::CrossSite),
            _ if headers.contains_key(ORIGIN) && !is_own_origin(headers) => return Err(Refusal::CrossSite),
            _ => {}
        }
        Ok(route)
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

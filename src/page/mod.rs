//! The page: what goes on at this node, for people in the tailnet whose grant says `page`.

mod chronicle;
mod events;
mod files;
mod sections;
mod watching;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};
use serde_json::json;

use crate::admin::Admin;
use crate::listen::Listen;
use crate::policy::{self, PageRoute, Refusal};
use crate::proxy::{Beside, Content, Feed, Port, Site, Visitor};
pub use chronicle::Chronicle;
use events::events;
use sections::Sections;
use watching::Watching;

/// What answers at the port for the page.
pub struct Page(Beside<Pages>);

impl Page {
    /// At `port`: what `admin` knows of this moment, and `chronicle` of the last days.
    pub fn new(port: Port, admin: Arc<Admin>, chronicle: Arc<Chronicle>) -> Self {
        let metrics = Arc::clone(admin.proxy.metrics());
        let sections = Arc::new(Sections::new(Arc::clone(&admin), chronicle));
        Page(Beside::new(port, metrics, Pages { admin, sections, watching: Watching::default() }))
    }

    /// Serves connections until it is dropped, and all of them with it.
    ///
    /// # Errors
    /// The listener has ended by itself.
    pub async fn serve(self, listener: impl Listen) -> io::Result<Infallible> {
        self.0.serve(listener).await
    }
}

struct Pages {
    admin: Arc<Admin>,
    sections: Arc<Sections>,
    watching: Watching,
}

impl Site for Pages {
    async fn answer(&self, visitor: &Visitor, head: &Parts) -> Result<Response<Content>, Refusal> {
        let (page, route) = visitor.decide(|policy, rights| policy.decide_page(rights, head))?;
        Ok(match route {
            PageRoute::Index => files::INDEX.answer(),
            PageRoute::Style => files::STYLE.answer(),
            PageRoute::Script => files::SCRIPT.answer(),
            PageRoute::Icon => files::ICON.answer(),
            PageRoute::Events => {
                let seat = self.watching.enter(visitor.peer())?;
                let (visitor, sections) = (visitor.clone(), Arc::clone(&self.sections));
                let feed = Feed::new(|place| events(sections, visitor, page, seat, place));
                answer("text/event-stream", Content::Feed(feed))
            }
            PageRoute::Cancel(id) => {
                let cancelled = self.admin.cancel(id, &visitor.peer().to_string());
                let body = json!({ "cancelled": cancelled }).to_string();
                answer("application/json", Content::Whole(Bytes::from(body)))
            }
        })
    }

    fn reads(&self, head: &Parts, message: &str) -> Option<(&'static str, Bytes)> {
        files::is_for_people(head).then(|| files::refusal(message))
    }

    fn dress(&self, headers: &mut HeaderMap) {
        for (name, value) in files::HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

fn answer(kind: &'static str, content: Content) -> Response<Content> {
    let mut response = Response::new(content);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Whether somebody with that much of the page sees what is others'.
fn sees_all(page: policy::PageRight) -> bool {
    page == policy::PageRight::Admin
}

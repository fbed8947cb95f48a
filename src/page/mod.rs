//! The page port: a web page that shows what the proxy does, for peers whose grant has `page`.

mod chronicle;
mod events;
mod files;
mod health;
mod peers;
mod sections;
mod viewers;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};
use serde_json::json;

use crate::admin::Admin;
use crate::listen::Listen;
use crate::policy::{PageRoute, Refusal};
use crate::proxy::{Beside, Content, Feed, Port, Site, Visitor};
pub use chronicle::Chronicle;
use events::events;
use sections::Sections;
use viewers::OpenStreams;

/// The server at the page port.
pub struct Page(Beside<PageHandler>);

impl Page {
    /// A server at `port` that shows the current state from `admin` and the last days from `chronicle`.
    pub fn new(port: Port, admin: Arc<Admin>, chronicle: Arc<Chronicle>) -> Self {
        let metrics = Arc::clone(admin.proxy.metrics());
        let sections = Arc::new(Sections::new(Arc::clone(&admin), chronicle));
        Page(Beside::new(port, metrics, PageHandler { admin, sections, streams: OpenStreams::default() }))
    }

    /// Serves connections until the future is dropped, which closes all of them.
    ///
    /// # Errors
    /// The listener ended.
    pub async fn serve(self, listener: impl Listen) -> io::Result<Infallible> {
        self.0.serve(listener).await
    }
}

struct PageHandler {
    admin: Arc<Admin>,
    sections: Arc<Sections>,
    streams: OpenStreams,
}

impl Site for PageHandler {
    async fn answer(&self, visitor: &Visitor, head: &Parts) -> Result<Response<Content>, Refusal> {
        let (page, route) = visitor.decide(|policy, rights| policy.decide_page(rights, head))?;
        Ok(match route {
            PageRoute::Index => files::INDEX.answer(),
            PageRoute::Style => files::STYLE.answer(),
            PageRoute::Script => files::SCRIPT.answer(),
            PageRoute::Icon => files::ICON.answer(),
            PageRoute::Events => {
                let open = self.streams.open(visitor.peer())?;
                let (visitor, sections) = (visitor.clone(), Arc::clone(&self.sections));
                let feed = Feed::new(|sender| events(sections, visitor, page, open, sender));
                files::answer("text/event-stream", Content::Feed(feed))
            }
            PageRoute::Cancel(id) => {
                let cancelled = self.admin.cancel(id, &visitor.peer().to_string());
                let body = json!({ "cancelled": cancelled }).to_string();
                files::answer("application/json", Content::Whole(Bytes::from(body)))
            }
        })
    }

    fn reads(&self, head: &Parts, message: &str) -> Option<(&'static str, Bytes)> {
        files::wants_html(head).then(|| files::refusal(message))
    }

    fn dress(&self, headers: &mut HeaderMap) {
        for (name, value) in files::HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

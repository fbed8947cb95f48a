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
use http::{HeaderValue, Response};
use serde_json::json;
use tokio::io::AsyncRead;

use crate::admin::Admin;
use crate::listen::Listen;
use crate::policy::{self, PageRoute, Refusal};
use crate::proxy::{AuxiliaryPort, Body, Caller, Client, Content, Feed, Handler, Port, RequestBody};
pub use chronicle::Chronicle;
use events::events;
use sections::Sections;
use watching::Watching;

/// The server at the page port.
pub struct Page {
    auxiliary: AuxiliaryPort,
    admin: Arc<Admin>,
    sections: Arc<Sections>,
    watching: Watching,
}

impl Page {
    /// At `port`: what `admin` knows of this moment, and `chronicle` of the last days.
    pub fn new(port: Port, admin: Arc<Admin>, chronicle: Arc<Chronicle>) -> Self {
        let auxiliary = AuxiliaryPort::new(port, Arc::clone(admin.proxy.metrics()));
        let sections = Arc::new(Sections::new(Arc::clone(&admin), chronicle));
        Page { auxiliary, admin, sections, watching: Watching::default() }
    }

    /// Serves connections until it is dropped, and all of them with it.
    ///
    /// # Errors
    /// The listener has ended by itself.
    pub async fn serve(self, listener: impl Listen) -> io::Result<Infallible> {
        let port = self.auxiliary.port().clone();
        port.serve_until_dropped(listener, self).await
    }

    async fn content(&self, caller: &Caller, head: &Parts) -> Result<Response<Content>, Refusal> {
        let (page, route) = caller.decide(|policy, rights| policy.decide_page(rights, head))?;
        Ok(match route {
            PageRoute::Index => files::INDEX.answer(),
            PageRoute::Style => files::STYLE.answer(),
            PageRoute::Script => files::SCRIPT.answer(),
            PageRoute::Icon => files::ICON.answer(),
            PageRoute::Events => {
                let seat = self.watching.enter(caller.peer())?;
                let (caller, sections) = (caller.clone(), Arc::clone(&self.sections));
                let feed = Feed::new(|place| events(sections, caller, page, seat, place));
                answer("text/event-stream", Content::Feed(feed))
            }
            PageRoute::Cancel(id) => {
                let cancelled = self.admin.cancel(id, &caller.peer().to_string());
                let body = json!({ "cancelled": cancelled }).to_string();
                answer("application/json", Content::Whole(Bytes::from(body)))
            }
        })
    }
}

impl Handler for Page {
    async fn answer<Io>(&self, client: &Client<Io>, head: Parts, _: RequestBody) -> Response<Body<Io>>
    where
        Io: AsyncRead + Send + Unpin + 'static,
    {
        let content = self.content(&client.caller, &head);
        let mut response = match self.auxiliary.answer(client, &head, content).await {
            Ok(response) => response,
            Err(refusal) if files::is_for_people(&head) => Body::refusal(files::refusal(refusal)),
            Err(refusal) => Body::refusal(refusal),
        };
        for (name, value) in files::HEADERS {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

fn answer(kind: &'static str, content: Content) -> Response<Content> {
    let mut response = Response::new(content);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Whether somebody with that much of the page sees what is others'.
fn sees_all(page: policy::Page) -> bool {
    page == policy::Page::Admin
}

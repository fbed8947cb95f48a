//! The page port: a web page that shows what the proxy does, for peers whose grant has `page`, and the set-up of clients,
//! for every peer that may ask Ollama.

mod events;
mod files;
mod health;
mod peers;
mod recent_activity;
mod sections;
mod setup;
mod viewers;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Response};
use serde_json::json;
use tokio::io::AsyncRead;

use crate::admin::Admin;
use crate::listen::Listen;
use crate::policy::{PageRoute, Policy, Refusal, Rights};
use crate::proxy::{AuxiliaryPort, Body, Caller, Client, Content, Feed, Handler, Port, RequestBody};
use events::{Watched, events};
pub use recent_activity::RecentActivity;
use sections::Sections;
use setup::Setup;
use viewers::OpenStreams;

/// The server at the page port.
pub struct Page {
    auxiliary: AuxiliaryPort,
    admin: Arc<Admin>,
    sections: Arc<Sections>,
    streams: OpenStreams,
    setup: Setup,
}

impl Page {
    /// A server at `port` that shows the current state from `admin` and the last days from `recent`.
    pub fn new(port: Port, admin: Arc<Admin>, recent: Arc<RecentActivity>) -> Self {
        let auxiliary = AuxiliaryPort::new(port);
        let sections = Arc::new(Sections::new(Arc::clone(&admin), recent));
        let setup = Setup::new(Arc::clone(&admin));
        Page { auxiliary, admin, sections, streams: OpenStreams::default(), setup }
    }

    /// Serves connections until the future is dropped, which closes all of them.
    ///
    /// # Errors
    /// The listener ended.
    pub async fn serve(self, listener: impl Listen) -> io::Result<Infallible> {
        let port = self.auxiliary.port().clone();
        port.serve_until_dropped(listener, self).await
    }

    async fn content(&self, caller: &Caller, head: &Parts) -> Result<Response<Content>, Refusal> {
        let decide = |policy: &Policy, rights: &Rights| {
            policy.decide_page(rights, self.setup.is_offered_to(caller), head)
        };
        Ok(match caller.decide(decide)? {
            PageRoute::Index => files::INDEX.answer(),
            PageRoute::Style => files::STYLE.answer(),
            PageRoute::Script => files::SCRIPT.answer(),
            PageRoute::Icon => files::ICON.answer(),
            PageRoute::Events { page, has_setup } => {
                let _open = self.streams.open(caller.peer())?;
                let (caller, sections) = (caller.clone(), Arc::clone(&self.sections));
                let watched = Watched { sections, caller, page, has_setup, _open };
                files::answer("text/event-stream", Content::Feed(Feed::new(|sender| events(watched, sender))))
            }
            PageRoute::Cancel(id) => {
                let cancelled = self.admin.cancel(id, &caller.peer().to_string());
                let body = json!({ "cancelled": cancelled }).to_string();
                files::answer("application/json", Content::Whole(Bytes::from(body)))
            }
            PageRoute::SetupScript => files::SETUP_SCRIPT.answer(),
            route @ (PageRoute::Setup | PageRoute::SetupText) => {
                let models = self.setup.models().await;
                let as_html = route == PageRoute::Setup && files::wants_html(head);
                // Again: Ollama may have taken its time, and the peer may have lost its rights meanwhile.
                caller.decide(|policy, rights| {
                    decide(policy, rights)?;
                    Ok(self.setup.answer(policy, rights, caller, head, models, as_html))
                })?
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
            Err(refusal) if files::wants_html(&head) => Body::refusal(files::refusal(refusal)),
            Err(refusal) => Body::refusal(refusal),
        };
        for (name, value) in files::HEADERS {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

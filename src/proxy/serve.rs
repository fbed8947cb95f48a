//! The proxy's own port: each request decided upon, given its turn, and forwarded to Ollama.

use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{Response, StatusCode};
use http_body::Body as _;
use tokio::io::AsyncRead;
use tokio::sync::watch;

use super::body::Body;
use super::cloud::{Cloud, Runs};
use super::exchange::{Begun, Job, Link, Reply};
use super::forward::forward;
use super::kept::{Kept, Slot};
use super::live::Live;
use super::origins::Origins;
use super::peek::{Peeked, peek};
use super::port::{Client, Drained, Handler, Port};
use super::refuse::Failure;
use super::rest::RequestBody;
use super::rules::Rules;
use super::upload::{Upload, Why};
use super::wire::Watch;
use crate::admission::Admission;
use crate::audit::{Ended, Metrics};
use crate::listen::Listen;
use crate::ollama::Upstream;
use crate::peer::Peer;
use crate::policy::{ModelCheck, ModelRefusal, Refusal};
use crate::tailnet::{Authorizer, Member};
use crate::usage::TokenCounter;

/// What serves peers: a policy, which may change while it runs, the tailnet's word on each peer, and
/// Ollama.
#[derive(Clone)]
pub struct Proxy {
    port: Port,
    admission: Admission,
    metrics: Arc<Metrics>,
    cloud: Arc<Cloud>,
    kept: Kept,
    origins: Arc<Origins>,
}

impl Proxy {
    /// A proxy that obeys the latest of `rules` and what `tailnet` says.
    pub fn new(rules: watch::Receiver<Arc<Rules>>, tailnet: Arc<dyn Authorizer>) -> Self {
        let (admission, metrics, cloud, kept, origins) = Default::default();
        Proxy { port: Port::new(rules, tailnet), admission, metrics, cloud, kept, origins }
    }

    /// Where it is served.
    pub fn port(&self) -> &Port {
        &self.port
    }

    /// The connections there are.
    pub fn live(&self) -> &Live {
        self.port.live()
    }

    /// Whether it has been told to stop.
    pub fn is_stopping(&self) -> bool {
        self.port.is_stopping()
    }

    /// What has been counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Whether a device that the netmap does not have yet could connect to `local`: whether the tailnet
    /// policy lets in everybody.
    pub fn admits_strangers(&self, local: SocketAddr, roster: &[Member]) -> bool {
        // From the end of the range that tailnets give addresses from, of the family of `local`.
        let known = |ip: &IpAddr| roster.iter().any(|m| m.addresses.iter().any(|a| a.ip == *ip));
        let last = |n: u8| match local.ip() {
            IpAddr::V4(_) => IpAddr::from([100, 127, 255, n]),
            IpAddr::V6(_) => {
                IpAddr::from([0xfd7a, 0x115c, 0xa1e0, 0xffff, 0xffff, 0xffff, 0xffff, u16::from(n)])
            }
        };
        let free = (2..=254).rev().map(last).find(|ip| !known(ip));
        free.is_some_and(|ip| {
            let (node, stable_id, os) = Default::default();
            let nobody = Peer { addr: (ip, 1).into(), node, stable_id, user: None, tags: Vec::new(), os };
            self.port.verdict(&nobody, local).admits()
        })
    }

    /// Requests that run, and that wait for their turn.
    pub fn load(&self) -> (u32, u32) {
        self.admission.load()
    }

    /// Serves connections until `shutdown` is ready, then lets running requests end until `deadline`
    /// is ready, which is polled from then on, and cuts the rest.
    ///
    /// # Errors
    /// The listener has ended by itself.
    pub async fn serve(
        &self,
        listener: impl Listen,
        shutdown: impl Future<Output = ()>,
        deadline: impl Future<Output = ()>,
    ) -> io::Result<Drained> {
        let mut rules = self.port.changes();
        let limits = async {
            // Who waits may have a turn under the new limits.
            while rules.changed().await.is_ok() {
                self.admission.limit(&rules.borrow_and_update().limits);
            }
            std::future::pending().await
        };
        tokio::select! {
            served = self.port.serve(listener, Arc::new(self.clone()), shutdown, deadline) => served,
            never = limits => never,
        }
    }

    async fn ask<Io: AsyncRead + Unpin>(
        &self,
        client: &Client<Io>,
        head: &Parts,
        mut body: RequestBody,
        job: &mut Job,
    ) -> Result<(Response<Begun>, Link), Failure> {
        let Client { session, watch, slot } = client;
        watch.next_head().map_err(Failure::Framing)?;
        if self.is_stopping() {
            return Err(Failure::Stopping);
        }
        let (asked_under, rights) = (self.port.rules(), session.rights());
        let permit = asked_under.policy.decide(&rights, head).map_err(Failure::Refused)?;
        job.permitted(permit.endpoint());
        let (identity, asked) = (session.peer.identity(), Instant::now());
        let (mut limits, mut grant) = (asked_under.limits, Cow::Borrowed(permit.grant()));
        if permit.is_preflight() {
            // It costs Ollama next to nothing, and a page can't read why its preflight was refused.
            limits.requests_per_minute = None;
            grant.to_mut().requests_per_minute = None;
        }
        let turn = self.admission.admit(&limits, identity, &grant, permit.computes());
        let admitted = watch.unless_trouble(turn).await?.map_err(Failure::Busy)?;
        job.begin(admitted, asked.elapsed());
        // The request may have waited for minutes. From here on the rules and rights of this moment decide
        // everything, and a sweep sees the request running.
        let (rules, rights_now) = (self.port.rules(), session.rights());
        let Rules { policy, limits, usage, upstream, .. } = &*rules;
        let permit = match Arc::ptr_eq(&rules, &asked_under) && Arc::ptr_eq(&rights_now, &rights) {
            true => permit,
            false => policy.decide(&rights_now, head).map_err(Failure::Refused)?,
        };
        job.check(permit.grant()).map_err(Failure::Busy)?;
        job.counted = permit.computes() && (*usage || permit.grant().tokens_per_day.is_some());
        let max_body = permit.grant().max_body.unwrap_or(u64::MAX).min(limits.max_body);
        if body.size_hint().lower() > max_body {
            return Err(Failure::TooLarge(max_body));
        }
        let peeked = match permit.model() {
            None => None,
            Some(check) => self.check_model(check, &mut body, max_body, upstream, watch).await?,
        };
        let traffic = Arc::clone(&job.record.traffic);
        let (body, end) = Upload::new(body, peeked, max_body, traffic);
        let answered = forward(&permit, head, body, upstream, slot, watch, job.counted).await;
        match end.why() {
            None => answered,
            Some(Why::TooLarge) => Err(Failure::TooLarge(max_body)),
            Some(Why::Doubt(doubt)) => Err(Failure::Refused(Refusal::Model(ModelRefusal::Body(doubt)))),
        }
    }

    /// Finds out which model is asked for, and whether it may be. What that takes of the body comes back.
    async fn check_model<Io: AsyncRead + Unpin>(
        &self,
        check: &ModelCheck,
        body: &mut RequestBody,
        max_body: u64,
        upstream: &Upstream,
        watch: &Watch<Io>,
    ) -> Result<Option<Peeked>, Failure> {
        let refused = |refusal| Failure::Refused(Refusal::Model(refusal));
        let (peeked, model, sent) = match check.known() {
            Some(model) => (None, model.clone(), model.to_string()),
            None => {
                let peeked = peek(check, body, max_body, watch).await?;
                let sent = peeked.reader.model().unwrap_or_default().to_owned();
                let model = check.admit(&sent).map_err(refused)?;
                (Some(peeked), model, sent)
            }
        };
        if check.local_only() {
            let told = watch.unless_trouble(self.cloud.look_up(upstream, &model)).await?;
            match told.map_err(Failure::Untold)? {
                Runs::Here => {}
                Runs::Elsewhere => return Err(refused(ModelRefusal::cloud(&sent))),
                Runs::Unlisted => return Err(refused(ModelRefusal::not_here(&sent))),
            }
        }
        Ok(peeked)
    }
}

impl Handler for Proxy {
    fn slot(&self) -> Arc<Slot> {
        Arc::new(Slot::new(&self.kept))
    }

    async fn answer<Io>(&self, client: &Client<Io>, head: Parts, body: RequestBody) -> Response<Body<Io>>
    where
        Io: AsyncRead + Send + Unpin + 'static,
    {
        let Client { session, watch, slot } = client;
        let mut job = Job::new(session, watch.busy(), &head.method, Arc::clone(&self.metrics));
        match self.ask(client, &head, body, &mut job).await {
            Ok((response, link)) => {
                job.record.answered(response.status());
                self.origins.learn(session.peer.identity(), &head.headers, response.headers());
                let scanner = scanner(&job, &response);
                let (slot, watch) = (Arc::clone(slot), watch.clone());
                response.map(|body| Body::Stream(Box::new(Reply::new(body, link, slot, watch, scanner, job))))
            }
            Err(failure) => {
                let path = head.uri.path();
                if failure.ended() == Ended::UpstreamFailed {
                    tracing::warn!(peer = %session.peer, "{failure}");
                }
                match failure {
                    Failure::Left => job.record.end(Ended::ClientLeft), // nobody reads the answer
                    _ => job.record.failed(failure.status(path), failure.rule(), path, failure.ended()),
                }
                if let Some(model) = failure.model() {
                    job.record.refused_for(model);
                }
                let mut answer = failure.answer(&head.method, path);
                self.origins.allow(session.peer.identity(), &head.headers, answer.headers_mut());
                answer.map(|bytes| Body::Whole(Some(bytes)))
            }
        }
    }
}

/// What counts the tokens of an answer, if they are counted. One that does not tell of any counts as such.
fn scanner(job: &Job, response: &Response<Begun>) -> Option<TokenCounter> {
    let counts = job.counted && response.status() == StatusCode::OK;
    counts.then(|| TokenCounter::of(response.headers()))
}

//! Serving the Ollama port. The steps of one request: decide, wait for a running slot, decide again, check the model,
//! forward.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{Response, StatusCode};
use http_body::Body as _;
use tokio::io::AsyncRead;
use tracing::Instrument;

use crate::audit::Ended;
use crate::listen::Listen;
use crate::policy::{Dialect, ModelRefusal, Refusal};
use crate::proxy::headers;
use crate::proxy::ports::accept::Drained;
use crate::proxy::ports::body::Body;
use crate::proxy::ports::handler::{Client, Handler};
use crate::proxy::refusal::answer::RefusalAnswer;
use crate::proxy::refusal::failure::Failure;
use crate::proxy::request::decision::Decision;
use crate::proxy::request::forward::{answer_for_client, refuse_codings, request_for_ollama};
use crate::proxy::request::model_check::ModelLookup;
use crate::proxy::request::named_model::NamedModel;
use crate::proxy::request::proxy::Proxy;
use crate::proxy::sessions::open_request::OpenRequest;
use crate::proxy::sessions::request_body::RequestBody;
use crate::proxy::upstream::exchange::{UpstreamAnswer, exchange};
use crate::proxy::upstream::pool::PoolEntry;
use crate::proxy::upstream::reply::Reply;
use crate::proxy::upstream::upload::{BodyStart, Upload, UploadFault};
use crate::usage::TokenCounter;

impl Handler for Proxy {
    fn pool_entry(&self) -> Arc<PoolEntry> {
        Arc::new(PoolEntry::new(&self.pool))
    }

    async fn answer<Io>(&self, client: &Client<Io>, head: Parts, body: RequestBody) -> Response<Body<Io>>
    where
        Io: AsyncRead + Send + Unpin + 'static,
    {
        let (session, answering) = (&client.caller.session, client.watch.answering());
        let mut request = OpenRequest::new(session, answering, &head.method);
        let span = request.span.clone();
        async {
            match self.ask(client, &head, body, &mut request).await {
                Ok(answer) => self.pass_on(client, &head, answer, request),
                Err(failure) => self.refuse(client, &head, &failure, request),
            }
        }
        .instrument(span)
        .await
    }
}

impl Proxy {
    /// Serves connections until `shutdown` is ready. Then running requests may end until `deadline` is ready, which is
    /// polled from then on, and what is left is cut.
    ///
    /// # Errors
    /// The listener has ended by itself.
    pub async fn serve(
        &self,
        listener: impl Listen,
        shutdown: impl Future<Output = ()>,
        deadline: impl Future<Output = ()>,
    ) -> io::Result<Drained> {
        let mut rules = self.port().access().changes();
        let mut serving =
            std::pin::pin!(self.port().serve(listener, Arc::new(self.clone()), shutdown, deadline));
        loop {
            tokio::select! {
                served = &mut serving => return served,
                // New limits may give waiting requests their running slots.
                Ok(()) = rules.changed() => self.admission.limit(&rules.borrow_and_update().limits),
            }
        }
    }

    /// Ollama's answer to a request, once every check has passed.
    async fn ask<Io: AsyncRead + Unpin>(
        &self,
        client: &Client<Io>,
        head: &Parts,
        body: RequestBody,
        request: &mut OpenRequest,
    ) -> Result<UpstreamAnswer, Failure> {
        client.watch.check_next_head().map_err(Failure::Framing)?;
        if self.is_stopping() {
            return Err(Failure::Stopping);
        }
        let decision = Decision::new(&client.caller, head)?;
        request.permitted(decision.permit.endpoint());
        self.wait_for_slot(client, &decision, request).await?;
        // The request may have waited for minutes. From here on the rules and rights of this moment decide everything,
        // and a sweep sees the request as running.
        let decision = decision.renew(&client.caller, head)?;
        request.check(decision.permit.grant()).map_err(Failure::Busy)?;
        request.counts_tokens = decision.counts_tokens();
        request.model = self.named_model(head, &decision);
        self.forward(client, head, body, &decision, request).await
    }

    /// The model that a request names, if usage is counted.
    fn named_model(&self, head: &Parts, decision: &Decision) -> Option<Arc<NamedModel>> {
        let rules = decision.rules();
        let named = || NamedModel::of(&decision.permit, &head.headers, &self.listed_models, &rules.upstream);
        rules.usage.then(named).flatten()
    }

    async fn wait_for_slot<Io: AsyncRead + Unpin>(
        &self,
        client: &Client<Io>,
        decision: &Decision,
        request: &mut OpenRequest,
    ) -> Result<(), Failure> {
        let since = Instant::now();
        let (limits, grant) = decision.limits();
        let identity = client.caller.peer().identity();
        let admitted = self.admission.admit(&limits, identity, &grant, decision.permit.computes());
        let slot = client.watch.unless_fault(admitted).await?.map_err(Failure::Busy)?;
        request.begin(slot, since.elapsed());
        Ok(())
    }

    /// Checks the body as far as its beginning shows it, and forwards the request.
    async fn forward<Io: AsyncRead + Unpin>(
        &self,
        client: &Client<Io>,
        head: &Parts,
        mut body: RequestBody,
        decision: &Decision,
        request: &OpenRequest,
    ) -> Result<UpstreamAnswer, Failure> {
        let (upstream, max_body) = (&decision.rules().upstream, decision.max_body());
        if body.size_hint().lower() > max_body {
            return Err(Failure::TooLarge(max_body));
        }
        let start = match decision.permit.model() {
            None => BodyStart::default(),
            Some(check) => {
                let lookup =
                    ModelLookup { check, local_models: &self.local_models, upstream, watch: &client.watch };
                lookup.run(&mut body, max_body).await?
            }
        };
        let upload = Upload::new(start, body, max_body, Arc::clone(&request.record.traffic));
        let upload = upload.naming(request.model.clone());
        let upload_fault = upload.fault();
        let mut sent = request_for_ollama(&decision.permit, head, upload, upstream.host());
        if request.counts_tokens {
            refuse_codings(&mut sent);
        }
        let answered = exchange(upstream, &client.pool_entry, &client.watch, sent).await;
        // A body that was cut off shows as a failure of the exchange.
        match upload_fault.get() {
            None => answer_for_client(decision.permit.method(), answered?),
            Some(UploadFault::TooLarge) => Err(Failure::TooLarge(max_body)),
            Some(UploadFault::Model(fault)) => Err(Refusal::Model(ModelRefusal::Body(fault)).into()),
        }
    }

    fn pass_on<Io>(
        &self,
        client: &Client<Io>,
        head: &Parts,
        answer: UpstreamAnswer,
        mut request: OpenRequest,
    ) -> Response<Body<Io>> {
        let UpstreamAnswer { mut response, conn } = answer;
        request.record.answered(response.status());
        self.origins.learn(client.caller.peer().identity(), &head.headers, response.headers());
        let dialect = Dialect::of(head.uri.path());
        headers::add_request_id(response.headers_mut(), &request.record.id(), dialect);
        let counted = request.counts_tokens && response.status() == StatusCode::OK;
        let counter = counted.then(|| match request.record.endpoint {
            Some(endpoint) if !endpoint.reports_tokens() => TokenCounter::by_size(),
            _ => TokenCounter::of(response.headers()),
        });
        response.map(|body| {
            let (pool_entry, watch) = (Arc::clone(&client.pool_entry), client.watch.clone());
            Body::Reply(Box::new(Reply {
                body,
                conn: Some(conn),
                pool_entry,
                watch,
                counter,
                request,
                ended: None,
            }))
        })
    }

    fn refuse<Io>(
        &self,
        client: &Client<Io>,
        head: &Parts,
        failure: &Failure,
        mut request: OpenRequest,
    ) -> Response<Body<Io>> {
        let path = head.uri.path();
        if failure.ended() == Ended::UpstreamFailed {
            tracing::warn!("{failure}");
        }
        match failure {
            Failure::Left => request.record.end(Ended::ClientLeft), // the client reads no answer
            _ => request.record.failed(failure.status(path), failure.rule(), path, failure.ended()),
        }
        if let Some(model) = failure.model() {
            request.record.refused_for(model);
        }
        let answer = RefusalAnswer::new(failure, head, request.record.id());
        let mut response = Body::refusal(answer);
        self.origins.allow(client.caller.peer().identity(), &head.headers, response.headers_mut());
        response
    }
}

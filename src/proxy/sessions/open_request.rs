//! What a request holds until its answer has ended.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tracing::Span;
use tracing::field::Empty;

use crate::admission::{Busy, RunningSlot};
use crate::audit::OpenRecord;
use crate::policy::{Endpoint, Grant};
use crate::proxy::request::named_model::NamedModel;
use crate::proxy::sessions::session::{ActiveRequest, Session};
use crate::proxy::sessions::stream::watch::Answering;

/// A request that has not ended: its access record, its running slot and its place in the list of active requests. All
/// are given up when this is dropped.
pub(crate) struct OpenRequest {
    pub(crate) record: OpenRecord,
    /// Carries the id and the endpoint to every diagnostic line about the request.
    pub(crate) span: Span,
    session: Arc<Session>,
    slot: Option<RunningSlot>,
    listed: bool,
    /// Whether the tokens of its answer are counted.
    pub(crate) counts_tokens: bool,
    /// The model that it names, if usage is counted.
    pub(crate) model: Option<Arc<NamedModel>>,
    _answering: Answering,
}

impl OpenRequest {
    pub(crate) fn new(session: &Arc<Session>, answering: Answering, method: &Method) -> Self {
        let record = session.record(method);
        OpenRequest {
            // A span has a level, but is no line: at ERROR it is there at every `log.level` that shows any line.
            span: tracing::error_span!("request", id = record.id(), endpoint = Empty),
            record,
            session: Arc::clone(session),
            slot: None,
            listed: false,
            counts_tokens: false,
            model: None,
            _answering: answering,
        }
    }

    /// The policy has permitted the request, which now waits for a running slot.
    pub(crate) fn permitted(&mut self, endpoint: Endpoint) {
        self.span.record("endpoint", endpoint.name());
        self.record.endpoint = Some(endpoint);
        self.listed = true;
        self.session.show_waiting(ActiveRequest {
            id: self.record.id(),
            endpoint,
            since: self.record.started,
            running: false,
            traffic: Arc::clone(&self.record.traffic),
        });
    }

    /// The request has its running slot, after it has waited for `queued`.
    pub(crate) fn begin(&mut self, slot: RunningSlot, queued: Duration) {
        self.record.begins(queued);
        self.session.show_running();
        self.slot = Some(slot);
    }

    /// Whether it may still run under `grant`.
    ///
    /// # Errors
    /// The limit of `grant` that it exceeds.
    pub(crate) fn check(&self, grant: &Grant) -> Result<(), Busy> {
        self.slot.as_ref().map_or(Ok(()), |slot| slot.check(grant))
    }

    /// Counts tokens towards the limit of the identity.
    pub(crate) fn spend(&self, tokens: u64) {
        if let Some(slot) = &self.slot {
            slot.spend(tokens);
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        if let Some(model) = &self.model {
            self.record.names(model.name().as_deref());
        }
        if self.listed {
            self.session.clear_request();
        }
    }
}

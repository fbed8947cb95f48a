//! The decision about one request at the Ollama port, and its renewal after the request has waited.

use std::borrow::Cow;

use http::request::Parts;

use crate::admission::Limits;
use crate::policy::{Grant, Permit, QuotaUnit, Quotas};
use crate::proxy::ports::handler::Caller;
use crate::proxy::refusal::failure::Failure;
use crate::proxy::rules::Rules;
use crate::proxy::sessions::access::CurrentAccess;

/// A permit, and the rules and rights that gave it.
pub(super) struct Decision {
    access: CurrentAccess,
    pub(super) permit: Permit,
}

impl Decision {
    /// Decides by the rules and rights of this moment.
    ///
    /// # Errors
    /// The rule that refuses the request.
    pub(super) fn new(caller: &Caller, head: &Parts) -> Result<Decision, Failure> {
        Self::by(caller.access(), head)
    }

    fn by(access: CurrentAccess, head: &Parts) -> Result<Decision, Failure> {
        let permit = access.decide(|policy, rights| policy.decide(rights, head))?;
        Ok(Decision { access, permit })
    }

    /// Decides again, if the rules or the rights have changed since.
    ///
    /// # Errors
    /// The rule that refuses the request now.
    pub(super) fn renew(self, caller: &Caller, head: &Parts) -> Result<Decision, Failure> {
        let now = caller.access();
        if now.is_same(&self.access) { Ok(self) } else { Self::by(now, head) }
    }

    pub(super) fn rules(&self) -> &Rules {
        self.access.rules()
    }

    /// The limits of the config and of the grant for this request. A preflight costs Ollama next to nothing, and a page
    /// can't read why it was refused, so it counts towards no rate and no quota.
    pub(super) fn limits(&self) -> (Limits, Cow<'_, Grant>) {
        let mut limits = self.rules().limits;
        let mut grant = Cow::Borrowed(self.permit.grant());
        if self.permit.is_preflight() {
            (limits.requests_per_minute, limits.quotas) = (None, Quotas::NONE);
            let grant = grant.to_mut();
            (grant.requests_per_minute, grant.quotas) = (None, Quotas::NONE);
        }
        (limits, grant)
    }

    /// The quotas of the config and of the grant for this request.
    pub(super) fn quotas(&self) -> Quotas {
        if self.permit.is_preflight() {
            return Quotas::NONE;
        }
        self.rules().limits.quotas.and(self.permit.grant().quotas)
    }

    /// The largest body that may pass, in bytes.
    pub(super) fn max_body(&self) -> u64 {
        self.permit.grant().max_body.unwrap_or(u64::MAX).min(self.rules().limits.max_body)
    }

    /// Whether the tokens of the answer are counted.
    pub(super) fn counts_tokens(&self) -> bool {
        self.permit.computes() && (self.rules().usage || self.quotas().limit(QuotaUnit::Tokens))
    }
}

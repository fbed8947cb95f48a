//! Keeps the certificate for HTTPS: requests and renews it, and has the listener present it without a restart.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::sleep;

use crate::control::ControlTask;
use crate::settings::Settings;
use crate::tailnet::{CertificateStatus, NodeStatus};
use crate::tls::CurrentCertificate;
use crate::tsnet::{Certificate, Node};

/// How often the node is asked for the certificate. The node knows when to renew it.
const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// How long a request may take: the ACME server waits until it sees the control server's DNS record.
const DEADLINE: Duration = Duration::from_secs(5 * 60);

/// The pause after a first failure. It doubles with each further one, up to [`INTERVAL`], which makes fewer than five
/// failures an hour, the limit of Let's Encrypt (its documentation, "Rate Limits").
const RETRY: Duration = Duration::from_secs(5 * 60);

/// The last part of a certificate's life, in which the node has to renew it at once and reports why it can't. Before that
/// the node renews in the background, without a report of failures.
const LAST_PART: u32 = 4;

/// Keeps the certificate of a node that has joined.
pub(super) struct CertificateKeeper {
    node: Arc<Node>,
    settings: Arc<Settings>,
    node_status: watch::Sender<NodeStatus>,
    current: Arc<CurrentCertificate>,
}

/// The last certificate that was presented, and its name.
struct Latest {
    name: String,
    certificate: Certificate,
}

impl CertificateKeeper {
    /// `current` is what the listener presents.
    pub(super) fn new(
        node: Arc<Node>,
        settings: Arc<Settings>,
        node_status: watch::Sender<NodeStatus>,
        current: Arc<CurrentCertificate>,
    ) -> Self {
        node_status.send_modify(|node| node.certificate = Some(CertificateStatus::default()));
        CertificateKeeper { node, settings, node_status, current }
    }

    /// Requests the certificate each [`INTERVAL`], when the node gets another name, and when the config is reloaded.
    pub(super) async fn run(&self) {
        let (mut node, mut configs) = (self.node_status.subscribe(), self.settings.configs());
        let (mut failures, mut latest) = (0, None);
        loop {
            configs.mark_unchanged();
            let name = name(&node.borrow_and_update());
            let fault = match &name {
                Some(name) => self.renew(name, &mut latest).await.err(),
                None => Some(self.no_certificates()),
            };
            failures = if fault.is_some() { failures + 1 } else { 0 };
            let pause = pause(failures);
            if let Some(fault) = &fault {
                let again_in = crate::time::format_duration(pause);
                tracing::warn!(fault, %again_in, "cannot get a certificate for HTTPS: retrying");
            }
            self.update_status(|status| status.fault = fault);
            tokio::select! {
                () = sleep(pause) => {}
                _ = node.wait_for(|node| self::name(node) != name) => failures = 0,
                _ = configs.changed() => {}
            }
        }
    }

    fn no_certificates(&self) -> String {
        let way_out = ControlTask::Certificates.at(self.settings.config().node.control_url.as_deref());
        format!("the tailnet gives this node no certificates: {way_out}")
    }

    /// Presents the node's certificate for `name`. In the last part of the life of `latest` the node has to renew it.
    ///
    /// Makes one call only, the one with `at_least`: a second call would be a second failed order, and Let's Encrypt limits
    /// those.
    async fn renew(&self, name: &str, latest: &mut Option<Latest>) -> Result<(), String> {
        let of_name = latest.as_ref().filter(|latest| latest.name == name);
        let at_least = of_name.and_then(|latest| last_part(&latest.certificate, SystemTime::now()));
        let answer = self.node.certificate(name, at_least.unwrap_or_default(), DEADLINE).await;
        let certificate = answer.map_err(|error| error.to_string())?;
        self.present(name, &certificate)?;
        *latest = Some(Latest { name: name.to_owned(), certificate });
        Ok(())
    }

    fn present(&self, name: &str, new: &Certificate) -> Result<(), String> {
        let is_first =
            self.node_status.borrow().certificate.as_ref().is_none_or(|status| status.expiry.is_none());
        if self.current.set(&new.chain, &new.key)? {
            if is_first {
                tracing::info!(name, expiry = new.expiry, "got a certificate for HTTPS");
            } else {
                tracing::info!(name, expiry = new.expiry, "renewed the certificate for HTTPS");
            }
        }
        self.update_status(|status| {
            name.clone_into(&mut status.name);
            status.expiry = Some(new.expiry.clone());
        });
        Ok(())
    }

    fn update_status(&self, change: impl FnOnce(&mut CertificateStatus)) {
        self.node_status.send_modify(|node| change(node.certificate.get_or_insert_default()));
    }
}

/// The name to get a certificate for: the node's own, else the first that the tailnet allows.
fn name(node: &NodeStatus) -> Option<String> {
    let own = node.cert_domains.iter().find(|name| **name == node.dns_name);
    own.or_else(|| node.cert_domains.first()).cloned()
}

fn pause(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => INTERVAL,
        Some(earlier) => RETRY.saturating_mul(2_u32.saturating_pow(earlier)).min(INTERVAL),
    }
}

/// The length of the last part of the certificate's life, if that has begun.
fn last_part(certificate: &Certificate, now: SystemTime) -> Option<Duration> {
    let time = |text: &str| crate::time::parse_rfc3339(text).ok();
    let (issued, expiry) = (time(&certificate.issued)?, time(&certificate.expiry)?);
    let part = expiry.duration_since(issued).ok()? / LAST_PART;
    let left = expiry.duration_since(now).unwrap_or_default();
    (left < part).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let pauses: Vec<_> = [0, 1, 2, 3, 4, 5, 6, 100, u32::MAX].map(pause).to_vec();
        let expected = [60, 5, 10, 20, 40, 60, 60, 60, 60].map(minutes);
        assert_eq!(pauses, expected);
    }

    #[test]
    fn last_part_is_a_quarter() {
        let (issued, expiry) = ("2026-01-01T00:00:00Z", "2026-01-05T00:00:00Z");
        let certificate = Certificate {
            chain: String::new(),
            key: String::new(),
            issued: issued.to_owned(),
            expiry: expiry.to_owned(),
        };
        let day = Duration::from_secs(24 * 60 * 60);
        let at = |text| last_part(&certificate, crate::time::parse_rfc3339(text).unwrap());
        assert_eq!(at("2026-01-03T23:59:59Z"), None);
        assert_eq!(at("2026-01-04T00:00:01Z"), Some(day));
        assert_eq!(at("2026-02-01T00:00:00Z"), Some(day));
    }

    #[test]
    fn own_name_comes_first() {
        let mut node = NodeStatus { dns_name: "a.t".to_owned(), ..NodeStatus::default() };
        assert_eq!(name(&node), None);
        node.cert_domains = vec!["b.t".to_owned(), "a.t".to_owned()];
        assert_eq!(name(&node).as_deref(), Some("a.t"));
        node.dns_name.clear();
        assert_eq!(name(&node).as_deref(), Some("b.t"));
    }
}

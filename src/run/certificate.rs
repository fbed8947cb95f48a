//! The certificate for HTTPS: asked for, renewed, and shown by the listener without a restart.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::control::ControlTask;
use crate::settings::Settings;
use crate::tailnet::{CertificateStatus, NodeStatus};
use crate::tls::CurrentCertificate;
use crate::tsnet::{self, Node};

/// How often the node is asked, which knows by itself when it is time to renew.
const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// How long a certificate may take: the ACME server waits until it sees what the control server has put into the DNS.
const DEADLINE: Duration = Duration::from_secs(5 * 60);

/// After how long the first failure is tried again; then it is twice as long each time, up to [`INTERVAL`]. So there are
/// fewer than five in an hour, which is what Let's Encrypt lets fail (its documentation, "Rate Limits").
const RETRY: Duration = Duration::from_secs(5 * 60);

/// Which part of its life a certificate may have left before it is renewed at once, and it is told why that fails. The node
/// renews it well before, in the background, and says nothing of a failure.
const LAST_PART: u32 = 4;

/// Keeps the certificate of a node that is up.
pub(super) struct Https {
    node: Arc<Node>,
    settings: Arc<Settings>,
    situation: watch::Sender<NodeStatus>,
    shown: Arc<CurrentCertificate>,
}

impl Https {
    /// `shown` is what the listener shows.
    pub(super) fn new(
        node: Arc<Node>,
        settings: Arc<Settings>,
        situation: watch::Sender<NodeStatus>,
        shown: Arc<CurrentCertificate>,
    ) -> Self {
        situation.send_modify(|known| known.certificate = Some(CertificateStatus::default()));
        Https { node, settings, situation, shown }
    }

    /// What to do where the tailnet gives no certificates.
    fn off(&self) -> String {
        let way_out = ControlTask::Certificates.at(self.settings.config().node.control_url.as_deref());
        format!("the tailnet gives this node no certificates: {way_out}")
    }

    /// Asks for the certificate now and again, and whenever the tailnet gives the node another name or the config is read
    /// anew.
    pub(super) async fn keep(&self) -> std::convert::Infallible {
        let (mut known, mut configs) = (self.situation.subscribe(), self.settings.configs());
        let (mut failures, mut latest) = (0, None);
        loop {
            configs.mark_unchanged();
            let name = name(&known.borrow_and_update());
            let fault = match &name {
                Some(name) => self.renew(name, &mut latest).await.err(),
                None => Some(self.off()),
            };
            failures = if fault.is_some() { failures + 1 } else { 0 };
            let pause = pause(failures);
            if let Some(fault) = &fault {
                let again_in = humantime::format_duration(pause);
                tracing::warn!(fault, %again_in, "there is no new certificate for HTTPS");
            }
            self.certificate(|certificate| certificate.fault = fault);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = known.wait_for(|known| self::name(known) != name) => failures = 0,
                _ = configs.changed() => {}
            }
        }
    }

    /// Shows the certificate for `name`, new or not. In the last part of the life of `latest`, which was shown
    /// before, the node has to renew it; a question without that would have it try too, and the ACME server
    /// counts what fails.
    async fn renew(
        &self,
        name: &str,
        latest: &mut Option<(String, tsnet::Certificate)>,
    ) -> Result<(), String> {
        let of_name = latest.as_ref().filter(|(of, _)| of == name);
        let at_least = of_name.and_then(|(_, shown)| last_part(shown, SystemTime::now()));
        let asked = self.node.certificate(name, at_least.unwrap_or_default(), DEADLINE).await;
        let certificate = asked.map_err(|error| error.to_string())?;
        self.show(name, &certificate)?;
        *latest = Some((name.to_owned(), certificate));
        Ok(())
    }

    fn show(&self, name: &str, new: &tsnet::Certificate) -> Result<(), String> {
        let first = self.situation.borrow().certificate.as_ref().is_none_or(|shown| shown.expiry.is_none());
        match (self.shown.set(&new.chain, &new.key)?, first) {
            (false, _) => {}
            (true, true) => tracing::info!(name, expiry = new.expiry, "there is a certificate for HTTPS"),
            (true, false) => {
                tracing::info!(name, expiry = new.expiry, "the certificate for HTTPS was renewed")
            }
        }
        self.certificate(|shown| {
            name.clone_into(&mut shown.name);
            shown.expiry = Some(new.expiry.clone());
        });
        Ok(())
    }

    fn certificate(&self, change: impl FnOnce(&mut CertificateStatus)) {
        self.situation.send_modify(|known| change(known.certificate.get_or_insert_default()));
    }
}

/// The name to have a certificate for: the node's own, or else the first that there may be one for.
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

/// How long the last part of its life is, if that has begun.
fn last_part(certificate: &tsnet::Certificate, now: SystemTime) -> Option<Duration> {
    let time = |text: &str| humantime::parse_rfc3339(text).ok();
    let (issued, expiry) = (time(&certificate.issued)?, time(&certificate.expiry)?);
    let part = expiry.duration_since(issued).ok()? / LAST_PART;
    let left = expiry.duration_since(now).unwrap_or_default();
    (left < part).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_an_hour() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let told: Vec<_> = [0, 1, 2, 3, 4, 5, 6, 100, u32::MAX].map(pause).to_vec();
        let pauses = [60, 5, 10, 20, 40, 60, 60, 60, 60].map(minutes);
        assert_eq!(told, pauses);
    }

    #[test]
    fn the_last_part_of_its_life_is_a_quarter() {
        let (issued, expiry) = ("2026-01-01T00:00:00Z", "2026-01-05T00:00:00Z");
        let certificate = tsnet::Certificate {
            chain: String::new(),
            key: String::new(),
            issued: issued.to_owned(),
            expiry: expiry.to_owned(),
        };
        let day = Duration::from_secs(24 * 60 * 60);
        let at = |text| last_part(&certificate, humantime::parse_rfc3339(text).unwrap());
        assert_eq!(at("2026-01-03T23:59:59Z"), None);
        assert_eq!(at("2026-01-04T00:00:01Z"), Some(day));
        assert_eq!(at("2026-02-01T00:00:00Z"), Some(day));
    }

    #[test]
    fn the_nodes_own_name_comes_first() {
        let mut node = NodeStatus { dns_name: "a.t".to_owned(), ..NodeStatus::default() };
        assert_eq!(name(&node), None);
        node.cert_domains = vec!["b.t".to_owned(), "a.t".to_owned()];
        assert_eq!(name(&node).as_deref(), Some("a.t"));
        node.dns_name.clear();
        assert_eq!(name(&node).as_deref(), Some("b.t"));
    }
}

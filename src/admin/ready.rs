//! Whether the proxy can serve requests, and if not, why.

use serde::{Deserialize, Serialize};

use crate::config::PlainHttp;
use crate::tailnet::NodeStatus;

/// Why no requests are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotReady {
    /// The part at fault.
    pub what: NotReadyCause,
    /// What is wrong, in a sentence.
    pub reason: String,
}

/// The part that keeps the proxy from serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotReadyCause {
    /// The proxy itself, which is stopping.
    Stopping,
    /// The tailnet node.
    Node,
    /// The certificate is missing, and only HTTPS is served.
    Certificate,
    /// Ollama.
    Ollama,
}

/// The state of the parts that a request needs.
pub(super) struct Readiness<'a> {
    pub(super) stopping: bool,
    pub(super) plain_http: PlainHttp,
    pub(super) node: &'a NodeStatus,
    /// Why Ollama does not answer.
    pub(super) ollama_fault: Option<&'a str>,
}

impl Readiness<'_> {
    /// The first part that keeps a request from being served, in the order in which a request reaches them.
    pub(super) fn not_ready(&self) -> Option<NotReady> {
        let (what, reason) = if self.stopping {
            (NotReadyCause::Stopping, "the proxy is stopping".to_owned())
        } else if let Some(reason) = node_fault(self.node) {
            (NotReadyCause::Node, reason)
        } else if let Some(reason) = self.certificate_fault() {
            (NotReadyCause::Certificate, reason)
        } else {
            (NotReadyCause::Ollama, self.ollama_fault?.to_owned())
        };
        Some(NotReady { what, reason })
    }

    fn certificate_fault(&self) -> Option<String> {
        let certificate =
            self.node.certificate.as_ref().filter(|certificate| certificate.expiry.is_none())?;
        (self.plain_http != PlainHttp::Serve).then(|| {
            format!("only HTTPS is served (listen.http), and there is no certificate: {certificate}")
        })
    }
}

fn node_fault(node: &NodeStatus) -> Option<String> {
    if node.state == "Starting" && node.error.is_none() && !node.has_joined() {
        return Some("joining: the tailnet has not admitted the node yet".to_owned());
    }
    if node.is_running() {
        return None;
    }
    let error = node.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    let state = || format!("the tailnet node is in the state {}{error}", node.state);
    Some(node.deleted.clone().unwrap_or_else(state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tailnet::CertificateStatus;

    /// With HTTPS only.
    fn readiness<'a>(node: &'a NodeStatus, ollama_fault: Option<&'a str>) -> Readiness<'a> {
        Readiness { stopping: false, plain_http: PlainHttp::Off, node, ollama_fault }
    }

    #[test]
    fn not_ready_names_the_first_part_that_a_request_would_reach() {
        let node = |state: &str, error: Option<&str>| NodeStatus {
            state: state.to_owned(),
            error: error.map(str::to_owned),
            ..NodeStatus::default()
        };
        let up = node("Running", None);
        let reason_of = |node: &NodeStatus, ollama_fault| {
            readiness(node, ollama_fault).not_ready().map(|NotReady { what, reason }| (what, reason))
        };
        assert_eq!(reason_of(&up, None), None);
        let (what, reason) = reason_of(&up, Some("refused")).unwrap();
        assert_eq!((what, &*reason), (NotReadyCause::Ollama, "refused"));
        let expired = node("NeedsLogin", Some("the node key expired"));
        let (what, reason) = reason_of(&expired, Some("refused")).unwrap();
        assert_eq!(what, NotReadyCause::Node);
        assert_eq!(reason, "the tailnet node is in the state NeedsLogin: the node key expired");
        assert_eq!(reason_of(&node("Running", Some("logs")), None).unwrap().0, NotReadyCause::Node);
        let stopping = Readiness { stopping: true, ..readiness(&up, None) };
        assert_eq!(stopping.not_ready().unwrap().what, NotReadyCause::Stopping);
        let deleted = NodeStatus { deleted: Some("it was deleted".to_owned()), ..up.clone() };
        assert_eq!(reason_of(&deleted, None).unwrap(), (NotReadyCause::Node, "it was deleted".to_owned()));
        let mut uncertified = NodeStatus { certificate: Some(CertificateStatus::default()), ..up.clone() };
        assert_eq!(reason_of(&uncertified, Some("refused")).unwrap().0, NotReadyCause::Certificate);
        let plain = Readiness { plain_http: PlainHttp::Serve, ..readiness(&uncertified, None) };
        assert_eq!(plain.not_ready(), None);
        uncertified.certificate = Some(CertificateStatus {
            expiry: Some("2026-12-01T12:00:00Z".to_owned()),
            ..CertificateStatus::default()
        });
        assert_eq!(reason_of(&uncertified, None), None);
        let mut starting = node("Starting", None);
        let (_, reason) = reason_of(&starting, None).unwrap();
        assert_eq!(reason, "joining: the tailnet has not admitted the node yet");
        // A node that was in the tailnet before.
        starting.addresses = vec!["100.64.0.1".parse().unwrap()];
        let (_, reason) = reason_of(&starting, None).unwrap();
        assert_eq!(reason, "the tailnet node is in the state Starting");
    }
}

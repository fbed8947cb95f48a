//! Describes what a person has to do at the control server. Tailscale's own has an admin console; for another one the text
//! names its URL, and Headscale's command if there is one.
//!
//! Source for the commands: Headscale 0.29, `headscale nodes --help` and `headscale preauthkeys --help`.

use http::Uri;

use crate::config::Config;

/// The hosts of Tailscale's own control servers. Source: `ipn.IsLoginServerSynonym` in Tailscale's library.
const TAILSCALE: [&str; 2] = ["controlplane.tailscale.com", "login.tailscale.com"];

/// `control_url`, unless it is Tailscale's own control server.
pub(crate) fn custom_url(control_url: Option<&str>) -> Option<&str> {
    control_url.filter(|url| !url.parse().is_ok_and(|url| is_tailscales(&url)))
}

/// Compares scheme, host and port: one server has several URLs.
fn is_tailscales(url: &Uri) -> bool {
    let is_host = |host: &str| TAILSCALE.iter().any(|own| own.eq_ignore_ascii_case(host));
    url.scheme_str() == Some("https")
        && url.port_u16().unwrap_or(443) == 443
        && url.host().is_some_and(is_host)
}

/// What Headscale does not have, and the way out. Source: in Headscale 0.29 nothing fills `CertDomains` of the netmap, and
/// nothing gives a Service its addresses.
const NO_SERVICES: &str = "it has no Services; remove node.service, and clients use the node's own name";
const NO_CERTIFICATES: &str =
    "it gives nodes no certificates; set https.enabled = false and listen.http = \"serve\"";

/// What a config asks for and Headscale does not have, if `control_url` is not Tailscale's own control server.
pub(crate) fn missing_at_headscale(config: &Config) -> Vec<String> {
    let Some(url) = custom_url(config.node.control_url.as_deref()) else { return Vec::new() };
    let missing = |setting: &str, why: &str| format!("{setting}: if {url} is Headscale, {why}");
    let service = config.node.service.as_ref();
    let service = service.map(|name| missing(&format!("node.service = {name:?}"), NO_SERVICES));
    let https = config.https_port.map(|_| missing("https.enabled = true", NO_CERTIFICATES));
    service.into_iter().chain(https).collect()
}

/// A task that only a person at the control server can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ControlTask {
    MakeKey,
    ExtendKey,
    DisableExpiry,
    Approve,
    Rename,
    Remove,
    Tag,
    MagicDns,
    ApproveService,
    #[cfg_attr(
        not(any(feature = "tailnet", test)),
        expect(dead_code, reason = "only a node has certificates")
    )]
    Certificates,
}

impl ControlTask {
    /// The task and the place, which is the control server at `control_url`.
    pub(crate) fn at(self, control_url: Option<&str>) -> String {
        let (task, command) = self.text();
        match custom_url(control_url) {
            None => format!("{task} in the tailnet's admin console"),
            Some(url) if command.is_empty() => format!("{task} at the control server {url}"),
            Some(url) => format!("{task} at the control server {url} (Headscale: {command})"),
        }
    }

    /// The task, and what to do about it with Headscale, which is empty if there is nothing.
    fn text(self) -> (&'static str, &'static str) {
        match self {
            ControlTask::MakeKey => ("make a new auth key", "`headscale preauthkeys create --tags TAG`"),
            ControlTask::ExtendKey => {
                ("extend its key", "`headscale nodes expire --identifier ID --disable`")
            }
            ControlTask::DisableExpiry => {
                ("disable its key expiry", "`headscale nodes expire --identifier ID --disable`")
            }
            ControlTask::Approve => ("approve the device", ""),
            ControlTask::Rename => (
                "remove the other node and rename this one",
                "`headscale nodes delete` and `headscale nodes rename`",
            ),
            ControlTask::Remove => ("remove the node", "`headscale nodes delete --identifier ID`"),
            ControlTask::Tag => ("give it its tags", "`headscale nodes tag --identifier ID --tags TAG`"),
            ControlTask::MagicDns => ("turn MagicDNS on", "`dns.magic_dns` in its config"),
            ControlTask::ApproveService => ("approve it", NO_SERVICES),
            ControlTask::Certificates => {
                ("switch MagicDNS and HTTPS certificates on, under DNS,", NO_CERTIFICATES)
            }
        }
    }
}

/// How a node's tags, or its `user` if it has none, differ from `wanted` (node.tags). `None` if they agree, or if no tags
/// are wanted.
pub(crate) fn tag_mismatch(wanted: &[String], user: Option<&str>, tags: &[String]) -> Option<String> {
    let has_all = |all: &[String], of: &[String]| of.iter().all(|tag| all.contains(tag));
    if wanted.is_empty() || has_all(wanted, tags) && has_all(tags, wanted) {
        return None;
    }
    let has = match user {
        Some(user) if tags.is_empty() => format!("belongs to {user}"),
        _ if tags.is_empty() => "has none".to_owned(),
        _ => format!("has {}", tags.join(", ")),
    };
    Some(format!("node.tags asks for {}, but the node {has}", wanted.join(", ")))
}

/// How to change the tags of a node that has joined.
pub(crate) fn how_to_retag(control_url: Option<&str>) -> String {
    format!(
        "node.tags takes effect when the node joins: {}, or run `remote-ollama-proxy logout` and join again",
        ControlTask::Tag.at(control_url)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_console_is_named_only_for_tailscales_own_server() {
        for own in [
            None,
            Some("https://controlplane.tailscale.com"),
            Some("https://login.tailscale.com"),
            Some("https://controlplane.tailscale.com:443"),
            Some("HTTPS://ControlPlane.Tailscale.com/"),
        ] {
            assert_eq!(ControlTask::Approve.at(own), "approve the device in the tailnet's admin console");
        }
        for other in [
            "https://controlplane.tailscale.com:8443",
            "http://login.tailscale.com",
            "https://login.tailscale.com.example.com",
        ] {
            assert_eq!(custom_url(Some(other)), Some(other));
        }
        let other = Some("https://headscale.example.com");
        assert_eq!(
            ControlTask::ExtendKey.at(other),
            "extend its key at the control server https://headscale.example.com (Headscale: `headscale nodes expire --identifier ID --disable`)"
        );
        assert!(
            ControlTask::MakeKey
                .at(other)
                .ends_with("(Headscale: `headscale preauthkeys create --tags TAG`)")
        );
        for (task, way_out) in [
            (ControlTask::ApproveService, "remove node.service"),
            (ControlTask::Certificates, "set https.enabled = false"),
        ] {
            assert!(task.at(other).contains(way_out) && !task.at(None).contains(way_out), "{task:?}");
        }
        assert_eq!(
            ControlTask::Approve.at(other),
            "approve the device at the control server https://headscale.example.com"
        );
    }
}

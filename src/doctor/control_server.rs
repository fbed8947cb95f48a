//! The node at the control server: its clock, its tags and its key.

use std::time::{Duration, SystemTime};

use super::finding::Finding;
use crate::config::Config;
use crate::control::{ControlTask, how_to_retag, tag_mismatch};
use crate::tailnet::NodeStatus;

/// The time before the expiry of the node key in which it is a warning. The log warns as early.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

pub(super) fn clock(node: &NodeStatus) -> Finding {
    if node.clock_ahead == 0 {
        return Finding::good("clock", "within 5 minutes of the control server's clock");
    }
    let by = crate::time::format_duration(Duration::from_secs(node.clock_ahead.unsigned_abs()));
    let direction = if node.clock_ahead > 0 { "ahead of" } else { "behind" };
    Finding::warning(
        "clock",
        format!(
            "this machine's clock is {by} {direction} the control server's: keys expire at the wrong time, and certificates are refused"
        ),
        "set the clock, preferably by NTP",
    )
}

pub(super) fn tags(config: &Config, node: &NodeStatus) -> Finding {
    let NodeStatus { user, tags, .. } = node;
    if let Some(reason) = tag_mismatch(&config.node.tags, user.as_deref(), tags) {
        return Finding::warning("tags", reason, how_to_retag(config.node.control_url.as_deref()));
    }
    match user {
        Some(user) if tags.is_empty() => Finding::good("tags", format!("none: the node belongs to {user}")),
        _ => Finding::good("tags", tags.join(", ")),
    }
}

pub(super) fn node_key(config: &Config, node: &NodeStatus, now: SystemTime) -> Finding {
    let Some(at) = &node.key_expiry else { return Finding::good("node-key", "it never expires") };
    let Ok(expiry) = crate::time::parse_rfc3339(at) else {
        return Finding::unknown(
            "node-key",
            format!("cannot read its expiry {at:?}: not a time of RFC 3339"),
        );
    };
    let at_control_server = |task: ControlTask| task.at(config.node.control_url.as_deref());
    match expiry.duration_since(now) {
        Ok(left) if left > EXPIRES_SOON => Finding::good("node-key", format!("it expires at {at}")),
        Ok(left) => Finding::warning(
            "node-key",
            format!("it expires at {at}, in {}; no peer can reach the node afterwards", whole_hours(left)),
            at_control_server(ControlTask::DisableExpiry),
        ),
        Err(_) => Finding::fault(
            "node-key",
            format!("it expired at {at}: no peer can reach the node"),
            format!(
                "{}, or stop the proxy and log the node in with `remote-ollama-proxy login`",
                at_control_server(ControlTask::ExtendKey)
            ),
        ),
    }
}

fn whole_hours(duration: Duration) -> String {
    let hour = 60 * 60;
    crate::time::format_duration(Duration::from_secs(duration.as_secs() / hour * hour))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome::{Fault, Good, Warning};
    use super::*;
    use crate::config::Override;

    fn config(pairs: &[(&'static str, &str)]) -> Config {
        let overrides: Vec<_> = pairs
            .iter()
            .map(|(key, value)| Override { key, value: (*value).to_owned(), source: "test".to_owned() })
            .collect();
        crate::config::load(Some("/dev/null".as_ref()), &overrides, &Default::default()).unwrap()
    }

    #[test]
    fn wrong_clock_is_a_warning_that_names_the_direction() {
        for (ahead, outcome, text) in
            [(0, Good, "within"), (600, Warning, "10m ahead of"), (-600, Warning, "10m behind")]
        {
            let found = clock(&NodeStatus { clock_ahead: ahead, ..NodeStatus::default() });
            assert!(found.outcome == outcome && found.reason.contains(text), "{found:?}");
        }
    }

    #[test]
    fn node_key_is_a_warning_in_its_last_two_weeks_and_a_fault_afterwards() {
        let expiry = "2030-03-15T12:00:00Z";
        let at = crate::time::parse_rfc3339(expiry).unwrap();
        let day = Duration::from_secs(24 * 60 * 60);
        let node = NodeStatus { key_expiry: Some(expiry.to_owned()), ..NodeStatus::default() };
        for (now, outcome) in
            [(at - 15 * day, Good), (at - 14 * day, Warning), (at - 3 * day, Warning), (at + day, Fault)]
        {
            let found = node_key(&config(&[]), &node, now);
            assert_eq!(found.outcome, outcome, "{found:?}");
        }
        assert_eq!(node_key(&config(&[]), &NodeStatus::default(), at).outcome, Good);
        let other = config(&[("node.control_url", "https://h.example")]);
        let found = node_key(&other, &node, at - day);
        assert!(found.reason.contains("in 1d;"), "{found:?}");
        assert!(found.remedy.unwrap().contains("https://h.example"));
    }

    #[test]
    fn tags_are_compared_with_those_of_the_config() {
        let config = config(&[("node.control_url", "https://h.example")]);
        let with_tags = |tags: &[&str]| {
            let mut config = config.clone();
            config.node.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
            config
        };
        let node = |user: Option<&str>, tags: &[&str]| NodeStatus {
            user: user.map(str::to_owned),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..NodeStatus::default()
        };
        for (wanted, node, outcome) in [
            (&[][..], node(None, &["tag:a"]), Good),
            (&[], node(Some("anna@example.com"), &[]), Good),
            (&["tag:a", "tag:b"], node(None, &["tag:b", "tag:a"]), Good),
            (&["tag:a"], node(None, &["tag:b"]), Warning),
            (&["tag:a"], node(None, &["tag:a", "tag:b"]), Warning),
            (&["tag:a"], node(Some("anna@example.com"), &[]), Warning),
        ] {
            let found = tags(&with_tags(wanted), &node);
            assert_eq!(found.outcome, outcome, "{wanted:?}: {found:?}");
        }
        let found = tags(&with_tags(&["tag:a"]), &node(Some("anna@example.com"), &[]));
        assert!(found.reason.contains("anna@example.com") && found.remedy.unwrap().contains("h.example"));
    }
}

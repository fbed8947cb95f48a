//! The entries that a tailnet policy file needs for one node, ready to be pasted.

use std::iter;

use serde::Serialize;
use serde_json::{Value, json};

use super::policy::ControlServer;
use super::reach::Target;
use crate::policy::AccessMode;

/// The entries of each section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lines {
    /// Which users may put the tags on devices.
    pub tag_owners: Value,
    /// Which devices may host the Service, if the node has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_approvers: Option<Value>,
    /// Which devices may connect. The second grant is narrowed by a capability; those after it are for the metrics and the
    /// page.
    pub grants: Vec<Value>,
    /// Tests that keep later edits from changing that.
    pub tests: Vec<Value>,
    /// The same for Headscale, to be added once the devices have joined. Headscale refuses a file with a test whose source
    /// or destination has no device (`runPolicyTest` in hscontrol/policy/v2/test.go).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tests_once_joined: Vec<Value>,
}

/// The entries for a node with `tag`. Of `target`, the ports, the capability and the access mode count.
pub fn lines(tag: &str, target: &Target, control: ControlServer) -> Lines {
    let owner = match control {
        ControlServer::Tailscale => ADMIN,
        ControlServer::Other => YOU,
    };
    let Target { service, port, https, capability, access, metrics, page, .. } = target;
    let port = *port;
    let asked = |open: u16| [Some(open), https.filter(|_| open == port)].into_iter().flatten();
    let grant = |src: &str, open: u16| {
        let ip: Vec<_> = asked(open).map(|port| format!("tcp:{port}")).collect();
        // A Service leads to the Ollama port, not to the auxiliary ports.
        let dst: Vec<_> = iter::once(tag).chain(service.as_deref().filter(|_| open == port)).collect();
        json!({"src": [src], "dst": dst, "ip": ip})
    };
    let with = |mut grant: Value, value: Value| {
        grant["app"] = json!({capability: [value]});
        grant
    };
    let narrow = json!({"endpoints": ["v1_chat_completions", "v1_models"], "max_concurrent": 2, "requests_per_minute": 60});
    let client = match access {
        AccessMode::Network => grant(CLIENT, port),
        // Without a capability, clients could request nothing.
        AccessMode::Grants => with(grant(CLIENT, port), json!({"endpoints": ["*"]})),
    };
    let mut grants = vec![client, with(grant(CI, port), narrow)];
    let at = |host: &str, port: u16| format!("{host}:{port}");
    let own = || target.ports();
    let foreign = [22, 80, 443].into_iter().find(|foreign| own().all(|port| port != *foreign));
    let closed = |src: &str, open: u16| {
        let accept: Vec<_> = asked(open).collect();
        let deny = own().filter(|port| !accept.contains(port)).chain(foreign).map(|port| at(tag, port));
        let deny: Vec<_> = deny.chain([at(CLIENT, open)]).collect();
        let accept: Vec<_> = accept.iter().map(|port| at(tag, *port)).collect();
        json!({"src": src, "accept": accept, "deny": deny})
    };
    let mut tests = vec![closed(CLIENT, port), closed(CI, port)];
    let mut tag_owners = json!({tag: [owner], CLIENT: [owner], CI: [owner]});
    if let Some(metrics) = *metrics {
        let read = json!({"endpoints": [], "metrics": true});
        grants.push(with(grant(METRICS, metrics), read));
        tests.push(closed(METRICS, metrics));
        tag_owners[METRICS] = json!([owner]);
    }
    if let Some(page) = *page {
        let see = json!({"endpoints": [], "page": "admin"});
        grants.push(with(grant(PAGE, page), see));
        tests.push(closed(PAGE, page));
        tag_owners[PAGE] = json!([owner]);
    }
    tests.push(json!({"src": tag, "deny": [at(CLIENT, port), at(CLIENT, 22), at(tag, port)]}));
    let auto_approvers = service.as_ref().map(|service| json!({"services": {service: [tag]}}));
    let (tests, tests_once_joined) = match control {
        ControlServer::Tailscale => (tests, Vec::new()),
        ControlServer::Other => (Vec::new(), tests),
    };
    Lines { tag_owners, auto_approvers, grants, tests, tests_once_joined }
}

const CLIENT: &str = "tag:ai-client";
const CI: &str = "tag:ai-ci";
const METRICS: &str = "tag:ai-metrics";
const PAGE: &str = "tag:ai-page";
const ADMIN: &str = "autogroup:admin";

/// A placeholder for the user's own name, as Headscale has no group of admins.
const YOU: &str = "you@";

impl Lines {
    /// A complete policy file in HuJSON, with a comment for each entry.
    pub fn hujson(&self) -> String {
        let mut text =
            String::from("// For the tailnet policy file: add these entries to each of its sections.\n{\n");
        text += "\t// Users who may put these tags on devices.\n";
        if self.has_placeholder() {
            text += "\t// Write your Headscale user in place of you@, with the @ (`headscale users list`).\n";
        }
        text += "\t\"tagOwners\": {\n";
        for (tag, owners) in self.tag_owners.as_object().into_iter().flatten() {
            text += &format!("\t\t{}: {},\n", json!(tag), spaced(owners));
        }
        text += "\t},\n\n";
        if let Some(approvers) = &self.auto_approvers {
            text += "\t// Devices that may host the Service without approval.\n";
            text += &format!("\t\"autoApprovers\": {},\n\n", spaced(approvers));
        }
        text += "\t\"grants\": [\n";
        for grant in &self.grants {
            let comment = match grant["src"][0].as_str() {
                Some(CLIENT) => "Devices that may request whatever the node's config allows.",
                Some(METRICS) => "Devices that may read the metrics, and nothing else.",
                Some(PAGE) => {
                    "Devices that may see the whole page and cancel requests; \"view\" shows each user only their own."
                }
                _ => "A narrowed grant: \"app\" lists what these devices may request, and how often.",
            };
            text += &format!("\t\t// {comment}\n{},\n", entry(grant));
        }
        text += "\t],\n\n";
        text += match self.tests_once_joined.is_empty() {
            true => "\t// Tailscale refuses an edit after which these fail.\n",
            false => {
                "\t// Headscale refuses the file if a test fails, or if its source or a destination has no device. Uncomment a\n\
                 \t// test once devices with its tags have joined. Run `headscale policy check` first.\n"
            }
        };
        text += "\t\"tests\": [\n";
        for test in &self.tests_once_joined {
            let lines = format!("{},", entry(test));
            text += &lines
                .lines()
                .map(|line| format!("\t\t//{}\n", line.trim_start_matches("\t\t")))
                .collect::<String>();
        }
        for test in &self.tests {
            text += &format!("{},\n", entry(test));
        }
        text + "\t],\n}\n"
    }

    fn has_placeholder(&self) -> bool {
        self.tag_owners.as_object().into_iter().flatten().any(|(_, owners)| owners[0] == YOU)
    }
}

/// An object, one line for each of its fields.
fn entry(value: &Value) -> String {
    let order = ["src", "dst", "ip", "app", "accept", "deny"];
    let fields = order.into_iter().filter_map(|key| Some((key, value.get(key)?)));
    let lines: Vec<_> = fields.map(|(key, value)| format!("\t\t\t\"{key}\": {},\n", spaced(value))).collect();
    format!("\t\t{{\n{}\t\t}}", lines.concat())
}

/// JSON on one line, with spaces after commas and colons.
fn spaced(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let field = |(key, value): (&String, &Value)| format!("{}: {}", json!(key), spaced(value));
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

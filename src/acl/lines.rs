//! The entries that a tailnet policy file needs for one node, ready to be pasted.

use std::iter;

use serde::Serialize;
use serde_json::{Value, json};

use super::control_server::ControlServer;
use super::report::Target;
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
    let node = Node { tag, target };
    let mut rows = vec![node.client(), node.ci()];
    rows.extend(target.metrics.map(|port| node.auxiliary(METRICS, port, json!({"metrics": true}))));
    rows.extend(target.page.map(|port| node.auxiliary(PAGE, port, json!({"page": "admin"}))));

    let owner = match control {
        ControlServer::Tailscale => ADMIN,
        ControlServer::Other => YOU,
    };
    let tags = [tag].into_iter().chain(rows.iter().map(|row| row.source));
    let tag_owners = tags.map(|tag| (tag.to_owned(), json!([owner]))).collect();
    let auto_approvers = target.service.as_ref().map(|service| json!({"services": {service: [tag]}}));
    let own_test = node.own_test();
    let (grants, mut tests): (Vec<_>, Vec<_>) = rows.into_iter().map(|row| (row.grant, row.test)).unzip();
    tests.push(own_test);
    let (tests, tests_once_joined) = match control {
        ControlServer::Tailscale => (tests, Vec::new()),
        ControlServer::Other => (Vec::new(), tests),
    };
    Lines { tag_owners: Value::Object(tag_owners), auto_approvers, grants, tests, tests_once_joined }
}

/// The node that the entries are for.
struct Node<'a> {
    tag: &'a str,
    target: &'a Target,
}

/// A kind of clients: the grant that admits them, and the test that keeps it so.
struct Clients {
    source: &'static str,
    grant: Value,
    test: Value,
}

impl Node<'_> {
    fn client(&self) -> Clients {
        let app = match self.target.access {
            AccessMode::Network => None,
            // Without a capability, clients could request nothing.
            AccessMode::Grants => Some(json!({"endpoints": ["*"]})),
        };
        self.clients(CLIENT, self.target.port, app)
    }

    fn ci(&self) -> Clients {
        let narrow = json!({"endpoints": ["v1_chat_completions", "v1_models"], "max_concurrent": 2, "requests_per_minute": 60});
        self.clients(CI, self.target.port, Some(narrow))
    }

    fn auxiliary(&self, source: &'static str, port: u16, right: Value) -> Clients {
        let mut app = right;
        app["endpoints"] = json!([]);
        self.clients(source, port, Some(app))
    }

    fn clients(&self, source: &'static str, port: u16, app: Option<Value>) -> Clients {
        let ip: Vec<_> = self.opened(source, port).map(|port| format!("tcp:{port}")).collect();
        // A Service leads to the Ollama port, not to the auxiliary ports.
        let service = self.target.service.as_deref().filter(|_| port == self.target.port);
        let dst: Vec<_> = iter::once(self.tag).chain(service).collect();
        let mut grant = json!({"src": [source], "dst": dst, "ip": ip});
        if let Some(app) = app {
            grant["app"] = json!({&self.target.capability: [app]});
        }
        Clients { source, grant, test: self.test(source, port) }
    }

    /// The ports that a grant for `port` opens to `source`: the HTTPS port belongs to the Ollama port, and for people so does
    /// the page port if it has the set-up.
    fn opened(&self, source: &str, port: u16) -> impl Iterator<Item = u16> + use<> {
        let https = self.target.https.filter(|_| port == self.target.port);
        let setup = self.target.page.filter(|_| source == CLIENT && self.target.setup);
        iter::once(port).chain(https).chain(setup)
    }

    /// `source` reaches `port`, and neither the node's other ports, nor another port, nor other clients.
    fn test(&self, source: &str, port: u16) -> Value {
        let opened: Vec<_> = self.opened(source, port).collect();
        let other = [22, 80, 443].into_iter().find(|other| self.target.ports().all(|port| port != *other));
        let closed = self.target.ports().filter(|port| !opened.contains(port)).chain(other);
        let deny: Vec<_> = closed.map(|port| at(self.tag, port)).chain([at(CLIENT, port)]).collect();
        let accept: Vec<_> = opened.iter().map(|port| at(self.tag, *port)).collect();
        json!({"src": source, "accept": accept, "deny": deny})
    }

    /// The node itself reaches nothing.
    fn own_test(&self) -> Value {
        let port = self.target.port;
        json!({"src": self.tag, "deny": [at(CLIENT, port), at(CLIENT, 22), at(self.tag, port)]})
    }
}

fn at(host: &str, port: u16) -> String {
    format!("{host}:{port}")
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
            text += &format!("\t\t// {}\n{},\n", comment(grant), entry(grant));
        }
        text += "\t],\n\n";
        text += &self.hujson_tests();
        text + "}\n"
    }

    fn hujson_tests(&self) -> String {
        let mut text = if self.tests_once_joined.is_empty() {
            "\t// Tailscale refuses an edit after which these fail.\n"
        } else {
                "\t// Headscale refuses the file if a test fails, or if its source or a destination has no device. Uncomment a\n\
                 \t// test once devices with its tags have joined. Run `headscale policy check` first.\n"
        }
        .to_owned();
        text += "\t\"tests\": [\n";
        for test in &self.tests_once_joined {
            for line in format!("{},", entry(test)).lines() {
                text += &format!("\t\t//{}\n", line.trim_start_matches("\t\t"));
            }
        }
        for test in &self.tests {
            text += &format!("{},\n", entry(test));
        }
        text + "\t],\n"
    }

    fn has_placeholder(&self) -> bool {
        self.tag_owners.as_object().into_iter().flatten().any(|(_, owners)| owners[0] == YOU)
    }
}

/// What a grant is for.
fn comment(grant: &Value) -> &'static str {
    match grant["src"][0].as_str() {
        Some(CLIENT) => "Devices that may request whatever the node's config allows.",
        Some(METRICS) => "Devices that may read the metrics, and nothing else.",
        Some(PAGE) => {
            "Devices that may see the whole page and cancel requests; \"view\" shows each user only their own."
        }
        _ => "A narrowed grant: \"app\" lists what these devices may request, and how often.",
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

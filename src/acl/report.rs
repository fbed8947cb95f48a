//! A node, and the report on who can connect to it.

use serde::Serialize;
use serde_json::Value;

use super::device::Device;
use super::origin::Origin;
use super::rights::MergedRights;
use super::warning::Warning;
use crate::policy::AccessMode;

/// The node for which a file is evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its tags or its user, and its addresses if known.
    pub device: Device,
    /// The Service that it hosts, `svc:` and a name. It has an address of its own, with the same `port`.
    pub service: Option<String>,
    /// The Ollama port.
    pub port: u16,
    /// The second Ollama port, for HTTPS, if there is one.
    pub https: Option<u16>,
    /// The metrics port, if there is one.
    pub metrics: Option<u16>,
    /// The page port, if there is one.
    pub page: Option<u16>,
    /// Whether the page port also has the set-up, which is for all clients.
    pub setup: bool,
    /// The capability that the node reads.
    pub capability: String,
    /// What a peer without a value of the capability may request.
    pub access: AccessMode,
}

/// A source of the policy file that can connect. A device that matches several sources has the rights of all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// Such as `tag:ai-client`, `group:ai-admins`, `anna@example.com`, `*`, `10.0.0.0/8`.
    pub source: String,
    /// The members of a group that the file lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// The entries of the file that admit it.
    pub through: Vec<Origin>,
    /// Why the file alone does not decide; empty if the source can certainly connect.
    #[serde(rename = "unless", skip_serializing_if = "Vec::is_empty")]
    pub perhaps: Vec<String>,
    /// Whether it is a subnet outside of the tailnet. The proxy refuses its clients, as it can't identify them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub subnet: bool,
    /// Its values of the target's capability.
    pub capabilities: Vec<Capability>,
    /// Those values, merged; `None`: it may request nothing.
    pub rights: Option<MergedRights>,
}

/// A value of a capability, and the entry that grants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Capability {
    /// The entry of the file.
    pub origin: Origin,
    /// The value in the file.
    pub value: Value,
}

/// Which sources can connect, and the warnings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The sources that can connect to the Ollama port, in the order of the file.
    pub reach: Vec<Reach>,
    /// The same for the port at the Service's address.
    pub service: Vec<Reach>,
    /// The same for the HTTPS port.
    pub https: Vec<Reach>,
    /// The same for the metrics port.
    pub metrics: Vec<Reach>,
    /// The same for the page port.
    pub page: Vec<Reach>,
    /// In the order of the file.
    pub warnings: Vec<Warning>,
}

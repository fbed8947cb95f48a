//! What a peer may request: its grants, merged.

use serde_json::Value;

use super::endpoint::{Endpoint, EndpointSet};
use super::grant::{Grant, PageRight};

/// What a peer without a grant may request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum AccessMode {
    /// The whole allowlist. A grant narrows it.
    #[default]
    Network,
    /// Nothing.
    Grants,
}

/// A peer's grants, merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// What the peer may request; `None`: nothing.
    pub grant: Option<Grant>,
    /// Why some of its values in the policy file grant nothing.
    pub faults: Vec<String>,
}

impl Rights {
    /// No rights.
    pub const NONE: Rights = Rights { grant: None, faults: Vec::new() };

    /// Merges the values that the policy file has for a peer. A faulty value grants nothing. If it is the only one, the
    /// peer has no rights, because the value was meant to narrow them. A value that is only about the auxiliary ports
    /// changes nothing about requests to Ollama.
    pub fn merge(mode: AccessMode, values: &[Value]) -> Rights {
        let (mut requests, mut auxiliary, mut faults) = (None, None, Vec::new());
        for value in values {
            let sum = if Grant::is_auxiliary_only(value) { &mut auxiliary } else { &mut requests };
            match Grant::parse(value) {
                Ok(grant) => *sum = either(sum.take(), Some(grant)),
                Err(fault) => faults.push(fault),
            }
        }
        if mode == AccessMode::Network && values.iter().all(Grant::is_auxiliary_only) {
            requests = Some(Grant::EVERYTHING);
        }
        let auxiliary = auxiliary.map(|grant| Grant { endpoints: EndpointSet::EMPTY, ..grant });
        Rights { grant: either(requests, auxiliary), faults }
    }

    /// Whether the peer may use `endpoint`.
    pub fn allows(&self, endpoint: Endpoint) -> bool {
        self.grant.as_ref().is_some_and(|g| g.endpoints.contains(endpoint))
    }

    /// Whether the peer may read the metrics.
    pub fn metrics(&self) -> bool {
        self.grant.as_ref().is_some_and(|g| g.metrics)
    }

    /// How much of the page the peer may see.
    pub fn page(&self) -> Option<PageRight> {
        self.grant.as_ref()?.page
    }
}

/// Both grants, merged.
fn either(a: Option<Grant>, b: Option<Grant>) -> Option<Grant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.or(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn peer_without_grant_has_everything_or_nothing_by_mode() {
        assert_eq!(Rights::merge(AccessMode::Network, &[]).grant, Some(Grant::EVERYTHING));
        assert_eq!(Rights::merge(AccessMode::Grants, &[]).grant, None);
    }

    #[test]
    fn metrics_need_a_grant_that_names_them() {
        let may = |access, values: &[Value]| Rights::merge(access, values).metrics();
        for access in [AccessMode::Network, AccessMode::Grants] {
            assert!(!may(access, &[]) && !may(access, &[json!({})]));
            assert!(!may(access, &[json!({"metrics": true, "unheard": 1})]), "a faulty grant");
            assert!(may(access, &[json!({}), json!({"endpoints": [], "metrics": true})]));
        }
    }

    #[test]
    fn page_needs_a_grant_that_names_it() {
        let sees = |access, values: &[Value]| Rights::merge(access, values).page();
        for access in [AccessMode::Network, AccessMode::Grants] {
            assert_eq!(sees(access, &[]), None);
            assert_eq!(sees(access, &[json!({}), json!({"metrics": true})]), None);
            assert_eq!(sees(access, &[json!({"page": "admin", "unheard": 1})]), None, "a faulty grant");
            let some_faulty = [json!({"page": "view"}), json!({"page": "root"}), json!({"page": 1})];
            assert_eq!(sees(access, &some_faulty), Some(PageRight::View));
            assert_eq!(
                sees(access, &[json!({"page": "admin"}), json!({"page": "view"})]),
                Some(PageRight::Admin)
            );
        }
    }

    #[test]
    fn auxiliary_grants_change_no_rights_at_ollama() {
        let merge = |access, values: &[Value]| Rights::merge(access, values).grant.unwrap();
        let auxiliary = json!({"page": "view", "metrics": true});
        let alone = merge(AccessMode::Network, std::slice::from_ref(&auxiliary));
        assert_eq!(alone, Grant { metrics: true, page: Some(PageRight::View), ..Grant::EVERYTHING });
        let strict = merge(AccessMode::Grants, std::slice::from_ref(&auxiliary));
        assert_eq!(strict, Grant { endpoints: EndpointSet::EMPTY, ..alone });
        let narrow = json!({"endpoints": ["api_tags"], "max_concurrent": 1, "priority": "low"});
        for access in [AccessMode::Network, AccessMode::Grants] {
            // A grant without endpoints lifts no limit.
            for auxiliary in [auxiliary.clone(), json!({"endpoints": [], "page": "view", "metrics": true})] {
                let both = merge(access, &[narrow.clone(), auxiliary]);
                let alone = Grant::parse(&narrow).unwrap();
                assert_eq!(both, Grant { metrics: true, page: Some(PageRight::View), ..alone });
            }
            // A faulty grant narrows, unless it is for auxiliary ports only.
            assert!(
                !Rights::merge(access, &[json!({"page": "view", "x": 1})])
                    .allows(Endpoint::all().next().unwrap())
            );
        }
        assert_eq!(merge(AccessMode::Network, &[json!({"page": "root"})]), Grant::EVERYTHING);
    }

    #[test]
    fn faulty_grant_grants_nothing() {
        for access in [AccessMode::Network, AccessMode::Grants] {
            let alone = Rights::merge(access, &[json!({"endpoint": []})]);
            assert_eq!((alone.grant, alone.faults.len()), (None, 1));
            let with_sound =
                Rights::merge(access, &[json!({"endpoint": []}), json!({"endpoints": ["api_tags"]})]);
            assert!(with_sound.allows(Endpoint::named("api_tags").unwrap()));
            assert!(!with_sound.allows(Endpoint::named("api_show").unwrap()));
        }
    }
}

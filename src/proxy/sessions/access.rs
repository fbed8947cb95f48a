//! The access of a peer at one port. It is checked only here, at three times: when the port accepts a connection
//! ([`AccessCheck::admit`]), when a sweep looks at a session ([`rights_by`]), and at each request ([`AccessCheck::now`]).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::watch;

use crate::peer::Peer;
use crate::policy::{AccessMode, Policy, Rights};
use crate::proxy::rules::Rules;
use crate::proxy::sessions::session::Session;
use crate::tailnet::{Authorizer, Member, Verdict};

/// Checks the access of peers at one port. Clones share one check.
#[derive(Clone)]
pub(crate) struct AccessCheck {
    rules: watch::Receiver<Arc<Rules>>,
    authorizer: Arc<dyn Authorizer>,
}

impl AccessCheck {
    pub(crate) fn new(rules: watch::Receiver<Arc<Rules>>, authorizer: Arc<dyn Authorizer>) -> Self {
        AccessCheck { rules, authorizer }
    }

    /// The rules in force.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.borrow())
    }

    /// A receiver of every later change of the rules.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Rules>> {
        self.rules.clone()
    }

    /// The rights with which `peer` may connect to our address `local` under `rules`; `None`: it may not connect.
    pub(crate) fn admit(&self, rules: &Rules, peer: &Peer, local: SocketAddr) -> Option<Rights> {
        rights_by(rules.access, &self.authorizer.verdict(peer, local))
    }

    /// Whether any device may connect to our address `local`, even one that is not among the `members` of the netmap: asked
    /// for an address that none of them has.
    pub(crate) fn admits_strangers(&self, local: SocketAddr, members: &[Member]) -> bool {
        let is_free = |ip: &IpAddr| members.iter().all(|m| m.addresses.iter().all(|a| a.ip != *ip));
        // The last ones of the ranges from which tailnets assign addresses, in the family of `local`.
        let last = |n: u8| match local.ip() {
            IpAddr::V4(_) => IpAddr::from([100, 127, 255, n]),
            IpAddr::V6(_) => {
                IpAddr::from([0xfd7a, 0x115c, 0xa1e0, 0xffff, 0xffff, 0xffff, 0xffff, u16::from(n)])
            }
        };
        let Some(free) = (2..=254).rev().map(last).find(is_free) else { return false };
        let stranger = Peer {
            addr: (free, 1).into(),
            node: String::new(),
            stable_id: String::new(),
            user: None,
            tags: Vec::new(),
            os: String::new(),
        };
        self.admit(&self.rules(), &stranger, local).is_some()
    }

    /// What the peer of `session` may ask at this moment.
    pub(crate) fn now(&self, session: &Session) -> CurrentAccess {
        CurrentAccess { rules: self.rules(), rights: session.rights() }
    }
}

/// The rights that a verdict gives; `None`: the peer may not connect.
pub(crate) fn rights_by(mode: AccessMode, verdict: &Verdict) -> Option<Rights> {
    match verdict {
        Verdict::Admit { grants } => Some(Rights::merge(mode, grants)),
        Verdict::Refuse => None,
    }
}

/// The rules in force and the rights of one session, both of one moment.
pub(crate) struct CurrentAccess {
    rules: Arc<Rules>,
    rights: Arc<Rights>,
}

impl CurrentAccess {
    /// Decides about a request.
    pub(crate) fn decide<T>(&self, decide: impl FnOnce(&Policy, &Rights) -> T) -> T {
        decide(&self.rules.policy, &self.rights)
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether rules and rights are still the ones of `earlier`.
    pub(crate) fn is_same(&self, earlier: &CurrentAccess) -> bool {
        Arc::ptr_eq(&self.rules, &earlier.rules) && Arc::ptr_eq(&self.rights, &earlier.rights)
    }
}

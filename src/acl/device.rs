//! A device as a policy sees it.

use std::fmt;
use std::net::IpAddr;

use super::block::{self, Block, Family};

/// One device. It has tags or a user; a tagged device acts for no user. A Service counts as one, which has
/// neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Login name of its owner; means nothing for a tagged device.
    pub user: Option<String>,
    /// Tags such as `tag:ai-client`.
    pub tags: Vec<String>,
    /// `svc:` and a name, if it is a Service.
    pub service: Option<String>,
    /// Its addresses in the tailnet.
    pub addresses: Addresses,
    /// The roles of its owner, such as `admin`; `None` if that is not known, since no policy file
    /// says it.
    pub roles: Option<Vec<String>>,
}

/// What is known of a device's addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addresses {
    /// These, and no other.
    Known(Vec<IpAddr>),
    /// Any of the tailnet's.
    Unknown,
    /// One of the tailnet's that no entry of the file has picked out, as that of most devices.
    Unnamed,
}

impl Device {
    /// A device with these tags, at an address that is not known.
    pub fn tagged<T: Into<String>>(tags: impl IntoIterator<Item = T>) -> Device {
        let tags = tags.into_iter().map(Into::into).collect();
        Device { user: None, tags, service: None, addresses: Addresses::Unknown, roles: None }
    }

    /// A device of this user, at an address that is not known.
    pub fn of_user(name: impl Into<String>) -> Device {
        Device { user: Some(name.into()), ..Device::tagged([""; 0]) }
    }

    /// A Service, `svc:` and a name, at an address that is not known.
    pub fn service(name: impl Into<String>) -> Device {
        Device { service: Some(name.into()), ..Device::tagged([""; 0]) }
    }

    /// Whatever has this address.
    pub fn at(address: IpAddr) -> Device {
        Device { addresses: Addresses::Known(vec![address]), ..Device::tagged([""; 0]) }
    }

    /// The same device at `addresses`.
    #[must_use]
    pub fn with(self, addresses: Addresses) -> Device {
        Device { addresses, ..self }
    }

    /// Whom it acts for.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref().filter(|_| self.tags.is_empty())
    }

    /// Whether nothing is known but addresses.
    pub(super) fn is_bare(&self) -> bool {
        self.user.is_none() && self.tags.is_empty() && self.service.is_none()
    }

    /// Whether packets of `family` can come from it or go to it.
    pub(super) fn has(&self, family: Family) -> bool {
        match &self.addresses {
            Addresses::Known(list) => list.iter().any(|a| block::family(*a) == family),
            Addresses::Unknown | Addresses::Unnamed => true,
        }
    }

    pub(super) fn may_be_in_tailnet(&self) -> bool {
        match &self.addresses {
            Addresses::Known(list) => list.iter().any(|a| Block::single(*a).touches_tailnet()),
            Addresses::Unknown | Addresses::Unnamed => true,
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.user, &self.addresses) {
            _ if self.service.is_some() => f.write_str(self.service.as_deref().unwrap_or_default()),
            _ if !self.tags.is_empty() => f.write_str(&self.tags.join(", ")),
            (Some(user), _) => f.write_str(user),
            (None, Addresses::Known(list)) => {
                f.write_str(&list.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", "))
            }
            (None, _) => f.write_str("any device"),
        }
    }
}

//! A device, as a policy file distinguishes them.

use std::fmt;
use std::net::IpAddr;

use super::block::{self, Block, Family};

/// One device. It has tags or a user; a tagged device has no user. A Service is a device with neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The owner's login name. Ignored if the device has tags.
    pub user: Option<String>,
    /// Tags such as `tag:ai-client`.
    pub tags: Vec<String>,
    /// `svc:` and a name, if it is a Service.
    pub service: Option<String>,
    /// Its addresses in the tailnet.
    pub addresses: Addresses,
    /// The owner's roles, such as `admin`; `None` if unknown, as no policy file has them.
    pub roles: Option<Vec<String>>,
}

/// What is known about a device's addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addresses {
    /// These, and no other.
    Known(Vec<IpAddr>),
    /// Any address of the tailnet.
    Unknown,
    /// An address of the tailnet that no entry of the file names, as most devices have.
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

    /// The device with this address.
    pub fn at(address: IpAddr) -> Device {
        Device { addresses: Addresses::Known(vec![address]), ..Device::tagged([""; 0]) }
    }

    /// The same device at `addresses`.
    #[must_use]
    pub fn with(self, addresses: Addresses) -> Device {
        Device { addresses, ..self }
    }

    /// The user, unless the device has tags.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref().filter(|_| self.tags.is_empty())
    }

    /// Whether only its addresses are known.
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
            Addresses::Known(list) => list.iter().any(|a| Block::single(*a).overlaps_tailnet()),
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

//! The decision whether a request is forwarded: a pure function of a peer's rights and the request's head, without clock,
//! file or socket.
//!
//! Every request is refused unless the rules allow it. Only [`decide`](Policy::decide) creates a [`Permit`], and only a
//! `Permit` can be forwarded.

mod body;
mod decide;
mod dialect;
mod endpoint;
mod framing;
mod grant;
mod hint;
mod host;
mod model;
mod models;
mod naming;
mod page;
mod quota;
mod rights;
mod rule;
mod target;

pub use body::{BodyFault, DeniedBy, DeniedKey, DeniedSettings, ModelKeys, ModelReader, ModelSetting};
pub use decide::{Permit, Policy, Refusal};
pub use dialect::Dialect;
pub use endpoint::{Endpoint, EndpointSet, MANAGEMENT, Management};
pub use framing::{Framing, FramingFault, FramingPosition, HEAD_MAX};
pub use grant::{Grant, PageRight, Priority};
pub use hint::Hint;
pub use host::Hosts;
pub use model::{Model, ModelNameFault, Models};
pub(crate) use models::decoded_name;
pub use models::{ModelCheck, ModelRefusal, ModelRules};
pub use naming::ModelNaming;
pub use page::{PAGE_HEADER, PageRoute};
pub use quota::{Quota, QuotaUnit, Quotas, Window};
pub use rights::{AccessMode, Rights};
pub use rule::Rule;
pub use target::{Target, TargetFault};

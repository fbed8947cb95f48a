//! What may be asked: a pure decision over a peer and a request's head. No clock, file or socket.
//!
//! Everything is refused unless a rule lets it through. [`decide`](Policy::decide) is the only
//! maker of a [`Permit`], and only a `Permit` can be forwarded.

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
mod page;
mod target;

pub use body::{BodyFault, ModelKeys, ModelReader};
pub use decide::{Permit, Policy, Refusal};
pub use dialect::Dialect;
pub use endpoint::{Endpoint, EndpointSet, MANAGEMENT, Management};
pub use framing::{Framing, FramingFault, FramingPosition, HEAD_MAX};
pub use grant::{AccessMode, Grant, PageRight, Priority, Rights};
pub use hint::Hint;
pub use host::Hosts;
pub use model::{Model, ModelNameFault, Models};
pub use models::{ModelCheck, ModelRefusal, ModelRules};
pub use page::{PAGE_HEADER, PageRoute};
pub use target::{Target, TargetFault};

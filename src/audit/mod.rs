//! Records for security and accounting: one for each ended request, one for each refused peer and cut session, and one
//! for each change of access. Never content: no body, query, prompt, header or key. Of a body at most the model's
//! name is kept: if the request was refused for it, or if usage is counted and Ollama lists it.

mod ended;
mod event;
mod gauges;
mod identities;
mod journal;
mod metrics;
mod models;
mod open_record;
mod record;
mod render;
mod sink;
mod tallies;

pub use ended::Ended;
pub use event::{
    AccessChange, AccessEvent, ChangeKind, JournalEntry, LinesLost, PeerRefused, PeerRule, SessionCut,
    lost_in_access_log, lost_in_journal,
};
pub use gauges::Now;
pub use journal::Journal;
pub use metrics::Metrics;
pub use open_record::{OpenRecord, Traffic};
pub(crate) use record::acts_as_tags;
pub use record::{AccessRecord, Millis, OTHER_MODEL, PeerName};
pub use sink::{AuditSink, Observer};

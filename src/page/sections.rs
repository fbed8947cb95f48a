//! What the page shows to each viewer, as sections of JSON. A viewer limited to its own identity
//! learns nothing of others, except how many requests run and wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::health::Health;
use super::peers;
use super::recent_activity::RecentActivity;
use super::viewers::Viewer;
use crate::admin::{Admin, MembersByPort, Requests, Who};
use crate::config::Config;

/// Rows of each section. The section says how many more there are.
const REQUESTS: usize = 100;
const IDENTITIES: usize = 50;
const MODELS: usize = 50;
const REFUSALS: usize = 50;
const CHANGES: usize = 50;

/// The least time between two looks at what was spent of quotas, as each looks at every peer.
const SPENT: Duration = Duration::from_secs(5);

/// Makes the sections.
pub(super) struct Sections {
    admin: Arc<Admin>,
    recent: Arc<RecentActivity>,
    health: Health,
    who: Mutex<Option<CachedWho>>,
    spent: watch::Receiver<u64>,
}

/// The rights of all peers, and what they were made from.
struct CachedWho {
    config: Arc<Config>,
    members: MembersByPort,
    /// The change of what was spent of quotas, and when `who` was made: with a change, it is made again after [`SPENT`].
    spent: u64,
    made: Instant,
    who: Arc<Who>,
}

/// The sections that one viewer has been sent.
#[derive(Default)]
pub(super) struct Sent {
    sections: HashMap<&'static str, String>,
    who: Option<Arc<Who>>,
    activity: Option<ActivityVersion>,
}

/// Changes whenever the sections about the last days may have changed.
#[derive(PartialEq, Eq)]
struct ActivityVersion {
    changes: u64,
    /// Days since 1970.
    day: i64,
    is_reading: bool,
}

impl Sent {
    /// Appends a section to `event` if it differs from the one sent last.
    fn add(&mut self, event: &mut String, name: &'static str, section: impl Serialize) {
        let Ok(section) = serde_json::to_string(&section) else { return }; // only plain data: it cannot fail
        if self.sections.get(name) != Some(&section) {
            event.push_str(&format!(",\"{name}\":{section}"));
            self.sections.insert(name, section);
        }
    }
}

impl Sections {
    pub(super) fn new(admin: Arc<Admin>, recent: Arc<RecentActivity>) -> Self {
        let health = Health::new(Arc::clone(&admin));
        let spent = admin.proxy.admission().spent_changes();
        Sections { admin, recent, health, who: Mutex::default(), spent }
    }

    /// The sections that differ from those in `sent`, each after a comma; `None` if no section does.
    pub(super) fn changed(&self, viewer: Viewer<'_>, sent: &mut Sent) -> Option<String> {
        let mut event = String::new();
        let Viewer { peer, page, has_setup } = viewer;
        let you =
            json!({ "node": peer.node, "principal": peer.principal(), "page": page, "setup": has_setup });
        sent.add(&mut event, "you", you);
        sent.add(&mut event, "health", self.health.section(viewer));
        sent.add(&mut event, "requests", self.requests(viewer));
        let who = self.who();
        if sent.who.as_ref().is_none_or(|before| !Arc::ptr_eq(before, &who)) {
            sent.add(&mut event, "peers", peers::section(&who, viewer));
            sent.who = Some(who);
        }
        self.add_activity(&mut event, viewer, sent);
        (!event.is_empty()).then_some(event)
    }

    fn requests(&self, viewer: Viewer<'_>) -> impl Serialize + use<> {
        let mut sessions = self.admin.proxy.sessions().all();
        if let Some(own) = viewer.limited_to() {
            sessions.retain(|session| session.peer.identity() == own.identity());
        }
        let Requests { mut requests } = Requests::new(&sessions);
        let more = requests.len().saturating_sub(REQUESTS);
        requests.truncate(REQUESTS);
        json!({ "rows": requests, "more": more })
    }

    /// The rights of all peers. The value is the same `Arc` until the config, a list of peers or what was spent of quotas
    /// changes.
    fn who(&self) -> Arc<Who> {
        let (config, members) = (self.admin.settings.config(), self.admin.members());
        let spent = *self.spent.borrow();
        let mut cached = self.who.lock();
        if let Some(cached) = &*cached
            && Arc::ptr_eq(&cached.config, &config)
            && cached.members.same_lists(&members)
            && (cached.spent == spent || cached.made.elapsed() < SPENT)
        {
            return Arc::clone(&cached.who);
        }
        let joined = self.admin.node.borrow().has_joined();
        let who = Arc::new(Who::new(&config, &members, &[], self.admin.proxy.admission(), joined));
        *cached = Some(CachedWho { config, members, spent, made: Instant::now(), who: Arc::clone(&who) });
        who
    }

    /// Appends the sections about the last days.
    fn add_activity(&self, event: &mut String, viewer: Viewer<'_>, sent: &mut Sent) {
        let now = Timestamp::now();
        let is_reading = self.recent.is_reading();
        let recent = self.recent.recent();
        let day = now.as_second() / (24 * 60 * 60);
        let version = Some(ActivityVersion { changes: recent.version(), day, is_reading });
        if sent.activity == version {
            return;
        }
        sent.activity = version;
        let own = viewer.limited_to();
        sent.add(event, "days", recent.days(now, own, IDENTITIES));
        // Usage by model is of all identities together, so it is for admins only.
        let (rows, more) = own.map_or_else(|| recent.models(now, MODELS), |_| Default::default());
        sent.add(event, "models", json!({ "rows": rows, "more": more }));
        sent.add(event, "reading", is_reading);
        let (rows, more) = recent.denied(own, REFUSALS);
        sent.add(event, "refusals", json!({ "rows": rows, "more": more }));
        let (rows, more) = recent.changes(own, CHANGES);
        sent.add(event, "changes", json!({ "rows": rows, "more": more }));
    }
}

//! What is shown to whom. Whoever has the page for their own alone is shown what is their identity's; of
//! others not even how many there are, but for how many requests run and wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use serde_json::json;

use super::{Chronicle, sees_all};
use crate::admin::{Admin, Ollama, Requests, Rosters, Who, WhoPeer};
use crate::config::{Config, PlainHttp};
use crate::panics;
use crate::peer::Peer;
use crate::policy::PageRight;

/// So many rows a section has; it says how many more there are.
const REQUESTS: usize = 100;
const PEERS: usize = 200;
const IDENTITIES: usize = 50;
const REFUSALS: usize = 50;
const CHANGES: usize = 50;

/// Characters of a grant as the policy file has it, and of what is wrong with one.
const GRANT_MAX: usize = 300;

/// How often Ollama is asked how it is, while somebody looks.
const PULSE: Duration = Duration::from_secs(5);

/// Makes the sections.
pub(super) struct Sections {
    admin: Arc<Admin>,
    chronicle: Arc<Chronicle>,
    roll: Mutex<Option<Roll>>,
    pulse: Arc<Mutex<Pulse>>,
}

/// Who may what, as long as it is so.
struct Roll {
    config: Arc<Config>,
    rosters: Rosters,
    who: Arc<Who>,
}

/// How Ollama was when it was asked.
#[derive(Default)]
struct Pulse {
    asked: Option<Instant>,
    /// Absent until it has answered, or has not in its time.
    ollama: Option<Ollama>,
}

/// What somebody has been shown.
#[derive(Default)]
pub(super) struct Known {
    sections: HashMap<&'static str, String>,
    who: Option<Arc<Who>>,
    /// How often the chronicle had changed, on which day, and whether it was still read back.
    days: Option<(u64, u64, bool)>,
}

impl Known {
    /// Adds a section to `event`, if it is not as it was.
    fn note(&mut self, event: &mut String, name: &'static str, section: impl Serialize) {
        let Ok(section) = serde_json::to_string(&section) else { return }; // nothing in it can't be written
        if self.sections.get(name) != Some(&section) {
            event.push_str(&format!(",\"{name}\":{section}"));
            self.sections.insert(name, section);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sections {
    pub(super) fn new(admin: Arc<Admin>, chronicle: Arc<Chronicle>) -> Self {
        Sections { admin, chronicle, roll: Mutex::default(), pulse: Arc::default() }
    }

    /// What is no longer as `known` has it, each section with a comma before it; `None`: everything is.
    pub(super) fn changed(&self, peer: &Peer, page: PageRight, known: &mut Known) -> Option<String> {
        let mut event = String::new();
        let all = sees_all(page);
        known.note(&mut event, "you", self.you(peer, page));
        known.note(&mut event, "health", self.health(all));
        known.note(&mut event, "requests", self.requests(peer, all));
        let who = self.who();
        if known.who.as_ref().is_none_or(|before| !Arc::ptr_eq(before, &who)) {
            known.note(&mut event, "peers", peers(&who, peer, all));
            known.who = Some(who);
        }
        self.past(&mut event, peer, all, known);
        (!event.is_empty()).then_some(event)
    }

    fn you(&self, peer: &Peer, page: PageRight) -> impl Serialize + use<> {
        json!({ "node": peer.node, "principal": peer.principal(), "page": page })
    }

    fn health(&self, all: bool) -> impl Serialize + use<> {
        let node = self.admin.node.borrow().clone();
        let (running, waiting) = self.admin.proxy.load();
        let config = self.admin.settings.config();
        let limits = config.limits;
        let plain = if config.plain_http == PlainHttp::Serve { "Ollama" } else { "HTTP" };
        let mut logs = self.admin.sinks.states().to_vec();
        logs.retain(|log| !log.is_sound());
        let ollama = self.ollama().map(|ollama| {
            let models = ollama.models.iter().map(|model| json!({ "name": model.name, "bytes": model.size }));
            json!({
                "version": ollama.version,
                // What others have loaded is nobody's business, nor where Ollama is.
                "models": all.then(|| models.collect::<Vec<_>>()),
                "fault": ollama.fault.filter(|_| all),
            })
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "since": humantime::format_rfc3339_seconds(self.admin.started).to_string(),
            "stopping": self.admin.proxy.is_stopping(),
            "ollama": ollama,
            "node": {
                "name": node.dns_name,
                "state": node.state,
                "running": node.is_running(),
                "key_expiry": node.key_expiry,
                "error": node.error.filter(|_| all),
                "warnings": all.then_some(node.warnings),
            },
            // Those that something is wrong with.
            "logs": all.then_some(logs),
            "running": running,
            "waiting": waiting,
            "running_max": limits.running,
            "waiting_max": limits.waiting,
            "ports": {
                plain: config.port,
                "HTTPS": config.https_port,
                "the metrics": config.metrics_port,
                "this page": config.page_port,
            },
        })
    }

    /// How Ollama is, as of the last seconds; `None`: nobody knows yet. Nobody waits for it here.
    fn ollama(&self) -> Option<Ollama> {
        let mut pulse = lock(&self.pulse);
        let age = pulse.asked.map(|asked| asked.elapsed());
        if age.is_none_or(|age| age >= PULSE) {
            if age.is_none_or(|age| age >= 3 * PULSE) {
                pulse.ollama = None; // nobody has looked for a while
            }
            pulse.asked = Some(Instant::now());
            let (shared, config) = (Arc::clone(&self.pulse), self.admin.settings.config());
            tokio::spawn(panics::named("the page's look at Ollama", async move {
                let ollama = Ollama::ask(&config.upstream).await;
                lock(&shared).ollama = Some(ollama);
            }));
        }
        pulse.ollama.clone()
    }

    fn requests(&self, peer: &Peer, all: bool) -> impl Serialize + use<> {
        let mut sessions = self.admin.proxy.live().sessions();
        sessions.retain(|session| all || session.peer.identity() == peer.identity());
        let Requests { mut requests } = Requests::new(&sessions);
        let more = requests.len().saturating_sub(REQUESTS);
        requests.truncate(REQUESTS);
        json!({ "rows": requests, "more": more })
    }

    /// Who may what; the same for as long as nothing of it has changed.
    fn who(&self) -> Arc<Who> {
        let (config, rosters) = (self.admin.settings.config(), self.admin.rosters());
        let mut roll = lock(&self.roll);
        if let Some(roll) = &*roll
            && Arc::ptr_eq(&roll.config, &config)
            && roll.rosters.are(&rosters)
        {
            return Arc::clone(&roll.who);
        }
        let joined = self.admin.node.borrow().has_joined();
        let who = Arc::new(Who::new(&config, &rosters, &[], joined, false));
        *roll = Some(Roll { config, rosters, who: Arc::clone(&who) });
        who
    }

    fn past(&self, event: &mut String, peer: &Peer, all: bool, known: &mut Known) {
        let now = SystemTime::now();
        let day = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / (24 * 60 * 60);
        let reading = self.chronicle.is_reading();
        let recent = self.chronicle.recent();
        let state = Some((recent.changed(), day, reading));
        if known.days == state {
            return;
        }
        known.days = state;
        let whose = (!all).then_some(peer);
        known.note(event, "days", recent.days(now, whose, IDENTITIES));
        known.note(event, "reading", reading);
        let (rows, more) = recent.denied(whose, REFUSALS);
        known.note(event, "refusals", json!({ "rows": rows, "more": more }));
        let (rows, more) = recent.changes(whose, CHANGES);
        known.note(event, "changes", json!({ "rows": rows, "more": more }));
    }
}

/// One device that may do something here.
#[derive(Serialize)]
struct Row<'a> {
    node: &'a str,
    principal: String,
    online: bool,
    /// Straight, or through which relay; absent while no packets flow.
    path: Option<String>,
    through: &'a str,
    endpoints: &'a [String],
    limits: Vec<String>,
    metrics: bool,
    page: Option<PageRight>,
    /// As the policy file has them.
    grants: Vec<String>,
    faults: Vec<String>,
}

fn peers(who: &Who, peer: &Peer, all: bool) -> impl Serialize + use<> {
    let own = |row: &&WhoPeer| match &peer.user {
        Some(user) => row.member.user.as_ref() == Some(user),
        None => row.member.stable_id == peer.stable_id,
    };
    let may = |row: &&WhoPeer| row.may_connect || row.metrics || row.page.is_some();
    let (rows, others): (Vec<_>, Vec<_>) = who.peers.iter().filter(|row| all || own(row)).partition(may);
    let more = rows.len().saturating_sub(PEERS);
    json!({
        "joined": who.joined,
        "access": who.access,
        "capability": who.capability,
        "rows": rows.into_iter().take(PEERS).map(Row::of).collect::<Vec<_>>(),
        "more": more,
        // Who is in the netmap and may do nothing here.
        "others": others.len(),
    })
}

impl<'a> Row<'a> {
    fn of(peer: &'a WhoPeer) -> Row<'a> {
        let member = &peer.member;
        let path = member.direct.as_ref().map(|_| "direct".to_owned());
        let relay = member.relay.as_ref().map(|relay| format!("relay {relay}"));
        let grants = member.grants().into_iter().map(|grant| short(grant.to_string())).collect();
        Row {
            node: &member.node,
            principal: member.principal(),
            online: member.online,
            path: path.or(relay),
            through: if peer.may_connect { &peer.through } else { "other ports" },
            endpoints: if peer.may_connect { &peer.endpoints } else { &[] },
            limits: limits(peer),
            metrics: peer.metrics,
            page: peer.page,
            grants,
            faults: peer.faults.iter().cloned().map(short).collect(),
        }
    }
}

fn limits(peer: &WhoPeer) -> Vec<String> {
    let limit = |value: Option<u64>, unit: &str| value.map(|n| format!("{n} {unit}"));
    let priority = (peer.priority != Default::default())
        .then(|| json!(peer.priority).as_str().map(|priority| format!("priority {priority}")));
    let all = [
        peer.models.as_ref().map(|models| format!("models {}", models.join(", "))),
        limit(peer.max_concurrent.map(u64::from), "at once"),
        limit(peer.requests_per_minute.map(u64::from), "a minute"),
        limit(peer.tokens_per_day, "tokens a day"),
        limit(peer.max_body, "bytes a body"),
        priority.flatten(),
    ];
    all.into_iter().flatten().collect()
}

fn short(text: String) -> String {
    match text.char_indices().nth(GRANT_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

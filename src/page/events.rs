//! The page's stream of server-sent events (HTML standard, "Server-sent events"). Each event is a JSON object with the
//! sections that have changed; the first event has all sections.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::sections::{Sections, Sent};
use super::viewers::{OpenStream, Viewer};
use crate::panics;
use crate::policy::PageRight;
use crate::proxy::Caller;

/// How often the sections are compared with those sent.
const INTERVAL: Duration = Duration::from_secs(1);

/// After this time without a change an event without sections is sent. The page reports a lost connection some time later.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What to send, and to whom.
pub(super) struct Watched {
    pub(super) sections: Arc<Sections>,
    pub(super) caller: Caller,
    /// The caller's right to the page.
    pub(super) page: PageRight,
    /// Whether the caller also has the set-up.
    pub(super) has_setup: bool,
    pub(super) _open: OpenStream,
}

/// Sends events until the caller's right to the page is another one. The browser then asks again. An event is made only
/// when the previous one has been taken.
pub(super) async fn events(watched: Watched, sender: mpsc::Sender<Bytes>) {
    let Watched { sections, caller, page, has_setup, _open } = watched;
    let mut sent = Sent::default();
    let mut last = None::<Instant>;
    while let Ok(permit) = sender.reserve().await {
        let changed = loop {
            let (sections, viewer) = (Arc::clone(&sections), caller.clone());
            let changed;
            (changed, sent) = panics::off_thread(move || {
                let changed = sections.changed(Viewer { peer: viewer.peer(), page, has_setup }, &mut sent);
                (changed, sent)
            })
            .await;
            // Last, since the right may have been taken away meanwhile.
            if caller.decide(|_, rights| rights.page()) != Some(page) {
                return;
            }
            if changed.is_some() || last.is_none_or(|last| last.elapsed() >= HEARTBEAT) {
                break changed.unwrap_or_default();
            }
            tokio::time::sleep(INTERVAL).await;
        };
        let now = crate::time::format_rfc3339_millis(SystemTime::now());
        permit.send(Bytes::from(format!("data: {{\"now\":\"{now}\"{changed}}}\n\n")));
        last = Some(Instant::now());
        tokio::time::sleep(INTERVAL).await;
    }
}

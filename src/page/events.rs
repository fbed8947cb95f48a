//! What the page shows, as it changes, as server-sent events (HTML standard, "Server-sent events"): each is
//! an object with the sections that have changed, the first one has all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::sections::{Known, Sections};
use super::watching::Seat;
use crate::policy::PageRight;
use crate::proxy::Visitor;

/// How often it is looked whether anything has changed.
const LOOK: Duration = Duration::from_secs(1);

/// After how long without a change it is said that there is none. The page takes it for lost a while later.
const BEAT: Duration = Duration::from_secs(10);

/// Makes events for `visitor`, who sees as much as `page` says, until that is no longer so. What is granted
/// is looked up for each.
pub(super) async fn events(
    sections: Arc<Sections>,
    visitor: Visitor,
    page: PageRight,
    _seat: Seat,
    place: mpsc::Sender<Bytes>,
) {
    let mut known = Known::default();
    let mut last = None::<Instant>;
    // Nothing is made while the one before has not been taken.
    while let Ok(place) = place.reserve().await {
        let event = loop {
            if visitor.decide(|_, rights| rights.page()) != Some(page) {
                return; // the page asks again, and is told
            }
            let changed = sections.changed(visitor.peer(), page, &mut known);
            if changed.is_some() || last.is_none_or(|last| last.elapsed() >= BEAT) {
                break changed.unwrap_or_default();
            }
            tokio::time::sleep(LOOK).await;
        };
        let now = humantime::format_rfc3339_millis(std::time::SystemTime::now());
        place.send(Bytes::from(format!("data: {{\"now\":\"{now}\"{event}}}\n\n")));
        last = Some(Instant::now());
        tokio::time::sleep(LOOK).await;
    }
}

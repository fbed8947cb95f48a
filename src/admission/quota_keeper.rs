//! Keeps what was spent of the quotas in a file, off the path of requests.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::civil::Date;
use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::quota_file::{self, QuotaFile, Restored};
use super::{Admission, calendar};
use crate::policy::Window;
use crate::time::format_rfc3339_seconds;

/// How long after a count the file is written. A crash loses what was spent within it.
const DELAY: Duration = Duration::from_secs(5);

/// Saves the counts of one [`Admission`].
pub struct QuotaKeeper {
    admission: Admission,
    saved: Mutex<Saved>,
}

/// The state of the file.
struct Saved {
    file: QuotaFile,
    /// The number of the last change that is in the file.
    change: u64,
    /// Whether the last attempt failed, which is logged once.
    failed: bool,
}

impl QuotaKeeper {
    /// Takes over the counts in `state_dir`, and logs what could not be read. To be called before requests are admitted, by
    /// the process that holds the state folder.
    pub fn restore(admission: Admission, state_dir: &Path) -> QuotaKeeper {
        let file = QuotaFile::new(state_dir);
        let path = file.path().display().to_string();
        match file.read() {
            Ok(content) => {
                let mut state = admission.state.lock();
                let restored = quota_file::restore(&content, &mut state.spent, today());
                warn_of_file(&path, restored, state.spent.day());
            }
            Err(error) => {
                let kept = match file.set_aside() {
                    Ok(kept) => kept.display().to_string(),
                    Err(error) => format!("no: {error}"),
                };
                tracing::error!(path, %error, kept, "cannot read what was spent of the quotas: counting from 0");
            }
        }
        QuotaKeeper { admission, saved: Mutex::new(Saved { file, change: 0, failed: false }) }
    }

    /// Saves within `DELAY` of each change. Does not end.
    pub async fn run(self: Arc<Self>) {
        let mut changes = self.admission.spent_changes();
        changes.mark_changed(); // what was spent before this runs may be unsaved
        while changes.changed().await.is_ok() {
            loop {
                sleep(DELAY).await;
                changes.mark_unchanged();
                let keeper = Arc::clone(&self);
                if spawn_blocking(move || keeper.save()).await.unwrap_or(false) {
                    break;
                }
            }
        }
    }

    /// Saves now, on the caller's thread, unless nothing has changed. Returns whether the file has every count.
    pub fn save(&self) -> bool {
        let mut saved = self.saved.lock();
        let (change, day, counts) = {
            let state = self.admission.state.lock();
            let change = state.spent.change();
            if change == saved.change {
                return true;
            }
            let (day, counts) = state.spent.snapshot();
            (change, day, counts)
        };
        let path = saved.file.path().display().to_string();
        match saved.file.replace(&quota_file::write(day, &counts)) {
            Ok(()) => {
                saved.change = change;
                if std::mem::take(&mut saved.failed) {
                    tracing::info!(path, "what was spent of the quotas is saved again");
                }
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut saved.failed, true) {
                    tracing::error!(path, %error, "cannot save what was spent of the quotas: retrying; a restart forgets it");
                }
                false
            }
        }
    }
}

fn today() -> Date {
    calendar::day(SystemTime::now())
}

/// `day`: the latest day in the file.
fn warn_of_file(path: &str, restored: Restored, day: Date) {
    let Restored { identities, unreadable } = restored;
    if unreadable > 0 {
        tracing::warn!(
            path,
            identities,
            unreadable,
            "lines of the quotas' file are damaged: the rest applies"
        );
    }
    if identities > 0 && day > today() {
        let until = format_rfc3339_seconds(calendar::end(Window::Day, day));
        tracing::warn!(
            path,
            until,
            "the clock is behind the quotas' file: nothing spent is given back until that day has passed"
        );
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::policy::{Grant, QuotaUnit, Quotas};

    const QUOTAS: Quotas = Quotas { tokens_per_day: Some(100), ..Quotas::NONE };

    fn spent(admission: &Admission) -> u64 {
        admission.quotas("anna@example.com", &QUOTAS)[0].spent
    }

    fn spend(admission: &Admission, identity: &str, tokens: u64) {
        admission.state.lock().spent.spend(identity, QuotaUnit::Tokens, tokens, SystemTime::now());
    }

    #[tokio::test(start_paused = true)]
    async fn spent_quotas_are_saved_within_the_delay_and_survive() {
        let dir = tempfile::tempdir().unwrap();
        let admission = Admission::default();
        let keeper = Arc::new(QuotaKeeper::restore(admission.clone(), dir.path()));
        assert!(keeper.save() && !dir.path().join(QuotaFile::NAME).exists(), "nothing to save, no file");
        spend(&admission, "anna@example.com", 40);
        spend(&admission, "anna@example.com", 2);
        let after = |dir: &Path| {
            let admission = Admission::default();
            QuotaKeeper::restore(admission.clone(), dir);
            spent(&admission)
        };
        let runs_for = async |time| timeout(time, Arc::clone(&keeper).run()).await.unwrap_err();
        let moment = Duration::from_millis(100);
        runs_for(DELAY - moment).await;
        assert_eq!(after(dir.path()), 0);
        // The paused clock stands still while the file is written.
        runs_for(DELAY + moment).await;
        assert_eq!((after(dir.path()), spent(&admission)), (42, 42));

        // A folder that can't be written costs nothing but the time until it can.
        std::fs::create_dir_all(dir.path().join(QuotaFile::NEXT).join("in the way")).unwrap();
        spend(&admission, "anna@example.com", 1);
        assert!(!keeper.save());
        std::fs::remove_dir_all(dir.path().join(QuotaFile::NEXT)).unwrap();
        assert!(keeper.save());
        assert_eq!(after(dir.path()), 43);
    }

    #[tokio::test]
    async fn identity_without_a_quota_is_not_counted() {
        let dir = tempfile::tempdir().unwrap();
        let admission = Admission::default();
        let keeper = QuotaKeeper::restore(admission.clone(), dir.path());
        let limits = super::super::Limits::NONE;
        drop(admission.admit(&limits, "anna@example.com", &Grant::EVERYTHING, true).await.unwrap());
        assert!(keeper.save() && !dir.path().join(QuotaFile::NAME).exists());
    }
}

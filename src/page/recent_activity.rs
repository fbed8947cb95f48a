//! The recent activity that the page shows: what happens now, and what the access log and the journal have of the days
//! before this start.

use std::io::{self, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};

use crate::audit::{AccessChange, AccessRecord, Journal, Observer};
use crate::config::Config;
use crate::history::Recent;
use crate::rotated;

/// [`Recent`], shared by several tasks.
pub struct RecentActivity {
    recent: Mutex<Recent>,
    began: SystemTime,
    reading: AtomicBool,
}

impl RecentActivity {
    /// Nothing has happened yet at `now`.
    pub fn new(now: SystemTime) -> Self {
        RecentActivity {
            recent: Mutex::new(Recent::new(timestamp(now))),
            began: now,
            reading: AtomicBool::new(false),
        }
    }

    /// Reads the files that a proxy with this config wrote before this start, on a thread of its own that does not
    /// keep the process from ending.
    ///
    /// # Errors
    /// The thread can't be started.
    pub fn read_back(self: &Arc<Self>, config: Config) -> io::Result<()> {
        self.reading.store(true, Ordering::Relaxed);
        let reader = Arc::clone(self);
        let thread = std::thread::Builder::new().name("read-back".to_owned());
        let started = thread.spawn(move || {
            reader.read_all(&config);
            reader.reading.store(false, Ordering::Relaxed);
        });
        if started.is_err() {
            self.reading.store(false, Ordering::Relaxed);
        }
        started.map(drop)
    }

    /// Whether older records are still being read.
    pub(super) fn is_reading(&self) -> bool {
        self.reading.load(Ordering::Relaxed)
    }

    fn read_all(&self, config: &Config) {
        let mut before = Recent::new(timestamp(self.began));
        let journal = config.node.state_dir.join(Journal::FILE);
        let access_log = config.access_log.as_ref().map(|log| &log.file);
        for path in [Some(&journal), access_log].into_iter().flatten() {
            match self.read(&mut before, path, Some(path) == access_log) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "the page lacks what can't be read");
                }
                // A proxy that has recorded nothing yet has no file.
                Err(_) | Ok(()) => {}
            }
        }
        self.recent().prepend(before);
    }

    fn read(&self, before: &mut Recent, path: &Path, is_access_log: bool) -> io::Result<()> {
        let days = Duration::from_secs(Recent::DAYS * 24 * 60 * 60);
        for (_, file) in rotated::read(path)? {
            // An old file has nothing to show. It only tells how far back the access log goes.
            let written = file.metadata()?.modified()?;
            if self.began.duration_since(written).is_ok_and(|ago| ago > days) {
                if is_access_log {
                    before.extend_to(timestamp(written));
                }
                continue;
            }
            before.read(BufReader::new(file), timestamp(self.began))?;
        }
        Ok(())
    }

    pub(super) fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock()
    }
}

/// `at` as a timestamp. A clock before the year -9999 or after 9999 counts as 1970.
fn timestamp(at: SystemTime) -> Timestamp {
    Timestamp::try_from(at).unwrap_or_default()
}

impl Observer for RecentActivity {
    fn request(&self, record: &AccessRecord) {
        self.recent().request(record);
    }

    fn access(&self, change: &AccessChange) {
        self.recent().change(change);
    }
}

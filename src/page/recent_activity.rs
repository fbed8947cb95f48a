//! The last days, for the page: told of what happens, and read back from the files of before.

use std::io::{self, BufReader};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::audit::{Done, Journal, Standing, Watcher};
use crate::config::Config;
use crate::history::Recent;
use crate::rotated;

/// [`Recent`], which several tasks share.
pub struct RecentActivity {
    recent: Mutex<Recent>,
    began: SystemTime,
    reading: AtomicBool,
}

impl RecentActivity {
    /// Nothing has happened yet at `now`.
    pub fn new(now: SystemTime) -> Self {
        RecentActivity { recent: Mutex::new(Recent::new(now)), began: now, reading: AtomicBool::new(false) }
    }

    /// Reads in a thread of its own, which does not keep the process from ending, what the proxy with this
    /// config has written before it began.
    ///
    /// # Errors
    /// There is no such thread.
    pub fn read_back(self: &Arc<Self>, config: Config) -> io::Result<()> {
        self.reading.store(true, Ordering::Relaxed);
        let reader = Arc::clone(self);
        let thread = std::thread::Builder::new().name("read-back".to_owned());
        let reading = thread.spawn(move || {
            reader.read_all(&config);
            reader.reading.store(false, Ordering::Relaxed);
        });
        if reading.is_err() {
            self.reading.store(false, Ordering::Relaxed);
        }
        reading.map(drop)
    }

    /// Whether that goes on.
    pub(super) fn is_reading(&self) -> bool {
        self.reading.load(Ordering::Relaxed)
    }

    fn read_all(&self, config: &Config) {
        let mut before = Recent::new(self.began);
        let journal = config.node.state_dir.join(Journal::FILE);
        let files = [Some((&journal, false)), config.log.file.as_ref().map(|file| (file, true))];
        for (path, is_log) in files.into_iter().flatten() {
            match self.read(&mut before, path, is_log) {
                // Nothing has been written yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "the page lacks what can't be read")
                }
                Ok(()) => {}
            }
        }
        self.recent().follow(before);
    }

    fn read(&self, before: &mut Recent, path: &Path, is_log: bool) -> io::Result<()> {
        let days = Duration::from_secs(Recent::DAYS * 24 * 60 * 60);
        for (_, file) in rotated::read(path)? {
            // What was set aside earlier has nothing that is shown, but is there.
            let written = file.metadata()?.modified()?;
            if self.began.duration_since(written).is_ok_and(|ago| ago > days) {
                if is_log {
                    before.reach_back(written);
                }
                continue;
            }
            before.read(BufReader::new(file), self.began)?;
        }
        Ok(())
    }

    pub(super) fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be told of what is recorded.
    pub fn watcher(self: &Arc<Self>) -> Arc<dyn Watcher> {
        Arc::clone(self) as _
    }
}

impl Watcher for RecentActivity {
    fn ended(&self, request: &Done<'_>) {
        self.recent().ended(SystemTime::now(), request);
    }

    fn access(&self, at: SystemTime, access: &str, port: u16, standing: &Standing) {
        self.recent().access(at, access, port, standing);
    }
}

//! The lines that wait to be written, and the count of lost ones.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::{Condvar, Mutex};

use super::{SinkOptions, SinkState};

/// How many bytes may wait: the records of about ten thousand requests. A longer line is queued only alone.
pub(super) const MOST: usize = 4 << 20;

/// How long the thread lets lines gather after it has written some, so that many requests cost few wake-ups. A line after a
/// longer silence is written at once. In unit tests it is so long that none passes because it
/// ended.
const PAUSE: Duration = if cfg!(test) { Duration::from_secs(600) } else { Duration::from_millis(10) };

/// How many bytes end that pause.
pub(super) const ENOUGH: usize = 64 << 10;

/// The reason for a line that is lost because the queue is full.
pub(super) const FULL: &str = "too many lines wait: the disk, or the reader of the pipe, is too slow";

/// The shortest time between two reports.
const QUIET: Duration = Duration::from_secs(60);

/// How often the thread retries to write the notice of lost lines while no new line arrives.
const RETRY: Duration = Duration::from_secs(1);

/// Shared by the tasks that push lines and the thread that writes them.
pub(super) struct Queue {
    pub(super) options: SinkOptions,
    waiting: Mutex<Waiting>,
    /// Wakes the thread: there is a job.
    work: Condvar,
    /// Wakes `flush`: a job is done.
    idle: Condvar,
}

/// A job for the thread.
#[derive(Default)]
pub(super) struct Job {
    /// How many lines were lost just before this one.
    pub(super) lost: u64,
    /// Empty: only the notice of lost lines is to be written.
    pub(super) line: Vec<u8>,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// The bytes of the lines in `jobs`.
    bytes: usize,
    /// How many lines were dropped since the last one was queued.
    dropped: u64,
    /// The notice of lost lines, if any, is to be written now.
    notice_due: bool,
    closed: bool,
    is_writing: bool,
    /// Lines were written since the last pause.
    has_written: bool,
    /// The thread lets lines gather.
    is_pausing: bool,
    is_reporting: bool,
    lost: u64,
    last_lost: Option<Timestamp>,
    fault: Option<String>,
    grows: Option<String>,
    unremoved: Option<String>,
    reported: Option<Instant>,
}

impl Waiting {
    /// Whether something waits that is not to gather further.
    fn ends_pause(&self) -> bool {
        self.closed || self.notice_due || self.bytes >= ENOUGH
    }

    fn lose(&mut self, lines: u64, why: String) {
        self.lost += lines;
        self.last_lost = Some(Timestamp::now());
        self.fault = Some(why);
    }

    fn is_idle(&self) -> bool {
        self.jobs.is_empty()
            && self.dropped == 0
            && !self.notice_due
            && !self.is_writing
            && !self.is_reporting
    }
}

impl Queue {
    pub(super) fn new(options: SinkOptions) -> Self {
        Queue { options, waiting: Mutex::default(), work: Condvar::new(), idle: Condvar::new() }
    }

    pub(super) fn push(self: &Arc<Self>, line: &[u8]) {
        let mut waiting = self.waiting.lock();
        if waiting.bytes > 0 && waiting.bytes.saturating_add(line.len()) > MOST {
            waiting.dropped += 1;
            self.note(&mut waiting, |waiting| waiting.lose(1, FULL.to_owned()));
            return;
        }
        let lost = std::mem::take(&mut waiting.dropped);
        waiting.bytes += line.len();
        waiting.jobs.push_back(Job { lost, line: line.to_owned() });
        let wakes = !waiting.is_pausing || waiting.ends_pause();
        drop(waiting);
        if wakes {
            self.work.notify_one();
        }
    }

    /// Waits for the next job; `None` once the queue is closed and empty. `notice_pending`: a notice of lost lines is
    /// still to be written.
    pub(super) fn next(&self, notice_pending: bool) -> Option<Job> {
        let mut waiting = self.waiting.lock();
        loop {
            let next = waiting.jobs.pop_front();
            waiting.bytes -= next.as_ref().map_or(0, |job| job.line.len());
            let rest = next.is_none().then(|| std::mem::take(&mut waiting.dropped)).filter(|lost| *lost > 0);
            let notice_due = next.is_none() && std::mem::take(&mut waiting.notice_due);
            let job =
                next.or(rest.map(|lost| Job { lost, ..Job::default() })).or(notice_due.then(Job::default));
            if job.is_some() {
                waiting.is_writing = true;
                waiting.has_written = true;
                return job;
            }
            if waiting.closed {
                return None;
            }
            if notice_pending {
                waiting.notice_due |= self.work.wait_for(&mut waiting, RETRY).timed_out();
            } else if std::mem::take(&mut waiting.has_written) {
                waiting.is_pausing = true;
                let until = Instant::now() + PAUSE;
                while !waiting.ends_pause() && !self.work.wait_until(&mut waiting, until).timed_out() {}
                waiting.is_pausing = false;
            } else {
                self.work.wait(&mut waiting);
            }
        }
    }

    /// Ends the job from [`next`](Self::next). `lost` is how many lines could not be written, and why.
    pub(super) fn done(
        self: &Arc<Self>,
        lost: Result<(), (u64, String)>,
        grows: Option<String>,
        unremoved: Option<String>,
    ) {
        let mut waiting = self.waiting.lock();
        self.note(&mut waiting, |waiting| {
            waiting.grows = grows;
            waiting.unremoved = unremoved;
            match lost {
                Ok(()) => waiting.fault = None,
                Err((0, why)) => waiting.fault = Some(why),
                Err((lines, why)) => waiting.lose(lines, why),
            }
        });
        waiting.is_writing = false;
        drop(waiting);
        self.idle.notify_all();
    }

    /// Applies `change`, and reports it if it brings a new fault.
    fn note(self: &Arc<Self>, waiting: &mut Waiting, change: impl FnOnce(&mut Waiting)) {
        let faults = |of: &Waiting| [&of.fault, &of.grows, &of.unremoved].map(Option::is_some);
        let before = faults(waiting);
        change(waiting);
        let worse = faults(waiting).into_iter().zip(before).any(|(now, before)| now && !before);
        if !worse || waiting.reported.is_some_and(|at| at.elapsed() < QUIET) {
            return;
        }
        waiting.reported = Some(Instant::now());
        let (queue, state) = (Arc::clone(self), self.state_of(waiting));
        // On a thread of its own: standard error may be a pipe without a reader.
        let reporter = std::thread::Builder::new().name("report-lost".to_owned()).spawn(move || {
            (queue.options.report)(&state);
            queue.waiting.lock().is_reporting = false;
            queue.idle.notify_all();
        });
        waiting.is_reporting = reporter.is_ok();
    }

    pub(super) fn flush(&self, within: Duration) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.notice_due = true;
        self.work.notify_one();
        self.idle.wait_while_for(&mut waiting, |waiting| !waiting.is_idle(), within);
        waiting.is_idle()
    }

    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.work.notify_one();
    }

    pub(super) fn state(&self) -> SinkState {
        self.state_of(&self.waiting.lock())
    }

    fn state_of(&self, waiting: &Waiting) -> SinkState {
        SinkState {
            name: self.options.name.to_owned(),
            to: self.options.to.clone(),
            lost: waiting.lost,
            last_lost: waiting.last_lost.map(|at| format!("{at:.0}")),
            fault: waiting.fault.clone(),
            grows: waiting.grows.clone(),
            unremoved: waiting.unremoved.clone(),
        }
    }
}

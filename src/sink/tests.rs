use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex, PoisonError};

use super::*;
use crate::rotated::write_line;

const PATIENCE: Duration = Duration::from_secs(60);

/// An output that the test makes fail or panic.
#[derive(Clone, Default)]
struct Scripted {
    written: Arc<Mutex<String>>,
    /// Notified after each line.
    wrote: Arc<Condvar>,
    fails: Arc<Mutex<bool>>,
    panics: Arc<Mutex<bool>>,
}

impl Output for Scripted {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let panics = self.panics.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!*panics, "planted");
        if *self.fails.lock().unwrap() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.written.lock().unwrap().push_str(str::from_utf8(line).unwrap());
        self.wrote.notify_all();
        Ok(())
    }
}

impl Scripted {
    /// Waits for a line that ends with `end`. Unlike a flush, this asks the sink for nothing.
    fn wait_for(&self, end: &str) {
        let unwritten = |written: &mut String| !written.ends_with(end);
        let written = self.written.lock().unwrap();
        let (written, waited) = self.wrote.wait_timeout_while(written, PATIENCE, unwritten).unwrap();
        assert!(!waited.timed_out(), "{end:?} is not at the end of {written:?}");
    }
}

/// A sink, and its reports.
fn start(output: impl Output) -> (Sink, Receiver<SinkState>) {
    let (report, reports) = channel();
    let report = Box::new(move |state: &SinkState| report.send(state.clone()).unwrap());
    let notice = |notice: &Notice<'_>| format!("{} lost: {}", notice.lost, notice.why);
    let options = SinkOptions { name: "log", to: "/a.log".to_owned(), notice, report };
    (Sink::start(options, output).unwrap(), reports)
}

fn push(sink: &Sink, line: &str) {
    sink.push(line.as_bytes());
    assert!(sink.flush(PATIENCE));
}

#[test]
fn lost_lines_are_counted_reported_once_and_noticed_in_place() {
    let output = Scripted::default();
    let (sink, reports) = start(output.clone());
    push(&sink, "1\n");
    assert!(sink.state().is_sound());
    *output.fails.lock().unwrap() = true;
    push(&sink, "2\n");
    push(&sink, "3\n");
    let state = sink.state();
    assert_eq!((state.lost, state.fault.as_deref()), (2, Some("no storage space")));
    assert!(state.last_lost.is_some());
    *output.fails.lock().unwrap() = false;
    push(&sink, "4\n");
    assert_eq!(*output.written.lock().unwrap(), "1\n2 lost: no storage space\n4\n");
    assert_eq!((sink.state().lost, sink.state().fault), (2, None));
    let reported = reports.try_iter().collect::<Vec<_>>();
    assert_eq!(reported.len(), 1, "{reported:?}");
    let said = reported[0].to_string();
    assert!(
        said.starts_with("/a.log: can't be written: no storage space; 1 line lost, the last at 2"),
        "{said}"
    );
}

#[test]
fn notice_of_lost_lines_needs_no_further_line() {
    let output = Scripted::default();
    let (sink, _reports) = start(output.clone());
    *output.fails.lock().unwrap() = true;
    push(&sink, "1\n");
    *output.fails.lock().unwrap() = false;
    output.wait_for("\n");
    assert_eq!(*output.written.lock().unwrap(), "1 lost: no storage space\n");
    assert!(sink.flush(PATIENCE));
    assert_eq!(sink.state().fault, None);
}

#[test]
fn panic_in_the_writer_loses_one_line() {
    let output = Scripted::default();
    let (sink, reports) = start(output.clone());
    *output.panics.lock().unwrap() = true;
    push(&sink, "1\n"); // poisons the lock of `panics`
    *output.panics.lock().unwrap_or_else(PoisonError::into_inner) = false;
    push(&sink, "2\n");
    assert_eq!(*output.written.lock().unwrap(), "1 lost: the writer has panicked\n2\n");
    assert_eq!((sink.state().lost, reports.try_iter().count()), (1, 1));
}

/// Writes a line each time the test lets it.
struct Slow {
    begun: Sender<()>,
    let_go: Receiver<()>,
    written: Sender<Vec<u8>>,
}

impl Output for Slow {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let _ = self.begun.send(());
        let _ = self.let_go.recv(); // returns at once after the test has dropped it
        self.written.send(line.to_owned()).map_err(io::Error::other)
    }
}

#[test]
fn stalled_output_blocks_no_task_and_excess_lines_are_counted() {
    let ((begun, begins), (go, let_go), (written, lines)) = (channel(), channel(), channel());
    let (sink, reports) = start(Slow { begun, let_go, written });
    let line = [b'x'; queue::MOST / 4];
    sink.push(&line);
    begins.recv().unwrap();
    // Four lines fit while the first one is written.
    (0..6).for_each(|_| sink.push(&line));
    assert_eq!(sink.state().lost, 2);
    let reported = reports.recv_timeout(PATIENCE).unwrap();
    assert!(reported.fault.is_some_and(|fault| fault.contains("too slow")), "{:?}", sink.state());
    assert!(!sink.flush(Duration::ZERO));
    drop(go);
    assert!(sink.flush(PATIENCE));
    push(&sink, "last\n");
    let all: Vec<_> = lines.try_iter().collect();
    assert_eq!(all.len(), 7);
    assert!(all[5].starts_with(b"2 lost: too many lines wait"), "{:?}", all[5]);
    assert_eq!(all[6], b"last\n");
    assert_eq!(sink.state().fault, None);
}

#[test]
fn line_larger_than_the_queue_is_written() {
    let output = Scripted::default();
    let (sink, _reports) = start(output.clone());
    push(&sink, &"x".repeat(queue::MOST + 1));
    assert_eq!(output.written.lock().unwrap().len(), queue::MOST + 1);
}

#[test]
fn queued_lines_are_written_at_the_end() {
    let ((begun, _begins), (go, let_go), (written, lines)) = (channel(), channel(), channel());
    let (sink, _reports) = start(Slow { begun, let_go, written });
    (0..1000).for_each(|n| sink.push(n.to_string().as_bytes()));
    drop(go);
    assert!(sink.flush(PATIENCE));
    assert_eq!(lines.try_iter().count(), 1000);
    sink.push(b"1000");
    drop(sink);
    assert_eq!(lines.recv_timeout(PATIENCE).unwrap(), b"1000");
}

#[test]
fn stalled_report_blocks_neither_lines_nor_writer() {
    let ((begun, begins), (go, let_go)) = (channel(), channel::<()>());
    let let_go = Mutex::new(let_go);
    let report = Box::new(move |_: &SinkState| {
        begun.send(()).unwrap();
        let _ = let_go.lock().unwrap().recv();
    });
    let options = SinkOptions { name: "log", to: String::new(), notice: |_| String::new(), report };
    let output = Scripted::default();
    *output.fails.lock().unwrap() = true;
    let sink = Sink::start(options, output.clone()).unwrap();
    sink.push(b"1\n");
    begins.recv_timeout(PATIENCE).unwrap();
    *output.fails.lock().unwrap() = false;
    sink.push(b"2\n");
    output.wait_for("2\n");
    assert!(!sink.flush(Duration::ZERO));
    drop(go);
    assert!(sink.flush(PATIENCE));
}

/// A pipe, like standard error.
struct Pipe(io::PipeWriter, bool);

impl Output for Pipe {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        write_line(&mut self.0, &mut self.1, line)
    }
}

#[test]
fn broken_pipe_is_counted_without_a_panic() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let (sink, reports) = start(Pipe(writer, false));
    push(&sink, "1\n");
    push(&sink, "2\n");
    assert_eq!((sink.state().lost, reports.try_iter().count()), (2, 1));
    assert!(sink.state().fault.is_some_and(|fault| fault.contains("roken pipe")), "{:?}", sink.state());
}

#[test]
fn pause_after_a_line_ends_with_enough_bytes_with_a_flush_and_at_the_end() {
    let output = Scripted::default();
    let (sink, _reports) = start(output.clone());
    sink.push(b"first\n");
    output.wait_for("first\n");
    for length in [queue::ENOUGH, queue::MOST] {
        sink.push(format!("{}{length}\n", "x".repeat(length)).as_bytes());
        output.wait_for(&format!("{length}\n"));
    }
    push(&sink, "flushed\n");
    sink.push(b"last\n");
    assert_eq!(sink.state().lost, 0);
    drop(sink);
    output.wait_for("last\n");
}

struct KeepsOld;

impl Output for KeepsOld {
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn unremoved(&self) -> Option<&str> {
        Some("/a.log.1: denied")
    }
}

#[test]
fn failed_removal_is_reported() {
    let (sink, reports) = start(KeepsOld);
    push(&sink, "1\n");
    push(&sink, "2\n");
    assert!(!sink.state().is_sound());
    let reported: Vec<_> = reports.try_iter().map(|state| state.to_string()).collect();
    assert_eq!(reported, ["/a.log: an old file can't be removed: /a.log.1: denied"]);
}

/// A disk that is nearly full.
struct Little(Vec<u8>, usize);

impl Write for Little {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.1 - self.0.len();
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.extend(&bytes[..room.min(bytes.len())]);
        Ok(room.min(bytes.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn after_a_line_cut_at_any_byte_the_next_one_is_whole() {
    for room in 0..=12 {
        let (mut disk, mut torn) = (Little(Vec::new(), room), false);
        let written = ["line 1\n", "line 2\n", "line 3\n"]
            .map(|line| write_line(&mut disk, &mut torn, line.as_bytes()).is_ok());
        assert_eq!(written, [room >= 7, false, false], "{room}");
        disk.1 = 100;
        write_line(&mut disk, &mut torn, b"line 4\n").unwrap();
        write_line(&mut disk, &mut torn, b"line 5\n").unwrap();
        let text = String::from_utf8(disk.0).unwrap();
        assert!(text.lines().rev().take(2).eq(["line 5", "line 4"]), "{room}: {text:?}");
        let whole = text.lines().filter(|line| line.len() == 6).count();
        assert_eq!(whole, 2 + usize::from(room >= 6), "{room}: {text:?}");
    }
}

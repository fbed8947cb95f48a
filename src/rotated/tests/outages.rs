//! Writing through a sink while the folder, the disk or descriptors fail.

use super::*;

/// A sink that writes to a file, and its reports.
struct Log {
    sink: Sink,
    path: PathBuf,
    reports: Receiver<SinkState>,
}

impl Log {
    fn at(path: PathBuf, rotation: Rotation) -> Log {
        let (report, reports) = channel();
        let report = Box::new(move |state: &SinkState| report.send(state.clone()).unwrap());
        let notice = |notice: &Notice<'_>| format!("{} lost", notice.lost);
        let options = SinkOptions { name: "log", to: path.display().to_string(), notice, report };
        let file = RotatedFile::open(&path, rotation).unwrap();
        Log { sink: Sink::start(options, file).unwrap(), path, reports }
    }

    fn push(&self, line: &str) {
        self.sink.push(line.as_bytes());
        assert!(self.sink.flush(Duration::from_secs(60)));
    }

    /// After `breaks` three lines are lost, after `mends` none. Returns the text of the file.
    fn outage(&self, breaks: impl FnOnce(), mends: impl FnOnce()) -> String {
        self.push("before\n");
        assert!(self.sink.state().is_sound());
        breaks();
        (1..=3).for_each(|n| self.push(&format!("lost {n}\n")));
        let state = self.sink.state();
        assert!(state.fault.is_some() && state.lost == 3, "{state}");
        mends();
        self.push("after\n");
        let state = self.sink.state();
        assert!(state.fault.is_none() && state.lost == 3, "{state}");
        let reports: Vec<_> = self.reports.try_iter().collect();
        assert_eq!((reports.len(), reports[0].lost), (1, 1), "{reports:?}");
        fs::read_to_string(&self.path).unwrap()
    }
}

/// A log in a folder of its own, which the test may remove.
fn in_folder(dir: &tempfile::TempDir) -> (Log, PathBuf) {
    let folder = dir.path().join("logs");
    fs::create_dir(&folder).unwrap();
    (Log::at(folder.join("a.log"), ROTATION), folder)
}

#[test]
fn writing_resumes_after_the_folder_was_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (log, folder) = in_folder(&dir);
    let text = log.outage(|| fs::remove_dir_all(&folder).unwrap(), || fs::create_dir(&folder).unwrap());
    assert_eq!(text, "3 lost\nafter\n");
    assert_eq!(fs::metadata(&log.path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn writing_resumes_after_the_folder_was_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let (log, folder) = in_folder(&dir);
    let away = dir.path().join("away");
    let text = log.outage(
        || {
            fs::rename(&folder, &away).unwrap();
            fs::write(&folder, "").unwrap();
        },
        || {
            fs::remove_file(&folder).unwrap();
            fs::rename(&away, &folder).unwrap();
        },
    );
    assert_eq!(text, "before\n3 lost\nafter\n");
}

/// Root may write in any folder of its own, whatever its mode; not in these.
#[test]
fn writing_resumes_after_the_folder_was_read_only() {
    let dir = tempfile::tempdir().unwrap();
    let (sound, folder) = (dir.path().join("sound"), dir.path().join("logs"));
    fs::create_dir(&sound).unwrap();
    symlink(&sound, &folder).unwrap();
    let read_only = if cfg!(target_os = "macos") { "/System/Library" } else { "/sys/kernel" };
    let log = Log::at(folder.join("a.log"), ROTATION);
    let point = |to: &Path| {
        fs::remove_file(&folder).unwrap();
        symlink(to, &folder).unwrap();
    };
    let text = log.outage(|| point(read_only.as_ref()), || point(&sound));
    assert_eq!(text, "before\n3 lost\nafter\n");
}

#[test]
fn replaced_folder_or_file_is_written_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (log, folder) = in_folder(&dir);
    log.push("1\n");
    fs::rename(&folder, dir.path().join("away")).unwrap();
    fs::create_dir(&folder).unwrap();
    log.push("2\n");
    assert_eq!(fs::read_to_string(&log.path).unwrap(), "2\n");
    // As another program does that sets files aside.
    fs::rename(&log.path, folder.join("a.log.1")).unwrap();
    log.push("3\n");
    assert_eq!(fs::read_to_string(&log.path).unwrap(), "3\n");
    fs::write(folder.join("new"), "0\n").unwrap();
    fs::rename(folder.join("new"), &log.path).unwrap();
    log.push("4\n");
    assert_eq!(fs::read_to_string(&log.path).unwrap(), "0\n4\n");
    assert!(log.sink.state().is_sound());
}

#[cfg(target_os = "linux")]
#[test]
fn writing_resumes_after_the_disk_was_full() {
    let dir = tempfile::tempdir().unwrap();
    let (log, folder) = in_folder(&dir);
    let away = folder.join("away");
    let text = log.outage(
        || {
            fs::rename(&log.path, &away).unwrap();
            symlink("/dev/full", &log.path).unwrap();
        },
        || fs::rename(&away, &log.path).unwrap(),
    );
    assert_eq!(text, "before\n3 lost\nafter\n");
}

#[test]
fn line_cut_by_an_earlier_process_spoils_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    fs::write(&path, "whole\nhal").unwrap();
    Log::at(path.clone(), ROTATION).push("next\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nhal\nnext\n");
}

#[test]
fn failed_rotation_loses_no_line() {
    let dir = tempfile::tempdir().unwrap();
    // With a suffix it is longer than a name may be.
    let path = dir.path().join("a".repeat(250));
    let log = Log::at(path.clone(), Rotation { max_size: 10, ..ROTATION });
    let lines: Vec<_> = (0..50).map(|n| format!("line {n}\n")).collect();
    lines.iter().for_each(|line| log.push(line));
    assert_eq!(fs::read_to_string(&path).unwrap(), lines.concat());
    let state = log.sink.state();
    assert!(state.lost == 0 && state.fault.is_none() && state.grows.is_some(), "{state}");
    assert_eq!(log.reports.try_iter().count(), 1);
    assert!(state.to_string().contains(": can't be set aside, so it grows: "), "{state}");
}

#[test]
fn device_is_never_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    symlink("/dev/null", &path).unwrap();
    let mut file = RotatedFile::open(&path, Rotation { max_size: 1, ..ROTATION }).unwrap();
    (0..3).for_each(|_| file.append(b"line\n").unwrap());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// Runs one of the tests below in a process of its own, whose limits are its own.
fn alone(test: &str) {
    let this = std::env::current_exe().unwrap();
    // A write beyond the limit of size is an error only where the signal is ignored.
    let script = "trap '' XFSZ; exec \"$0\" --ignored --exact \"rotated::tests::outages::$1\"";
    let output = Command::new("sh").args(["-c", script]).arg(this).arg(test).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn limit(resource: Resource, current: Option<u64>) {
    let maximum = getrlimit(resource).maximum;
    setrlimit(resource, Rlimit { current: current.or(maximum), maximum }).unwrap();
}

#[test]
fn writing_resumes_after_descriptors_ran_out() {
    alone("without_descriptors");
}

#[test]
#[ignore = "by writing_resumes_after_descriptors_ran_out, in a process of its own"]
fn without_descriptors() {
    // Go's runtime raises this limit and opens descriptors while it starts. A call into Go waits until that is done.
    #[cfg(feature = "tailnet")]
    crate::tsnet::forget_credentials();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let log = Log::at(path.clone(), Rotation { max_size: 10, ..ROTATION });
    log.push("line 1\n");
    let first_free = u64::try_from(fs::File::open("/dev/null").unwrap().as_raw_fd()).unwrap();
    limit(Resource::Nofile, Some(first_free));
    // Those that can't be set aside grow, and one that was replaced takes the place of the old one's descriptor.
    (2..=4).for_each(|n| log.push(&format!("line {n}\n")));
    assert!(log.sink.state().lost == 0 && log.sink.state().grows.is_some(), "{}", log.sink.state());
    fs::rename(&path, dir.path().join("away")).unwrap();
    log.push("line 5\n");
    assert_eq!(log.sink.state().lost, 0);
    // Without a path there is none to take its place, and then something else has the last one.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    log.push("lost 1\n");
    fs::remove_dir(&path).unwrap();
    let last = fs::File::open("/dev/null").unwrap();
    log.push("lost 2\n");
    let state = log.sink.state();
    assert!(state.lost == 2 && state.fault.as_ref().is_some_and(|f| f.contains("open files")), "{state}");
    drop(last);
    limit(Resource::Nofile, None);
    log.push("after\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), "2 lost\nafter\n");
}

#[test]
fn line_after_one_cut_by_a_full_disk_is_whole() {
    alone("with_a_limit_of_size");
}

#[test]
#[ignore = "by line_after_one_cut_by_a_full_disk_is_whole, in a process of its own"]
fn with_a_limit_of_size() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::at(dir.path().join("a.log"), ROTATION);
    let text = log
        .outage(|| limit(Resource::Fsize, Some("before\nlos".len() as u64)), || limit(Resource::Fsize, None));
    assert_eq!(text, "before\nlos\n3 lost\nafter\n");
}

#[test]
fn folder_named_like_an_old_file_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::at(dir.path().join("a.log"), Rotation { max_size: 10, ..ROTATION });
    let directory = dir.path().join("a.log.20200101T000000Z");
    fs::create_dir(&directory).unwrap();
    let lines: Vec<_> = (0..50).map(|n| format!("line {n}\n")).collect();
    for line in &lines {
        log.push(line);
        assert!(log.sink.state().is_sound(), "{}", log.sink.state());
        assert!(fs::metadata(&log.path).unwrap().len() <= 20);
    }
    assert!(directory.is_dir());
    assert_eq!(text_of(&log.path), lines.concat());
}

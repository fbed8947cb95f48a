use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::SystemTime;

use jiff::Timestamp;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::*;
use crate::sink::{Labels, Notice, Output, Sink, SinkState};

const ROTATION: Rotation = Rotation { max_size: 1 << 20, max_age: Duration::from_secs(3600) };

#[test]
fn no_line_is_lost_or_divided() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let mut file = RotatedFile::open(&path, Rotation { max_size: 100, ..ROTATION }).unwrap();
    for n in 0..50 {
        file.append(format!("line {n:03}\n").as_bytes()).unwrap();
    }
    let mut files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(files.len() > 3, "{files:?}");
    files.sort();
    let mut lines = Vec::new();
    for file in files {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        lines.extend(fs::read_to_string(file).unwrap().lines().map(str::to_owned));
    }
    lines.sort();
    assert_eq!(lines, (0..50).map(|n| format!("line {n:03}")).collect::<Vec<_>>());
}

#[test]
fn all_are_read_in_the_order_in_which_they_were_written() {
    use std::io::Read;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    fs::write(dir.path().join("a.log.20200101T000000"), "line 0\n").unwrap();
    for name in ["a.log.old", "a.log.20200101T000000.gz", "b.log.20200101T000000", "a.log2"] {
        fs::write(dir.path().join(name), "of somebody else\n").unwrap();
    }
    let mut file =
        RotatedFile::open(&path, Rotation { max_size: 20, max_age: Duration::from_secs(1 << 32) }).unwrap();
    // More than ten in a second, of which 10 comes after 9.
    let lines: Vec<_> = (0..100).map(|n| format!("line {n}\n")).collect();
    lines.iter().skip(1).for_each(|line| file.append(line.as_bytes()).unwrap());
    let mut text = String::new();
    for (_, mut file) in read(&path).unwrap() {
        file.read_to_string(&mut text).unwrap();
    }
    assert_eq!(text, lines.concat());
}

#[test]
fn names_are_in_utc_and_those_in_local_time_are_older() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let second = |at: SystemTime| Timestamp::try_from(at).unwrap().strftime("%Y%m%dT%H%M%SZ").to_string();
    let from = second(SystemTime::now());
    let mut file = RotatedFile::open(&path, Rotation { max_size: 1, ..ROTATION }).unwrap();
    file.append(b"1\n").unwrap();
    file.append(b"2\n").unwrap();
    let until = second(SystemTime::now());
    let names = || read(&path).unwrap().into_iter().map(|(path, _)| path).collect::<Vec<_>>();
    let [aside, current] = &names()[..] else { panic!("{:?}", names()) };
    let time = aside.to_str().unwrap().rsplit('.').next().unwrap();
    assert!((&*from..=&*until).contains(&time), "{from} {time} {until}");
    // Of a version that used local time, here hours ahead of UTC.
    let old = dir.path().join("a.log.20990101T000000");
    fs::write(&old, "0\n").unwrap();
    assert_eq!(names(), [old, aside.clone(), current.clone()]);
}

#[test]
fn an_old_one_is_removed_in_utc_or_in_local_time() {
    let dir = tempfile::tempdir().unwrap();
    let max_age = Duration::from_secs(24 * 60 * 60);
    let ago = |hours: u64| {
        let at = SystemTime::now() - Duration::from_secs(hours * 60 * 60);
        Timestamp::try_from(at).unwrap().strftime("a.log.%Y%m%dT%H%M%S").to_string()
    };
    // A name in local time may be up to 12 hours older than the time in UTC.
    let too_old = [ago(25) + "Z", ago(25) + "Z.3", ago(37), "a.log.20200101T000000".to_owned()];
    let kept = [ago(23) + "Z", ago(35), "a.log.0".to_owned()];
    for name in too_old.iter().chain(&kept) {
        write_old(&dir.path().join(name));
    }
    let path = dir.path().join("a.log");
    let mut file = RotatedFile::open(&path, Rotation { max_size: 1, max_age }).unwrap();
    file.append(b"1\n").unwrap();
    file.append(b"2\n").unwrap();
    assert!(too_old.iter().all(|name| !dir.path().join(name).exists()));
    assert!(kept.iter().all(|name| dir.path().join(name).exists()));
}

/// Writes a file that was last modified in 2001.
fn write_old(path: &Path) {
    fs::write(path, "x\n").unwrap();
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

/// What is in the files of the log, oldest first.
fn text_of(path: &Path) -> String {
    let files = read(path).unwrap().into_iter();
    files.map(|(_, file)| io::read_to_string(file).unwrap()).collect()
}

#[test]
fn a_new_file_with_the_name_of_a_slow_clock_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let slow = dir.path().join("a.log.19700101T000100Z");
    fs::write(&slow, "0\n").unwrap();
    let mut file =
        RotatedFile::open(&dir.path().join("a.log"), Rotation { max_size: 1, ..ROTATION }).unwrap();
    (0..3).for_each(|_| file.append(b"1\n").unwrap());
    assert_eq!(fs::read_to_string(slow).unwrap(), "0\n");
}

#[test]
fn an_old_file_with_a_name_in_the_future_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let ahead = dir.path().join("a.log.20990101T000000Z");
    write_old(&ahead);
    let mut file =
        RotatedFile::open(&dir.path().join("a.log"), Rotation { max_size: 1, ..ROTATION }).unwrap();
    (0..2).for_each(|_| file.append(b"1\n").unwrap());
    assert!(!ahead.exists());
}

#[test]
fn names_stay_in_order_when_the_clock_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    fs::write(dir.path().join("a.log.20990101T000000Z.4294967293"), "0\n").unwrap();
    let mut file = RotatedFile::open(&path, Rotation { max_size: 1, ..ROTATION }).unwrap();
    let lines: Vec<_> = (1..=6).map(|n| format!("{n}\n")).collect();
    lines.iter().for_each(|line| file.append(line.as_bytes()).unwrap());
    assert_eq!(text_of(&path), format!("0\n{}", lines.concat()));
    assert!(dir.path().join("a.log.20990101T000001Z").exists());
}

#[test]
fn a_directory_named_like_an_old_file_is_ignored() {
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

#[test]
fn a_link_stays_and_the_file_it_names_is_set_aside_where_it_is() {
    for exists in [true, false] {
        let (dir, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (target, next, path) =
            (disk.path().join("b.log"), dir.path().join("next"), dir.path().join("a.log"));
        if exists {
            fs::write(&target, "").unwrap();
        }
        symlink(&target, &next).unwrap();
        symlink("next", &path).unwrap();
        write_old(&disk.path().join("b.log.20200101T000000Z"));
        let mut file = RotatedFile::open(&path, Rotation { max_size: 1, ..ROTATION }).unwrap();
        (1..=3).for_each(|n| file.append(format!("{n}\n").as_bytes()).unwrap());
        assert!(path.is_symlink() && next.is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 3);
        assert_eq!(fs::read_to_string(&target).unwrap(), "3\n");
        assert_eq!(text_of(&path), "1\n2\n3\n");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_behind_a_descriptor_keeps_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let (target, path) = (dir.path().join("stderr"), dir.path().join("a.log"));
    let stderr = fs::File::create(&target).unwrap();
    symlink(format!("/proc/self/fd/{}", stderr.as_raw_fd()), &path).unwrap();
    let mut file = RotatedFile::open(&path, Rotation { max_size: 1, ..ROTATION }).unwrap();
    (1..=3).for_each(|n| file.append(format!("{n}\n").as_bytes()).unwrap());
    assert_eq!(fs::read_to_string(&target).unwrap(), "1\n2\n3\n");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    assert_eq!(text_of(&path), "1\n2\n3\n");
}

#[test]
fn what_was_set_aside_is_read_while_there_is_no_current_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    fs::write(dir.path().join("a.log.20260101T000000Z"), "1\n").unwrap();
    assert_eq!(read(&path).unwrap().len(), 1);
}

#[test]
fn what_can_not_be_opened_is_an_error() {
    let rotation = Rotation { max_size: 1, max_age: Duration::ZERO };
    assert!(RotatedFile::open("/nowhere/a.log".as_ref(), rotation).is_err());
    assert!(RotatedFile::open("/".as_ref(), rotation).is_err());
}

/// A sink that writes to a file, and what it reports.
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
        let labels = Labels { name: "log", to: path.display().to_string(), notice, report };
        let file = RotatedFile::open(&path, rotation).unwrap();
        Log { sink: Sink::start(labels, file).unwrap(), path, reports }
    }

    fn push(&self, line: &str) {
        self.sink.push(line.as_bytes());
        assert!(self.sink.flush(Duration::from_secs(60)));
    }

    /// Three lines are lost once `breaks` was run, and none is from `mends` on. What the file has of it then is returned.
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

/// A log in a folder of its own, which may be taken away.
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
fn a_replaced_folder_or_file_is_written_to_at_once() {
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
fn a_line_cut_by_an_earlier_process_takes_none_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    fs::write(&path, "whole\nhal").unwrap();
    Log::at(path.clone(), ROTATION).push("next\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nhal\nnext\n");
}

#[test]
fn a_file_that_can_not_be_set_aside_loses_nothing() {
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
fn what_is_no_file_is_never_set_aside() {
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
    let script = "trap '' XFSZ; exec \"$0\" --ignored --exact \"rotated::tests::$1\"";
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
fn after_a_line_cut_by_a_full_disk_the_next_one_is_whole() {
    alone("with_a_limit_of_size");
}

#[test]
#[ignore = "by after_a_line_cut_by_a_full_disk_the_next_one_is_whole, in a process of its own"]
fn with_a_limit_of_size() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::at(dir.path().join("a.log"), ROTATION);
    let text = log
        .outage(|| limit(Resource::Fsize, Some("before\nlos".len() as u64)), || limit(Resource::Fsize, None));
    assert_eq!(text, "before\nlos\n3 lost\nafter\n");
}

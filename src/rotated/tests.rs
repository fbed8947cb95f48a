use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::SystemTime;

use jiff::Timestamp;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::*;
use crate::sink::{Notice, Output, Sink, SinkOptions, SinkState};

mod outages;

const ROTATION: Rotation = Rotation { max_size: 1 << 20, max_age: Duration::from_secs(3600) };

#[test]
fn no_line_is_lost_or_split() {
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
fn files_are_read_in_the_order_of_writing() {
    use std::io::Read;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    fs::write(dir.path().join("a.log.20200101T000000"), "line 0\n").unwrap();
    for name in ["a.log.old", "a.log.20200101T000000.gz", "b.log.20200101T000000", "a.log2"] {
        fs::write(dir.path().join(name), "of another program\n").unwrap();
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
fn name_is_in_utc_and_sorts_after_local_times() {
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
fn expired_file_is_removed_by_utc_or_local_name() {
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
fn new_file_named_by_a_slow_clock_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let slow = dir.path().join("a.log.19700101T000100Z");
    fs::write(&slow, "0\n").unwrap();
    let mut file =
        RotatedFile::open(&dir.path().join("a.log"), Rotation { max_size: 1, ..ROTATION }).unwrap();
    (0..3).for_each(|_| file.append(b"1\n").unwrap());
    assert_eq!(fs::read_to_string(slow).unwrap(), "0\n");
}

#[test]
fn expired_file_named_in_the_future_is_removed() {
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
fn link_stays_and_its_file_is_set_aside() {
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
fn file_behind_a_descriptor_keeps_its_name() {
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
fn older_files_are_read_without_a_current_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    fs::write(dir.path().join("a.log.20260101T000000Z"), "1\n").unwrap();
    assert_eq!(read(&path).unwrap().len(), 1);
}

#[test]
fn pipe_is_an_error_instead_of_a_wait() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let error = read(&path).unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
    assert_eq!(read(dir.path()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn open_failure_is_an_error() {
    let rotation = Rotation { max_size: 1, max_age: Duration::ZERO };
    assert!(RotatedFile::open("/nowhere/a.log".as_ref(), rotation).is_err());
    assert!(RotatedFile::open("/".as_ref(), rotation).is_err());
}

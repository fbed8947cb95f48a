//! Ollama's log of requests: with OLLAMA_DEBUG_LOG_REQUESTS, since 0.18.3, it writes every request for an answer, with
//! the prompt, to a folder among the temporary files (server/inference_request_log.go in Ollama's source). It never
//! removes that folder.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::finding::Finding;
use super::process::{self, OllamaProcess};
use super::variables::{self, Places, Setting};
use crate::service::Account;

const CHECK: &str = "request-log";
const VARIABLE: &str = "OLLAMA_DEBUG_LOG_REQUESTS";

/// The folder's name begins with this; a number follows.
const FOLDER: &str = "ollama-request-logs-";

/// What was seen of it.
#[derive(Default)]
struct Seen {
    /// Where it is on.
    on: Vec<String>,
    /// How many places say that it is off, or do not mention it.
    off: usize,
    /// Processes whose environment could not be read. Their units and agents say it as well.
    unread_processes: Vec<String>,
    /// Files that could not be read, and that may set the variable.
    unread_files: Vec<String>,
    folders: Vec<Folder>,
}

struct Folder {
    path: PathBuf,
    is_ours: bool,
    age: Duration,
    /// The number of files and their bytes; `None` if they may not be read.
    content: Option<(usize, u64)>,
}

/// `port`: where Ollama listens; `None` for a Unix socket.
pub(super) fn examine(port: Option<u16>) -> Finding {
    let account = Account::of_process();
    let (home, config_home) = account.map(|account| (account.home, account.config_home)).unwrap_or_default();
    let places = Places { root: "/".into(), home, config_home };
    let processes = process::ollamas(port);
    let mut temporary = vec![std::env::temp_dir(), "/tmp".into()];
    temporary.extend(processes.iter().filter_map(|p| Some(p.environment.as_ref()?.get("TMPDIR")?.into())));
    let mut seen = Seen::default();
    seen.processes(&processes);
    seen.settings(variables::settings(&places, VARIABLE));
    if variables::of_launchd(VARIABLE).is_some_and(|value| is_on(&value)) {
        seen.on.push("launchd's environment (`launchctl unsetenv` ends it)".to_owned());
    }
    seen.folders(temporary, SystemTime::now());
    seen.finding()
}

/// Every value is on but these, as in Ollama's `envconfig.Bool`.
fn is_on(value: &str) -> bool {
    let value = value.trim().trim_matches(['"', '\'']);
    !["", "0", "f", "F", "false", "FALSE", "False"].contains(&value)
}

impl Seen {
    fn value(&mut self, place: String, value: Option<&str>) {
        if value.is_some_and(is_on) { self.on.push(place) } else { self.off += 1 }
    }

    fn processes(&mut self, processes: &[OllamaProcess]) {
        for OllamaProcess { pid, environment } in processes {
            match environment {
                Some(environment) => {
                    self.value(format!("the running process {pid}"), environment.get(VARIABLE))
                }
                None => self.unread_processes.push(format!("process {pid}")),
            }
        }
    }

    fn settings(&mut self, settings: Vec<Setting>) {
        for setting in settings {
            match setting {
                Setting::Value(path, value) => self.value(path.display().to_string(), Some(&value)),
                Setting::Without(_) => self.off += 1,
                Setting::Unread(path) => self.unread_files.push(path.display().to_string()),
            }
        }
    }

    fn folders(&mut self, mut temporary: Vec<PathBuf>, now: SystemTime) {
        temporary = temporary.iter().filter_map(|path| path.canonicalize().ok()).collect();
        temporary.sort();
        temporary.dedup();
        let entries = temporary.iter().filter_map(|path| fs::read_dir(path).ok()).flatten().flatten();
        self.folders = entries.filter_map(|entry| Folder::at(&entry.path(), now)).collect();
        self.folders.sort_by(|a, b| a.path.cmp(&b.path));
    }

    fn finding(self) -> Finding {
        let mut reasons: Vec<_> = self.folders.iter().map(ToString::to_string).collect();
        let mut remedies: Vec<_> = self.folders.iter().map(Folder::removal).collect();
        if !self.on.is_empty() {
            let places = self.on.join(" and in ");
            reasons.insert(
                0,
                format!(
                    "Ollama (0.18.3 or newer) writes every prompt to a file: {VARIABLE} is on in {places}"
                ),
            );
            remedies.insert(0, format!("set {VARIABLE}=0 for Ollama and restart it"));
        }
        if !reasons.is_empty() {
            return Finding::warning(CHECK, reasons.join("; "), remedies.join("; then "));
        }
        let is_certain = self.off > 0 && self.unread_files.is_empty();
        match (is_certain, [self.unread_files, self.unread_processes].concat().join(", ")) {
            (false, unread) if unread.is_empty() => Finding::unknown(
                CHECK,
                format!("found neither Ollama's process nor its unit, so not whether {VARIABLE} is on"),
            ),
            (false, unread) => Finding::unknown(
                CHECK,
                format!(
                    "cannot read {unread}: make sure that {VARIABLE} is not set for Ollama, or run doctor as Ollama's account"
                ),
            ),
            (true, unread) if unread.is_empty() => {
                Finding::good(CHECK, format!("Ollama writes no prompts to files ({VARIABLE} is off)"))
            }
            (true, unread) => {
                Finding::good(CHECK, format!("{VARIABLE} is off where it can be seen; not read: {unread}"))
            }
        }
    }
}

impl Folder {
    /// `None` if this is no folder of Ollama's log. Another account may choose any name for its own files, so only a
    /// name that is safe in a command counts.
    fn at(path: &Path, now: SystemTime) -> Option<Folder> {
        let number = path.file_name()?.to_str()?.strip_prefix(FOLDER)?;
        let found = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_dir)?;
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let content = fs::read_dir(path).ok().map(|entries| {
            let sizes = entries.flatten().filter_map(|entry| Some(entry.metadata().ok()?.len()));
            sizes.fold((0, 0), |(files, bytes): (usize, u64), size| (files + 1, bytes.saturating_add(size)))
        });
        Some(Folder {
            path: path.to_owned(),
            is_ours: found.uid() == rustix::process::geteuid().as_raw(),
            age: found.modified().ok().and_then(|at| now.duration_since(at).ok()).unwrap_or_default(),
            content,
        })
    }

    fn removal(&self) -> String {
        let sudo = if self.is_ours { "" } else { "sudo " };
        let path = self.path.to_string_lossy();
        format!("{sudo}rm -r {}", shlex::try_quote(&path).unwrap_or_default())
    }
}

impl std::fmt::Display for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let age = crate::time::format_duration(Duration::from_secs(self.age.as_secs()));
        write!(f, "{} holds requests that Ollama wrote", self.path.display())?;
        match self.content {
            Some((files, bytes)) => {
                let plural = if files == 1 { "" } else { "s" };
                write!(f, " ({files} file{plural}, {} kB, the last {age} ago)", bytes.div_ceil(1000))
            }
            None => write!(f, " (the last {age} ago)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome::{Good, Unknown, Warning};
    use super::*;

    fn setting(value: &str) -> Setting {
        Setting::Value("/etc/ollama.conf".into(), value.to_owned())
    }

    fn found(settings: Vec<Setting>) -> Finding {
        let mut seen = Seen::default();
        seen.settings(settings);
        seen.finding()
    }

    #[test]
    fn every_value_is_on_that_ollama_takes_for_on() {
        for on in ["1", "t", "true", "TRUE", "yes", "2", " 1 ", "'1'", "off"] {
            assert_eq!(found(vec![setting(on)]).outcome, Warning, "{on:?}");
        }
        for off in ["", "0", "false", "F", " 0 ", "\"0\"", "''"] {
            assert_eq!(found(vec![setting(off)]).outcome, Good, "{off:?}");
        }
    }

    #[test]
    fn place_of_the_setting_is_named_and_its_value_is_not() {
        let found = found(vec![setting("a-secret"), Setting::Unread("/x".into())]);
        let remedy = found.remedy.unwrap();
        assert!(
            found.outcome == Warning && found.reason.contains("is on in /etc/ollama.conf"),
            "{}",
            found.reason
        );
        assert!(!(found.reason + &remedy).contains("a-secret"));
        assert_eq!(remedy, "set OLLAMA_DEBUG_LOG_REQUESTS=0 for Ollama and restart it");
    }

    #[test]
    fn what_cannot_be_read_is_unknown_unless_another_place_tells() {
        assert_eq!(found(vec![]).outcome, Unknown);
        assert_eq!(found(vec![Setting::Unread("/x".into())]).outcome, Unknown);
        let mixed = found(vec![Setting::Unread("/x".into()), Setting::Without("/y".into())]);
        assert!(mixed.outcome == Unknown && mixed.reason.contains("cannot read /x"), "{mixed:?}");
        let mut seen = Seen::default();
        seen.processes(&[OllamaProcess { pid: 7, environment: None }]);
        seen.settings(vec![Setting::Without("/y".into())]);
        let mixed = seen.finding();
        assert!(mixed.outcome == Good && mixed.reason.ends_with("not read: process 7"), "{mixed:?}");
    }

    #[test]
    fn left_over_folder_is_a_warning_with_the_command_that_removes_it() {
        let dir = tempfile::tempdir().unwrap();
        let temporary = dir.path().canonicalize().unwrap();
        let log = temporary.join("ollama-request-logs-42");
        for folder in [&log, &temporary.join("ollama-request-logs-$(id)"), &temporary.join("ollama-other")] {
            fs::create_dir(folder).unwrap();
        }
        std::os::unix::fs::symlink("/", temporary.join("ollama-request-logs-7")).unwrap();
        fs::write(log.join("body.json"), [b'x'; 1500]).unwrap();
        let mut seen = Seen { off: 1, ..Seen::default() };
        seen.folders(vec![temporary.clone(), temporary], SystemTime::now() + Duration::from_secs(90));
        let found = seen.finding();
        let path = log.display();
        assert!(found.outcome == Warning && found.reason.starts_with(&format!("{path} holds")), "{found:?}");
        assert!(found.reason.contains("(1 file, 2 kB, the last 1m"), "{found:?}");
        assert_eq!(found.remedy, Some(format!("rm -r {path}")));
    }
}

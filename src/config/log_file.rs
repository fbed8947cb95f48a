//! Keeps the files of `[log]` and `[access_log]` apart from each other and from the proxy's own files in the state folder.

use std::path::{Component, Path, PathBuf};

use super::checked::AccessLogConfig;
use crate::admission::QuotaFile;
use crate::audit::Journal;
use crate::stored::STATE_FILE;

/// What else the proxy and tailscale's library keep in the state folder.
const OWN: [&str; 10] = [
    STATE_FILE,
    "lock",
    "admin.sock",
    "certs",
    "derpmap.cached.json",
    "profile-data",
    "tailscaled.log.conf",
    QuotaFile::NAME,
    QuotaFile::NEXT,
    QuotaFile::UNREADABLE,
];

/// Files in the state folder that are set aside under their name and a time.
const ROTATED: [&str; 2] = [Journal::FILE, AccessLogConfig::FILE];

/// Whether the proxy keeps a file or folder of its own at `file`.
pub(super) fn is_own(file: &Path, state_dir: &Path) -> bool {
    let Some(inside) = below(file, state_dir) else { return false };
    let name = inside.iter().next().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    OWN.contains(&&*name) || ROTATED.iter().any(|rotated| name.starts_with(rotated))
}

/// Whether the access log may be at `file`: outside of the state folder, or there under its default name or one that
/// begins with it.
pub(super) fn may_hold_records(file: &Path, state_dir: &Path) -> bool {
    let Some(inside) = below(file, state_dir) else { return true };
    inside.components().count() == 1 && inside.to_string_lossy().starts_with(AccessLogConfig::FILE)
}

pub(super) fn are_same(one: &Path, other: &Path) -> bool {
    real(one) == real(other)
}

/// The rest of `file` below the state folder. `None`: it is elsewhere, or this account has no state folder.
fn below(file: &Path, state_dir: &Path) -> Option<PathBuf> {
    let (file, state_dir) = (real(file), real(state_dir));
    let inside = file.strip_prefix(&state_dir).ok().filter(|_| !state_dir.as_os_str().is_empty());
    inside.map(Path::to_owned)
}

/// How many links to absent files are followed, one after the other.
const LINKS_MAX: usize = 40;

/// `path` without links and `..`, also where it does not exist yet. A file system that ignores case gives the stored one.
pub(crate) fn real(path: &Path) -> PathBuf {
    resolve(path, LINKS_MAX)
}

fn resolve(path: &Path, links: usize) -> PathBuf {
    let mut real = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            // What is above has no links any more.
            Component::ParentDir => drop(real.pop()),
            part => {
                real.push(part);
                real = follow(real, links);
            }
        }
    }
    real
}

/// Follows `path` if it is a link, even to a file that does not exist. The folders above have no links.
fn follow(path: PathBuf, links: usize) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match (path.read_link(), path.parent()) {
        (Ok(target), Some(folder)) if links > 0 => resolve(&folder.join(target), links - 1),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn own_files_are_recognized_through_links_and_dots() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        std::fs::create_dir(&state).unwrap();
        std::fs::write(state.join(STATE_FILE), "{}").unwrap();
        let (link, file_link) = (dir.path().join("link"), dir.path().join("a.jsonl"));
        symlink(&state, &link).unwrap();
        symlink(state.join(STATE_FILE), &file_link).unwrap();
        for own in [
            state.join(STATE_FILE),
            link.join("journal.jsonl"),
            state.join("../state/lock"),
            state.join("certs/a"),
            state.join("quotas.jsonl"),
            file_link,
        ] {
            assert!(is_own(&own, &state) && !may_hold_records(&own, &state), "{own:?}");
        }
        for other in [state.join("proxy.log"), dir.path().join("lock"), "/dev/stderr".into()] {
            assert!(!is_own(&other, &state), "{other:?}");
        }
        assert!(!may_hold_records(&state.join("other.jsonl"), &state));
        for allowed in [link.join("access.jsonl"), state.join("access.jsonl.mine"), dir.path().join("lock")] {
            assert!(may_hold_records(&allowed, &state), "{allowed:?}");
        }
        assert!(may_hold_records(&state.join("a.jsonl"), Path::new("")));
        assert!(are_same(&link.join("a.log"), &state.join("a.log")));
    }

    #[test]
    fn links_and_dots_are_followed_where_nothing_exists_yet() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().canonicalize().unwrap();
        symlink("absent/../later/a.log", at.join("link")).unwrap();
        symlink(at.join("link"), at.join("second")).unwrap();
        symlink(at.join("round"), at.join("round")).unwrap();
        for (path, wanted) in [
            ("absent/../logs/a.log", "logs/a.log"),
            ("link", "later/a.log"),
            ("second", "later/a.log"),
            ("round", "round"),
        ] {
            assert_eq!(real(&at.join(path)), at.join(wanted));
        }
        assert_eq!(real(Path::new("/../..")), Path::new("/"));
    }
}

//! A desktop's own sleep settings. Those of GNOME can be read, by gsettings(1); of others only the names are.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::ask::ask;

const SCHEMA: &str = "org.gnome.settings-daemon.plugins.power";

/// What is known of the desktops.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Desktop {
    /// None is installed.
    None,
    /// GNOME does this to an idle session on external power.
    GnomeSleeps {
        /// The value of `sleep-inactive-ac-type`.
        action: String,
    },
    /// GNOME lets the machine run, and no other desktop is installed.
    GnomeStays,
    /// These are installed.
    Other {
        /// Of their sessions.
        names: String,
    },
}

/// The desktops that are installed below `root`.
pub(super) fn find(root: &Path) -> Desktop {
    let gnome = |key| ask("gsettings", &["get", SCHEMA, key]);
    judge(&sessions(root), gnome("sleep-inactive-ac-type"), gnome("sleep-inactive-ac-timeout"))
}

/// The names of the sessions that a login screen offers.
fn sessions(root: &Path) -> BTreeSet<String> {
    let folders = ["usr/share/wayland-sessions", "usr/share/xsessions"].map(|folder| root.join(folder));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
    files.filter_map(|file| file.file_name().to_str()?.strip_suffix(".desktop").map(str::to_owned)).collect()
}

fn judge(
    sessions: &BTreeSet<String>,
    action: Result<String, String>,
    seconds: Result<String, String>,
) -> Desktop {
    if sessions.is_empty() {
        return Desktop::None;
    }
    let is_gnome = |name: &str| name.starts_with("gnome") || name.starts_with("ubuntu");
    let names = |wanted: &dyn Fn(&str) -> bool| {
        sessions.iter().map(String::as_str).filter(|name| wanted(name)).collect::<Vec<_>>().join(", ")
    };
    let others = names(&|name| !is_gnome(name));
    // Text is quoted; 0 s means never.
    match (action, seconds) {
        (Ok(action), Ok(seconds)) => {
            let action = action.trim().trim_matches('\'');
            let stays = ["nothing", "blank"].contains(&action) || seconds.trim() == "0";
            match (stays, others.is_empty()) {
                (false, _) => Desktop::GnomeSleeps { action: action.to_owned() },
                (true, true) => Desktop::GnomeStays,
                (true, false) => Desktop::Other { names: others },
            }
        }
        _ => Desktop::Other { names: names(&|_| true) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gnome_is_asked_and_other_desktops_are_named() {
        let root = tempfile::tempdir().unwrap();
        let find = |action: &str, seconds: &str| {
            judge(&sessions(root.path()), Ok(format!("{action}\n")), Ok(format!("{seconds}\n")))
        };
        assert_eq!(find("'suspend'", "900"), Desktop::None);
        let add = |folder: &str, name: &str| {
            let folder = root.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(name), "").unwrap();
        };
        add("usr/share/wayland-sessions", "gnome.desktop");
        add("usr/share/xsessions", "gnome-xorg.desktop");
        assert_eq!(find("'suspend'", "900"), Desktop::GnomeSleeps { action: "suspend".to_owned() });
        assert_eq!(find("'suspend'", "0"), Desktop::GnomeStays);
        assert_eq!(find("'nothing'", "900"), Desktop::GnomeStays);
        let failure = || Err("No such schema".to_owned());
        let unread = judge(&sessions(root.path()), failure(), failure());
        assert_eq!(unread, Desktop::Other { names: "gnome, gnome-xorg".to_owned() });
        add("usr/share/wayland-sessions", "plasma.desktop");
        assert_eq!(find("'nothing'", "900"), Desktop::Other { names: "plasma".to_owned() });
    }
}

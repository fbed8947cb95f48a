//! Units of systemd, as far as an environment goes (systemd.unit(5), systemd.exec(5)).

use std::fs;
use std::path::{Path, PathBuf};

use super::places::{Places, Setting, files};

/// The units that start Ollama: of Ollama's installer and most packages, of Homebrew, and of `service install`.
const UNITS: [&str; 3] = ["ollama.service", "homebrew.ollama.service", "remote-ollama-proxy-ollama.service"];

/// The folders of the system's units, the strongest first.
const SYSTEM: [&str; 5] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// The folders of all accounts' units, after those of the account itself.
const USER: [&str; 4] =
    ["etc/systemd/user", "run/systemd/user", "usr/local/lib/systemd/user", "usr/lib/systemd/user"];

pub(super) fn settings(places: &Places, variable: &str) -> Vec<Setting> {
    let below = |folders: &[&str]| folders.iter().map(|f| places.root.join(f)).collect::<Vec<_>>();
    let own = [places.config_home.join("systemd/user"), places.home.join(".local/share/systemd/user")];
    let user = [own.to_vec(), below(&USER)].concat();
    let scopes = [below(&SYSTEM), user];
    let units = scopes.iter().flat_map(|folders| UNITS.iter().map(move |unit| (folders, *unit)));
    units.flat_map(|(folders, unit)| of_unit(&places.root, folders, unit, variable)).collect()
}

/// What the unit's file and its drop-ins say together; empty if there is no such unit.
fn of_unit(root: &Path, folders: &[PathBuf], unit: &str, variable: &str) -> Vec<Setting> {
    let Some(main) = folders.iter().map(|folder| folder.join(unit)).find(|path| path.exists()) else {
        return Vec::new();
    };
    let drop_ins: Vec<_> = folders.iter().map(|folder| folder.join(format!("{unit}.d"))).collect();
    let mut drop_ins = files(&drop_ins, |path| path.extension().is_some_and(|e| e == "conf"));
    drop_ins.sort_by(|a, b| a.file_name().cmp(&b.file_name()));

    let mut unread = Vec::new();
    let mut value = None;
    let mut environment_files: Vec<PathBuf> = Vec::new();
    for file in std::iter::once(main.clone()).chain(drop_ins) {
        let Ok(text) = fs::read_to_string(&file) else {
            unread.push(Setting::Unread(file));
            continue;
        };
        // A backslash at its end continues a line.
        for line in text.replace("\\\n", " ").lines() {
            match line.split_once('=').map(|(key, value)| (key.trim(), value.trim())).unwrap_or_default() {
                ("Environment", "") => value = None,
                ("Environment", text) => {
                    let words = shlex::split(text).unwrap_or_default();
                    let last = words.iter().rev().find_map(|word| valued(word, variable));
                    value = last.map(|text| Setting::Value(file.clone(), text)).or(value);
                }
                ("EnvironmentFile", "") => environment_files.clear(),
                ("EnvironmentFile", path) => environment_files.push(rooted(root, path)),
                _ => {}
            }
        }
    }
    // Their variables override those of Environment=.
    for file in environment_files.into_iter().filter(|file| file.exists()) {
        match fs::read_to_string(&file) {
            Ok(text) => {
                let last = text.lines().rev().find_map(|line| valued(line.trim(), variable));
                value = last.map(|text| Setting::Value(file, text)).or(value);
            }
            Err(_) => unread.push(Setting::Unread(file)),
        }
    }
    unread.push(value.unwrap_or(Setting::Without(main)));
    unread
}

/// The value if this is an assignment to the variable. Ollama itself drops quotation marks around it.
fn valued(assignment: &str, variable: &str) -> Option<String> {
    let value = assignment.strip_prefix(variable)?.strip_prefix('=')?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

/// The path of an EnvironmentFile=, which may begin with a `-` if the file need not exist.
fn rooted(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('-').trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(root: &Path) -> Places {
        Places { root: root.join("root"), home: root.join("home"), config_home: root.join("home/.config") }
    }

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn value(path: PathBuf, value: &str) -> Vec<Setting> {
        vec![Setting::Value(path, value.to_owned())]
    }

    #[test]
    fn strongest_file_of_a_unit_counts() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        let found = || settings(&places, "V");
        assert_eq!(found(), []);
        let weak = places.root.join("usr/lib/systemd/system/ollama.service");
        write(&weak, "[Service]\n# Environment=V=2\nEnvironment=X=1 \"V=1\" 'Y=a b'\n");
        assert_eq!(found(), value(weak.clone(), "1"));
        let strong = places.root.join("etc/systemd/system/ollama.service");
        write(&strong, "[Service]\nExecStart=/bin/ollama serve\nEnvironment=VV=1 \\\n  XV=1\n");
        assert_eq!(found(), [Setting::Without(strong.clone())]);

        // Drop-ins of all folders follow, by name; the last word counts.
        let first = places.root.join("run/systemd/system/ollama.service.d/1.conf");
        write(&first, "[Service]\nEnvironment=A=b \\\n  V=3\n");
        assert_eq!(found(), value(first, "3"));
        let second = places.root.join("etc/systemd/system/ollama.service.d/2.conf");
        write(&second, "[Service]\nEnvironment=V=4 V=0\n");
        assert_eq!(found(), value(second.clone(), "0"));
        write(&second, "[Service]\nEnvironment=\n");
        assert_eq!(found(), [Setting::Without(strong)]);
        // One of the same name in a weaker folder is not read.
        write(&places.root.join("lib/systemd/system/ollama.service.d/2.conf"), "Environment=V=5\n");
        assert!(matches!(found()[..], [Setting::Without(_)]));
    }

    #[test]
    fn file_of_variables_overrides_the_unit() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        let unit = places.config_home.join("systemd/user/remote-ollama-proxy-ollama.service");
        write(&unit, "[Service]\nEnvironment=V=0\nEnvironmentFile=-/etc/default/ollama\n");
        assert_eq!(settings(&places, "V"), value(unit.clone(), "0"));
        let file = places.root.join("etc/default/ollama");
        write(&file, "# V=2\nV=\"true\"\n");
        assert_eq!(settings(&places, "V"), value(file.clone(), "true"));
        // It can't be read.
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        let expected = [Setting::Unread(file), value(unit, "0").remove(0)];
        assert_eq!(settings(&places, "V"), expected);
    }
}

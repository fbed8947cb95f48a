//! Units of systemd, as far as an environment goes (systemd.unit(5), systemd.exec(5)).

use std::path::{Path, PathBuf};

use super::places::{Places, Setting, files, read};

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
    let of_scope = |folders: &Vec<PathBuf>| -> Vec<Setting> {
        UNITS.iter().flat_map(|unit| of_unit(&places.root, folders, unit, variable)).collect()
    };
    let [system, mut user] = scopes.map(|folders| of_scope(&folders));
    // Units of an account get these variables too, unless they set them.
    if user.iter().any(|setting| matches!(setting, Setting::Without(_))) {
        user.extend(of_account(places, variable));
    }
    [system, user].concat()
}

/// The variables that the account's systemd gives to every unit (environment.d(5)); the last file by name counts.
fn of_account(places: &Places, variable: &str) -> Option<Setting> {
    let folders =
        ["etc/environment.d", "run/environment.d", "usr/local/lib/environment.d", "usr/lib/environment.d"];
    let folders = std::iter::once(places.config_home.join("environment.d"))
        .chain(folders.map(|folder| places.root.join(folder)))
        .collect::<Vec<_>>();
    let mut all = files(&folders, |path| path.extension().is_some_and(|e| e == "conf"));
    all.sort_by(|a, b| b.file_name().cmp(&a.file_name()));
    all.into_iter().find_map(|file| of_environment_file(file, variable))
}

/// What a file of variables says; `None` if it does not mention the variable.
fn of_environment_file(file: PathBuf, variable: &str) -> Option<Setting> {
    match read(&file) {
        Ok(text) => {
            let last = text.lines().rev().find_map(|line| {
                let (key, value) = line.split_once('=')?;
                valued(&format!("{}={}", key.trim(), value.trim()), variable)
            });
            last.map(|value| Setting::Value(file, value))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(_) => Some(Setting::Unread(file)),
    }
}

/// The lines of a unit. A backslash at its end continues a line; comments are dropped first, also within such a line.
fn lines_of(text: &str) -> Vec<String> {
    let is_code = |line: &&str| !line.trim_start().starts_with(['#', ';']);
    let code = text.lines().filter(is_code).collect::<Vec<_>>().join("\n");
    code.replace("\\\n", " ").lines().map(str::to_owned).collect()
}

/// What the unit's file and its drop-ins say together; empty if there is no such unit.
fn of_unit(root: &Path, folders: &[PathBuf], unit: &str, variable: &str) -> Vec<Setting> {
    let Some(main) = folders.iter().map(|folder| folder.join(unit)).find(|path| path.exists()) else {
        return Vec::new();
    };
    // Those in service.d/ are for every service.
    let names = [format!("{unit}.d"), "service.d".to_owned()];
    let drop_ins: Vec<_> = names.iter().flat_map(|name| folders.iter().map(move |f| f.join(name))).collect();
    let mut drop_ins = files(&drop_ins, |path| path.extension().is_some_and(|e| e == "conf"));
    drop_ins.sort_by(|a, b| a.file_name().cmp(&b.file_name()));

    let mut unread = Vec::new();
    let mut value = None;
    let mut environment_files: Vec<PathBuf> = Vec::new();
    for file in std::iter::once(main.clone()).chain(drop_ins) {
        let Ok(text) = read(&file) else {
            unread.push(Setting::Unread(file));
            continue;
        };
        for line in lines_of(&text) {
            match line.split_once('=').map(|(key, value)| (key.trim(), value.trim())).unwrap_or_default() {
                ("Environment", "") => value = None,
                ("Environment", text) => {
                    let words = shlex::split(text);
                    // shlex takes a # for a comment, and systemd does not.
                    let is_clear = words.is_some() && !text.contains('#');
                    let words = words.unwrap_or_default();
                    let last = words.iter().rev().find_map(|word| valued(word, variable));
                    if !is_clear && last.is_none() && text.contains(&format!("{variable}=")) {
                        unread.push(Setting::Unread(file.clone())); // in a form that is not understood here
                    }
                    value = last.map(|text| Setting::Value(file.clone(), text)).or(value);
                }
                ("EnvironmentFile", "") => environment_files.clear(),
                ("EnvironmentFile", path) => environment_files.push(rooted(root, path)),
                _ => {}
            }
        }
    }
    // Their variables override those of Environment=.
    for file in environment_files {
        // systemd replaces specifiers, and expands patterns.
        if file.to_string_lossy().contains(['%', '*', '?', '[']) {
            unread.push(Setting::Unread(file));
            continue;
        }
        match of_environment_file(file, variable) {
            Some(Setting::Unread(file)) => unread.push(Setting::Unread(file)),
            Some(setting) => value = Some(setting),
            None => {}
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
    use std::fs;

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
        write(&file, " V = 1 \n");
        assert_eq!(settings(&places, "V"), value(file.clone(), "1"));
        // It can't be read.
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        let expected = [Setting::Unread(file), value(unit, "0").remove(0)];
        assert_eq!(settings(&places, "V"), expected);
    }

    #[test]
    fn comments_end_before_lines_are_joined() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        let unit = places.root.join("etc/systemd/system/ollama.service");
        write(&unit, "[Service]\n#Environment=OLD=1 \\\nEnvironment=A=b \\\n; a comment\n  V=1\n");
        assert_eq!(settings(&places, "V"), value(unit, "1"));
    }

    #[test]
    fn what_systemd_expands_is_unread() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        let unit = places.root.join("etc/systemd/system/ollama.service");
        for path in ["%h/o.env", "/etc/*.env"] {
            write(&unit, &format!("[Service]\nEnvironment=V=0\nEnvironmentFile={path}\n"));
            let found = settings(&places, "V");
            assert!(matches!(&found[..], [Setting::Unread(_), Setting::Value(_, _)]), "{found:?}");
        }
        write(&unit, "[Service]\nEnvironment=A=\"open V=1\n");
        assert_eq!(settings(&places, "V"), [Setting::Unread(unit.clone()), Setting::Without(unit)]);
    }

    #[test]
    fn files_for_every_service_count() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        let unit = places.config_home.join("systemd/user/ollama.service");
        write(&unit, "[Service]\nExecStart=/bin/ollama serve\n");
        let account = places.config_home.join("environment.d/x.conf");
        write(&account, "V=1\n");
        assert_eq!(settings(&places, "V"), [Setting::Without(unit), value(account, "1").remove(0)]);
        let drop_in = places.config_home.join("systemd/user/service.d/x.conf");
        write(&drop_in, "[Service]\nEnvironment=V=0\n");
        assert_eq!(settings(&places, "V"), value(drop_in, "0"));
    }
}

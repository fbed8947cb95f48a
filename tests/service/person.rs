//! A user with a home folder, and stand-ins for the managers' commands.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The id of an ordinary account, for tests that root runs: root may not install services.
const NOBODY: u32 = 65_534;

/// Each stand-in records its arguments, one call a line, and does a part of its command's work: launchctl knows which
/// agents are loaded, and each of them needs as many checks to end as `looks` says. A file has the output of
/// `launchctl print` and `systemctl show`. A call that begins like a line of `refused` fails.
const LAUNCHCTL: &str = r#"
case $1 in
  bootstrap) : >"$here/loaded/$(basename "$3" .plist)" ;;
  bootout)
    if [ -e "$here/looks" ]; then mv "$here/looks" "$here/ending"; exit 36; fi
    rm "$here/loaded/${2##*/}" ;;
  print)
    if [ -e "$here/ending" ]; then
      left=$(cat "$here/ending")
      if [ "$left" -eq 0 ]; then rm "$here/ending" "$here/loaded/${2##*/}"; else echo $((left - 1)) >"$here/ending"; fi
    fi
    [ -e "$here/loaded/${2##*/}" ] || { echo "Could not find service" >&2; exit 113; }
    cat "$here/shown-${2##*/}" 2>/dev/null || true ;;
esac
"#;
const SYSTEMCTL: &str = r#"
[ "$2" != show-environment ] || cat "$here/variables" 2>/dev/null || true
[ "$2" != show ] || cat "$here/shown-$4" 2>/dev/null || printf 'LoadState=not-found\n'
"#;
/// Says whether a unit can be confined: the exit code in a file.
const SYSTEMD_RUN: &str = r#"exit "$(cat "$here/confining" 2>/dev/null || echo 217)""#;
const LOGINCTL: &str = r#"cat "$here/linger" 2>/dev/null || true"#;

pub(crate) struct Person {
    home: tempfile::TempDir,
    program: PathBuf,
}

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Person {
    pub(crate) fn new() -> Person {
        let home = tempfile::tempdir().unwrap();
        let at = home.path();
        let program = at.join("programs/remote-ollama-proxy");
        for folder in ["programs", "stand-ins", "stand-ins/loaded"] {
            fs::create_dir(at.join(folder)).unwrap();
        }
        // Another account may not read the build's folder.
        let built = env!("CARGO_BIN_EXE_remote-ollama-proxy");
        fs::hard_link(built, &program).or_else(|_| fs::copy(built, &program).map(|_| ())).unwrap();
        for (name, does) in [
            ("launchctl", LAUNCHCTL),
            ("systemctl", SYSTEMCTL),
            ("systemd-run", SYSTEMD_RUN),
            ("loginctl", LOGINCTL),
        ] {
            executable(
                &at.join("stand-ins").join(name),
                &format!(
                    "#!/bin/sh\nhere='{}'\necho \"{name} $*\" >>\"$here/calls\"\nif [ -e \"$here/refused\" ] && \
                     echo \"{name} $*\" | grep -q -f \"$here/refused\"; then echo 'said no' >&2; exit 5; fi\n{does}",
                    at.join("stand-ins").display()
                ),
            );
        }
        let person = Person { home, program };
        person.own();
        person
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    pub(crate) fn uid() -> u32 {
        let uid = rustix::process::geteuid();
        if uid.is_root() { NOBODY } else { uid.as_raw() }
    }

    /// Writes a file below the home folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        self.own();
        path
    }

    /// Writes a file that controls the stand-ins.
    pub(crate) fn set(&self, name: &str, text: &str) {
        self.write(&format!("stand-ins/{name}"), text);
    }

    /// Runs the binary with this manager's stand-in.
    pub(crate) fn service(&self, manager: &str, args: &[&str]) -> Ended {
        let mut command = self.command();
        let output = command.args(["service", "--manager", manager]).args(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// With an Ollama on an unused port: the usual port may have a real one.
    pub(crate) fn install_with_ollama(&self, manager: &str) {
        let config = self.write("ollama.toml", "upstream.url = 'http://127.0.0.1:1'");
        let args = ["install", "--with-ollama=/bin/ls", "--config", config.to_str().unwrap()];
        self.service(manager, &args).said(0);
    }

    /// The binary, in this account and with an empty environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        let path = format!("{}:/usr/bin:/bin", self.home().join("stand-ins").display());
        command.env_clear().env("HOME", self.home()).env("PATH", path).current_dir("/");
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// The new calls to the managers, without queries.
    pub(crate) fn calls(&self) -> Vec<String> {
        let file = self.home().join("stand-ins/calls");
        let text = fs::read_to_string(&file).unwrap_or_default();
        let _ = fs::remove_file(file);
        let questions =
            ["launchctl print ", "systemctl --user show", "systemd-run --user ", "loginctl show-user "];
        let asks = |line: &&str| !questions.iter().any(|question| line.starts_with(question));
        text.lines().filter(asks).map(str::to_owned).collect()
    }

    /// Gives everything to the account, if it is another one.
    fn own(&self) {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let mut folders = vec![self.home().to_owned()];
        while let Some(folder) = folders.pop() {
            chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path != self.program {
                    // The program is a link to the built file.
                    lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
                }
            }
        }
    }
}

impl Ended {
    /// Its output. It must have exited with this code and an empty standard error.
    pub(crate) fn said(self, code: u8) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(code.into()), ""), "{}", self.out);
        self.out
    }

    /// Its standard error. It must have exited with this code.
    pub(crate) fn complained(self, code: u8) -> String {
        assert_eq!(self.code, Some(code.into()), "{} {}", self.out, self.err);
        self.err
    }
}

pub(crate) fn executable(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

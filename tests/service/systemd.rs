//! The life of the units, as a stand-in for systemctl records it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use remote_ollama_proxy::cli::exit;

use crate::person::Person;

const PROXY: &str = "remote-ollama-proxy.service";
const OLLAMA: &str = "remote-ollama-proxy-ollama.service";

/// Sets the output of `systemctl show` for a unit whose file exists.
fn set(person: &Person, unit: &str, more: &str) {
    let file = person.home().join(".config/systemd/user").join(unit);
    person
        .set(&format!("shown-{unit}"), &format!("LoadState=loaded\nFragmentPath={}\n{more}", file.display()));
}

fn calls(words: &[&str]) -> Vec<String> {
    words.iter().map(|words| format!("systemctl --user {words}")).collect()
}

#[test]
fn systemd_unit_reinstalls_and_uninstalls() {
    let person = Person::new();
    let file = person.home().join(".config/systemd/user").join(PROXY);
    let brings = calls(&[
        "daemon-reload",
        "enable remote-ollama-proxy.service",
        "restart remote-ollama-proxy.service",
    ]);
    for _ in 0..2 {
        let said = person.service("systemd", &["install"]).said(exit::OK);
        assert!(said.contains(&format!("installed and started: {}\n", file.display())), "{said}");
        assert!(said.contains("journalctl --user --unit remote-ollama-proxy\n"), "{said}");
        assert!(said.contains("loginctl enable-linger"), "{said}");
        assert_eq!(person.calls(), brings);
        set(&person, PROXY, "");
    }
    person.set("linger", "Linger=yes");
    let said = person.service("systemd", &["install"]).said(exit::OK);
    assert!(!said.contains("linger"), "{said}");
    person.calls();

    // The proxy's own folders are those of the system, for either manager.
    let folders = if cfg!(target_os = "macos") {
        ["Library/Application Support"; 2]
    } else {
        [".config", ".local/state"]
    };
    let [config, state] = folders.map(|folder| format!("{folder}/remote-ollama-proxy"));
    let config = person.write(&format!("{config}/config.toml"), "");
    let state = person.write(&format!("{state}/tailscaled.state"), "");
    let said = person.service("systemd", &["uninstall"]).said(exit::OK);
    for left in [config.as_path(), state.parent().unwrap()] {
        assert!(left.exists() && said.contains(&format!("kept: {}", left.display())), "{said}");
    }
    assert!(!file.exists());
    assert_eq!(person.calls(), calls(&["disable --now remote-ollama-proxy.service", "daemon-reload"]));
}

#[test]
fn systemd_starts_ollama_first_and_stops_it_last() {
    let person = Person::new();
    person.install_with_ollama("systemd");
    let text = fs::read_to_string(person.home().join(".config/systemd/user").join(OLLAMA)).unwrap();
    assert!(text.contains("ExecStart=\"/bin/ls\" serve\n"), "{text}");
    assert!(text.contains("\nEnvironment=\"OLLAMA_HOST=127.0.0.1:1\"\n"), "{text}");
    assert!(text.contains("\nEnvironment=OLLAMA_NO_CLOUD=1\n"), "{text}");
    let asked = person.calls();
    assert!(asked.iter().position(|c| c.contains(OLLAMA)) < asked.iter().position(|c| c.contains(PROXY)));

    set(&person, PROXY, "ActiveState=active\nMainPID=1\n");
    set(&person, OLLAMA, "ActiveState=failed\nSubState=failed\nExecMainCode=1\nExecMainStatus=78\n");
    let said = person.service("systemd", &["status"]).said(exit::OK);
    // 78 means nothing for Ollama.
    assert!(said.contains("ollama     installed") && said.contains("last exit  code 78\n"), "{said}");
    person.service("systemd", &["start"]).said(exit::OK);
    assert_eq!(person.calls(), calls(&[&format!("start {OLLAMA}"), &format!("start {PROXY}")]));
    person.service("systemd", &["stop"]).said(exit::OK);
    assert_eq!(person.calls(), calls(&[&format!("stop {PROXY}"), &format!("stop {OLLAMA}")]));
}

/// A package's update changes its own unit, not a copy.
#[test]
fn equal_unit_of_a_package_is_used() {
    let person = Person::new();
    let own = person.home().join(".config/systemd/user").join(PROXY);
    let text = person.service("systemd", &["install", "--print"]).said(exit::OK);
    assert_eq!(person.calls(), [""; 0]);
    let packaged = person.write("package/remote-ollama-proxy.service", &text);
    person
        .set(&format!("shown-{PROXY}"), &format!("LoadState=loaded\nFragmentPath={}\n", packaged.display()));
    let said = person.service("systemd", &["install"]).said(exit::OK);
    assert!(said.contains(&format!("installed and started: {}\n", packaged.display())), "{said}");
    assert!(!own.exists());
    assert_eq!(person.calls().len(), 3);
    let said = person.service("systemd", &["uninstall"]).said(exit::OK);
    assert!(packaged.exists() && said.contains(&format!("kept: {}", packaged.display())), "{said}");

    fs::write(&packaged, text + "# of another version\n").unwrap();
    person.service("systemd", &["install"]).said(exit::OK);
    assert!(own.exists());
}

/// The properties are those of systemctl(1) and org.freedesktop.systemd1(5). It was written without a running systemd.
#[test]
fn status_shows_what_systemd_reports() {
    let person = Person::new();
    let status = |code| person.service("systemd", &["status"]).said(code);
    assert_eq!(status(exit::NOT_INSTALLED), "proxy      not installed\n");
    for (result, code, lines) in [
        (
            "ActiveState=active\nSubState=running\nMainPID=4711\nExecMainCode=0\nExecMainStatus=0\n",
            exit::OK,
            "running    yes, process 4711\n",
        ),
        (
            "ActiveState=failed\nSubState=failed\nMainPID=0\nExecMainCode=1\nExecMainStatus=77\n",
            exit::NOT_RUNNING,
            "running    no: failed (failed)\nlast exit  code 77 The key is refused or expired",
        ),
        (
            "ActiveState=activating\nSubState=auto-restart\nMainPID=0\nExecMainCode=2\nExecMainStatus=9\n",
            exit::NOT_RUNNING,
            "running    no: activating (auto-restart)\nlast exit  by signal 9\n",
        ),
        (
            "ActiveState=inactive\nSubState=dead\nMainPID=0\nExecMainCode=0\nExecMainStatus=0\n",
            exit::NOT_RUNNING,
            "running    no: inactive (dead)\nlog        journalctl --user --unit remote-ollama-proxy\n",
        ),
    ] {
        set(&person, PROXY, result);
        let said = status(code);
        assert!(said.starts_with("proxy      installed: ") && said.contains(lines), "{said}");
    }
}

#[test]
fn refusal_of_systemd_is_quoted() {
    let person = Person::new();
    person.set("refused", "systemctl --user");
    for action in ["install", "uninstall", "start", "stop", "status"] {
        let result = person.service("systemd", &[action]).complained(exit::MANAGER);
        assert!(
            result.contains("manager refused: said no (`") && result.contains("not through su"),
            "{result}"
        );
    }
    let mut command = person.command();
    let ended =
        command.env("PATH", "/nowhere").args(["service", "--manager=systemd", "status"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(exit::MANAGER.into()));
    assert!(String::from_utf8(ended.stderr).unwrap().contains("systemctl can't be started"));
}

/// The drop-in in the account of `person`.
fn sandbox(person: &Person) -> PathBuf {
    person.home().join(".config/systemd/user/remote-ollama-proxy.service.d/sandbox.conf")
}

#[test]
fn unit_is_confined_to_the_folders_that_it_writes_to() {
    let person = Person::new();
    person.set("confining", "0");
    person.write("logs/.keep", "");
    let home = person.home().canonicalize().unwrap();
    let [logs, state] = ["logs", "state"].map(|name| home.join(name));
    let text = format!(
        "node.state_dir = '{}'\nlog.file = '{}'\n[access_log]\nenabled = true\n",
        state.display(),
        logs.join("proxy.log").display()
    );
    let config = person.write("c.toml", &text);
    let args = ["install", "--config", config.to_str().unwrap()];
    let said = person.service("systemd", &args).said(exit::OK);
    let says = format!(
        "confined: it writes only to {}, {}, and below /dev and /proc (",
        state.display(),
        logs.display()
    );
    assert!(said.contains(&says), "{said}");
    let text = fs::read_to_string(sandbox(&person)).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("ReadWritePaths=")).collect();
    assert_eq!(lines, [&state, &logs].map(|folder| format!("ReadWritePaths=\"-{}\"", folder.display())));
    for hidden in ["%h/.ssh -%h/.gnupg", "%t/systemd/private -%t/systemd/io.systemd.Manager", "%t/bus"] {
        assert!(text.contains(&format!("\nInaccessiblePaths=-{hidden}\n")), "{text}");
    }
    assert!(text.contains("\nPrivateUsers=yes\n") && text.contains("\nProtectSystem=strict\n"), "{text}");
    // The unit can't create it.
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);

    set(&person, PROXY, "");
    person.service("systemd", &["uninstall"]).said(exit::OK);
    assert!(!sandbox(&person).parent().unwrap().exists());
}

#[test]
fn older_systemd_gets_the_settings_that_it_has() {
    let person = Person::new();
    person.set("confining", "0");
    person.set("refused", "systemd-run .*ProtectKernelTunables");
    person.service("systemd", &["install"]).said(exit::OK);
    let text = fs::read_to_string(sandbox(&person)).unwrap();
    assert!(!text.contains("ProtectKernelTunables=") && text.contains("\nProtectSystem=strict\n"), "{text}");
}

/// Such a unit would not start, or would not be confined.
#[test]
fn unit_is_not_confined_where_systemd_cannot_do_it() {
    let person = Person::new();
    for (code, reason) in [("217", "ended with exit code 217"), ("3", "the home folder stayed writable")] {
        person.set("confining", "0");
        person.service("systemd", &["install"]).said(exit::OK);
        assert!(sandbox(&person).exists());
        person.set("confining", code);
        let said = person.service("systemd", &["install"]).said(exit::OK);
        assert!(said.contains("not confined to its folders: ") && said.contains(reason), "{said}");
        assert!(!sandbox(&person).exists());
    }
}

/// The command may have to write anywhere, and root's programs would not be recognized as root's.
#[test]
fn unit_with_a_command_for_events_is_not_confined() {
    let person = Person::new();
    person.set("confining", "0");
    person.service("systemd", &["install"]).said(exit::OK);
    let config = person.write("c.toml", "events.command = ['/bin/true']");
    let said = person.service("systemd", &["install", "--config", config.to_str().unwrap()]).said(exit::OK);
    assert!(said.contains("not confined to its folders, because events.command"), "{said}");
    assert!(!sandbox(&person).exists());
}

#[test]
fn folder_that_a_unit_cannot_hold_leaves_it_open() {
    let person = Person::new();
    person.set("confining", "0");
    let config = person.write("c.toml", "node.state_dir = '/a\"b'");
    let said = person.service("systemd", &["install", "--config", config.to_str().unwrap()]).said(exit::OK);
    assert!(said.contains("characters that a unit can't hold"), "{said}");
    assert!(!sandbox(&person).exists());
}

/// Installs with this config where systemd can confine a unit. Returns what it said.
fn install_confined(person: &Person, config: &str) -> String {
    person.set("confining", "0");
    let config = person.write("c.toml", config);
    person.service("systemd", &["install", "--config", config.to_str().unwrap()]).said(exit::OK)
}

/// The folders that the drop-in lets the unit write to.
fn written(person: &Person) -> Vec<PathBuf> {
    let text = fs::read_to_string(sandbox(person)).unwrap();
    let folders = text.lines().filter_map(|line| line.strip_prefix("ReadWritePaths=\"-")?.strip_suffix('"'));
    folders.map(PathBuf::from).collect()
}

/// The service has the variables of systemd, not those of this session.
#[cfg(target_os = "linux")]
#[test]
fn folders_are_those_of_the_service_and_not_of_the_session() {
    let person = Person::new();
    let home = person.home().canonicalize().unwrap();
    person.set("confining", "0");
    let install = || {
        let mut command = person.command();
        command.env("XDG_STATE_HOME", home.join("session")).env("XDG_CONFIG_HOME", home.join("session"));
        let output = command.args(["service", "--manager=systemd", "install"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let drop_in = home.join("session/systemd/user/remote-ollama-proxy.service.d/sandbox.conf");
        let text = fs::read_to_string(drop_in).unwrap();
        let folders =
            text.lines().filter_map(|line| line.strip_prefix("ReadWritePaths=\"-")?.strip_suffix('"'));
        folders.map(PathBuf::from).collect::<Vec<_>>()
    };
    let state = home.join(".local/state/remote-ollama-proxy");
    assert_eq!(install(), [state.as_path()]);
    assert!(state.exists() && !home.join("session/remote-ollama-proxy").exists());

    // The service reads this config, although the session has its configs elsewhere.
    person.write(".config/remote-ollama-proxy/config.toml", "node.state_dir = '~/named'");
    assert_eq!(install(), [home.join("named")]);

    fs::remove_file(home.join(".config/remote-ollama-proxy/config.toml")).unwrap();
    person.set("variables", &format!("XDG_STATE_HOME={}", home.join("kept").display()));
    assert_eq!(install(), [home.join("kept/remote-ollama-proxy")]);
}

#[test]
fn folder_of_a_log_is_found_through_links_and_dots() {
    let person = Person::new();
    let home = person.home().canonicalize().unwrap();
    person.write("state/.keep", "");
    person.write("elsewhere/.keep", "");
    symlink(home.join("elsewhere"), home.join("state/sub")).unwrap();
    symlink(home.join("later/p.log"), home.join("state/link.log")).unwrap();
    for (file, folder) in [
        ("~/state/../logs2/p.log", Some("logs2")),
        ("~/absent/../logs3/p.log", Some("logs3")),
        ("~/state/link.log", Some("later")),
        ("~/state/sub/p.log", Some("elsewhere")),
        ("/dev/../HOME/outside/p.log", Some("outside")),
        ("~/elsewhere/../state/p.log", None),
        ("/dev/stderr", None),
    ] {
        let file = file.replace("/HOME", home.to_str().unwrap());
        let said = install_confined(&person, &format!("node.state_dir = '~/state'\nlog.file = '{file}'\n"));
        let wanted: Vec<_> =
            [Some("state"), folder].into_iter().flatten().map(|name| home.join(name)).collect();
        assert_eq!(written(&person), wanted, "{file}: {said}");
        // The unit can't create one.
        assert!(wanted.iter().all(|folder| folder.is_dir()), "{file}");
    }
}

#[test]
fn unit_that_needs_a_hidden_folder_is_not_confined() {
    let person = Person::new();
    person.write(".ssh/key", "tskey-auth-a");
    fs::set_permissions(person.home().join(".ssh/key"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink(person.home().join(".ssh/key"), person.home().join("link")).unwrap();
    for (config, key) in [
        ("node.state_dir = '~/.gnupg/state'", "node.state_dir"),
        ("node.auth_key_file = '~/.ssh/key'", "node.auth_key_file"),
        ("node.auth_key_file = '~/link'", "node.auth_key_file"),
        ("node.tags = ['tag:a']\nnode.client_secret_file = '~/.ssh/absent'", "node.client_secret_file"),
        ("log.file = '~/.gnupg/../.ssh/p.log'", "log.file"),
        ("upstream.url = 'unix:HOME/.gnupg/ollama.sock'", "upstream.url"),
    ] {
        install_confined(&person, "");
        assert!(sandbox(&person).exists());
        let said = install_confined(&person, &config.replace("HOME", person.home().to_str().unwrap()));
        let says =
            format!("not confined to its folders: it would not see ~/.ssh and ~/.gnupg, and {key} is there");
        assert!(said.contains(&says), "{said}");
        assert!(!sandbox(&person).exists());
    }
}

/// It could write to all files of the account anyway.
#[test]
fn unit_that_writes_to_the_home_folder_is_not_confined() {
    let person = Person::new();
    let home = person.home().canonicalize().unwrap();
    let above = home.parent().unwrap();
    for (config, why) in [
        ("log.file = '~/p.log'", format!("log.file is in {},", home.display())),
        ("access_log.file = '~/../a.jsonl'", format!("access_log.file is in {},", above.display())),
        ("node.state_dir = '/'", "node.state_dir is /,".to_owned()),
        ("node.state_dir = '~/a/..'", format!("node.state_dir is {},", home.display())),
    ] {
        install_confined(&person, "");
        let said = install_confined(&person, config);
        assert!(said.contains(&format!("not confined to its folders: {why}")), "{said}");
        assert!(!sandbox(&person).exists());
    }
}

#[test]
fn keychain_keeps_the_bus_of_the_session() {
    let person = Person::new();
    let said = install_confined(&person, "node.keychain = true");
    assert!(said.contains("but node.keychain needs the session's D-Bus"), "{said}");
    let text = fs::read_to_string(sandbox(&person)).unwrap();
    assert!(!text.contains("=-%t/bus") && text.contains("=-%t/systemd/private "), "{text}");
    let said = install_confined(&person, "");
    assert!(!said.contains("D-Bus") && fs::read_to_string(sandbox(&person)).unwrap().contains("=-%t/bus\n"));
}

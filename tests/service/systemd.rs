//! The units' life, as systemctl's stand-in is told it.

use std::fs;

use remote_ollama_proxy::cli::exit;

use crate::person::Person;

const PROXY: &str = "remote-ollama-proxy.service";
const OLLAMA: &str = "remote-ollama-proxy-ollama.service";

/// Has `systemctl show` tell this of a unit whose file is there.
fn tell(person: &Person, unit: &str, more: &str) {
    let file = person.home().join(".config/systemd/user").join(unit);
    person
        .tell(&format!("told-{unit}"), &format!("LoadState=loaded\nFragmentPath={}\n{more}", file.display()));
}

fn calls(words: &[&str]) -> Vec<String> {
    words.iter().map(|words| format!("systemctl --user {words}")).collect()
}

#[test]
fn installed_again_and_gone() {
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
        tell(&person, PROXY, "");
    }
    person.tell("linger", "Linger=yes");
    let said = person.service("systemd", &["install"]).said(exit::OK);
    assert!(!said.contains("linger"), "{said}");
    person.calls();

    // The proxy's own folders are the system's, whichever manager is asked.
    let folders = match cfg!(target_os = "macos") {
        true => ["Library/Application Support"; 2],
        false => [".config", ".local/state"],
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
fn ollama_comes_first_and_goes_last() {
    let person = Person::new();
    person.install_with_ollama("systemd");
    let text = fs::read_to_string(person.home().join(".config/systemd/user").join(OLLAMA)).unwrap();
    assert!(text.contains("ExecStart=\"/bin/ls\" serve\n"), "{text}");
    assert!(text.contains("\nEnvironment=\"OLLAMA_HOST=127.0.0.1:1\"\n"), "{text}");
    assert!(text.contains("\nEnvironment=OLLAMA_NO_CLOUD=1\n"), "{text}");
    let asked = person.calls();
    assert!(asked.iter().position(|c| c.contains(OLLAMA)) < asked.iter().position(|c| c.contains(PROXY)));

    tell(&person, PROXY, "ActiveState=active\nMainPID=1\n");
    tell(&person, OLLAMA, "ActiveState=failed\nSubState=failed\nExecMainCode=1\nExecMainStatus=78\n");
    let said = person.service("systemd", &["status"]).said(exit::OK);
    // 78 means nothing for Ollama.
    assert!(said.contains("ollama     installed") && said.contains("last exit  code 78\n"), "{said}");
    person.service("systemd", &["start"]).said(exit::OK);
    assert_eq!(person.calls(), calls(&[&format!("start {OLLAMA}"), &format!("start {PROXY}")]));
    person.service("systemd", &["stop"]).said(exit::OK);
    assert_eq!(person.calls(), calls(&[&format!("stop {PROXY}"), &format!("stop {OLLAMA}")]));
}

/// A package's update reaches its own unit, and no copy.
#[test]
fn a_packages_unit_that_says_the_same_is_used() {
    let person = Person::new();
    let own = person.home().join(".config/systemd/user").join(PROXY);
    let text = person.service("systemd", &["install", "--print"]).said(exit::OK);
    assert_eq!(person.calls(), [""; 0]);
    let packaged = person.write("package/remote-ollama-proxy.service", &text);
    person
        .tell(&format!("told-{PROXY}"), &format!("LoadState=loaded\nFragmentPath={}\n", packaged.display()));
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

/// The properties are those that systemctl(1) and org.freedesktop.systemd1(5) name; written without a systemd that runs.
#[test]
fn status_says_what_systemd_knows() {
    let person = Person::new();
    let status = |code| person.service("systemd", &["status"]).said(code);
    assert_eq!(status(exit::NOT_INSTALLED), "proxy      not installed\n");
    for (told, code, lines) in [
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
        tell(&person, PROXY, told);
        let said = status(code);
        assert!(said.starts_with("proxy      installed: ") && said.contains(lines), "{said}");
    }
}

#[test]
fn what_systemd_refuses_is_told_with_its_words() {
    let person = Person::new();
    person.tell("refused", "systemctl --user");
    for action in ["install", "uninstall", "start", "stop", "status"] {
        let told = person.service("systemd", &[action]).complained(exit::MANAGER);
        assert!(told.contains("manager refused: said no (`") && told.contains("not through su"), "{told}");
    }
    let mut command = person.command();
    let ended =
        command.env("PATH", "/nowhere").args(["service", "--manager=systemd", "status"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(exit::MANAGER.into()));
    assert!(String::from_utf8(ended.stderr).unwrap().contains("systemctl can't be started"));
}

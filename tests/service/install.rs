//! What `service install` checks before it writes anything.

use std::net::TcpListener;

use remote_ollama_proxy::cli::exit;

use crate::person::{Person, executable};

/// Checks that no file was written and no manager was called.
fn untouched(person: &Person) {
    assert_eq!(person.calls(), [""; 0]);
    assert!(!person.home().join(".config/systemd").exists());
}

#[test]
fn service_refuses_root() {
    if !rustix::process::geteuid().is_root() {
        return; // only root can see it
    }
    let person = Person::new();
    for action in ["install", "uninstall", "start", "stop", "status"] {
        let mut command = std::process::Command::new(person.program());
        let ended = command.env("HOME", person.home()).args(["service", action]).output().unwrap();
        assert_eq!(ended.status.code(), Some(exit::ROOT.into()));
        assert!(String::from_utf8(ended.stderr).unwrap().contains("ordinary account"));
    }
    untouched(&person);
}

#[test]
fn service_with_a_faulty_config_is_not_installed() {
    let person = Person::new();
    let config = person.write("c.toml", "listen.port = 0");
    let result = person.service("systemd", &["install", "--config", config.to_str().unwrap()]);
    assert!(
        result
            .complained(exit::CONFIG)
            .contains("c.toml:1: listen.port = 0: expected a port from 1 to 65535")
    );
    let missing = person.home().join("missing.toml");
    let result = person.service("systemd", &["install", "--config", missing.to_str().unwrap()]);
    assert!(result.complained(exit::CONFIG).contains("does not exist"));
    untouched(&person);
}

/// The service does not see this session's variables, so a config that is found by them must be named to it.
#[test]
fn config_found_by_a_session_variable_is_named_to_the_service() {
    let person = Person::new();
    person.write("xdg/remote-ollama-proxy/config.toml", "");
    let print = |xdg: bool| {
        let mut command = person.command();
        if xdg {
            command.env("XDG_CONFIG_HOME", person.home().join("xdg"));
        }
        let ended = command.args(["service", "--manager=systemd", "install", "--print"]).output().unwrap();
        String::from_utf8(ended.stdout).unwrap()
    };
    if cfg!(target_os = "linux") {
        let named = format!("{}/xdg/remote-ollama-proxy/config.toml\"\n", person.home().display());
        assert!(
            print(true).contains(&format!("Environment=\"REMOTE_OLLAMA_PROXY_CONFIG={named}")),
            "{}",
            print(true)
        );
    }
    assert!(!print(false).contains("REMOTE_OLLAMA_PROXY_CONFIG"));
}

/// Homebrew's link stays in place when the version behind it changes.
#[test]
fn service_runs_the_program_by_its_name_in_path() {
    let person = Person::new();
    let link = person.home().join("stand-ins/remote-ollama-proxy");
    std::os::unix::fs::symlink(person.program(), &link).unwrap();
    let text = person.service("systemd", &["install", "--print"]).said(exit::OK);
    assert!(text.contains(&format!("ExecStart=\"{}\" run\n", link.display())), "{text}");
}

#[test]
fn ollama_is_found_and_gets_the_configured_address() {
    let person = Person::new();
    // So that one that is really installed is not found.
    let result = person.service("systemd", &["install", "--with-ollama=/nowhere/ollama"]);
    assert!(result.complained(exit::FAILURE).contains("/nowhere/ollama does not exist"));
    executable(&person.home().join("stand-ins/ollama"), "");

    let config = person.write("c.toml", "upstream.url = 'unix:/tmp/ollama.sock'");
    let result =
        person.service("systemd", &["install", "--with-ollama", "--config", config.to_str().unwrap()]);
    assert!(
        result
            .complained(exit::FAILURE)
            .contains("\"unix:/tmp/ollama.sock\", but Ollama listens on TCP only")
    );

    // Another program has the port.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = person.write("c.toml", &format!("upstream.url = 'http://127.0.0.1:{port}'"));
    let args = ["install", "--with-ollama", "--config", config.to_str().unwrap()];
    let result = person.service("systemd", &args).complained(exit::FAILURE);
    assert!(result.contains(&format!("127.0.0.1:{port} is taken")), "{result}");
    untouched(&person);

    // Or it is the Ollama that was installed before.
    let file = person.home().join("unit");
    let result =
        format!("LoadState=loaded\nFragmentPath={}\nActiveState=active\nMainPID=1\n", file.display());
    person.set("shown-remote-ollama-proxy-ollama.service", &result);
    person.service("systemd", &args).said(exit::OK);
    drop(listener);
    let text = person.service("launchd", &["install", "--with-ollama", "--print", "--config", args[3]]);
    let text = text.said(exit::OK);
    assert!(text.contains(&format!("<string>127.0.0.1:{port}</string>")), "{text}");
    assert!(text.contains("/stand-ins/ollama</string>"), "{text}");
}

#[test]
fn paths_that_cannot_be_quoted_are_refused() {
    let person = Person::new();
    for (manager, path) in
        [("systemd", "/a\"b"), ("systemd", "/a\\b"), ("systemd", "/a\nb"), ("launchd", "/a\nb")]
    {
        let result = person.service(manager, &["install", "--program", path]).complained(exit::FAILURE);
        assert!(result.contains("choose a path in UTF-8"), "{result}");
    }
    person.service("launchd", &["install", "--print", "--program", "/it's \"this\""]).said(exit::OK);
    untouched(&person);
}

//! The life of the LaunchAgents, as a stand-in for launchctl records it.

use remote_ollama_proxy::cli::exit;

use crate::person::Person;

const PROXY: &str = "com.remote-ollama-proxy";
const FILE: &str = "Library/LaunchAgents/com.remote-ollama-proxy.plist";

fn target(name: &str) -> String {
    format!("gui/{}/{name}", Person::uid())
}

fn loads(person: &Person, name: &str) -> [String; 2] {
    let file = person.home().join(format!("Library/LaunchAgents/{name}.plist"));
    [
        format!("launchctl enable {}", target(name)),
        format!("launchctl bootstrap gui/{} {}", Person::uid(), file.display()),
    ]
}

#[test]
fn launchd_reinstall_replaces_the_loaded_agent() {
    let person = Person::new();
    let said = person.service("launchd", &["install"]).said(exit::OK);
    assert!(
        said.contains(&format!("installed and started: {}", person.home().join(FILE).display())),
        "{said}"
    );
    assert!(said.contains("Library/Logs/remote-ollama-proxy.log"), "{said}");
    assert!(said.contains("node.auth_key_file"), "{said}");
    assert_eq!(person.calls(), loads(&person, PROXY));

    let config = person.write("other.toml", "node.hostname = 'other'");
    person.service("launchd", &["install", "--config", config.to_str().unwrap()]).said(exit::OK);
    let mut calls = vec![format!("launchctl bootout {}", target(PROXY))];
    calls.extend(loads(&person, PROXY));
    assert_eq!(person.calls(), calls);
    let text = std::fs::read_to_string(person.home().join(FILE)).unwrap();
    assert!(text.contains(&format!("<string>--config={}</string>", config.display())), "{text}");
}

/// launchd refuses to load an agent that is still draining.
#[test]
fn launchd_reinstall_waits_for_a_draining_agent() {
    let person = Person::new();
    person.service("launchd", &["install"]).said(exit::OK);
    person.set("looks", "3");
    person.calls();
    person.service("launchd", &["install"]).said(exit::OK);
    assert!(!person.home().join("stand-ins/ending").exists());
    assert_eq!(person.calls().last(), loads(&person, PROXY).last());
}

#[test]
fn launchd_agent_stops_starts_and_uninstalls() {
    let person = Person::new();
    for action in ["start", "stop"] {
        assert!(
            person.service("launchd", &[action]).complained(exit::NOT_INSTALLED).contains("service install")
        );
    }
    person.install_with_ollama("launchd");
    let ollama = "com.remote-ollama-proxy.ollama";
    assert_eq!(person.calls(), [loads(&person, ollama), loads(&person, PROXY)].concat());

    person.service("launchd", &["start"]).said(exit::OK);
    assert_eq!(person.calls(), [ollama, PROXY].map(|name| format!("launchctl kickstart {}", target(name))));
    for name in [ollama, PROXY] {
        person.set(&format!("shown-{name}"), "\tstate = running\n\tpid = 1\n");
    }
    person.service("launchd", &["start"]).said(exit::OK);
    assert_eq!(person.calls(), [""; 0]);
    let out = [PROXY, ollama].map(|name| format!("launchctl bootout {}", target(name)));
    person.service("launchd", &["stop"]).said(exit::OK);
    assert_eq!(person.calls(), out);
    person.service("launchd", &["stop"]).said(exit::OK);
    assert_eq!(person.calls(), [""; 0]);
    person.service("launchd", &["start"]).said(exit::OK);
    assert_eq!(person.calls(), [loads(&person, ollama), loads(&person, PROXY)].concat());

    person.write("Library/Logs/remote-ollama-proxy.log", "");
    let said = person.service("launchd", &["uninstall"]).said(exit::OK);
    assert!(said.contains("kept") && said.contains("remote-ollama-proxy.log (log)"), "{said}");
    assert_eq!(person.calls(), out);
    assert!(!person.home().join(FILE).exists());
    assert_eq!(
        person.service("launchd", &["uninstall"]).said(exit::OK).lines().next(),
        Some("nothing is installed")
    );
}

/// In the format of launchctl(1)'s `print`, shortened. It was written without a Mac.
#[test]
fn status_shows_what_launchd_reports() {
    let person = Person::new();
    let status = |code| person.service("launchd", &["status"]).said(code);
    assert_eq!(status(exit::NOT_INSTALLED), "proxy      not installed\n");
    person.service("launchd", &["install"]).said(exit::OK);

    let set = |text: &str| person.set(&format!("shown-{PROXY}"), text);
    set(&format!(
        "{} = {{\n\tactive count = 1\n\tstate = running\n\n\tpid = 4711\n\tlast exit code = (never exited)\n}}\n",
        target(PROXY)
    ));
    let said = status(exit::OK);
    assert!(said.contains("running    yes, process 4711\n") && !said.contains("last exit"), "{said}");
    assert!(said.ends_with("Library/Logs/remote-ollama-proxy.log\n"), "{said}");

    set("\tstate = not running\n\tlast exit code = 78: EX_CONFIG\n\tspawn type = daemon (3)\n");
    let said = status(exit::NOT_RUNNING);
    assert!(said.contains("running    no: not running\n"), "{said}");
    assert!(said.contains("last exit  code 78 The config is invalid"), "{said}");

    set("\tstate = spawn scheduled\n\tlast terminating signal = Killed: 9\n");
    assert!(status(exit::NOT_RUNNING).contains("last exit  by signal Killed: 9\n"));

    person.service("launchd", &["stop"]).said(exit::OK);
    assert!(status(exit::NOT_RUNNING).contains("running    no: not loaded\n"));
}

#[test]
fn refusal_of_launchd_is_quoted() {
    let person = Person::new();
    person.set("refused", "launchctl bootstrap");
    let result = person.service("launchd", &["install"]).complained(exit::MANAGER);
    assert!(
        result.contains("manager refused: said no (`") && result.contains("(`launchctl bootstrap gui/"),
        "{result}"
    );
    assert!(result.contains("log in as this account"), "{result}");
}

//! The units, read by systemd itself.

use std::fs;
use std::process::Command;

use remote_ollama_proxy::cli::exit;

use crate::person::{Person, executable};

/// The complaints of systemd about a unit; empty if it accepts every line.
fn verify(person: &Person, name: &str, text: &str) -> String {
    let file = person.write(&format!("units/{name}"), text);
    let output = Command::new("systemd-analyze")
        .args(["--user", "verify"])
        .arg(file)
        .env("XDG_RUNTIME_DIR", person.home())
        .env("HOME", person.home())
        .output()
        .expect("systemd-analyze is needed: sudo apt-get install systemd");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { said } else { format!("failed: {said}") }
}

#[test]
fn systemd_accepts_every_line() {
    let person = Person::new();
    // systemd checks that the program exists.
    let odd = person.home().join("a b/$c %d & <@HOME@>");
    fs::create_dir_all(&odd).unwrap();
    let program = odd.join("remote-ollama-proxy");
    executable(&program, "");
    let config = person.write("a b/\"$c\" 'd' %e.toml", "");
    let args =
        ["install", "--print", "--program", program.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let text = person.service("systemd", &args).said(exit::OK);
    assert_eq!(verify(&person, "remote-ollama-proxy.service", &text), "");

    let both = person.service("systemd", &["install", "--print", "--with-ollama=/bin/ls"]).said(exit::OK);
    let (ollama, proxy) = both.split_once("\n\n# The proxy").unwrap();
    assert_eq!(verify(&person, "remote-ollama-proxy-ollama.service", ollama), "");
    for set in ["\"OLLAMA_HOST=127.0.0.1:11434\"", "OLLAMA_NO_CLOUD=1", "OLLAMA_DEBUG_LOG_REQUESTS=0"] {
        assert!(ollama.contains(&format!("\nEnvironment={set}\n")), "{ollama}");
    }
    assert_eq!(verify(&person, "remote-ollama-proxy.service", &format!("# The proxy{proxy}")), "");

    // With the drop-in, which systemd reads from the folder of that name.
    let state = person.write("a b/$c 100%/.keep", "");
    let config =
        person.write("odd.toml", &format!("node.state_dir = '{}'", state.parent().unwrap().display()));
    person.set("confining", "0");
    person.service("systemd", &["install", "--config", config.to_str().unwrap()]).said(exit::OK);
    let folder = "remote-ollama-proxy.service.d/sandbox.conf";
    let sandbox = fs::read_to_string(person.home().join(".config/systemd/user").join(folder)).unwrap();
    person.write(&format!("units/{folder}"), &sandbox);
    assert_eq!(verify(&person, "remote-ollama-proxy.service", &text), "");
    person.write(&format!("units/{folder}"), &sandbox.replace("ProtectHome", "ProtectHouse"));
    let said = verify(&person, "remote-ollama-proxy.service", &text);
    assert!(said.contains("Unknown key 'ProtectHouse'"), "{said}");

    // Checks that it would complain.
    let said = verify(&person, "remote-ollama-proxy.service", &text.replace("RestartSec", "RestartSek"));
    assert!(said.contains("Unknown key 'RestartSek'"), "{said}");
}

/// systemd does not restart after exit codes that a restart can't fix.
#[test]
fn lasting_exit_codes_prevent_a_restart() {
    let person = Person::new();
    let text = person.service("systemd", &["install", "--print"]).said(exit::OK);
    let last =
        [exit::USAGE, exit::ROOT, exit::STATE, exit::NO_PERMISSION, exit::CONFIG].map(|c| c.to_string());
    assert!(text.contains(&format!("\nRestartPreventExitStatus={}\n", last.join(" "))), "{text}");
}

/// The tool that keeps the machine awake is a child of the proxy, which needs it until it has drained.
#[test]
fn stop_signals_the_proxy_and_not_its_tools() {
    let text = Person::new().service("systemd", &["install", "--print"]).said(exit::OK);
    assert!(text.contains("\nKillMode=mixed\n"), "{text}");
}

//! The LaunchAgents, read by a parser of property lists.

use std::path::Path;

use plist::{Dictionary, Value};
use remote_ollama_proxy::cli::exit;

use crate::person::Person;

const ODD: &str = "/a b/<&>'\"$%@HOME@/remote-ollama-proxy";

fn read(text: &str) -> Dictionary {
    Value::from_reader_xml(text.as_bytes()).unwrap().into_dictionary().unwrap()
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|item| item.as_string().unwrap()).collect()
}

#[test]
fn proxy_plist_keeps_every_path() {
    let person = Person::new();
    let text = person.service("launchd", &["install", "--print", "--program", ODD]).said(exit::OK);
    let agent = read(&text);
    assert_eq!(agent["Label"].as_string(), Some("com.remote-ollama-proxy"));
    assert_eq!(strings(&agent["ProgramArguments"]), [ODD, "run"]);
    let log = person.home().join("Library/Logs/remote-ollama-proxy.log");
    assert_eq!(agent["StandardErrorPath"].as_string(), log.to_str());
    // Restarted after a failure, within bounds; an agent, never a daemon.
    assert_eq!(agent["KeepAlive"].as_dictionary().unwrap()["SuccessfulExit"].as_boolean(), Some(false));
    assert_eq!(agent["ThrottleInterval"].as_unsigned_integer(), Some(30));
    assert_eq!(agent["Umask"].as_unsigned_integer(), Some(0o77));
    assert!(!agent.contains_key("UserName") && !agent.contains_key("EnvironmentVariables"));

    let config = person.write("a <b> & c/c.toml", "");
    let config = config.to_str().unwrap();
    let text = person.service("launchd", &["install", "--print", "--config", config]).said(exit::OK);
    let agent = read(&text);
    let words = strings(&agent["ProgramArguments"]);
    // Linux resolves the path of a running program, macOS does not.
    let resolved = |path: &Path| path.canonicalize().unwrap();
    assert_eq!(resolved(Path::new(words[0])), resolved(person.program()));
    assert_eq!(words[1..], ["run", &format!("--config={config}")]);
}

#[test]
fn ollama_plist_binds_to_loopback_without_cloud_and_request_log() {
    let person = Person::new();
    let text = person.service("launchd", &["install", "--print", "--with-ollama=/bin/ls"]).said(exit::OK);
    let agent = read(text.split_inclusive("</plist>\n").next().unwrap());
    assert_eq!(strings(&agent["ProgramArguments"]), ["/bin/ls", "serve"]);
    let variables = agent["EnvironmentVariables"].as_dictionary().unwrap();
    assert_eq!(variables["OLLAMA_HOST"].as_string(), Some("127.0.0.1:11434"));
    assert_eq!(variables["OLLAMA_NO_CLOUD"].as_string(), Some("1"));
    assert_eq!(variables["OLLAMA_DEBUG_LOG_REQUESTS"].as_string(), Some("0"));
}

/// The installed files are those of the repository: with their placeholders as values, they come out unchanged.
#[test]
fn printed_services_are_the_files_of_the_repository() {
    let person = Person::new();
    for (manager, folder, names) in [
        ("launchd", "launchd", ["com.remote-ollama-proxy.ollama.plist", "com.remote-ollama-proxy.plist"]),
        ("systemd", "systemd", ["remote-ollama-proxy-ollama.service", "remote-ollama-proxy.service"]),
    ] {
        let config = person.write("config", "");
        let args = ["install", "--print", "--with-ollama=/bin/ls", "--program=/program", "--config"];
        let printed =
            person.service(manager, &[&args[..], &[config.to_str().unwrap()]].concat()).said(exit::OK);
        let text = names.map(|name| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(name);
            let log = if name.contains("ollama.plist") { "ollama.log" } else { "remote-ollama-proxy.log" };
            let log = person.home().join("Library/Logs").join(log);
            std::fs::read_to_string(path)
                .unwrap()
                .replace("@PROGRAM@", "/program")
                .replace("@CONFIG@", config.to_str().unwrap())
                .replace("@OLLAMA@", "/bin/ls")
                .replace("@ADDRESS@", "127.0.0.1:11434")
                .replace("@LOG@", log.to_str().unwrap())
        });
        assert_eq!(printed, text.join("\n"));
    }
}

//! Flags and variables override the file, and are checked in the same way.

use crate::{Ended, Home};

/// Flag, value, variable, and the output of `check`.
const GOOD: [(&str, &str, &str, &str); 6] = [
    ("--hostname", "other", "REMOTE_OLLAMA_PROXY_HOSTNAME", "node.hostname               other"),
    ("--state-dir", "/other", "REMOTE_OLLAMA_PROXY_STATE_DIR", "node.state_dir              /other"),
    (
        "--control-url",
        "http://c.example",
        "REMOTE_OLLAMA_PROXY_CONTROL_URL",
        "node.control_url            http://c.example",
    ),
    ("--port", "1", "REMOTE_OLLAMA_PROXY_PORT", "listen.port                 1\n"),
    ("--upstream", "unix:/o", "REMOTE_OLLAMA_PROXY_UPSTREAM", "upstream.url                unix:/o"),
    ("--log", "debug", "REMOTE_OLLAMA_PROXY_LOG", "log.level                   debug"),
];

const FILE: &str = "
    node = { hostname = 'file', state_dir = '/file', control_url = 'http://file.example' }
    listen.port = 2
    upstream.url = 'unix:/file'
    log.level = 'warn'
";

#[test]
fn flags_override_variables_and_variables_override_the_file() {
    let home = Home::new();
    let file = home.write("c.toml", FILE);
    let file = file.to_str().unwrap();
    for (flag, value, variable, shown) in GOOD {
        let by_flag = home.run(&["check", "-c", file, flag, value]);
        assert!(by_flag.out.contains(shown), "{flag}: {by_flag:?}");
        let by_variable = Ended::of(home.command(&["check", "-c", file]).env(variable, value));
        assert_eq!(by_variable, by_flag, "{variable}");
        let by_both = Ended::of(home.command(&["check", "-c", file, flag, value]).env(variable, "-"));
        assert_eq!(by_both, by_flag, "{variable}");
    }
    let found = Ended::of(home.command(&["check"]).env("REMOTE_OLLAMA_PROXY_CONFIG", file));
    assert_eq!(found, home.run(&["check", "--config", file]));
}

/// Flag, value, key, and the value in a file.
const BAD: [(&str, &str, &str, &str); 13] = [
    ("--hostname", "Not This", "node.hostname", "\"Not This\""),
    ("--hostname", "", "node.hostname", "\"\""),
    ("--hostname", "a\"\n", "node.hostname", "\"a\\\"\\n\""),
    ("--state-dir", "here", "node.state_dir", "\"here\""),
    ("--control-url", "c", "node.control_url", "\"c\""),
    ("--port", "0", "listen.port", "0"),
    ("--port", "65536", "listen.port", "65536"),
    ("--port", "-1", "listen.port", "-1"),
    ("--port", "http", "listen.port", "\"http\""),
    ("--port", "", "listen.port", "\"\""),
    ("--upstream", "http://192.0.2.1", "upstream.url", "\"http://192.0.2.1\""),
    ("--log", "loud", "log.level", "\"loud\""),
    ("--log", "tskey-auth-SECRET", "log.level", "[redacted]"),
];

#[test]
fn fault_names_the_flag_or_the_variable() {
    let home = Home::new();
    let file = home.write("c.toml", FILE);
    let file = file.to_str().unwrap();
    for (flag, value, key, shown) in BAD {
        let variable = format!("REMOTE_OLLAMA_PROXY_{}", flag[2..].to_uppercase().replace('-', "_"));
        let by_flag = home.run(&["check", "-c", file, flag, value]);
        let by_variable = Ended::of(home.command(&["check", "-c", file]).env(&variable, value));
        for (ended, source) in [(by_flag, flag), (by_variable, variable.as_str())] {
            assert_eq!(ended.code, Some(78), "{ended:?}");
            assert!(ended.err.starts_with(&format!("{source}: {key} = {shown}: ")), "{}", ended.err);
            assert!(ended.err.ends_with("1 fault in the config: nothing was done\n"), "{}", ended.err);
        }
    }
}

#[test]
fn faults_of_flags_and_of_the_file_are_listed_together() {
    let home = Home::new();
    for text in ["log.format = 'x'", "log.format = x"] {
        let file = home.write("c.toml", text);
        let file = file.to_str().unwrap();
        let ended = home.run(&["check", "-c", file, "--port", "0", "--log", ""]);
        let starts: Vec<_> = ended.err.lines().map(|line| line.split(": ").next().unwrap()).collect();
        assert_eq!(starts, [&format!("{file}:1"), "--port", "--log", "remote-ollama-proxy"], "{}", ended.err);
    }
}

#[test]
fn overridden_fault_is_not_reported() {
    let home = Home::new();
    let file = home.write("c.toml", "listen.port = 'x'");
    assert_eq!(home.run(&["check", "-c", file.to_str().unwrap(), "--port", "1"]).code, Some(0));
}

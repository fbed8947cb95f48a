//! `init` writes a valid config, and overwrites none.

use std::os::unix::fs::PermissionsExt;

use remote_ollama_proxy::cli::exit;

use crate::{Ended, Home};

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// The lines of a file that are not in the example.
fn own(text: &str) -> Vec<&str> {
    assert_eq!(text.lines().count(), EXAMPLE.lines().count());
    text.lines()
        .zip(EXAMPLE.lines())
        .filter(|(line, example)| line != example)
        .map(|(line, _)| line)
        .collect()
}

#[test]
fn init_without_flags_writes_the_defaults() {
    let home = Home::new();
    let ended = home.run(&["init"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let folder = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".config" };
    let file = home.path().join(folder).join("remote-ollama-proxy/config.toml");
    assert!(ended.out.starts_with(&format!("written: {}\n", file.display())), "{}", ended.out);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    let key = format!("auth_key_file = \"~/{folder}/remote-ollama-proxy/key\"");
    assert_eq!(
        own(&text),
        [
            "hostname = \"remote-ollama-proxy\"",
            &key,
            "url = \"http://127.0.0.1:11434\"",
            "mode = \"network\""
        ]
    );
    let checked = home.run(&["check"]);
    assert_eq!(checked.code, Some(0), "{}", checked.err);
    assert!(checked.out.contains("remote-ollama-proxy/key does not exist"), "{}", checked.out);

    // For root, it says that root may not run the proxy.
    assert_eq!(ended.out.contains("refuse root"), rustix::process::geteuid().is_root(), "{}", ended.out);

    // The printed command for the key is a real one.
    let command = ended.out.lines().find(|line| line.contains("umask")).unwrap().trim();
    let mut shell = std::process::Command::new("sh");
    let mut shell = shell
        .args(["-c", &format!("echo tskey-auth-x | {command}")])
        .env("HOME", home.path())
        .spawn()
        .unwrap();
    assert!(shell.wait().unwrap().success());
    let checked = home.run(&["check"]);
    assert!(
        checked.out.contains("credential                  auth key from "),
        "{} {}",
        checked.out,
        checked.err
    );
}

#[test]
fn init_takes_answers_from_flags_and_names_faulty_ones() {
    let home = Home::new();
    let file = home.path().join("a b/c.toml");
    let flags = [
        "init",
        "--yes",
        "--hostname=mine",
        "--upstream=unix:/tmp/it's",
        "--auth-key-file=~/k\"y",
        "--control-url=https://headscale.example.com",
        "--access=grants",
        "--config",
        file.to_str().unwrap(),
    ];
    let ended = home.run(&flags);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert!(ended.out.contains(&format!("doctor --config '{}'\n", file.display())), "{}", ended.out);
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(own(&text).len(), 5);
    let checked = home.run(&["check", "--config", file.to_str().unwrap()]);
    for line in [
        "node.hostname               mine\n",
        "unix:/tmp/it's\n",
        "k\"y does not exist",
        "headscale.example.com\n",
        "access.mode                 grants\n",
    ] {
        assert!(checked.out.contains(line), "{line}: {}", checked.out);
    }

    let other = home.path().join("other.toml");
    let flags = ["init", "--hostname=No", "--upstream=http://10.0.0.1", "--config", other.to_str().unwrap()];
    let ended = home.run(&flags);
    assert_eq!((ended.code, ended.err.lines().count()), (Some(exit::CONFIG.into()), 3), "{}", ended.err);
    assert!(ended.err.starts_with("--hostname: node.hostname = \"No\": expected 1 to 63"), "{}", ended.err);
    assert!(!other.exists());
    assert_eq!(home.run(&["init", "--access=all"]).code, Some(2));
}

#[test]
fn init_keeps_an_existing_config() {
    let home = Home::new();
    let file = home.write("c.toml", "node.hostname = 'old'");
    let path = file.to_str().unwrap();
    let ended = home.run(&["init", "--config", path]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(exit::STATE.into()), ""));
    assert!(
        ended.err.contains(&format!("{path}: exists already")) && ended.err.contains("--force"),
        "{}",
        ended.err
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "node.hostname = 'old'");

    assert_eq!(home.run(&["init", "--config", path, "--force"]).code, Some(0));
    assert!(std::fs::read_to_string(&file).unwrap().contains("\nhostname = \"remote-ollama-proxy\"\n"));
    let ended = home.run(&["init", "--auth-key-file=/nowhere/key", "--config", &format!("{path}/c.toml")]);
    assert_eq!(ended.code, Some(exit::STATE.into()));
    assert!(ended.err.contains("can't be written"), "{}", ended.err);
}

/// On a terminal, which script(1) makes.
#[test]
#[cfg(target_os = "linux")]
fn init_asks_until_the_answer_is_valid() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let home = Home::new();
    let talk = |answers: &str| {
        let command = format!("'{}' init --access grants", env!("CARGO_BIN_EXE_remote-ollama-proxy"));
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &command, "/dev/null"]).env("HOME", home.path());
        script
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .env("SHELL", "/bin/sh")
            .env_remove("XDG_CONFIG_HOME");
        let mut script = script.spawn().expect("script is needed: sudo apt-get install bsdutils");
        script.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
        let output = script.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let file = home.path().join(".config/remote-ollama-proxy/config.toml");
    let (code, said) = talk("mine\n\x04");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing was written") && !file.exists(), "{said}");

    let (code, said) = talk("No Name\nmine\nhttp://192.168.0.1:11434\n\n\n\n");
    assert_eq!(code, Some(0), "{said}");
    for part in
        ["expected 1 to 63", "is not on this machine's loopback", "Control server, if not Tailscale's: "]
    {
        assert!(said.contains(part), "{said}");
    }
    assert!(!said.contains("(grants)"), "{said}");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\nhostname = \"mine\"\n") && text.contains("\nmode = \"grants\"\n"), "{text}");
    assert_eq!(Ended::of(&mut home.command(&["check"])).code, Some(0));
}

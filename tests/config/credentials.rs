//! Credentials are checked with the rest of the config.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

use crate::{Ended, Home};

#[test]
fn faults_of_the_key_file_are_listed_with_the_others() {
    let home = Home::new();
    let key = home.write("a key", "");
    set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    let file = home.write("c.toml", "[node]\nauth_key_file = '~/a key'\n[listen]\nport = 0\n");
    let ended = home.run(&["check", "-c", file.to_str().unwrap()]);
    let (file, key) = (file.display(), key.display());
    let expected = format!(
        "{file}:2: node.auth_key_file = '~/a key': has mode 0640, so other users can access it: chmod 600 '{key}'\n\
         {file}:2: node.auth_key_file = '~/a key': is empty: it must hold one line with the auth key\n\
         {file}:4: listen.port = 0: expected a port from 1 to 65535\n\
         remote-ollama-proxy: 3 faults in the config: nothing was done\n"
    );
    assert_eq!((ended.code, ended.err.as_str()), (Some(78), expected.as_str()));
}

#[test]
fn key_file_is_checked_even_if_the_environment_overrides_it() {
    let home = Home::new();
    home.write("key", "one\ntwo\n");
    let file = home.write("c.toml", "node.auth_key_file = '~/key'");
    let mut command = home.command(&["check", "-c", file.to_str().unwrap()]);
    let ended = Ended::of(command.env("TS_AUTHKEY", "tskey-auth-a"));
    assert_eq!(ended.code, Some(78));
    assert!(ended.err.contains("one line"), "{}", ended.err);

    home.write("key", "tskey-auth-b");
    let ended = Ended::of(&mut command);
    assert!(ended.out.contains("credential                  auth key from TS_AUTHKEY\n"), "{ended:?}");
    let ended = Ended::of(command.env_remove("TS_AUTHKEY"));
    let shown = format!("credential                  auth key from {}\n", home.path().join("key").display());
    assert!(ended.out.contains(&shown), "{ended:?}");
}

#[test]
fn client_secret_requires_tags() {
    let home = Home::new();
    home.write("secret", "tskey-client-a\n");
    let tagged = home.write("tagged.toml", "node.client_secret_file = '~/secret'\nnode.tags = ['tag:a']");
    let ended = home.run(&["check", "-c", tagged.to_str().unwrap()]);
    let shown = format!(
        "credential                  OAuth client secret from {}\n",
        home.path().join("secret").display()
    );
    assert!(ended.out.contains(&shown), "{ended:?}");

    let ended = Ended::of(home.command(&["check"]).env("TS_CLIENT_SECRET", "tskey-client-a"));
    assert_eq!(ended.code, Some(78));
    assert!(ended.err.starts_with("TS_CLIENT_SECRET: "), "{}", ended.err);
    assert!(ended.err.contains("node.tags"), "{}", ended.err);
}

#[test]
fn variable_without_a_key_is_named() {
    let home = Home::new();
    for (variable, value) in
        [("TS_AUTHKEY", "a b"), ("TS_AUTH_KEY", "tskey-client-a"), ("TS_CLIENT_SECRET", "tskey-auth-a")]
    {
        let ended = Ended::of(home.command(&["check", "--port", "0"]).env(variable, value));
        assert_eq!(ended.code, Some(78));
        let lines: Vec<_> = ended.err.lines().collect();
        assert!(lines[0].starts_with(&format!("{variable}: ")), "{}", ended.err);
        assert!(lines[1].starts_with("--port: "), "{}", ended.err);
        assert!(!ended.err.contains(value), "{}", ended.err);
    }
}

const KEYCHAIN: &str =
    "credential                  the keychain (service remote-ollama-proxy, account remote-ollama-proxy)";

#[test]
fn faulty_client_secret_is_not_shown() {
    let home = Home::new();
    let key = home.write("secret", "tskey-auth-HIDDEN");
    set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let file = home.write("c.toml", "node.client_secret_file = '~/secret'\nnode.tags = ['tag:a']\n");
    let mut by_file = home.command(&["check", "-c", file.to_str().unwrap()]);
    let mut by_variable = home.command(&["check"]);
    by_variable.env("TS_CLIENT_SECRET", "tskey-auth-HIDDEN");
    for command in [&mut by_file, &mut by_variable] {
        let ended = Ended::of(command);
        assert_eq!(ended.code, Some(78));
        assert!(
            ended.err.contains("holds no OAuth client secret, which begins with tskey-client-:"),
            "{ended:?}"
        );
        assert!(!ended.err.contains("HIDDEN") && !ended.err.contains("tskey-auth"), "{ended:?}");
    }
}

/// This does not read the developer's keychain.
#[test]
fn keychain_is_used_last_and_only_if_configured() {
    let home = Home::new();
    let file = home.write("c.toml", "node.keychain = true\nnode.auth_key_file = '~/key'\n");
    let mut command = home.command(&["check", "-c", file.to_str().unwrap()]);
    let joins_with = |ended: Ended, what: &str| assert!(ended.out.contains(what), "{ended:?}");
    joins_with(Ended::of(&mut command), KEYCHAIN);
    home.write("key", "tskey-auth-b");
    joins_with(Ended::of(&mut command), "credential                  auth key from ");
    joins_with(
        Ended::of(command.env("TS_AUTHKEY", "tskey-auth-a")),
        "credential                  auth key from TS_AUTHKEY\n",
    );
    joins_with(home.run(&["check"]), "credential                  none");
}

#[test]
fn key_set_refuses_what_is_no_key() {
    let home = Home::new();
    for (typed, said) in
        [("", "is empty"), ("tskey-auth-HIDDEN b", "one line"), ("tskey-api-HIDDEN", "API access token")]
    {
        let mut command = home.command(&["key", "set"]);
        let text = home.write("typed", typed);
        let ended = Ended::of(command.stdin(std::fs::File::open(text).unwrap()));
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.err.contains(said) && !ended.err.contains("HIDDEN"), "{ended:?}");
    }
    assert_eq!(home.run(&["key", "set", "tskey-auth-HIDDEN"]).code, Some(2));
}

/// On the test's own terminal.
#[test]
fn terminal_echo_is_restored_after_an_interrupted_key_prompt() {
    use std::io::Read;
    use std::process::Stdio;

    use rustix::process::{Pid, Signal, kill_process};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{LocalModes, tcgetattr};

    let home = Home::new();
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&keyboard).unwrap();
    unlockpt(&keyboard).unwrap();
    let name = ptsname(&keyboard, Vec::new()).unwrap();
    let terminal = std::fs::File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let is_shown = || tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ECHO);
    for stop in [Signal::INT, Signal::TERM] {
        let mut command = home.command(&["key", "set"]);
        command.stdin(terminal.try_clone().unwrap()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = child.stderr.take().unwrap();
        let mut prompt = vec![0; "Auth key or OAuth client secret (it is not shown):\n".len()];
        said.read_exact(&mut prompt).unwrap();
        assert!(!is_shown());
        kill_process(Pid::from_child(&child), stop).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert!(is_shown());
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("nothing was stored"), "{rest}");
    }
}

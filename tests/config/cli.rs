//! The command line: the output and exit code of each command.

use remote_ollama_proxy::cli::exit;

use crate::{Ended, Home};

#[test]
fn check_without_a_file_shows_the_defaults() {
    let home = Home::new();
    let ended = home.run(&["check"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let folder = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".config" };
    let file = home.path().join(folder).join("remote-ollama-proxy/config.toml");
    let first =
        format!("config                      the defaults, because {} does not exist\n", file.display());
    assert!(ended.out.starts_with(&first), "{}", ended.out);

    home.write(file.strip_prefix(home.path()).unwrap().to_str().unwrap(), "node.hostname = 'mine'");
    let ended = home.run(&["check"]);
    assert!(
        ended.out.starts_with(&format!(
            "config                      {}\nnode.hostname               mine\n",
            file.display()
        )),
        "{}",
        ended.out
    );
}

#[test]
fn check_warns_of_what_headscale_does_not_have() {
    let home = Home::new();
    let both = "node.service = 'svc:ollama'\nnode.tags = ['tag:a']\nhttps.enabled = true\n";
    for (control, warnings) in [("https://headscale.example.com", 2), ("https://login.tailscale.com", 0)] {
        let config = home.write("c.toml", &format!("node.control_url = '{control}'\n{both}"));
        let ended = home.run(&["check", "--config", config.to_str().unwrap()]);
        assert_eq!((ended.code, ended.err.lines().count()), (Some(0), warnings), "{}", ended.err);
        let has = |part: &str| ended.err.contains(part) == (warnings > 0);
        assert!(has("remove node.service") && has("set https.enabled = false"), "{}", ended.err);
    }
}

#[test]
fn named_config_must_exist() {
    let home = Home::new();
    let missing = home.path().join("missing.toml");
    let folder = home.path().to_str().unwrap();
    let no_text = home.write("bytes.toml", "");
    std::fs::write(&no_text, b"a = '\xff'").unwrap();
    for (path, reason) in [
        (
            missing.to_str().unwrap(),
            "does not exist: name another file with --config, or leave --config out to use the defaults",
        ),
        (folder, "is a folder: name a file in it"),
        (no_text.to_str().unwrap(), "is not UTF-8 text: save it as UTF-8"),
    ] {
        for command in ["check", "run"] {
            let ended = home.run(&[command, "--config", path, "--port", "0"]);
            let expected = format!(
                "{path}: {reason}\n--port: listen.port = 0: expected a port from 1 to 65535\n\
                 remote-ollama-proxy: 2 faults in the config: nothing was done\n"
            );
            assert_eq!((ended.code, ended.err), (Some(78), expected));
        }
    }
}

#[test]
fn commands_reach_the_running_proxy_despite_a_faulty_config() {
    let home = Home::new();
    let file = home.write("c.toml", "listen.port = 0");
    let state = home.path().join("state");
    for command in [&["status"][..], &["top"], &["who"], &["cancel", "1"]] {
        let ended = home.run(&[command, &["--config", file.to_str().unwrap()]].concat());
        assert_eq!(ended.code, Some(exit::CONFIG.into()), "{ended:?}");
        assert!(ended.err.ends_with("its state folder: --config /dev/null --state-dir DIR\n"), "{ended:?}");
    }
    // The command reaches the socket; `top` first needs a terminal.
    let around = ["--config", "/dev/null", "--state-dir", state.to_str().unwrap()];
    for command in [&["status"][..], &["who"], &["cancel", "1"]] {
        let ended = home.run(&[command, &around].concat());
        assert_eq!(ended.code, Some(exit::UNAVAILABLE.into()), "{ended:?}");
        assert!(ended.err.contains("another state folder, name that: --state-dir DIR"), "{ended:?}");
    }
}

#[test]
fn run_refuses_an_invalid_config_before_anything_else() {
    let home = Home::new();
    let state = home.path().join("state");
    let file =
        home.write("c.toml", &format!("node.state_dir = {state:?}\nlisten.port = 0\nlog.level = 'loud'"));
    let file = file.to_str().unwrap();
    let ended = home.run(&["run", "--config", file]);
    assert_eq!(ended, home.run(&["check", "--config", file]));
    assert_eq!((ended.code, ended.out.as_str()), (Some(78), ""));
    assert_eq!(ended.err.lines().count(), 3, "{}", ended.err);
    assert!(!state.exists());
}

#[test]
#[cfg(not(feature = "tailnet"))]
fn run_without_a_node_says_so() {
    let ended = Home::new().run(&["run"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("no tailnet node"), "{}", ended.err);
}

#[test]
fn version_lists_its_parts() {
    let home = Home::new();
    let ended = home.run(&["version"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let first = concat!("remote-ollama-proxy ", env!("CARGO_PKG_VERSION"), "\n");
    let node = if cfg!(feature = "tailnet") { "tailscale.com v1." } else { "no tailnet node" };
    assert!(ended.out.starts_with(&format!("{first}{node}")), "{}", ended.out);
    assert!(ended.out.ends_with(&format!("{} {}\n", std::env::consts::OS, std::env::consts::ARCH)));
    for args in [&["--version"][..], &["-V"], &["run", "--version"]] {
        let ended = home.run(args);
        assert_eq!(ended.code, Some(0));
        assert!(ended.out.ends_with(concat!(env!("CARGO_PKG_VERSION"), "\n")), "{}", ended.out);
    }
}

#[test]
fn help_lists_the_flags_and_exit_codes_of_a_command() {
    let home = Home::new();
    let flags = ["config", "hostname", "state-dir", "control-url", "port", "upstream", "log"];
    let (all, node): (Vec<_>, _) =
        (exit::TABLE.iter().map(|(code, _)| *code).collect(), [67, 69, 73, 77, 78]);
    for (args, shown, codes) in [
        (&["--help"][..], &[][..], &all[..]),
        (&["run", "--help"], &flags, &node),
        (&["help", "run"], &flags, &node),
        (&["check", "--help"], &flags, &[78]),
        (&["status", "--help"], &["config", "state-dir"], &[69, 77, 78]),
        (&["cancel", "--help"], &["config", "state-dir"], &[69, 78]),
        (&["key", "set", "--help"], &["config", "hostname"], &[69, 78]),
        (&["acl", "--help"], &["config", "state-dir", "control-url", "port"], &[65, 78]),
        (&["service", "status", "--help"], &[], &[3, 4, 67, 71]),
    ] {
        let ended = home.run(args);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        let table = ended.out.split_once("Exit codes:\n").unwrap().1.lines();
        let listed: Vec<u8> =
            table.map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect();
        let usual = if codes == all { &[][..] } else { &[0, 1, 2] };
        assert_eq!(listed, [usual, codes].concat(), "{args:?}");
        for name in flags {
            let variable = name.to_uppercase().replace('-', "_");
            let both = [format!("--{name} <"), format!("[env: REMOTE_OLLAMA_PROXY_{variable}]")];
            let there = both.map(|text| ended.out.contains(&text));
            assert_eq!(there, [shown.contains(&name); 2], "{args:?} {name} {}", ended.out);
        }
    }
    let ended = home.run(&["--help"]);
    for (code, meaning) in exit::TABLE {
        let line = format!("  {code:>2} {}\n", meaning.trim_end().trim_end_matches('.'));
        assert!(ended.out.contains(&line), "{line} {}", ended.out);
    }
    // Its meaning is specific to the command.
    for command in ["check", "who", "status", "init", "reload"] {
        let help = home.run(&[command, "--help"]).out;
        assert!(help.ends_with("  78  The config is invalid\n"), "{command} {help}");
        assert!(!help.contains("state folder can't be used"), "{command} {help}");
    }
    assert!(
        home.run(&["run", "--help"]).out.contains("or the tailnet requires a feature that this node lacks")
    );
    // One that is not shown is taken all the same.
    assert_eq!(home.run(&["acl", "--log", "warn"]).code, Some(0));
    assert_eq!(home.run(&["version", "--help"]).code, Some(0));
}

/// Ordered by how soon an operator needs them.
#[test]
fn help_lists_the_most_needed_commands_first() {
    let help = Home::new().run(&["--help"]).out;
    let place =
        |command: &str| help.find(&format!("\n  {command} ")).unwrap_or_else(|| panic!("{command} {help}"));
    let order = ["init", "doctor", "run", "service", "status", "top", "reload", "check", "version"];
    assert!(order.map(place).is_sorted(), "{help}");
}

#[test]
fn completions_without_a_shell_list_the_shells() {
    let ended = Home::new().run(&["completions"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""));
    assert!(ended.err.contains("bash, elvish, fish, powershell, zsh"), "{}", ended.err);
}

#[test]
fn wrong_command_line_exits_with_2() {
    let home = Home::new();
    for args in [
        &[][..],
        &["check", "--unknown"],
        &["serve"],
        &["check", "extra"],
        &["check", "--port"],
        &["version", "-c", "x"],
    ] {
        let ended = home.run(args);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{args:?}");
        assert!(ended.err.contains("--help"), "{}", ended.err);
    }
}

/// As when `head` closes the pipe.
#[test]
fn closed_standard_output_is_no_panic() {
    let home = Home::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = Ended::of(&mut {
        let mut command = home.command(&["check"]);
        command.stdout(writer);
        command
    });
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""));
}

#[test]
fn run_as_root_requires_confirmation() {
    let home = Home::new();
    let invalid = |args: &[&str], variable: Option<&str>| {
        let mut command = home.command(args);
        command.arg("--port=0").env_remove("REMOTE_OLLAMA_PROXY_AS_ROOT");
        variable.into_iter().for_each(|v| _ = command.env("REMOTE_OLLAMA_PROXY_AS_ROOT", v));
        Ended::of(&mut command)
    };
    // Only root is asked.
    let alone = if rustix::process::geteuid().is_root() { exit::ROOT } else { exit::CONFIG };
    for variable in [None, Some("0"), Some("no")] {
        let ended = invalid(&["run"], variable);
        assert_eq!(ended.code, Some(alone.into()), "{variable:?} {}", ended.err);
        assert_eq!(ended.err.contains("with --as-root"), alone == exit::ROOT, "{}", ended.err);
    }
    assert_eq!(invalid(&["run", "--as-root"], None).code, Some(78));
    for yes in ["1", "true", "yes"] {
        assert_eq!(invalid(&["run"], Some(yes)).code, Some(78), "{yes}");
    }
    for word in ["", "2", "maybe"] {
        assert_eq!(invalid(&["run"], Some(word)).code, Some(2), "{word:?}");
    }
    assert_eq!(invalid(&["check"], None).code, Some(78));
    #[cfg(feature = "tailnet")]
    for command in ["login", "logout"] {
        for (args, code) in [(&[command][..], alone), (&[command, "--as-root"], exit::CONFIG)] {
            assert_eq!(invalid(args, None).code, Some(code.into()), "{args:?}");
        }
    }
}

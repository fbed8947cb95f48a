//! Completions for shells, and pages for man(1).

use std::process::{Command, Stdio};

use remote_ollama_proxy::cli::exit;

use crate::Home;

const COMMANDS: &[&str] = &[
    "run",
    #[cfg(feature = "tailnet")]
    "login",
    #[cfg(feature = "tailnet")]
    "logout",
    "key",
    "test-event",
    "check",
    "status",
    "top",
    "cancel",
    "who",
    "report",
    "reload",
    "doctor",
    "acl",
    "init",
    "service",
    "completions",
    "man",
    "version",
];

#[test]
fn shells_accept_their_completions() {
    let home = Home::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ended = home.run(&["completions", shell]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        for command in COMMANDS {
            assert!(ended.out.contains(command), "{shell}: {command}");
        }
    }
    let file = home.write("completions", &home.run(&["completions", "bash"]).out);
    // Bash's completions of a partial word.
    let tried = Command::new("bash")
        .args([
            "--norc",
            "-c",
            "set -e; source \"$0\"; COMP_WORDS=(remote-ollama-proxy ser); COMP_CWORD=1; \
               _remote__ollama__proxy remote-ollama-proxy ser remote-ollama-proxy; echo \"${COMPREPLY[@]}\"",
        ])
        .arg(file)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(tried.stdout).unwrap(),
        "service\n",
        "{}",
        String::from_utf8_lossy(&tried.stderr)
    );
    assert_eq!(home.run(&["completions", "tcsh"]).code, Some(2));
}

#[test]
fn every_command_has_a_manual_page() {
    let home = Home::new();
    let folder = home.path().join("man");
    let ended = home.run(&["man", "--to", folder.to_str().unwrap()]);
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (Some(0), "", ""));
    let page = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    for command in COMMANDS {
        page(&format!("remote-ollama-proxy-{command}.1"));
    }
    for action in ["install", "uninstall", "start", "stop", "status"] {
        let name = format!("remote-ollama-proxy-service-{action}");
        let head = format!("\n.TH {name} 1  \"remote-ollama-proxy {}\" ", env!("CARGO_PKG_VERSION"));
        assert!(page(&format!("{name}.1")).contains(&head), "{head}");
    }
    let first = home.run(&["man"]);
    assert_eq!((first.code, first.out), (Some(0), page("remote-ollama-proxy.1")));
    for name in ["remote-ollama-proxy.1", "remote-ollama-proxy-run.1", "remote-ollama-proxy-acl.1"] {
        assert!(page(name).contains("\n.SH \"EXIT STATUS\"\n"), "{}", page(name));
    }
    let page = page("remote-ollama-proxy.1");
    for (code, meaning) in exit::TABLE {
        let words = meaning.trim().trim_end_matches('.').replace('\'', "\\*(Aq");
        assert!(page.contains(&format!("\\fB{code}\\fR\n{words}")), "{code} {words} {page}");
    }

    let ended = home.run(&["man", "--to", "/dev/null/man"]);
    assert_eq!(ended.code, Some(exit::STATE.into()));
    assert!(ended.err.contains("/dev/null/man: can't be written"), "{}", ended.err);
}

/// Runs groff where it is installed; `every_command_has_a_manual_page` runs everywhere.
#[test]
fn groff_accepts_the_manual_pages() {
    if Command::new("groff").arg("--version").stdout(Stdio::null()).status().is_err() {
        return;
    }
    let home = Home::new();
    let page = home.write("page.1", &home.run(&["man"]).out);
    let made = Command::new("groff")
        .args(["-man", "-ww", "-Tascii", "-P-c", "-P-b", "-P-u"])
        .arg(page)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(made.stderr).unwrap(), "");
    let text = String::from_utf8(made.stdout).unwrap();
    assert!(text.contains("NAME") && text.contains("SYNOPSIS"), "{text}");
}

//! The recipes of packaging/events, with stand-ins for the desktop and the mailer.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use remote_ollama_proxy::events::{EventKind, EventReport, Occurrence};

use crate::Home;
use crate::security::root;

/// A home whose `bin` has programs of these names, which write their arguments and their input to a file.
fn home_with(programs: &[&str]) -> Home {
    let home = Home::new();
    for name in programs {
        let script = "#!/bin/sh\n{ printf '%s\\n' \"$@\"; cat; } >\"$HOME/given\"\n";
        let file = home.write(&format!("bin/{name}"), script);
        fs::set_permissions(file, fs::Permissions::from_mode(0o700)).unwrap();
    }
    home
}

/// Runs a recipe for an event, and returns what the stand-in got.
fn given(home: &Home, recipe: &str, args: &[&str], event: &EventReport) -> String {
    let path = format!("{}:{}", home.path().join("bin").display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(root().join("packaging/events").join(recipe));
    command.args(args).env_clear().env("HOME", home.path()).env("PATH", path);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(event.line().as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{recipe}: {}", String::from_utf8_lossy(&ended.stderr));
    fs::read_to_string(home.path().join("given")).unwrap()
}

/// An event about a device whose name tries to be markup, a command and a header.
fn hostile() -> EventReport {
    let mut event = EventReport::sample(EventKind::AccessGained, "proxy.example.ts.net").event;
    let Occurrence::AccessGained(access) = &mut event.occurrence else { panic!("{event:?}") };
    access.peer.node = "<b>$(touch \"$HOME/touched\")\nBcc: eve@example.com".to_owned();
    EventReport::new(event, "proxy.example.ts.net", 0)
}

#[test]
fn desktop_recipe_shows_the_message_of_each_event() {
    let home = home_with(&["notify-send"]);
    for kind in EventKind::ALL {
        let event = EventReport::sample(kind, "proxy.example.ts.net");
        let shown = given(&home, "desktop-linux.sh", &[], &event);
        // Versions of jq escape the apostrophe differently.
        let shown =
            shown.replace("&quot;", "\"").replace("&apos;", "'").replace("&#39;", "'").replace("&amp;", "&");
        let wanted =
            format!("--app-name=remote-ollama-proxy\n--\nOllama in the tailnet\n{}\n", event.message);
        assert_eq!(shown, wanted);
    }
    let shown = given(&home, "desktop-linux.sh", &[], &hostile());
    assert!(shown.contains("&lt;b&gt;$(touch &quot;$HOME/touched&quot;)") && !shown.contains('<'), "{shown}");
    assert!(shown.lines().count() == 4 && !home.path().join("touched").exists(), "{shown}");
}

#[test]
fn mail_recipe_mails_each_event() {
    let home = home_with(&["sendmail"]);
    for kind in EventKind::ALL {
        let event = EventReport::sample(kind, "proxy.example.ts.net");
        let mail = given(&home, "mail.sh", &["you@example.com"], &event);
        let subject = format!("Subject: [proxy.example.ts.net] {}", kind.name());
        assert!(
            mail.starts_with(&format!("-i\n-t\nTo: you@example.com\n{subject}\nMIME-Version: 1.0\n")),
            "{mail}"
        );
        let (_, body) = mail.split_once("\n\n").unwrap();
        let (message, json) = body.split_once("\n\n").unwrap();
        assert_eq!(message, event.message);
        assert_eq!(serde_json::from_str::<EventReport>(json).unwrap().line(), event.line());
    }
    let mail = given(&home, "mail.sh", &["you@example.com"], &hostile());
    assert!(!mail.contains("\nBcc:") && !home.path().join("touched").exists(), "{mail}");
}

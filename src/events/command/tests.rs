use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::*;

/// A limit that no test reaches.
const LONG: Duration = Duration::from_secs(600);

fn shell(script: &str, args: &[&str]) -> EventCommand {
    let args = ["-c", script, "sh"].into_iter().chain(args.iter().copied()).map(str::to_owned);
    EventCommand { program: "/bin/sh".into(), args: args.collect() }
}

#[tokio::test]
async fn command_gets_the_input_and_its_arguments_without_a_shell() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("got");
    let hostile = "$(touch /tmp/x); `id` \"'";
    let command = shell("cat >\"$1\"; printf %s \"$2\" >>\"$1\"", &[file.to_str().unwrap(), hostile]);
    let run = command.run("{\"event\":\"x\"}\n", LONG).await;
    assert!(run.outcome.is_ok(), "{run:?}");
    let got = std::fs::read_to_string(file).unwrap();
    assert_eq!(got, format!("{{\"event\":\"x\"}}\n{hostile}"));
}

#[tokio::test]
async fn failure_has_the_status_and_the_printable_end_of_standard_error() {
    let run = shell("printf 'a\\n\\033[31mb\\n' >&2; exit 3", &[]).run("", LONG).await;
    assert!(matches!(&run.outcome, Err(RunFault::Failed(status)) if status.code() == Some(3)), "{run:?}");
    assert_eq!(run.stderr, "a; \\u001b[31mb");
    let long = shell("head -c 100000 /dev/zero | tr '\\0' x >&2; printf end >&2; exit 1", &[]);
    let run = long.run("", LONG).await;
    assert!(run.stderr.len() == OUTPUT_MAX && run.stderr.ends_with("xend"), "{run:?}");
}

#[tokio::test]
async fn command_that_reads_nothing_succeeds() {
    let run = EventCommand { program: "/bin/true".into(), args: Vec::new() };
    let run = if Path::new("/bin/true").exists() { run } else { shell("exit 0", &[]) };
    let run = run.run(&"x".repeat(1 << 20), LONG).await;
    assert!(run.outcome.is_ok(), "{run:?}");
}

#[tokio::test]
async fn program_that_cannot_be_started_is_a_failure() {
    let run = EventCommand { program: "/nowhere/notify".into(), args: Vec::new() }.run("", LONG).await;
    assert!(matches!(run.outcome, Err(RunFault::Start(_))), "{run:?}");
}

#[tokio::test]
async fn environment_has_only_the_listed_variables() {
    let run = EventCommand { program: "/usr/bin/env".into(), args: Vec::new() }.run("", LONG).await;
    let names: BTreeSet<_> = run.stdout.split("; ").filter_map(|line| line.split_once('=')).collect();
    assert!(names.iter().any(|(name, _)| *name == "PATH"), "{run:?}");
    for (name, _) in names {
        assert!(name == "PATH" || INHERITED.contains(&name), "{name} in {run:?}");
    }
}

/// The test may itself have inherited descriptors that are no concern of the program.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn command_inherits_no_file_and_no_socket_of_the_program() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let _listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let _runtimes_own = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let command = EventCommand { program: "/bin/ls".into(), args: vec!["-l".into(), "/proc/self/fd".into()] };
    let shown = command.run("", LONG).await.stdout;
    assert!(shown.contains(" 0 -> pipe:") && shown.contains(" 2 -> pipe:"), "{shown}");
    for own in [file.path().to_str().unwrap(), "socket:", "eventpoll"] {
        assert!(!shown.contains(own), "{own}: {shown}");
    }
}

/// Both the command and a process that it has started hold a pipe, whose other end is read here.
#[tokio::test]
async fn whole_process_group_is_killed_at_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let script = "exec 9>\"$1\"; sleep 100000 & echo up >&9; sleep 100000";
    let command = shell(script, &[fifo.to_str().unwrap()]);
    let run = tokio::spawn(async move { command.run("", LONG).await });
    let mut reader = spawn_blocking(|| {
        let mut reader = BufReader::new(std::fs::File::open(fifo).unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        reader
    })
    .await
    .unwrap();
    tokio::time::pause();
    tokio::time::advance(LONG).await;
    let run = run.await.unwrap();
    assert!(matches!(run.outcome, Err(RunFault::TimedOut(LONG))), "{run:?}");
    reader.read_to_string(&mut String::new()).unwrap(); // ends only once no process holds the pipe
}

/// As at a stop, when the time to close is over.
#[tokio::test]
async fn cancelled_run_kills_its_process_group() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let command = shell("exec 9>\"$1\"; sleep 100000", &[fifo.to_str().unwrap()]);
    let run = tokio::spawn(async move { command.run("", LONG).await });
    let mut opened = spawn_blocking(|| std::fs::File::open(fifo).unwrap()).await.unwrap();
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    spawn_blocking(move || opened.read_to_string(&mut String::new()).unwrap()).await.unwrap();
}

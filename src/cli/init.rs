//! `init`: writes a config, which is config.example.toml with the answers filled in.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::root::is_root;
use super::{complain, exit, refuse_over, show};
use crate::auth::Environment;
use crate::config::{self, ConfigFaults, Override};

const EXAMPLE: &str = include_str!("../../config.example.toml");

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The file to write [default: config.toml in the user's config folder]
    #[arg(short, long, value_name = "FILE", env = "REMOTE_OLLAMA_PROXY_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Name of the node in the tailnet (node.hostname)
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Ollama: `http://127.0.0.1:PORT` or unix:/PATH (upstream.url)
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// The file with the auth key [default: key, next to the config]
    #[arg(long, value_name = "FILE")]
    auth_key_file: Option<String>,
    /// Control server, if it is not Tailscale's (node.control_url)
    #[arg(long, value_name = "URL")]
    control_url: Option<String>,
    /// What a peer without a grant may ask: all allowed endpoints (network) or nothing (grants); access.mode
    /// [default: network]
    #[arg(long, value_enum)]
    access: Option<AccessMode>,
    /// Replace an existing config
    #[arg(long)]
    force: bool,
    /// Do not prompt; the default if standard input is not a terminal
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AccessMode {
    Grants,
    Network,
}

/// A setting that `init` writes.
#[derive(Clone)]
struct Setting {
    key: &'static str,
    flag: &'static str,
    question: &'static str,
    /// The given value, or else the default.
    value: String,
    /// Whether the value is from the command line.
    is_given: bool,
}

pub(super) fn init(args: &InitArgs) -> u8 {
    let Some(path) = args.config.clone().or_else(config::default_path) else {
        complain("remote-ollama-proxy: this account has no home folder: name a file with --config");
        return exit::FAILURE;
    };
    if path.exists() && !args.force {
        return exists(&path);
    }
    let mut settings = settings(args, &path);
    let prompts = !args.yes && io::stdin().is_terminal();
    if prompts && ask(&mut settings, &mut io::stdin().lock(), &mut io::stderr()).is_err() {
        complain("\nremote-ollama-proxy: the input ended before the last answer: nothing was written");
        return exit::FAILURE;
    }
    if let Err(faults) = check(&settings) {
        return refuse_over(&faults.faults, "nothing was written");
    }
    match write(&path, &text(&settings), args.force) {
        Ok(()) => show(&next(&path, args.config.is_some(), &settings)),
        // The error also occurs if a parent folder is a file.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.exists() => exists(&path),
        Err(e) => {
            complain(&format!(
                "remote-ollama-proxy: {}: can't be written: {e}: name another file with --config",
                path.display()
            ));
            exit::STATE
        }
    }
}

fn exists(path: &Path) -> u8 {
    complain(&format!(
        "remote-ollama-proxy: {}: exists already and was not changed: replace it with --force, or name another file with --config",
        path.display()
    ));
    exit::STATE
}

fn settings(args: &InitArgs, path: &Path) -> [Setting; 5] {
    let setting = |key, flag, question, given: &Option<String>, default: &str| Setting {
        key,
        flag,
        question,
        value: given.clone().unwrap_or_else(|| default.to_owned()),
        is_given: given.is_some(),
    };
    let key_file = in_home(&std::path::absolute(path).unwrap_or_default().with_file_name("key"));
    let access = args.access.and_then(|access| Some(access.to_possible_value()?.get_name().to_owned()));
    [
        setting("node.hostname", "--hostname", "Name in the tailnet", &args.hostname, "remote-ollama-proxy"),
        setting("upstream.url", "--upstream", "Ollama", &args.upstream, "http://127.0.0.1:11434"),
        setting(
            "node.auth_key_file",
            "--auth-key-file",
            "File with the auth key",
            &args.auth_key_file,
            &key_file,
        ),
        setting(
            "node.control_url",
            "--control-url",
            "Control server, if not Tailscale's",
            &args.control_url,
            "",
        ),
        setting(
            "access.mode",
            "--access",
            "What a peer without a grant may ask: all allowed endpoints (network), or nothing (grants)",
            &access,
            "network",
        ),
    ]
}

/// The path, with `~` for the home folder.
fn in_home(path: &Path) -> String {
    match dirs::home_dir().and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned)) {
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}

/// Prompts for each setting without a flag, until its answer is valid.
fn ask(settings: &mut [Setting], answers: &mut impl BufRead, out: &mut impl Write) -> io::Result<()> {
    for setting in settings.iter_mut().filter(|setting| !setting.is_given) {
        loop {
            let value = prompt(setting, answers, out)?;
            let answered = Setting { value, ..setting.clone() };
            match check(std::slice::from_ref(&answered)) {
                Ok(()) => {
                    *setting = answered;
                    break;
                }
                Err(faults) => writeln!(out, "{faults}")?,
            }
        }
    }
    Ok(())
}

/// Prompts once. An empty answer means the default.
fn prompt(setting: &Setting, answers: &mut impl BufRead, out: &mut impl Write) -> io::Result<String> {
    let Setting { question, value: default, .. } = setting;
    let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
    write!(out, "{question}{shown}: ")?;
    out.flush()?;
    let mut answer = String::new();
    if answers.read_line(&mut answer)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let answer = answer.trim();
    Ok(if answer.is_empty() { default.clone() } else { answer.to_owned() })
}

/// Checks the values as the config does.
fn check(settings: &[Setting]) -> Result<(), ConfigFaults> {
    let given = settings.iter().filter(|setting| !setting.value.is_empty());
    let values = given.map(|s| Override { key: s.key, value: s.value.clone(), source: s.flag.to_owned() });
    // An empty file: only these values are checked.
    config::load(Some(Path::new("/dev/null")), &values.collect::<Vec<_>>(), &Environment::default())
        .map(|_| ())
}

/// The example with the `#` removed from each setting that has a value.
fn text(settings: &[Setting]) -> String {
    let mut section = "";
    let mut text = String::new();
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        let key = line.strip_prefix('#').and_then(|rest| rest.split_once(" = ")).map(|(key, _)| key);
        let set = settings.iter().find(|s| {
            !s.value.is_empty()
                && s.key.split_once('.').is_some_and(|(place, name)| place == section && Some(name) == key)
        });
        match (set, key) {
            // Every JSON string is valid TOML.
            (Some(set), Some(key)) => {
                text += &format!("{key} = {}\n", serde_json::Value::from(set.value.as_str()))
            }
            _ => text += &format!("{line}\n"),
        }
    }
    text
}

fn write(path: &Path, text: &str, force: bool) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    let mut file = OpenOptions::new();
    // `create_new` keeps a file that another process created meanwhile.
    let file =
        if force { file.write(true).create(true).truncate(true) } else { file.write(true).create_new(true) };
    file.mode(0o600).open(path)?.write_all(text.as_bytes())
}

/// The next steps.
fn next(path: &Path, is_named: bool, settings: &[Setting]) -> String {
    let key =
        settings.iter().find(|s| s.key == "node.auth_key_file").map(|s| s.value.as_str()).unwrap_or_default();
    let named =
        if is_named { format!(" --config {}", quoted(&path.to_string_lossy())) } else { String::new() };
    let root = if is_root() {
        "note: `run` and `service` refuse root: take these steps from an ordinary account\n"
    } else {
        ""
    };
    format!(
        "written: {}\n\
         1. allow peers: remote-ollama-proxy acl{named} prints the entries for the tailnet policy file\n\
         2. put a tagged single-use auth key into {key}: run this command, paste the key, then press Enter and Ctrl-D:\n   \
            (umask 077 && cat > {})\n\
         3. review the set-up: remote-ollama-proxy doctor{named}\n\
         4. keep the proxy running: remote-ollama-proxy service install{named}\n\
         {root}",
        path.display(),
        quoted(key)
    )
}

/// A path as one word of a shell command. The shell expands `~` only outside of quotation marks.
fn quoted(path: &str) -> String {
    let (tilde, rest) = path.strip_prefix("~/").map_or(("", path), |rest| ("~/", rest));
    // Fails only for a NUL byte, which no path of a valid config has.
    format!("{tilde}{}", shlex::try_quote(rest).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_one_word_of_a_shell_command() {
        for (path, word) in [
            ("~/.config/a/key", "~/.config/a/key"),
            ("~/Library/Application Support/key", "~/'Library/Application Support/key'"),
            ("/it's", r#""/it's""#),
        ] {
            assert_eq!(quoted(path), word);
        }
    }
}

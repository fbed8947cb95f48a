//! `service install`: writes the manager's files and starts the services.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::super::{complain, exit, found, refuse, show};
use super::config_arg::ConfigArg;
use super::reach;
use crate::auth::CredentialSource;
use crate::config::{self, Config};
use crate::service::{Confinement, ManagedService, Manager, Reach, ServiceFault, TemplateValues};

#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Keep Ollama running too, listening at upstream.url; PATH names its binary if it is not found
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    with_ollama: Option<Option<PathBuf>>,
    /// The proxy's binary [default: this one]
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// Print the files instead of installing them
    #[arg(long)]
    pub(super) print: bool,
}

pub(super) fn install(args: &InstallArgs, services: &[ManagedService; 2]) -> Result<u8, ServiceFault> {
    // The service sees neither the flags nor the variables of this session.
    let file = args.config.file();
    let variables = if args.print { BTreeMap::new() } else { services[1].variables() };
    let variable = |name: &str| variables.get(name).map(PathBuf::from);
    let config = match config::load_for_service(file.as_deref(), variable) {
        Ok(config) => config,
        Err(faults) => return Ok(refuse(&faults)),
    };
    let values = match values(args, file, &config) {
        Ok(values) => values,
        Err(reason) => return Ok(fail(&reason)),
    };
    let [ollama, proxy] = services;
    let wanted = if args.with_ollama.is_some() { &services[..] } else { std::slice::from_ref(proxy) };
    let texts = wanted.iter().map(|service| service.render(&values)).collect::<Result<Vec<_>, _>>()?;
    if args.print {
        return Ok(show(&texts.join("\n")));
    }
    if args.with_ollama.is_some() && !ollama.state()?.is_running() && is_taken(&values.address) {
        return Ok(fail(&format!(
            "--with-ollama: {} is taken, most likely by another Ollama (the application, Homebrew, or a system \
             unit): stop and disable it, or leave --with-ollama out",
            values.address
        )));
    }
    let confinement = confine(proxy, &config, &values)?;
    let mut text = String::new();
    for (service, content) in wanted.iter().zip(&texts) {
        let file = service.install(content)?;
        text += &format!("installed and started: {}\n  log: {}\n", file.display(), service.log());
    }
    Ok(show(&(text + &confinement + &notes(proxy, &config))))
}

/// Confines the proxy to the folders that it writes to, unless that would hinder it or change nothing. Returns what to say.
fn confine(proxy: &ManagedService, config: &Config, values: &TemplateValues) -> Result<String, ServiceFault> {
    if let Some(reason) = reach::obstacle(config, values, &proxy.account.home) {
        proxy.release()?;
        return Ok(format!("  not confined to its folders{reason}\n"));
    }
    let folders = reach::written(config).into_iter().map(|(_, folder)| folder).collect();
    let reach = Reach { folders, session_bus: config.node.keychain };
    Ok(match proxy.confine(&reach)? {
        None => String::new(),
        Some(Confinement::Confined(file)) => {
            // A unit can't create them, because the folders around them are read-only.
            reach.folders.iter().try_for_each(|folder| make_private(folder))?;
            confined(&reach, &file)
        }
        Some(Confinement::Open(reason)) => format!("  not confined to its folders: {reason}\n"),
    })
}

fn confined(reach: &Reach, file: &Path) -> String {
    let folders: Vec<_> = reach.folders.iter().map(|folder| folder.display().to_string()).collect();
    let mut text = format!(
        "  confined: it writes only to {}, and below /dev and /proc ({})\n",
        folders.join(", "),
        file.display()
    );
    if reach.session_bus {
        text += "  but node.keychain needs the session's D-Bus, through which it could start programs that are not confined\n";
    }
    text
}

fn make_private(folder: &Path) -> Result<(), ServiceFault> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|reason| ServiceFault::File { path: folder.to_owned(), reason })
}

fn fail(reason: &str) -> u8 {
    complain(&format!("remote-ollama-proxy: {reason}"));
    exit::FAILURE
}

/// The values for the templates; Ollama's are empty without `--with-ollama`.
fn values(args: &InstallArgs, file: Option<PathBuf>, config: &Config) -> Result<TemplateValues, String> {
    let mut values = TemplateValues { config: file, ..TemplateValues::default() };
    if let Some(named) = &args.with_ollama {
        (values.ollama, values.address) =
            ollama(named.as_deref(), config).map_err(|reason| format!("--with-ollama: {reason}"))?;
    }
    let program = args.program.as_deref().map(std::path::absolute).unwrap_or_else(found::this_program);
    values.program = program
        .map_err(|error| format!("the path of this program is unknown: {error}: name it with --program"))?;
    Ok(values)
}

/// Hints on the next steps.
fn notes(proxy: &ManagedService, config: &Config) -> String {
    let mut notes = String::new();
    let node = &config.node;
    if node.credential.credential().is_none() && !node.state_dir.join("tailscaled.state").exists() {
        let way_out = match &node.credential {
            CredentialSource::MissingFile(path) => format!("put an auth key into {}", path.display()),
            _ => "set node.auth_key_file".to_owned(),
        };
        notes += &format!(
            "next: the node has not joined a tailnet, and the service has no key (credential: {}): {way_out}, or run \
             `remote-ollama-proxy login`\n",
            node.credential
        );
    }
    if !proxy.outlives_login() {
        notes += match proxy.manager {
            Manager::Launchd => "it runs while you are logged in at the Mac's screen\n",
            Manager::Systemd => {
                "it runs while you are logged in; to run it from boot on: loginctl enable-linger\n"
            }
        };
    }
    notes + "status: remote-ollama-proxy service status\n"
}

/// Ollama's binary, and the address for it to listen at.
fn ollama(named: Option<&Path>, config: &Config) -> Result<(PathBuf, String), String> {
    let url = config.upstream.to_string();
    let Some(address) = url.strip_prefix("http://") else {
        return Err(format!(
            "upstream.url is {url:?}, but Ollama listens on TCP only: set it to http://127.0.0.1:11434"
        ));
    };
    let program = match named {
        Some(path) => std::path::absolute(path)
            .ok()
            .filter(|path| path.is_file())
            .ok_or_else(|| format!("{} does not exist: name Ollama's binary", path.display())),
        None => found::ollama().ok_or_else(|| {
            "ollama is neither in PATH nor where Homebrew and its application install it: name it with --with-ollama=PATH"
                .to_owned()
        }),
    };
    Ok((program?, address.to_owned()))
}

fn is_taken(address: &str) -> bool {
    let mut addresses = address.to_socket_addrs().into_iter().flatten();
    addresses.any(|address| TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok())
}

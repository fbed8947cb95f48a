//! `service install`.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::super::{complain, exit, found, refuse, show};
use super::ConfigArg;
use crate::auth::{CredentialSource, Environment};
use crate::config::{self, Config};
use crate::service::{ManagedService, Manager, ServiceFault, TemplateValues};

#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Keep Ollama running too, on loopback where the proxy looks for it; PATH if it is not found
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    with_ollama: Option<Option<PathBuf>>,
    /// The proxy's binary [default: this one]
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// Print what would be written, and do nothing
    #[arg(long)]
    pub(super) print: bool,
}

pub(super) fn install(args: &InstallArgs, services: &[ManagedService; 2]) -> Result<u8, ServiceFault> {
    // As the service will read it: without the flags, variables and keys of this session.
    let file = args.config.file();
    let config = match config::load(file.as_deref(), &[], &Environment::default()) {
        Ok(config) => config,
        Err(faults) => return Ok(refuse(&faults)),
    };
    let [ollama, proxy] = services;
    let mut values = TemplateValues { config: file, ..TemplateValues::default() };
    let wanted: &[ManagedService] = match &args.with_ollama {
        None => std::slice::from_ref(proxy),
        Some(named) => match ollama_of(named.as_deref(), &config) {
            Ok((program, address)) => {
                (values.ollama, values.address) = (program, address);
                services
            }
            Err(reason) => {
                complain(&format!("remote-ollama-proxy: --with-ollama: {reason}"));
                return Ok(exit::FAILURE);
            }
        },
    };
    values.program =
        match args.program.as_deref().map(std::path::absolute).unwrap_or_else(found::this_program) {
            Ok(program) => program,
            Err(error) => {
                complain(&format!(
                    "remote-ollama-proxy: where this program is can't be told: {error}: say it with --program"
                ));
                return Ok(exit::FAILURE);
            }
        };
    let texts = wanted.iter().map(|service| service.render(&values)).collect::<Result<Vec<_>, _>>()?;
    if args.print {
        return Ok(show(&texts.join("\n")));
    }
    if wanted.len() > 1 && !ollama.state()?.is_running() && is_taken(&values.address) {
        complain(&format!(
            "remote-ollama-proxy: --with-ollama: {} is taken, most likely by an Ollama that something else keeps \
             running (its application, Homebrew, a unit of the system): stop that for good, or leave --with-ollama away",
            values.address
        ));
        return Ok(exit::FAILURE);
    }
    let mut text = String::new();
    for (service, content) in wanted.iter().zip(&texts) {
        let file = service.install(content)?;
        text += &format!("installed and started: {}\n  log: {}\n", file.display(), service.log());
    }
    Ok(show(&(text + &notes(proxy, &config))))
}

/// What somebody may have to do yet.
fn notes(proxy: &ManagedService, config: &Config) -> String {
    let mut notes = String::new();
    let node = &config.node;
    if node.credential.credential().is_none() && !node.state_dir.join("tailscaled.state").exists() {
        let way_out = match &node.credential {
            CredentialSource::MissingFile(path) => format!("put an auth key into {}", path.display()),
            _ => "set node.auth_key_file".to_owned(),
        };
        notes += &format!(
            "to do: the node is in no tailnet yet, and the service has no key (joins with {}): {way_out}, or run \
             `remote-ollama-proxy login`\n",
            node.credential
        );
    }
    if !proxy.outlives_login() {
        notes += match proxy.manager {
            Manager::Launchd => "it runs while you are logged in at the Mac's screen\n",
            Manager::Systemd => {
                "it runs while you are logged in; from the machine's start on: loginctl enable-linger\n"
            }
        };
    }
    notes + "how it does: remote-ollama-proxy service status\n"
}

/// Ollama's binary, and where it has to listen for this config.
fn ollama_of(named: Option<&Path>, config: &Config) -> Result<(PathBuf, String), String> {
    let url = config.upstream.to_string();
    let Some(address) = url.strip_prefix("http://") else {
        return Err(format!(
            "upstream.url is {url:?}, and Ollama listens on TCP only: set it to http://127.0.0.1:11434"
        ));
    };
    let program = match named {
        Some(path) => std::path::absolute(path)
            .ok()
            .filter(|path| path.is_file())
            .ok_or_else(|| format!("{}: there is no such file: name Ollama's binary", path.display())),
        None => found::ollama().ok_or_else(|| {
            "no ollama in PATH, nor where Homebrew and its application put it: say --with-ollama=PATH"
                .to_owned()
        }),
    };
    Ok((program?, address.to_owned()))
}

fn is_taken(address: &str) -> bool {
    let mut addresses = address.to_socket_addrs().into_iter().flatten();
    addresses.any(|address| TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok())
}

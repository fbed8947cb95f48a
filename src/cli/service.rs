//! `service`: installs and controls the services that keep the proxy running.

mod config_arg;
mod install;
mod reach;
mod status;

use clap::{Args, Subcommand};

use config_arg::ConfigArg;

use super::root::is_root;
use super::{complain, exit, show};
use crate::auth::Environment;
use crate::config;
use crate::service::{Account, ManagedService, Manager, Part, ServiceFault};

const PARTS: [Part; 2] = [Part::Ollama, Part::Proxy];

#[derive(Debug, Args)]
pub(super) struct ServiceArgs {
    #[command(subcommand)]
    action: Action,
    /// For tests, and to print the files of the other system
    #[arg(long, global = true, hide = true, value_enum, default_value_t = Manager::native())]
    manager: Manager,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Install or update the service, and start it.
    #[command(after_help = exit::of(&[exit::ROOT, exit::MANAGER, exit::STATE, exit::CONFIG]))]
    Install(install::InstallArgs),
    /// Stop and remove the service, but keep config, state folder and log.
    #[command(after_help = exit::of(&[exit::ROOT, exit::MANAGER, exit::STATE]))]
    Uninstall(ConfigArg),
    /// Start the service.
    #[command(after_help = exit::of(&[exit::NOT_INSTALLED, exit::ROOT, exit::MANAGER]))]
    Start,
    /// Stop the service until the next login or `start`.
    #[command(after_help = exit::of(&[exit::NOT_INSTALLED, exit::ROOT, exit::MANAGER]))]
    Stop,
    /// Show whether the service is installed and running, its last exit code, and its log.
    #[command(after_help = exit::of(&[exit::NOT_RUNNING, exit::NOT_INSTALLED, exit::ROOT, exit::MANAGER]))]
    Status,
}

pub(super) fn service(args: &ServiceArgs) -> u8 {
    let printing = matches!(&args.action, Action::Install(install) if install.print);
    if is_root() && !printing {
        complain(
            "remote-ollama-proxy: service: refused to root: the service belongs to the ordinary account that runs the \
             proxy: log in as that account and run the command again",
        );
        return exit::ROOT;
    }
    let Some(account) = Account::of_process() else {
        complain("remote-ollama-proxy: service: this account has no home folder: set HOME");
        return exit::FAILURE;
    };
    let services = PARTS.map(|part| ManagedService { account: account.clone(), manager: args.manager, part });
    let done = match &args.action {
        Action::Install(args) => install::install(args, &services),
        Action::Uninstall(args) => uninstall(args, &services),
        Action::Start => each_installed(&services, ManagedService::start),
        Action::Stop => {
            let [ollama, proxy] = services;
            each_installed(&[proxy, ollama], ManagedService::stop)
        }
        Action::Status => status::status(&services),
    };
    done.unwrap_or_else(|fault| {
        complain(&format!("remote-ollama-proxy: service: {fault}"));
        match fault {
            ServiceFault::ToolMissing { .. }
            | ServiceFault::Refused { .. }
            | ServiceFault::StillRunning { .. } => exit::MANAGER,
            ServiceFault::File { .. } => exit::STATE,
            ServiceFault::UnsupportedPath { .. } => exit::FAILURE,
        }
    })
}

fn uninstall(args: &ConfigArg, [ollama, proxy]: &[ManagedService; 2]) -> Result<u8, ServiceFault> {
    let mut text = String::new();
    let mut left = Vec::new();
    for service in [proxy, ollama] {
        if service.uninstall()? {
            text += &format!("stopped and removed: {}\n", service.name());
            left.extend(service.state()?.file.map(|file| ("of a package", file)));
            left.extend(service.log_file().map(|log| ("log", log)));
        }
    }
    if text.is_empty() {
        text += "nothing is installed\n";
    }
    let file = args.file();
    if let Ok(config) = config::load(file.as_deref(), &[], &Environment::default()) {
        left.push(("state folder, with the node's keys", config.node.state_dir));
    }
    left.extend(file.or_else(config::default_path).map(|file| ("config", file)));
    for (what, path) in left.iter().filter(|(_, path)| path.exists()) {
        text += &format!("kept: {} ({what})\n", path.display());
    }
    Ok(show(&text))
}

fn each_installed(
    services: &[ManagedService],
    act: fn(&ManagedService) -> Result<(), ServiceFault>,
) -> Result<u8, ServiceFault> {
    let mut code = exit::NOT_INSTALLED;
    for service in services {
        if service.state()?.is_installed() {
            act(service)?;
            code = exit::OK;
        }
    }
    if code == exit::NOT_INSTALLED {
        complain(
            "remote-ollama-proxy: service: nothing is installed: run remote-ollama-proxy service install",
        );
    }
    Ok(code)
}

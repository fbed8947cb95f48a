//! Units of the account's systemd, through systemctl(1).

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::file::{remove, write};
use super::sandbox;
use super::tool::run_tool;
use super::{LastExit, ManagedService, RunState, ServiceFault, ServiceState};

const TOOL: &str = "systemctl";
const HINT: &str = "; systemd starts an account's manager at its login: log in as this account at the screen or by ssh, not through su or sudo";

const PROPERTIES: &str =
    "--property=LoadState,FragmentPath,ActiveState,SubState,MainPID,ExecMainCode,ExecMainStatus";

pub(super) fn install(service: &ManagedService, text: &str) -> Result<PathBuf, ServiceFault> {
    let own = service.file();
    // An identical unit of a package is used as it is, because updates of the package would not reach a copy.
    let packaged = state(service)?.file.filter(|file| *file != own);
    let packaged = packaged.filter(|file| fs::read_to_string(file).is_ok_and(|packaged| packaged == text));
    if packaged.is_none() {
        write(&own, text)?;
    }
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", service.name()])?;
    // A running service is restarted too, because its program may be older than the installed one.
    systemctl(&["restart", service.name()])?;
    Ok(packaged.unwrap_or(own))
}

pub(super) fn uninstall(service: &ManagedService) -> Result<bool, ServiceFault> {
    if !state(service)?.is_installed() {
        return Ok(false);
    }
    systemctl(&["disable", "--now", service.name()])?;
    remove(&service.file())?;
    sandbox::release(service)?;
    systemctl(&["daemon-reload"])?;
    Ok(true)
}

pub(super) fn start(service: &ManagedService) -> Result<(), ServiceFault> {
    systemctl(&["start", service.name()]).map(|_| ())
}

pub(super) fn stop(service: &ManagedService) -> Result<(), ServiceFault> {
    systemctl(&["stop", service.name()]).map(|_| ())
}

pub(super) fn state(service: &ManagedService) -> Result<ServiceState, ServiceFault> {
    let shown = systemctl(&["show", PROPERTIES, service.name()])?;
    let property = |name: &str| {
        let mut properties = shown.lines().filter_map(|line| line.split_once('='));
        properties.find(|(n, _)| *n == name).map(|(_, value)| value).unwrap_or_default()
    };
    if property("LoadState") == "not-found" {
        return Ok(ServiceState::absent());
    }
    let run = match (property("ActiveState"), property("MainPID").parse()) {
        ("active", Ok(pid)) if pid != 0 => RunState::Running(pid),
        (active, _) => RunState::Stopped(format!("{active} ({})", property("SubState"))),
    };
    // CLD_EXITED, CLD_KILLED and CLD_DUMPED of sigaction(2); 0 before the first exit.
    let last = match (property("ExecMainCode"), property("ExecMainStatus")) {
        ("1", code) => code.parse().ok().map(LastExit::Code),
        ("2" | "3", signal) => Some(LastExit::Signal(signal.to_owned())),
        _ => None,
    };
    Ok(ServiceState { file: Some(property("FragmentPath").into()), run, last })
}

/// The variables that services get from systemd. It escapes values with unusual characters, which are left out.
pub(super) fn variables() -> BTreeMap<String, String> {
    let shown = systemctl(&["show-environment"]).unwrap_or_default();
    let pairs = shown.lines().filter_map(|line| line.split_once('='));
    let plain = pairs.filter(|(_, value)| !value.starts_with("$'"));
    plain.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Whether the account's systemd runs without a login. `false` if loginctl fails.
pub(super) fn lingers(uid: u32) -> bool {
    run_tool("loginctl", &["show-user", &uid.to_string(), "--property=Linger"])
        .is_ok_and(|a| a.out == "Linger=yes")
}

fn systemctl(args: &[&str]) -> Result<String, ServiceFault> {
    run_tool(TOOL, &[&["--user"], args].concat())?.ok(HINT)
}

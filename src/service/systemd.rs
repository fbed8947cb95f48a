//! Units of the account's own systemd, through systemctl(1).

use std::fs;
use std::path::PathBuf;

use super::call::call;
use super::{Fault, Last, Run, Service, State, remove, write};

const TOOL: &str = "systemctl";
const HINT: &str = "; an account's systemd begins with its login: log in as this account, at the screen or by ssh, not through su or sudo";

const PROPERTIES: &str =
    "--property=LoadState,FragmentPath,ActiveState,SubState,MainPID,ExecMainCode,ExecMainStatus";

pub(super) fn install(service: &Service, text: &str) -> Result<PathBuf, Fault> {
    let own = service.file();
    // A package's unit that says the same is better than a copy, which no update of the package would reach.
    let packaged = state(service)?.file.filter(|file| *file != own);
    let packaged = packaged.filter(|file| fs::read_to_string(file).is_ok_and(|packaged| packaged == text));
    if packaged.is_none() {
        write(&own, text)?;
    }
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", service.name()])?;
    // Also one that runs: it may be of another version now.
    systemctl(&["restart", service.name()])?;
    Ok(packaged.unwrap_or(own))
}

pub(super) fn uninstall(service: &Service) -> Result<bool, Fault> {
    if !state(service)?.is_installed() {
        return Ok(false);
    }
    systemctl(&["disable", "--now", service.name()])?;
    remove(&service.file())?;
    systemctl(&["daemon-reload"])?;
    Ok(true)
}

pub(super) fn start(service: &Service) -> Result<(), Fault> {
    systemctl(&["start", service.name()]).map(|_| ())
}

pub(super) fn stop(service: &Service) -> Result<(), Fault> {
    systemctl(&["stop", service.name()]).map(|_| ())
}

pub(super) fn state(service: &Service) -> Result<State, Fault> {
    let shown = systemctl(&["show", PROPERTIES, service.name()])?;
    let property = |name: &str| {
        let mut properties = shown.lines().filter_map(|line| line.split_once('='));
        properties.find(|(n, _)| *n == name).map(|(_, value)| value).unwrap_or_default()
    };
    if property("LoadState") == "not-found" {
        return Ok(State::absent());
    }
    let run = match (property("ActiveState"), property("MainPID").parse()) {
        ("active", Ok(pid)) if pid != 0 => Run::Pid(pid),
        (active, _) => Run::No(format!("{active} ({})", property("SubState"))),
    };
    // CLD_EXITED, CLD_KILLED and CLD_DUMPED of sigaction(2); 0 until it has ended once.
    let last = match (property("ExecMainCode"), property("ExecMainStatus")) {
        ("1", code) => code.parse().ok().map(Last::Code),
        ("2" | "3", signal) => Some(Last::Signal(signal.to_owned())),
        _ => None,
    };
    Ok(State { file: Some(property("FragmentPath").into()), run, last })
}

/// Whether the account's systemd goes on without a login; not, where nobody can tell.
pub(super) fn lingers(uid: u32) -> bool {
    call("loginctl", &["show-user", &uid.to_string(), "--property=Linger"])
        .is_ok_and(|a| a.out == "Linger=yes")
}

fn systemctl(args: &[&str]) -> Result<String, Fault> {
    call(TOOL, &[&["--user"], args].concat())?.ok(HINT)
}

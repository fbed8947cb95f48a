//! LaunchAgents, through launchctl(1). Stopping an agent unloads it, because launchd may restart a loaded agent at any
//! time.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::file::{remove, write};
use super::tool::{ToolOutput, run_tool};
use super::{LastExit, ManagedService, RunState, ServiceFault, ServiceState};

const TOOL: &str = "launchctl";
const HINT: &str =
    "; an agent needs a graphical session: log in as this account at the Mac's screen or by screen sharing";

/// The exit code of `bootout` while the agent is still stopping: macOS's EINPROGRESS.
const IN_PROGRESS: i32 = 36;

/// How long to wait for an agent to stop. Longer than ExitTimeOut, after which launchd kills it.
const STOP_TIMEOUT: Duration = Duration::from_secs(75);

pub(super) fn install(service: &ManagedService, text: &str) -> Result<PathBuf, ServiceFault> {
    let file = service.file();
    write(&file, text)?;
    // launchd reads the file only when it loads the agent.
    stop(service)?;
    load(service)?;
    Ok(file)
}

pub(super) fn uninstall(service: &ManagedService) -> Result<bool, ServiceFault> {
    stop(service)?;
    remove(&service.file())
}

pub(super) fn start(service: &ManagedService) -> Result<(), ServiceFault> {
    let printed = print(service)?;
    match (printed.is_ok(), run(&printed.out)) {
        (false, _) => load(service),
        (true, RunState::Running(_)) => Ok(()),
        (true, RunState::Stopped(_)) => {
            run_tool(TOOL, &["kickstart", &target(service)])?.ok(HINT).map(|_| ())
        }
    }
}

pub(super) fn stop(service: &ManagedService) -> Result<(), ServiceFault> {
    if !print(service)?.is_ok() {
        return Ok(());
    }
    let bootout = run_tool(TOOL, &["bootout", &target(service)])?;
    if !bootout.is_ok() && bootout.code != Some(IN_PROGRESS) {
        return Err(bootout.refused(HINT));
    }
    // The agent may still drain. launchd refuses to load it until it has ended.
    let end = Instant::now() + STOP_TIMEOUT;
    while print(service)?.is_ok() {
        if Instant::now() > end {
            return Err(ServiceFault::StillRunning { name: service.name(), seconds: STOP_TIMEOUT.as_secs() });
        }
        sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// launchctl(1) warns that the output of `print` may change, so unknown output is ignored.
pub(super) fn state(service: &ManagedService) -> Result<ServiceState, ServiceFault> {
    let file = Some(service.file()).filter(|file| file.exists());
    let printed = print(service)?;
    Ok(match (file, printed.is_ok()) {
        (None, _) => ServiceState::absent(),
        (file, false) => ServiceState { file, run: RunState::Stopped("not loaded".to_owned()), last: None },
        (file, true) => ServiceState { file, run: run(&printed.out), last: last(&printed.out) },
    })
}

fn run(printed: &str) -> RunState {
    match field(printed, "pid").and_then(|pid| pid.parse().ok()) {
        Some(pid) => RunState::Running(pid),
        None => RunState::Stopped(field(printed, "state").unwrap_or("not running").to_owned()),
    }
}

/// Parses `last exit code = 78: EX_CONFIG` or `(never exited)`, and `last terminating signal = Killed: 9`.
fn last(printed: &str) -> Option<LastExit> {
    if let Some(signal) = field(printed, "last terminating signal") {
        return Some(LastExit::Signal(signal.to_owned()));
    }
    let code = field(printed, "last exit code")?.split(':').next()?;
    code.parse().ok().map(LastExit::Code)
}

/// The first field of this name is the agent's. Later ones belong to its parts.
fn field<'a>(printed: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = printed.lines().filter_map(|line| line.trim().split_once(" = "));
    fields.find(|(n, _)| *n == name).map(|(_, value)| value)
}

fn load(service: &ManagedService) -> Result<(), ServiceFault> {
    // launchd refuses to load a disabled agent.
    run_tool(TOOL, &["enable", &target(service)])?.ok(HINT)?;
    let file = service.file();
    run_tool(TOOL, &["bootstrap", &domain(service), &file.to_string_lossy()])?.ok(HINT).map(|_| ())
}

fn print(service: &ManagedService) -> Result<ToolOutput, ServiceFault> {
    run_tool(TOOL, &["print", &target(service)])
}

fn domain(service: &ManagedService) -> String {
    format!("gui/{}", service.account.uid)
}

fn target(service: &ManagedService) -> String {
    format!("{}/{}", domain(service), service.name())
}

//! LaunchAgents, through launchctl(1). An agent that is stopped is taken out of launchd, since one
//! that stays in may be started again at any time.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::call::{Answer, call};
use super::{Fault, Last, Run, Service, State, remove, write};

const TOOL: &str = "launchctl";
const HINT: &str = "; an agent lives in a session at the Mac's own screen: log in there as this account, or by screen sharing";

/// bootout's for an agent that takes its time: EINPROGRESS of macOS.
const IN_PROGRESS: i32 = 36;

/// More than ExitTimeOut, after which launchd kills it.
const PATIENCE: Duration = Duration::from_secs(75);

pub(super) fn install(service: &Service, text: &str) -> Result<PathBuf, Fault> {
    let file = service.file();
    write(&file, text)?;
    // launchd reads a file once, so an agent that is loaded has to go first.
    stop(service)?;
    load(service)?;
    Ok(file)
}

pub(super) fn uninstall(service: &Service) -> Result<bool, Fault> {
    stop(service)?;
    remove(&service.file())
}

pub(super) fn start(service: &Service) -> Result<(), Fault> {
    let printed = print(service)?;
    match (printed.is_ok(), run(&printed.out)) {
        (false, _) => load(service),
        (true, Run::Pid(_)) => Ok(()),
        (true, Run::No(_)) => call(TOOL, &["kickstart", &target(service)])?.ok(HINT).map(|_| ()),
    }
}

pub(super) fn stop(service: &Service) -> Result<(), Fault> {
    if !print(service)?.is_ok() {
        return Ok(());
    }
    let told = call(TOOL, &["bootout", &target(service)])?;
    if !told.is_ok() && told.code != Some(IN_PROGRESS) {
        return Err(told.refused(HINT));
    }
    // It may still be letting answers end, and launchd refuses to load it until it is gone.
    let end = Instant::now() + PATIENCE;
    while print(service)?.is_ok() {
        if Instant::now() > end {
            return Err(Fault::Lasts { name: service.name(), seconds: PATIENCE.as_secs() });
        }
        sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// launchctl(1) warns that what `print` shows may change: what is not understood is not told.
pub(super) fn state(service: &Service) -> Result<State, Fault> {
    let file = Some(service.file()).filter(|file| file.exists());
    let printed = print(service)?;
    Ok(match (file, printed.is_ok()) {
        (None, _) => State::absent(),
        (file, false) => State { file, run: Run::No("not loaded".to_owned()), last: None },
        (file, true) => State { file, run: run(&printed.out), last: last(&printed.out) },
    })
}

fn run(printed: &str) -> Run {
    match field(printed, "pid").and_then(|pid| pid.parse().ok()) {
        Some(pid) => Run::Pid(pid),
        None => Run::No(field(printed, "state").unwrap_or("not running").to_owned()),
    }
}

/// `last exit code = 78: EX_CONFIG` or `(never exited)`, `last terminating signal = Killed: 9`.
fn last(printed: &str) -> Option<Last> {
    if let Some(signal) = field(printed, "last terminating signal") {
        return Some(Last::Signal(signal.to_owned()));
    }
    let code = field(printed, "last exit code")?.split(':').next()?;
    code.parse().ok().map(Last::Code)
}

/// The first is the agent's own; those of its parts are further down.
fn field<'a>(printed: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = printed.lines().filter_map(|line| line.trim().split_once(" = "));
    fields.find(|(n, _)| *n == name).map(|(_, value)| value)
}

fn load(service: &Service) -> Result<(), Fault> {
    // One that somebody has disabled would be refused.
    call(TOOL, &["enable", &target(service)])?.ok(HINT)?;
    let file = service.file();
    call(TOOL, &["bootstrap", &domain(service), &file.to_string_lossy()])?.ok(HINT).map(|_| ())
}

fn print(service: &Service) -> Result<Answer, Fault> {
    call(TOOL, &["print", &target(service)])
}

fn domain(service: &Service) -> String {
    format!("gui/{}", service.account.uid)
}

fn target(service: &Service) -> String {
    format!("{}/{}", domain(service), service.name())
}

//! Linux: what logind does about a closed lid and an idle machine (logind.conf(5)), by its own word over D-Bus, which counts
//! drop-ins and the distribution's defaults. The targets of systemd.special(7) rule sleep out if they are masked.

use std::path::Path;

use super::super::ask::ask;
use super::super::finding::Finding;
use super::desktop::{self, Desktop};

const SLEEP: &str = "sleep";
const LID: &str = "lid";

const PROPERTIES: [&str; 4] =
    ["IdleAction", "HandleLidSwitch", "HandleLidSwitchExternalPower", "BlockInhibited"];

/// Actions that leave the machine running.
const HARMLESS: [&str; 4] = ["ignore", "lock", "nothing", "blank"];

/// Actions that need sleep.target.
const SLEEPS: [&str; 5] = ["suspend", "hibernate", "hybrid-sleep", "suspend-then-hibernate", "sleep"];

/// logind's settings in force.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Logind {
    idle: String,
    lid: String,
    /// On external power; empty: as `lid`.
    lid_on_power: String,
    /// What programs hold locks on, separated by colons.
    locks: String,
}

impl Logind {
    fn ask() -> Result<Logind, String> {
        let object = ["org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"];
        Self::parse(&ask("busctl", &[&["--timeout=5", "get-property"], &object[..], &PROPERTIES].concat())?)
    }

    /// One line for each property, such as `s "ignore"`.
    fn parse(answer: &str) -> Result<Logind, String> {
        let values =
            answer.lines().map(|line| line.strip_prefix("s \"")?.strip_suffix('"').map(str::to_owned));
        let values: Option<Vec<_>> = values.collect();
        match values.map(<[String; 4]>::try_from) {
            Some(Ok([idle, lid, lid_on_power, locks])) => Ok(Logind { idle, lid, lid_on_power, locks }),
            _ => Err(format!("logind's answer is not understood: {answer}")),
        }
    }
}

/// The check of sleep, and the others. logind is asked once.
pub(super) fn examine() -> (Finding, Vec<Finding>) {
    let root = Path::new("/");
    let (sleep_masked, logind) = (sleep_masked(root), Logind::ask());
    let devices = std::fs::read_to_string("/proc/bus/input/devices").map_err(|error| error.to_string());
    let lid = closes(sleep_masked, devices.map(|text| has_lid(&text)), logind.clone());
    (sleeps(sleep_masked, logind, &desktop::find(root)), vec![lid])
}

fn leaves_running(action: &str, sleep_masked: bool) -> bool {
    HARMLESS.contains(&action) || sleep_masked && SLEEPS.contains(&action)
}

/// Whether every way to sleep is masked. All of them need sleep.target.
fn sleep_masked(root: &Path) -> bool {
    let masked = |folder: &str| std::fs::read_link(root.join(folder).join("sleep.target"));
    ["etc/systemd/system", "run/systemd/system"]
        .iter()
        .any(|folder| masked(folder).is_ok_and(|target| target == Path::new("/dev/null")))
}

/// Whether an input device has the switch of a lid, number 0 in the kernel's input-event-codes.h.
fn has_lid(devices: &str) -> bool {
    let switches = devices.lines().filter_map(|line| line.strip_prefix("B: SW=")?.split_whitespace().last());
    switches.filter_map(|mask| u64::from_str_radix(mask, 16).ok()).any(|mask| mask & 1 == 1)
}

/// The command that changes settings of logind at once.
fn drop_in(name: &str, settings: &str) -> String {
    format!(
        "sudo mkdir -p /etc/systemd/logind.conf.d && printf '[Login]\\n{settings}\\n' | sudo tee \
         /etc/systemd/logind.conf.d/remote-ollama-proxy-{name}.conf && sudo systemctl kill -s HUP systemd-logind"
    )
}

fn sleeps(sleep_masked: bool, logind: Result<Logind, String>, desktop: &Desktop) -> Finding {
    let unknown = |reason: String| {
        let mask = "to rule sleep out: sudo systemctl mask sleep.target suspend.target hibernate.target \
            hybrid-sleep.target";
        let remedy = if sleep_masked { "see `systemctl status systemd-logind`" } else { mask };
        Finding::unknown(SLEEP, reason).with_remedy(remedy)
    };
    let idle = match logind {
        Ok(logind) => logind.idle,
        Err(reason) => return unknown(reason),
    };
    if !leaves_running(&idle, sleep_masked) {
        let reason = format!(
            "logind's IdleAction is {idle}: peers can't reach this machine once it was idle for a while"
        );
        return Finding::warning(SLEEP, reason, drop_in("idle", "IdleAction=ignore"));
    }
    let masked = || Finding::good(SLEEP, "sleep.target is masked, so this machine does not sleep");
    match desktop {
        Desktop::GnomeSleeps { action } if !leaves_running(action, sleep_masked) => Finding::warning(
            SLEEP,
            format!(
                "GNOME's action for an idle session of this account is {action}: peers can't reach this machine then"
            ),
            "gsettings set org.gnome.settings-daemon.plugins.power sleep-inactive-ac-type nothing",
        ),
        Desktop::GnomeSleeps { .. } => masked(),
        _ if sleep_masked => masked(),
        Desktop::None => {
            Finding::good(SLEEP, format!("logind's IdleAction is {idle}, and no desktop is installed"))
        }
        Desktop::GnomeStays => unknown(
            "GNOME keeps this account's session awake; its login screen has settings of its own".to_owned(),
        ),
        Desktop::Other { names } => {
            unknown(format!("{names} can have sleep settings that this check can't read"))
        }
    }
}

fn closes(sleep_masked: bool, has_lid: Result<bool, String>, logind: Result<Logind, String>) -> Finding {
    let logind = match (has_lid, logind) {
        (Ok(false), _) => return Finding::good(LID, "this machine has no lid"),
        (Err(reason), _) => return Finding::unknown(LID, format!("cannot read the input devices: {reason}")),
        (_, Err(reason)) => return Finding::unknown(LID, reason),
        (_, Ok(logind)) => logind,
    };
    if logind.locks.split(':').any(|lock| lock == "handle-lid-switch") {
        return Finding::unknown(LID, "a program, usually the desktop, handles the lid by its own settings");
    }
    let on_power = if logind.lid_on_power.is_empty() { &logind.lid } else { &logind.lid_on_power };
    if leaves_running(on_power, sleep_masked) {
        let masked = if sleep_masked { ", and sleep.target is masked" } else { "" };
        let reason = format!(
            "logind's action for a closed lid is {on_power} on external power, else {}{masked}",
            logind.lid
        );
        return Finding::good(LID, reason);
    }
    Finding::warning(
        LID,
        format!("logind's action for a closed lid is {on_power}, even while requests run"),
        drop_in(LID, "HandleLidSwitch=ignore\\nHandleLidSwitchExternalPower=ignore"),
    )
}

#[cfg(test)]
mod tests;

//! macOS: pmset(1), fdesetup(8), and the preferences of the login window and of Software Update. Their answers were taken from
//! documents and reports; no Mac was at hand.

use super::super::ask::ask;
use super::super::finding::Finding;

const SLEEP: &str = "sleep";
const LOGIN: &str = "login";
const POWER_FAILURE: &str = "power-failure";
const UPDATES: &str = "updates";

type Answer = Result<String, String>;

/// The check of sleep, and the others. pmset is asked once, for the settings of the power source that is in use now.
pub(super) fn examine() -> (Finding, Vec<Finding>) {
    let settings = ask("/usr/bin/pmset", &["-g"]);
    (sleeps(settings.clone()), vec![login(), restarts(settings), updates()])
}

fn login() -> Finding {
    let user =
        ask("/usr/bin/defaults", &["read", "/Library/Preferences/com.apple.loginwindow", "autoLoginUser"]);
    logs_in(ask("/usr/bin/fdesetup", &["status"]), user, ask("/usr/bin/id", &["-un"]))
}

fn updates() -> Finding {
    let domain = "/Library/Preferences/com.apple.SoftwareUpdate";
    installs(ask("/usr/bin/defaults", &["read", domain, "AutomaticallyInstallMacOSUpdates"]))
}

/// The value of a setting in the answer of `pmset -g`. The name of another one may begin with it.
fn setting(answer: &str, name: &str) -> Option<u32> {
    answer.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == name).then(|| words.next()?.parse().ok())?
    })
}

fn sleeps(answer: Answer) -> Finding {
    let answer = match answer {
        Ok(answer) => answer,
        Err(reason) => return Finding::unknown(SLEEP, reason),
    };
    if setting(&answer, "SleepDisabled") == Some(1) {
        return Finding::good(SLEEP, "sleep is disabled (SleepDisabled)");
    }
    match setting(&answer, "sleep") {
        Some(0) => Finding::good(SLEEP, "this Mac does not sleep by itself on the power that it has now"),
        Some(minutes) => Finding::warning(
            SLEEP,
            format!("this Mac sleeps after {minutes} min without use, and peers can't reach it then"),
            "sudo pmset -a sleep 0 (on wall power only: sudo pmset -c sleep 0)",
        ),
        None => Finding::unknown(SLEEP, "pmset -g shows no setting `sleep`"),
    }
}

fn restarts(answer: Answer) -> Finding {
    let answer = match answer {
        Ok(answer) => answer,
        Err(reason) => return Finding::unknown(POWER_FAILURE, reason),
    };
    match setting(&answer, "autorestart") {
        Some(0) => Finding::warning(
            POWER_FAILURE,
            "this Mac stays off after a power failure",
            "sudo pmset -a autorestart 1",
        ),
        Some(_) => Finding::good(POWER_FAILURE, "this Mac starts again after a power failure"),
        None => Finding::unknown(
            POWER_FAILURE,
            "pmset -g shows no setting `autorestart`, as on Macs with a battery",
        ),
    }
}

/// A LaunchAgent starts when its account logs in.
fn logs_in(file_vault: Answer, user: Answer, account: Answer) -> Finding {
    match file_vault.as_deref().map(str::trim) {
        Ok(text) if text.starts_with("FileVault is On.") => {
            return Finding::warning(
                LOGIN,
                "FileVault is on: after a restart the disk stays locked, and the proxy off, until a person enters a password",
                "for a planned restart: sudo fdesetup authrestart; after any other, enter the password at the Mac, or since macOS 26 \
                 over SSH, with Remote Login on. Automatic login would need FileVault off: sudo fdesetup disable",
            );
        }
        Ok(text) if text.starts_with("FileVault is Off.") => {}
        Ok(text) => return Finding::unknown(LOGIN, format!("fdesetup says: {text}")),
        Err(reason) => return Finding::unknown(LOGIN, reason.clone()),
    }
    let account = match &account {
        Ok(account) => account.trim(),
        Err(reason) => return Finding::unknown(LOGIN, reason.clone()),
    };
    let reason = match user.as_deref().map(str::trim) {
        Ok(user) if user == account => {
            return Finding::good(LOGIN, format!("{account} is logged in automatically after a restart"));
        }
        Ok(user) => {
            format!("{user} is logged in automatically after a restart, and this account, {account}, is not")
        }
        Err(reason) if reason.contains("does not exist") => {
            "no account is logged in automatically after a restart".to_owned()
        }
        Err(reason) => return Finding::unknown(LOGIN, reason.clone()),
    };
    Finding::warning(
        LOGIN,
        format!("{reason}: the proxy's LaunchAgent starts only when {account} logs in"),
        format!(
            "sudo sysadminctl -autologin set -userName {account} -password - (anyone at the Mac can then use it)"
        ),
    )
}

fn installs(answer: Answer) -> Finding {
    match answer.as_deref().map(str::trim) {
        Ok("0" | "false") => Finding::good(
            UPDATES,
            "macOS installs no updates of itself unasked; softwareupdate --list shows them",
        ),
        Ok("1" | "true") => Finding::warning(
            UPDATES,
            "macOS installs its updates by itself and restarts for them",
            "sudo defaults write /Library/Preferences/com.apple.SoftwareUpdate AutomaticallyInstallMacOSUpdates -bool false; \
             then install them yourself: sudo softwareupdate --install --all --restart",
        ),
        Ok(text) => Finding::unknown(UPDATES, format!("AutomaticallyInstallMacOSUpdates is {text}")),
        Err(reason) if reason.contains("does not exist") => Finding::unknown(
            UPDATES,
            "AutomaticallyInstallMacOSUpdates is not set, so macOS's default counts: see System Settings, General, Software Update",
        ),
        Err(reason) => Finding::unknown(UPDATES, reason.clone()),
    }
}

#[cfg(test)]
mod tests;

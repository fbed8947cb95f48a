use super::super::super::finding::Outcome::{self, Good, Unknown, Warning};
use super::*;

/// An answer of `pmset -g` on a Mac without a battery, with these settings.
fn pmset(disabled: u32, sleep: &str) -> Answer {
    Ok(format!(
        "System-wide power settings:\n SleepDisabled\t\t{disabled}\nCurrently in use:\n Sleep On Power Button 1\n \
         autorestart          0\n powernap             1\n networkoversleep     0\n disksleep            10\n \
         sleep                {sleep}\n ttyskeepawake        1\n displaysleep         20\n"
    ))
}

fn failure() -> Answer {
    Err("cannot run it".to_owned())
}

fn absent(key: &str) -> Answer {
    Err(format!(
        "/usr/bin/defaults: The domain/default pair of (/Library/Preferences/x, {key}) does not exist (exit status: 1)"
    ))
}

#[test]
fn sleep_is_the_setting_of_that_name() {
    for (answer, outcome, words) in [
        (pmset(0, "0"), Good, "does not sleep"),
        (pmset(0, "0 (sleep prevented by caffeinate, sharingd)"), Good, "does not sleep"),
        (pmset(0, "1 (sleep prevented by caffeinate)"), Warning, "after 1 min"),
        (pmset(0, "45"), Warning, "after 45 min"),
        (pmset(1, "45"), Good, "SleepDisabled"),
        (pmset(0, "soon"), Unknown, "no setting"),
        (Ok(String::new()), Unknown, "no setting"),
        (failure(), Unknown, "cannot run it"),
    ] {
        let finding = sleeps(answer);
        assert_eq!(finding.outcome, outcome, "{finding:?}");
        assert!(finding.reason.contains(words), "{finding:?}");
    }
}

#[test]
fn mac_that_stays_off_after_a_power_failure_is_a_warning() {
    let on = pmset(0, "0").map(|text| text.replace("autorestart          0", "autorestart          1"));
    let laptop = Ok("Currently in use:\n lidwake              1\n sleep                1\n".to_owned());
    for (answer, outcome) in [(pmset(0, "0"), Warning), (on, Good), (laptop, Unknown), (failure(), Unknown)] {
        let finding = restarts(answer);
        assert_eq!(finding.outcome, outcome, "{finding:?}");
    }
}

#[test]
fn login_is_good_only_for_this_account_without_file_vault() {
    let said = |text: &str| Ok(format!("{text}\n"));
    let (on, off) = (said("FileVault is On."), said("FileVault is Off."));
    let busy = said("Encryption in progress: Percent completed = 12");
    let outcome = |file_vault: &Answer, user: Answer| -> (Outcome, String) {
        let finding = logs_in(file_vault.clone(), user, said("anna"));
        (finding.outcome, finding.reason)
    };
    assert_eq!(outcome(&off, said("anna")).0, Good);
    for (file_vault, user, expected, words) in [
        (&on, said("anna"), Warning, "FileVault is on"),
        (&off, said("bert"), Warning, "bert is logged in"),
        (&off, absent("autoLoginUser"), Warning, "no account is logged in"),
        (&off, failure(), Unknown, "cannot run it"),
        (&busy, said("anna"), Unknown, "in progress"),
        (&failure(), said("anna"), Unknown, "cannot run it"),
    ] {
        let (outcome, reason) = outcome(file_vault, user);
        assert_eq!(outcome, expected, "{reason}");
        assert!(reason.contains(words), "{reason}");
    }
    assert_eq!(logs_in(off, said("anna"), failure()).outcome, Unknown);
}

#[test]
fn updates_are_good_only_if_switched_off() {
    for (answer, outcome) in [
        (Ok("0\n".to_owned()), Good),
        (Ok("1\n".to_owned()), Warning),
        (Ok("(\n)\n".to_owned()), Unknown),
        (absent("AutomaticallyInstallMacOSUpdates"), Unknown),
        (failure(), Unknown),
    ] {
        let finding = installs(answer);
        assert_eq!(finding.outcome, outcome, "{finding:?}");
    }
}

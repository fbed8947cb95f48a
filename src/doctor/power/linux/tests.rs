use super::super::super::finding::Outcome::{Good, Unknown, Warning};
use super::*;

/// As busctl of systemd 252 prints these properties.
fn logind(idle: &str, lid: &str, on_power: &str, locks: &str) -> Result<Logind, String> {
    Logind::parse(&format!("s \"{idle}\"\ns \"{lid}\"\ns \"{on_power}\"\ns \"{locks}\"\n"))
}

fn failure<T>() -> Result<T, String> {
    Err("cannot run busctl".to_owned())
}

#[test]
fn answer_of_logind_that_is_not_understood_is_none() {
    assert_eq!(logind("ignore", "suspend", "", "idle").unwrap().lid, "suspend");
    for answer in ["", "s \"ignore\"\n", "b true\ns \"\"\ns \"\"\ns \"\"\n"] {
        assert!(Logind::parse(answer).is_err(), "{answer}");
    }
}

#[test]
fn masked_target_rules_sleep_out() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("etc/systemd/system");
    std::fs::create_dir_all(&folder).unwrap();
    assert!(!sleep_masked(root.path()));
    std::fs::write(folder.join("sleep.target"), "[Unit]\n").unwrap();
    assert!(!sleep_masked(root.path()));
    std::fs::remove_file(folder.join("sleep.target")).unwrap();
    std::os::unix::fs::symlink("/dev/null", folder.join("sleep.target")).unwrap();
    assert!(sleep_masked(root.path()));
    let gnome = |action: &str| Desktop::GnomeSleeps { action: action.to_owned() };
    for (action, desktop, outcome) in [
        ("suspend", Desktop::None, Good),
        ("poweroff", Desktop::None, Warning),
        ("ignore", gnome("suspend"), Good),
        ("ignore", gnome("shutdown"), Warning),
        ("ignore", Desktop::Other { names: "plasma".to_owned() }, Good),
    ] {
        let finding = sleeps(true, logind(action, "suspend", "", ""), &desktop);
        assert_eq!(finding.outcome, outcome, "{finding:?}");
    }
    for (action, outcome) in [("suspend", Good), ("poweroff", Warning)] {
        let finding = closes(true, Ok(true), logind("ignore", action, "", ""));
        assert_eq!(finding.outcome, outcome, "{finding:?}");
    }
}

#[test]
fn idle_machine_sleeps_by_logind_or_by_the_desktop() {
    let other = || Desktop::Other { names: "plasma".to_owned() };
    let suspends = || Desktop::GnomeSleeps { action: "suspend".to_owned() };
    for (idle, desktop, outcome, words) in [
        ("ignore", Desktop::None, Good, "no desktop"),
        ("lock", Desktop::None, Good, "lock"),
        ("suspend", Desktop::None, Warning, "IdleAction is suspend"),
        ("poweroff", suspends(), Warning, "IdleAction is poweroff"),
        ("ignore", suspends(), Warning, "GNOME's action"),
        ("ignore", Desktop::GnomeStays, Unknown, "login screen"),
        ("ignore", other(), Unknown, "plasma"),
    ] {
        let finding = sleeps(false, logind(idle, "suspend", "", ""), &desktop);
        assert_eq!(finding.outcome, outcome, "{finding:?}");
        assert!(finding.reason.contains(words), "{finding:?}");
    }
    let finding = sleeps(false, failure(), &Desktop::None);
    assert_eq!(finding.outcome, Unknown);
    assert!(finding.remedy.is_some_and(|remedy| remedy.contains("mask sleep.target")));
}

#[test]
fn closed_lid_counts_on_external_power() {
    for (lid, on_power, locks, outcome) in [
        ("suspend", "", "", Warning),
        ("ignore", "", "sleep:idle", Good),
        ("suspend", "ignore", "", Good),
        ("ignore", "suspend", "", Warning),
        ("suspend", "", "sleep:handle-lid-switch", Unknown),
    ] {
        let finding = closes(false, Ok(true), logind("ignore", lid, on_power, locks));
        assert_eq!(finding.outcome, outcome, "{finding:?}");
    }
    assert_eq!(closes(false, Ok(false), failure()).outcome, Good);
    assert_eq!(closes(false, failure(), logind("ignore", "ignore", "", "")).outcome, Unknown);
    assert_eq!(closes(false, Ok(true), failure()).outcome, Unknown);
}

#[test]
fn lid_is_the_first_switch_of_an_input_device() {
    let lid = "N: Name=\"Lid Switch\"\nB: EV=21\nB: SW=1\n\n";
    let headphones = "N: Name=\"HDA Intel PCH Headphone\"\nB: EV=21\nB: SW=4\n\n";
    assert!(has_lid(&format!("{headphones}{lid}")));
    assert!(!has_lid(headphones));
    assert!(!has_lid(""));
}

//! What takes the machine away from its peers: sleep, a closed lid, a restart that waits for a person, and updates. The checks
//! ask the system's own tools; `mac.rs` and `linux.rs` read the answers. What they can't read is unknown.

mod desktop;
mod linux;
mod mac;

use super::finding::Finding;
use crate::awake::AwakeState;
use crate::config::Config;

/// All checks of this system.
pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let (sleep, others) = if cfg!(target_os = "macos") { mac::examine() } else { linux::examine() };
    let mut findings = vec![while_requests_run(config, sleep)];
    findings.extend(others);
    findings
}

/// Adds what the proxy itself does about a machine that sleeps.
fn while_requests_run(config: &Config, finding: Finding) -> Finding {
    if finding.remedy.is_none() {
        return finding;
    }
    let until = if config.keep_awake {
        "; only while requests run or wait, power.keep_awake keeps it awake"
    } else {
        "; power.keep_awake is false, so a running request does not keep it awake"
    };
    Finding { reason: finding.reason + until, ..finding }
}

/// Whether the running proxy gets its lock. `None`: it does not try to.
pub(super) fn lock(state: &AwakeState) -> Option<Finding> {
    const NAME: &str = "awake";
    match state {
        AwakeState::Off => None,
        AwakeState::NotHeld | AwakeState::Held => Some(Finding::good(NAME, state.to_string())),
        AwakeState::NotAvailable { reason } => Some(Finding::warning(
            NAME,
            format!("the machine is not kept awake while requests run: {reason}"),
            "remove the reason, or set power.keep_awake = false",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn lock_that_the_system_refuses_is_a_warning() {
        let outcome = |state| lock(&state).map(|finding| finding.outcome);
        assert_eq!(outcome(AwakeState::Off), None);
        assert_eq!(outcome(AwakeState::NotHeld), Some(Outcome::Good));
        assert_eq!(outcome(AwakeState::Held), Some(Outcome::Good));
        let refused = AwakeState::NotAvailable { reason: "no tool".to_owned() };
        assert_eq!(outcome(refused), Some(Outcome::Warning));
    }

    #[test]
    fn warning_of_sleep_says_what_the_proxy_does() {
        let config = crate::config::load(Some("/dev/null".as_ref()), &[], &Default::default()).unwrap();
        for (keep_awake, words) in
            [(true, "power.keep_awake keeps it awake"), (false, "power.keep_awake is false")]
        {
            let config = Config { keep_awake, ..config.clone() };
            let finding = while_requests_run(&config, Finding::warning("sleep", "it sleeps", "do not"));
            assert!(finding.reason.contains(words), "{finding:?}");
            let finding = while_requests_run(&config, Finding::good("sleep", "it does not"));
            assert_eq!(finding.reason, "it does not");
        }
    }
}

//! The command that is run on events.

use super::finding::Finding;
use crate::config::Config;

/// What is run, if anything. A program that another account can change is a fault of the config, so this is not the place
/// for it.
pub(super) fn command(config: &Config) -> Option<Finding> {
    let command = config.events.command.as_ref()?;
    let reason = format!(
        "{} is run on events, and no other account can change it; `remote-ollama-proxy test-event` tries it",
        command.program.display()
    );
    Some(Finding::good("events", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_is_named_without_its_arguments() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        let load = |text: &str| {
            std::fs::write(&file, text).unwrap();
            crate::config::load(Some(&file), &[], &Default::default()).unwrap()
        };
        assert_eq!(command(&load("")), None);
        let finding = command(&load("events.command = ['/bin/sh', '-c', 'private']")).unwrap();
        assert!(finding.reason.starts_with("/bin/sh is run on events"), "{finding:?}");
        assert!(!finding.reason.contains("private"), "{finding:?}");
    }
}

//! Ollama's version against what is known of it. docs/advisories.md has the sources and the rest.

use super::Finding;

/// What is worth an update, and the version that mends it.
const ADVISORIES: [(&str, [u32; 3], &str); 3] = [
    (
        "CVE-2025-51471",
        [0, 14, 3],
        "pulling a model can hand the owner's token to a stranger; the proxy refuses it to peers",
    ),
    (
        "CVE-2026-7482",
        [0, 17, 1],
        "memory with other people's prompts can be read through a model file; the proxy refuses it to peers",
    ),
    ("no id", [0, 18, 0], "a compressed body to POST /v1/responses unpacks without end"),
];

pub(super) fn of(version: &str) -> Finding {
    let Some(number) = parse(version) else {
        return Finding::unknown("ollama-version", format!("{version:?} is no version that can be compared"));
    };
    let known: Vec<_> = ADVISORIES.iter().filter(|(_, fixed, _)| number < *fixed).collect();
    if known.is_empty() {
        return Finding::good(
            "ollama-version",
            format!("{version}; nothing known that a newer one mends (docs/advisories.md has the rest)"),
        );
    }
    let list: Vec<_> = known.iter().map(|(id, _, what)| format!("{what} ({id})")).collect();
    let newest =
        known.iter().map(|(_, fixed, _)| *fixed).max().unwrap_or(number).map(|n| n.to_string()).join(".");
    Finding::warning(
        "ollama-version",
        format!("{version}: {}", list.join("; ")),
        format!("update Ollama to {newest} or newer"),
    )
}

/// The three numbers of a version; what comes before a release counts as the release.
fn parse(version: &str) -> Option<[u32; 3]> {
    let numbers = version.trim_start_matches('v').split(['-', '+']).next()?;
    let mut parts = numbers.split('.').map(|part| part.parse().ok());
    let parsed = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(parsed)
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    #[test]
    fn an_old_version_is_told_what_a_newer_one_mends() {
        let old = of("0.17.4");
        assert_eq!(old.outcome, Outcome::Warning);
        assert!(old.reason.contains("unpacks without end") && !old.reason.contains("51471"), "{old:?}");
        assert_eq!(old.remedy.as_deref(), Some("update Ollama to 0.18.0 or newer"));
        assert_eq!(of("0.32.15").outcome, Outcome::Good);
        assert_eq!(of("0.18.0-rc1").outcome, Outcome::Good);
        for odd in ["", "0.0.0.1", "main", "1.2"] {
            assert_eq!(of(odd).outcome, Outcome::Unknown, "{odd}");
        }
    }
}

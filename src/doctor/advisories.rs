//! Ollama's version, compared with known vulnerabilities. docs/advisories.md has the sources and the other advisories.

use semver::Version;

use super::finding::Finding;

/// A vulnerability of Ollama that an update removes.
struct Advisory {
    id: &'static str,
    /// The first version without it.
    fixed: Version,
    what: &'static str,
}

static ADVISORIES: [Advisory; 3] = [
    Advisory {
        id: "CVE-2025-51471",
        fixed: Version::new(0, 14, 3),
        what: "pulling a model can send the operator's token to another server; the proxy refuses pulls by peers",
    },
    Advisory {
        id: "CVE-2026-7482",
        fixed: Version::new(0, 17, 1),
        what: "a crafted model file can read memory with other clients' prompts; the proxy refuses such requests by peers",
    },
    Advisory {
        id: "no id",
        fixed: Version::new(0, 18, 0),
        what: "a compressed body to POST /v1/responses decompresses without a limit",
    },
];

pub(super) fn of(version: &str) -> Finding {
    let Ok(parsed) = Version::parse(version.trim_start_matches('v')) else {
        return Finding::unknown(
            "ollama-version",
            format!("cannot compare {version:?}: it is not a version"),
        );
    };
    // A release candidate counts as its release.
    let number = Version::new(parsed.major, parsed.minor, parsed.patch);
    let known: Vec<_> = ADVISORIES.iter().filter(|advisory| number < advisory.fixed).collect();
    let Some(newest) = known.iter().map(|advisory| &advisory.fixed).max() else {
        return Finding::good(
            "ollama-version",
            format!(
                "{version}: no known vulnerability that an update fixes (docs/advisories.md has the others)"
            ),
        );
    };
    let list: Vec<_> = known.iter().map(|Advisory { id, what, .. }| format!("{what} ({id})")).collect();
    Finding::warning(
        "ollama-version",
        format!("{version}: {}", list.join("; ")),
        format!("update Ollama to {newest} or newer"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn old_version_is_a_warning_that_names_what_an_update_fixes() {
        let old = of("0.17.4");
        assert_eq!(old.outcome, Outcome::Warning);
        assert!(old.reason.contains("without a limit") && !old.reason.contains("51471"), "{old:?}");
        assert_eq!(old.remedy.as_deref(), Some("update Ollama to 0.18.0 or newer"));
        assert_eq!(of("0.32.15").outcome, Outcome::Good);
        assert_eq!(of("0.18.0-rc1").outcome, Outcome::Good);
        for odd in ["", "0.0.0.1", "main", "1.2"] {
            assert_eq!(of(odd).outcome, Outcome::Unknown, "{odd}");
        }
    }
}

//! Ollama's version, compared with the list of known vulnerabilities in advisories.toml. docs/advisories.md shows the
//! whole list.

use std::time::{Duration, SystemTime};

use semver::{BuildMetadata, Version};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::finding::Finding;

const CHECK: &str = "ollama-version";

const LIST: &str = include_str!("advisories.toml");

/// From this age on, the absence from the list says too little to be called good: half a year.
const OLD: Duration = Duration::from_secs(182 * 24 * 60 * 60);

#[derive(Deserialize)]
struct List {
    /// The day of the last search for new entries.
    date: String,
    /// The newest release that was compared with the entries.
    newest: Release,
    #[serde(rename = "advisory")]
    advisories: Vec<Advisory>,
}

#[derive(Deserialize)]
struct Advisory {
    ids: Vec<String>,
    title: String,
    reach: Reach,
    from: Option<Release>,
    /// The first release without it.
    fixed: Option<Release>,
    remedy: Option<String>,
}

/// Whether a peer can reach it.
#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Reach {
    Refused,
    Blocked,
    Open,
}

/// A release or a release candidate, without build metadata.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Release(Version);

impl Release {
    fn parse(text: &str) -> Result<Release, semver::Error> {
        let parsed = Version::parse(text.trim_start_matches('v'))?;
        Ok(Release(Version { build: BuildMetadata::EMPTY, ..parsed }))
    }

    /// The release that a candidate precedes.
    fn release(&self) -> Release {
        Release(Version::new(self.0.major, self.0.minor, self.0.patch))
    }
}

impl<'de> Deserialize<'de> for Release {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Release, D::Error> {
        Release::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Advisory {
    /// A release candidate may already have what its release has, and still lack the release's fixes.
    fn affects(&self, version: &Release) -> bool {
        self.from.as_ref().is_none_or(|from| version.release() >= *from)
            && self.fixed.as_ref().is_none_or(|fixed| version < fixed)
    }

    fn id(&self) -> &str {
        self.ids.first().map_or("no id", String::as_str)
    }
}

pub(super) fn of(version: &str, now: SystemTime) -> Finding {
    let Ok(list) = toml::from_str::<List>(LIST) else {
        return Finding::unknown(CHECK, "cannot read the list of known vulnerabilities in this program");
    };
    match Release::parse(version) {
        Ok(number) => list.examine(version, &number, now),
        Err(_) => Finding::unknown(CHECK, format!("cannot compare {version:?}: it is not a version")),
    }
}

impl List {
    fn examine(&self, version: &str, number: &Release, now: SystemTime) -> Finding {
        let date = &self.date;
        let affects = |advisory: &&Advisory| advisory.affects(number);
        let open: Vec<_> =
            self.advisories.iter().filter(affects).filter(|a| a.reach == Reach::Open).collect();
        // An update removes them, so that the operator is safe from them too.
        let refused: Vec<_> = self
            .advisories
            .iter()
            .filter(affects)
            .filter(|a| a.reach == Reach::Refused && a.fixed.is_some())
            .collect();
        let found = described(&open, &refused);
        if *number > self.newest {
            let remaining =
                if found.is_empty() { String::new() } else { format!("; without a known fix: {found}") };
            return Finding::unknown(
                CHECK,
                format!(
                    "{version} is not on this list, which is of {date} and ends with {}{remaining}",
                    self.newest.0
                ),
            );
        }
        if !found.is_empty() {
            let reason = format!("{version}, by the list of {date}: {found}");
            return Finding::warning(CHECK, reason, self.remedy(number, &open, &refused));
        }
        if self.age(now).is_none_or(|age| age > OLD) {
            return Finding::unknown(
                CHECK,
                format!(
                    "{version} is not affected by this list, which is of {date} and too old to rely on: update the proxy"
                ),
            );
        }
        Finding::good(
            CHECK,
            format!(
                "{version}: no known vulnerability that an update fixes or a peer can reach, by the list of {date}"
            ),
        )
    }

    /// The update that removes the most of what a peer can reach, and what helps against the others.
    fn remedy(&self, number: &Release, open: &[&Advisory], refused: &[&Advisory]) -> String {
        let newest = |some: &[&Advisory]| some.iter().filter_map(|a| a.fixed.clone()).max();
        let mut update = newest(open).or_else(|| newest(refused));
        // That version may have others, which a later one fixes.
        while let Some(later) = update.as_ref().and_then(|to| {
            newest(
                &self
                    .advisories
                    .iter()
                    .filter(|a| a.reach == Reach::Open && a.affects(to))
                    .collect::<Vec<_>>(),
            )
        }) {
            update = Some(later);
        }
        let is_added = |a: &&Advisory| {
            a.reach == Reach::Open && !a.affects(number) && update.as_ref().is_some_and(|to| a.affects(to))
        };
        let added = self.advisories.iter().filter(is_added).map(|a| {
            format!(
                "that version has {} ({}): {}",
                a.title,
                a.id(),
                a.remedy.as_deref().unwrap_or("no remedy is known")
            )
        });
        let unfixed = open.iter().filter(|a| a.fixed.is_none()).filter_map(|a| {
            Some(format!("against {}, for which no fix is known: {}", a.id(), a.remedy.as_ref()?))
        });
        let update = update.as_ref().map(|to| {
            let found = open.iter().chain(refused);
            let (all, fixed) = (found.clone().count(), found.filter(|a| !a.affects(to)).count());
            let some =
                if fixed < all { format!(", which fixes {fixed} of these {all}") } else { String::new() };
            format!("update Ollama to {} or newer{some}", to.0)
        });
        update.into_iter().chain(added).chain(unfixed).collect::<Vec<_>>().join("; ")
    }

    fn age(&self, now: SystemTime) -> Option<Duration> {
        let date = crate::time::parse_rfc3339(&format!("{}T00:00:00Z", self.date)).ok()?;
        Some(now.duration_since(date).unwrap_or_default())
    }
}

fn described(open: &[&Advisory], refused: &[&Advisory]) -> String {
    let mut all: Vec<_> = open.iter().map(|a| format!("{} ({})", a.title, a.id())).collect();
    if !refused.is_empty() {
        let ids: Vec<_> = refused.iter().map(|a| a.id()).collect();
        all.push(format!("by requests that the proxy refuses to peers: {}", ids.join(", ")));
    }
    all.join("; ")
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    fn day(text: &str) -> SystemTime {
        crate::time::parse_rfc3339(&format!("{text}T12:00:00Z")).unwrap()
    }

    /// A list with one entry of each kind.
    fn list() -> List {
        let text = r#"
            date = "2026-06-01"
            newest = "0.20.0"
            [[advisory]]
            ids = ["CVE-1"]
            title = "open"
            reach = "open"
            from = "0.10.0"
            fixed = "0.18.0"
            [[advisory]]
            ids = []
            title = "unfixed"
            reach = "open"
            from = "0.19.0"
            remedy = "wait"
            [[advisory]]
            ids = ["CVE-2"]
            title = "refused"
            reach = "refused"
            fixed = "0.12.0"
            [[advisory]]
            ids = ["CVE-3"]
            title = "design"
            reach = "refused"
            [[advisory]]
            ids = ["CVE-4"]
            title = "blocked"
            reach = "blocked"
        "#;
        toml::from_str(text).unwrap()
    }

    fn examine(version: &str, today: &str) -> (Outcome, String, String) {
        let found = list().examine(version, &Release::parse(version).unwrap(), day(today));
        (found.outcome, found.reason, found.remedy.unwrap_or_default())
    }

    #[test]
    fn affected_version_is_a_warning_with_the_update_that_fixes_it() {
        let (outcome, reason, remedy) = examine("0.11.0", "2026-06-02");
        assert_eq!((outcome, &*remedy), (Outcome::Warning, "update Ollama to 0.18.0 or newer"));
        assert!(reason.contains("open (CVE-1)") && reason.contains("refuses to peers: CVE-2"), "{reason}");
        assert!(!reason.contains("design") && !reason.contains("blocked"), "{reason}");
        let (outcome, reason, remedy) = examine("0.9.0", "2026-06-02");
        assert_eq!(
            (outcome, &*remedy),
            (Outcome::Warning, "update Ollama to 0.18.0 or newer"),
            "0.12.0 has CVE-1"
        );
        assert!(!reason.contains("CVE-1"), "{reason}");
        // A release candidate may lack the fix.
        assert_eq!(examine("0.18.0-rc1", "2026-06-02").0, Outcome::Warning);
        assert_eq!(examine("0.18.0+fork", "2026-06-02").0, Outcome::Good);
        assert_eq!(examine("0.19.0-rc1", "2026-06-02").0, Outcome::Warning, "it may have what 0.19.0 has");
    }

    #[test]
    fn remedy_names_what_a_peer_can_reach_in_the_version_to_update_to() {
        let mut list = list();
        list.advisories[0].fixed = Some(Release::parse("0.19.0").unwrap());
        let found = list.examine("0.11.0", &Release::parse("0.11.0").unwrap(), day("2026-06-02"));
        let remedy = found.remedy.unwrap();
        assert_eq!(remedy, "update Ollama to 0.19.0 or newer; that version has unfixed (no id): wait");
    }

    #[test]
    fn remedy_says_how_many_the_update_fixes_if_it_does_not_fix_all() {
        let mut list = list();
        list.advisories[1].from = None;
        let found = list.examine("0.11.0", &Release::parse("0.11.0").unwrap(), day("2026-06-02"));
        let remedy = found.remedy.unwrap();
        assert!(
            remedy.starts_with("update Ollama to 0.18.0 or newer, which fixes 2 of these 3; "),
            "{remedy}"
        );
    }

    #[test]
    fn unfixed_vulnerability_that_a_peer_can_reach_is_a_warning_with_its_own_remedy() {
        let (outcome, reason, remedy) = examine("0.20.0", "2026-06-02");
        assert_eq!(outcome, Outcome::Warning);
        assert!(reason.contains("unfixed (no id)"), "{reason}");
        assert_eq!(remedy, "against no id, for which no fix is known: wait");
    }

    #[test]
    fn version_newer_than_the_list_is_unknown_and_never_good() {
        let (outcome, reason, _) = examine("0.20.1", "2026-06-02");
        assert_eq!(outcome, Outcome::Unknown);
        assert!(reason.starts_with("0.20.1 is not on this list, which is of 2026-06-01"), "{reason}");
        assert!(reason.contains("without a known fix: unfixed"), "{reason}");
    }

    #[test]
    fn old_list_makes_nothing_good_and_hides_no_warning() {
        assert_eq!(examine("0.18.0", "2026-11-29").0, Outcome::Good);
        let (outcome, reason, _) = examine("0.18.0", "2026-12-02");
        assert_eq!(outcome, Outcome::Unknown);
        assert!(reason.contains("of 2026-06-01 and too old"), "{reason}");
        assert_eq!(examine("0.17.0", "2026-12-02").0, Outcome::Warning);
        // A wrong clock does not make the list old.
        assert_eq!(examine("0.18.0", "2020-01-01").0, Outcome::Good);
    }

    #[test]
    fn committed_list_can_be_read() {
        let list: List = toml::from_str(LIST).unwrap();
        let today = day(&list.date);
        let newest = &list.newest.0;
        assert_eq!(of("0.17.4", today).outcome, Outcome::Warning);
        let next = Version::new(newest.major, newest.minor + 1, 0).to_string();
        assert_eq!(of(&next, today).outcome, Outcome::Unknown);
        for odd in ["", "0.0.0.1", "main", "1.2"] {
            assert_eq!(of(odd, today).outcome, Outcome::Unknown, "{odd}");
        }
        for advisory in &list.advisories {
            let ordered = advisory.from.as_ref().zip(advisory.fixed.as_ref()).is_none_or(|(a, b)| a < b);
            assert!(ordered, "{}", advisory.id());
            let has_way_out = advisory.fixed.is_some() || advisory.remedy.is_some();
            assert!(advisory.reach != Reach::Open || has_way_out, "{}", advisory.id());
        }
    }
}

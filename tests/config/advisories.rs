//! The tables of docs/advisories.md are made from src/doctor/advisories.toml, which doctor reads too. To make them:
//! UPDATE=1 cargo test --no-default-features --test config advisories

use std::collections::BTreeSet;

use remote_ollama_proxy::policy::{Endpoint, MANAGEMENT};
use serde::Deserialize;

use crate::security::root;

const LIST: &str = include_str!("../../src/doctor/advisories.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    date: String,
    newest: String,
    advisory: Vec<Advisory>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advisory {
    ids: Vec<String>,
    title: String,
    reach: Reach,
    routes: Vec<String>,
    from: Option<String>,
    fixed: Option<String>,
    blocked_by: Option<String>,
    remedy: Option<String>,
    note: Option<String>,
    known: String,
    published: Option<String>,
    #[serde(default)]
    sources: Vec<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Reach {
    Refused,
    Blocked,
    Open,
}

fn list() -> List {
    toml::from_str(LIST).unwrap()
}

impl Advisory {
    /// The first id links to its record.
    fn id(&self) -> String {
        match self.ids.split_first() {
            None => "none".to_owned(),
            Some((first, others)) => {
                let record = format!("[{first}](https://www.cve.org/CVERecord?id={first})");
                std::iter::once(record).chain(others.iter().cloned()).collect::<Vec<_>>().join(", ")
            }
        }
    }

    fn routes(&self) -> String {
        self.routes.iter().map(|route| format!("`{route}`")).collect::<Vec<_>>().join(", ")
    }

    fn versions(&self) -> String {
        match (&self.from, &self.fixed) {
            (None, None) => "no fix named".to_owned(),
            (Some(from), None) => format!("from {from}; no fix known"),
            (None, Some(fixed)) => format!("before {fixed}"),
            (Some(from), Some(fixed)) => format!("from {from}, before {fixed}"),
        }
    }

    /// The marks, the day of the record, and further addresses.
    fn known(&self) -> String {
        let sources = self.sources.iter().enumerate().map(|(at, url)| format!("[{}]({url})", at + 1));
        let all = std::iter::once(self.known.clone()).chain(self.published.clone()).chain(sources);
        all.collect::<Vec<_>>().join("; ")
    }

    fn cells(&self) -> [String; 6] {
        let note = self.note.as_deref().map(|note| format!(". {note}")).unwrap_or_default();
        let against = match self.reach {
            Reach::Refused => self.routes(),
            Reach::Blocked => self.blocked_by.clone().unwrap_or_default(),
            Reach::Open => self.remedy.clone().unwrap_or_else(|| "an update".to_owned()),
        };
        let reached = if self.reach == Reach::Open { self.routes() } else { String::new() };
        [self.id(), format!("{}{note}", self.title), self.versions(), reached, against, self.known()]
    }
}

fn table(list: &List, reach: Reach) -> String {
    let heads = match reach {
        Reach::Refused => "| id | what | versions | needs | known |\n|---|---|---|---|---|\n",
        Reach::Blocked => "| id | what | versions | blocked by | known |\n|---|---|---|---|---|\n",
        Reach::Open => {
            "| id | what | versions | reached by | remedy, other than an update | known |\n|---|---|---|---|---|---|\n"
        }
    };
    let rows = list.advisory.iter().filter(|advisory| advisory.reach == reach).map(|advisory| {
        let cells = advisory.cells().map(|cell| cell.replace('|', "\\|"));
        let cells: Vec<_> = cells.into_iter().filter(|cell| !cell.is_empty()).collect();
        format!("| {} |\n", cells.join(" | "))
    });
    heads.to_owned() + &rows.collect::<String>()
}

/// Puts what is generated between its marks.
fn page(stored: &str, list: &List) -> String {
    let dates = format!(
        "The list is of **{}**. The newest Ollama whose source was compared with it is **{}**.\n",
        list.date, list.newest
    );
    let parts = [
        ("date", dates),
        ("refused", table(list, Reach::Refused)),
        ("blocked", table(list, Reach::Blocked)),
        ("open", table(list, Reach::Open)),
    ];
    parts.into_iter().fold(stored.to_owned(), |page, (name, text)| {
        let opening = format!("<!-- generated: {name} -->\n");
        let (before, rest) = page.split_once(&opening).unwrap_or_else(|| panic!("no {opening}"));
        let (_, after) = rest.split_once("<!-- end -->").unwrap();
        format!("{before}{opening}\n{text}\n<!-- end -->{after}")
    })
}

#[test]
fn tables_of_advisories_are_generated_from_the_list() {
    let path = root().join("docs/advisories.md");
    let stored = std::fs::read_to_string(&path).unwrap();
    let page = page(&stored, &list());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page).unwrap();
        return;
    }
    assert!(
        stored == page,
        "docs/advisories.md is not what src/doctor/advisories.toml says: \
         UPDATE=1 cargo test --no-default-features --test config advisories"
    );
}

#[test]
fn routes_of_advisories_are_refused_or_open_as_listed() {
    let never: BTreeSet<_> = MANAGEMENT.iter().map(|m| m.path).collect();
    let open: BTreeSet<_> = Endpoint::all().filter(|e| e.default_on()).map(Endpoint::path).collect();
    for advisory in list().advisory {
        let all_in = |set: &BTreeSet<&str>| advisory.routes.iter().all(|route| set.contains(&**route));
        let named = !advisory.routes.is_empty();
        match advisory.reach {
            Reach::Refused => assert!(named && all_in(&never), "{:?}", advisory.ids),
            Reach::Open => assert!(named && all_in(&open), "{:?}", advisory.ids),
            Reach::Blocked => assert!(advisory.blocked_by.is_some(), "{:?}", advisory.ids),
        }
    }
}

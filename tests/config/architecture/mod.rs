//! The dependencies in src/ against ARCHITECTURE.md: each module uses the modules that its row names, and no file depends
//! on a file that depends on it.
//!
//! A file depends on another if its code, unit tests aside, names an item that is defined there, or calls an inherent
//! method that the other file defines in an `impl` of a type that both define or implement. Declaring a module and
//! re-exporting an item with `pub use` are no dependencies: they only say where others find it.
//!
//! The types of expressions are unknown here. Therefore this test does not see:
//! - an `impl` of a trait in another file than the type's, where the type's file needs that `impl`: it calls the trait's
//!   method, or passes the type to a function that requires the trait;
//! - calls of an inherent method by files that neither define nor implement the type;
//! - names that a macro makes, and imports in the body of `macro_rules!` at the place of its use.
//!
//! It finds too much where a file calls a method of another type that has the same name as such an inherent method, and
//! where two functions of a file import different items by one name.

mod planted;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sources::{Module, Names};

use crate::security::{none, quoted, root, rows, section};

const ARCHITECTURE: &str = include_str!("../../../ARCHITECTURE.md");

#[derive(Default)]
struct Crate {
    modules: BTreeMap<Names, Module>,
}

impl Crate {
    fn read() -> Crate {
        fn walk(folder: &Path, at: &[String], sources: &mut Crate) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                let here = [at, std::slice::from_ref(&name)].concat();
                if path.is_dir() {
                    walk(&path, &here, sources);
                } else if path.extension().is_some_and(|e| e == "rs") && name != "main" {
                    let is_root = matches!(name.as_str(), "mod" | "lib");
                    let here = if is_root { at.to_vec() } else { here };
                    let file = path.strip_prefix(root()).unwrap().display().to_string();
                    sources.add(&file, &std::fs::read_to_string(&path).unwrap(), &here);
                }
            }
        }
        let mut sources = Crate::default();
        walk(&root().join("src"), &[], &mut sources);
        let tests: Vec<Names> = sources.modules.values().flat_map(|module| module.tests.clone()).collect();
        sources.modules.retain(|at, _| !tests.iter().any(|test| at.starts_with(test)));
        assert!(sources.modules.len() > 100, "{} modules", sources.modules.len());
        sources
    }

    fn add(&mut self, file: &str, text: &str, at: &Names) {
        let parsed = syn::parse_file(text).unwrap_or_else(|e| panic!("{file}: {e}"));
        Module::read(parsed.items, at, (file, at), &mut self.modules);
    }

    /// Adds to `found` the modules in whose files the item is defined that `path` names in the module `at`. These are none
    /// if it is no item of ours, and several if functions of a file import different items by one name.
    fn resolve<'a>(&'a self, at: &Names, path: &[String], depth: u8, found: &mut BTreeSet<&'a Names>) {
        let (Some(first), Some(module), true) = (path.first(), self.modules.get(at), depth <= 8) else {
            return;
        };
        let child = [at.as_slice(), std::slice::from_ref(first)].concat();
        let (mut here, rest) = match first.as_str() {
            "crate" => (Vec::new(), &path[1..]),
            "self" => (at.clone(), &path[1..]),
            "super" => (at[..at.len().saturating_sub(1)].to_vec(), &path[1..]),
            _ if self.modules.contains_key(&child) || module.items.contains(first) => (at.clone(), path),
            name => {
                for imported in module.imports.get(name).into_iter().flatten() {
                    if imported.first() != Some(first) {
                        self.resolve(at, &[imported.as_slice(), &path[1..]].concat(), depth + 1, found);
                    }
                }
                // A glob's own path does not begin with a name that a glob brings in.
                if depth == 0 && !module.imports.contains_key(name) {
                    for glob in &module.globs {
                        self.resolve(at, &[glob.as_slice(), path].concat(), depth + 1, found);
                    }
                }
                return;
            }
        };
        for (i, name) in rest.iter().enumerate() {
            if name == "super" {
                here.pop();
                continue;
            }
            let child = [here.as_slice(), std::slice::from_ref(name)].concat();
            if self.modules.contains_key(&child) {
                here = child;
                continue;
            }
            let Some(module) = self.modules.get(&here) else { return };
            if module.items.contains(name) {
                found.insert(&module.home);
            } else if let Some(imports) = module.imports.get(name) {
                for imported in imports {
                    let whole = [imported.as_slice(), &rest[i + 1..]].concat();
                    self.resolve(&here, &whole, depth + 1, found);
                }
            } else {
                for glob in &module.globs {
                    self.resolve(&here, &[glob.as_slice(), &rest[i..]].concat(), depth + 1, found);
                }
            }
            return;
        }
        // A module by itself: what is used of it is found by the paths that begin with its name.
    }

    /// The types that a module implements: the module of each definition, the name, and the inherent methods here.
    fn implemented(&self, at: &Names) -> Vec<(&Names, &String, &BTreeSet<String>)> {
        let mut all = Vec::new();
        for block in &self.modules[at].impls {
            let mut found = BTreeSet::new();
            self.resolve(at, &block.of, 0, &mut found);
            let name = block.of.last().unwrap();
            all.extend(found.into_iter().map(|home| (home, name, &block.methods)));
        }
        all
    }

    /// Whether a module calls one of `methods` of the type `name`.
    fn calls(module: &Module, name: &str, methods: &BTreeSet<String>) -> bool {
        let by_path = |path: &Names| match path.as_slice() {
            [.., of, method] => (of == "Self" || of == name) && methods.contains(method),
            _ => false,
        };
        !module.calls.is_disjoint(methods) || module.named.iter().any(by_path)
    }

    /// Each file's module with those that it depends on.
    fn dependencies(&self) -> BTreeMap<&Names, BTreeSet<&Names>> {
        let mut graph: BTreeMap<&Names, BTreeSet<&Names>> = BTreeMap::new();
        let mut implementers: BTreeMap<(&Names, &String), BTreeSet<&Names>> = BTreeMap::new();
        for (at, module) in &self.modules {
            let found = graph.entry(&module.home).or_default();
            module.named.iter().for_each(|path| self.resolve(at, path, 0, found));
            for (home, name, _) in self.implemented(at) {
                implementers.entry((home, name)).or_default().extend([home, at]);
            }
        }
        for (at, module) in &self.modules {
            for (home, name, methods) in self.implemented(at) {
                for user in &implementers[&(home, name)] {
                    let user = &self.modules[*user];
                    if Self::calls(user, name, methods) {
                        graph.entry(&user.home).or_default().insert(&module.home);
                    }
                }
            }
        }
        for (at, found) in &mut graph {
            found.remove(at);
        }
        graph
    }
}

/// The files of `graph` that can be reached from themselves, in groups that reach each other.
fn circles<'a>(graph: &BTreeMap<&'a Names, BTreeSet<&'a Names>>) -> BTreeSet<BTreeSet<&'a Names>> {
    let reach = |from: &'a Names| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(at) = next.pop() {
            next.extend(graph[at].iter().filter(|to| seen.insert(**to)));
        }
        seen
    };
    let reached: BTreeMap<_, _> = graph.keys().map(|at| (*at, reach(at))).collect();
    let group = |at: &&'a Names| {
        let ours: BTreeSet<_> =
            reached[*at].iter().filter(|to| reached[**to].contains(*at)).copied().collect();
        (!ours.is_empty()).then_some(ours)
    };
    graph.keys().filter_map(group).collect()
}

#[test]
fn no_file_depends_on_a_file_that_depends_on_it() {
    let sources = Crate::read();
    let graph = sources.dependencies();
    let file = |at: &Names| sources.modules[at].file.clone();
    let mut found = BTreeSet::new();
    for circle in circles(&graph) {
        let edges = circle.iter().flat_map(|from| {
            graph[*from]
                .iter()
                .filter(|to| circle.contains(**to))
                .map(|to| format!("{} → {}", file(from), file(to)))
        });
        found.insert(edges.collect::<Vec<_>>().join("\n    "));
    }
    none("files in a circle", &found);
}

#[test]
fn each_module_uses_what_its_row_in_the_architecture_says() {
    let sources = Crate::read();
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in sources.dependencies() {
        let Some(from) = from.first() else { continue };
        let others = to.iter().filter_map(|to| to.first()).filter(|to| *to != from).cloned();
        used.entry(from.clone()).or_default().extend(others);
    }
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows(section(ARCHITECTURE, "Modules")) {
        let name = quoted(row[0]).next().unwrap().trim_end_matches(".rs").to_owned();
        told.insert(name, quoted(row[2]).map(str::to_owned).collect());
    }
    let mut wrong = BTreeSet::new();
    for name in used.keys().chain(told.keys()) {
        let (used, told) = (used.get(name), told.get(name));
        if used != told {
            wrong.insert(format!("{name}: src/ has {used:?}, ARCHITECTURE.md has {told:?}"));
        }
    }
    none("modules whose imports differ from ARCHITECTURE.md", &wrong);
}

//! The imports in src/ against ARCHITECTURE.md: each module uses the modules that its row names, and no file depends on a
//! file that depends on it.
//!
//! A file depends on another if its code, unit tests aside, names an item that is defined there. Declaring a module and
//! re-exporting an item with `pub use` are no dependencies: they only say where others find it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Item, UseTree, Visibility};

use crate::security::{none, quoted, root, rows, section};

const ARCHITECTURE: &str = include_str!("../../ARCHITECTURE.md");

/// The path of a module or an item from the crate's root, `crate` left out.
type Names = Vec<String>;

/// One source file.
#[derive(Default)]
struct Module {
    file: String,
    /// What is defined here, apart from modules in files of their own.
    items: BTreeSet<String>,
    /// What `use` brings in: the name here, and the path as written.
    imports: BTreeMap<String, Names>,
    /// Modules whose every item `use` brings in.
    globs: Vec<Names>,
    /// Paths that the code names, imports that are not re-exported included.
    named: BTreeSet<Names>,
    /// Modules in files of their own that are compiled for unit tests only.
    tests: Vec<Names>,
}

struct Crate {
    modules: BTreeMap<Names, Module>,
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|a| a.to_token_stream().to_string().replace(' ', "").contains("cfg(test)"))
}

fn attributes_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(i) => &i.attrs,
        Item::Enum(i) => &i.attrs,
        Item::Fn(i) => &i.attrs,
        Item::Impl(i) => &i.attrs,
        Item::Mod(i) => &i.attrs,
        Item::Static(i) => &i.attrs,
        Item::Struct(i) => &i.attrs,
        Item::Trait(i) => &i.attrs,
        Item::Type(i) => &i.attrs,
        Item::Use(i) => &i.attrs,
        _ => &[],
    }
}

/// The name that an item defines.
fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(i) => &i.ident,
        Item::Enum(i) => &i.ident,
        Item::Fn(i) => &i.sig.ident,
        Item::Static(i) => &i.ident,
        Item::Struct(i) => &i.ident,
        Item::Trait(i) => &i.ident,
        Item::Type(i) => &i.ident,
        Item::Mod(i) if i.content.is_some() => &i.ident,
        Item::Macro(i) => i.ident.as_ref()?,
        _ => return None,
    };
    Some(name.to_string())
}

/// Each leaf of a `use`: the name here, and its path. `None` for the name: every item of the path.
fn leaves(tree: &UseTree, path: &[String], found: &mut Vec<(Option<String>, Names)>) {
    let with = |name: &syn::Ident| [path, &[name.to_string()]].concat();
    match tree {
        UseTree::Path(tree) => leaves(&tree.tree, &with(&tree.ident), found),
        UseTree::Name(tree) if tree.ident == "self" => found.push((path.last().cloned(), path.to_vec())),
        UseTree::Name(tree) => found.push((Some(tree.ident.to_string()), with(&tree.ident))),
        UseTree::Rename(tree) if tree.ident == "self" => {
            found.push((Some(tree.rename.to_string()), path.to_vec()));
        }
        UseTree::Rename(tree) => found.push((Some(tree.rename.to_string()), with(&tree.ident))),
        UseTree::Glob(_) => found.push((None, path.to_vec())),
        UseTree::Group(tree) => tree.items.iter().for_each(|tree| leaves(tree, path, found)),
    }
}

/// Every path of two names and more in `tokens`, inside macros too.
fn paths(tokens: TokenStream, found: &mut BTreeSet<Names>) {
    let mut path: Names = Vec::new();
    let (mut colons, mut end) = (0, |path: &mut Names| {
        if path.len() > 1 {
            found.insert(std::mem::take(path));
        }
        path.clear();
    });
    let mut groups = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Punct(p) if p.as_char() == ':' && !path.is_empty() => colons += 1,
            TokenTree::Ident(name) => {
                if colons != 2 {
                    end(&mut path);
                }
                path.push(name.to_string());
                colons = 0;
            }
            other => {
                end(&mut path);
                colons = 0;
                if let TokenTree::Group(group) = other {
                    groups.push(group.stream());
                }
            }
        }
    }
    end(&mut path);
    for group in groups {
        paths(group, found);
    }
}

impl Module {
    fn read(file: &Path, at: &[String]) -> Module {
        let text = std::fs::read_to_string(file).unwrap();
        let mut module =
            Module { file: file.strip_prefix(root()).unwrap().display().to_string(), ..Module::default() };
        let parsed = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", module.file));
        for item in &parsed.items {
            if is_test(attributes_of(item)) {
                if let Item::Mod(item) = item {
                    module.tests.push([at, &[item.ident.to_string()]].concat());
                }
                continue;
            }
            module.items.extend(name_of(item));
            let Item::Use(item) = item else {
                paths(item.to_token_stream(), &mut module.named);
                continue;
            };
            let mut found = Vec::new();
            leaves(&item.tree, &[], &mut found);
            for (name, path) in found {
                if matches!(item.vis, Visibility::Inherited) {
                    module.named.insert(path.clone());
                }
                match name {
                    Some(name) => drop(module.imports.insert(name, path)),
                    None => module.globs.push(path),
                }
            }
        }
        module
    }
}

impl Crate {
    fn read() -> Crate {
        fn walk(folder: &Path, at: &[String], modules: &mut BTreeMap<Names, Module>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                let here = [at, std::slice::from_ref(&name)].concat();
                if path.is_dir() {
                    walk(&path, &here, modules);
                } else if path.extension().is_some_and(|e| e == "rs") && name != "main" {
                    let is_root = matches!(name.as_str(), "mod" | "lib");
                    let here = if is_root { at.to_vec() } else { here };
                    modules.insert(here.clone(), Module::read(&path, &here));
                }
            }
        }
        let mut modules = BTreeMap::new();
        walk(&root().join("src"), &[], &mut modules);
        let tests: Vec<Names> = modules.values().flat_map(|module| module.tests.clone()).collect();
        modules.retain(|at, _| !tests.iter().any(|test| at.starts_with(test)));
        assert!(modules.len() > 100, "{} files", modules.len());
        Crate { modules }
    }

    /// The module in whose file the item is defined that `path` names in the module `at`; `None` if it is no item of ours.
    fn definition(&self, at: &Names, path: &[String], depth: u8) -> Option<&Names> {
        if depth > 8 {
            return None;
        }
        let first = path.first()?;
        let (mut here, rest) = match first.as_str() {
            "crate" => (Vec::new(), &path[1..]),
            "self" => (at.clone(), &path[1..]),
            "super" => (at.split_last()?.1.to_vec(), &path[1..]),
            name if self.modules.contains_key(&[at.as_slice(), &[name.to_owned()]].concat()) => {
                (at.clone(), path)
            }
            name => {
                let imported = self.modules[at].imports.get(name)?;
                let whole = [imported.as_slice(), &path[1..]].concat();
                return (imported.first() != Some(first)).then(|| self.definition(at, &whole, depth + 1))?;
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
            let (found, module) = self.modules.get_key_value(&here)?;
            if module.items.contains(name) {
                return Some(found);
            }
            if let Some(imported) = module.imports.get(name) {
                let whole = [imported.as_slice(), &rest[i + 1..]].concat();
                return self.definition(&here, &whole, depth + 1);
            }
            return module.globs.iter().find_map(|glob| {
                let whole = [glob.as_slice(), &rest[i..]].concat();
                self.definition(&here, &whole, depth + 1)
            });
        }
        // A module by itself: what is used of it is found by the paths that begin with its name.
        None
    }

    /// Each module's file with those that it depends on.
    fn dependencies(&self) -> BTreeMap<&Names, BTreeSet<&Names>> {
        let of = |(at, module): (&'_ Names, &Module)| {
            module
                .named
                .iter()
                .filter_map(|path| self.definition(at, path, 0))
                .filter(|to| *to != at)
                .collect()
        };
        self.modules.iter().map(|(at, module)| (at, of((at, module)))).collect()
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

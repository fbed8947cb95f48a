//! The dependencies that are found in planted sources.

use super::Crate;

/// The dependencies between modules with these names and texts.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let mut sources = Crate::default();
    sources.add("lib.rs", "", &Vec::new());
    for (name, text) in files {
        sources.add(name, text, &vec![(*name).to_owned()]);
    }
    let graph = sources.dependencies();
    graph
        .iter()
        .flat_map(|(from, to)| to.iter().map(|to| format!("{}→{}", from.join("::"), to.join("::"))))
        .collect()
}

const SINK: (&str, &str) = ("sink", "pub struct Labels; pub struct Sink; impl Sink { pub fn new() {} }");

#[test]
fn grouped_imports_in_a_function_are_dependencies() {
    let user = ("user", "fn open() { use crate::sink::{Labels, Sink}; let _ = (Labels, Sink); }");
    assert_eq!(found(&[SINK, user]), ["user→sink"]);
}

#[test]
fn imports_in_a_function_resolve_the_paths_after_them() {
    let user = ("user", "fn open() { use crate::sink as log; log::Sink::new(); }");
    assert_eq!(found(&[SINK, user]), ["user→sink"]);
}

#[test]
fn names_from_a_glob_are_dependencies() {
    for text in [
        "use crate::sink::*; fn open(labels: Labels) {}",
        "use crate::sink::*; fn open() { Sink::new(); }",
        "fn open() { use crate::sink::*; let _ = Labels; }",
        "mod inner { use super::super::sink::*; fn open(labels: Labels) {} }",
    ] {
        assert_eq!(found(&[SINK, ("user", text)]), ["user→sink"], "{text}");
    }
}

#[test]
fn a_glob_of_a_glob_is_followed() {
    let between = ("between", "pub use crate::sink::*;");
    let user = ("user", "use crate::between::*; fn open(labels: Labels) {}");
    assert_eq!(found(&[SINK, between, user]), ["user→sink"]);
}

#[test]
fn a_re_exported_name_that_the_code_uses_is_a_dependency() {
    assert_eq!(
        found(&[SINK, ("user", "pub use crate::sink::Labels; fn open(labels: Labels) {}")]),
        ["user→sink"]
    );
    assert!(found(&[SINK, ("user", "pub use crate::sink::Labels;")]).is_empty());
}

#[test]
fn fields_and_own_items_are_no_names_from_a_glob() {
    let user = ("user", "use crate::sink::*; struct Sink; fn open(s: Sink) { s.Labels; }");
    assert!(found(&[SINK, user]).is_empty());
}

#[test]
fn a_type_that_calls_its_method_in_another_file_depends_on_that_file() {
    let resolve = ("resolve", "use crate::names::Names; impl Names { fn owners(&self) {} }");
    for (text, depends) in [
        ("pub struct Names; impl Names { fn read(&self) { self.owners(); } }", true),
        ("pub struct Names; impl Names { fn read(&self) { self.owners::<u8>(); } }", true),
        ("pub struct Names; impl Names { fn read(&self) { Self::owners(self); } }", true),
        ("pub struct Names; fn read(names: &[Names]) { names.iter().map(Names::owners); }", true),
        ("pub struct Names; fn read(names: &Names) { assert!(names.owners()); }", true),
        ("pub struct Names { owners: u8 } fn read(names: &Names) { names.owners; }", false),
        ("pub struct Names { owners: bool } fn read(names: &Names) { if names.owners {} }", false),
        ("pub struct Names; #[cfg(test)] mod tests { fn read(n: &super::Names) { n.owners(); } }", false),
        ("pub struct Names; impl Names { #[cfg(test)] fn read(&self) { self.owners(); } }", false),
    ] {
        let expected: &[&str] =
            if depends { &["names→resolve", "resolve→names"] } else { &["resolve→names"] };
        assert_eq!(found(&[("names", text), resolve]), expected, "{text}");
    }
}

#[test]
fn files_that_implement_one_type_depend_on_each_others_methods() {
    let names = ("names", "pub struct Names;");
    let one = ("one", "use crate::names::Names; impl Names { fn one(&self) { self.two(); } }");
    let two = ("two", "use crate::names::Names; impl Names { fn two(&self) {} }");
    assert_eq!(found(&[names, one, two]), ["one→names", "one→two", "two→names"]);
}

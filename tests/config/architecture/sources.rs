//! What one source file defines, imports, names and calls. Unit tests in it are left out.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, ImplItem, Item, ItemImpl, ItemUse, Type, UseTree, Visibility};

/// The path of a module or an item from the crate's root, `crate` left out.
pub(super) type Names = Vec<String>;

/// One module: a source file, or an inline module in it.
#[derive(Default)]
pub(super) struct Module {
    pub(super) file: String,
    /// The module whose file this is.
    pub(super) home: Names,
    /// What is defined here, apart from modules.
    pub(super) items: BTreeSet<String>,
    /// What `use` brings in, at the top or in a function: the name here, and the paths as written.
    pub(super) imports: BTreeMap<String, BTreeSet<Names>>,
    /// Modules whose every item `use` brings in.
    pub(super) globs: BTreeSet<Names>,
    /// Paths and single names in the code, imports that are not re-exported included.
    pub(super) named: BTreeSet<Names>,
    /// The methods that the code calls with a dot.
    pub(super) calls: BTreeSet<String>,
    pub(super) impls: Vec<Impl>,
    /// Modules in files of their own that are compiled for unit tests only.
    pub(super) tests: Vec<Names>,
}

/// An `impl` block.
pub(super) struct Impl {
    /// The path of the type, as written.
    pub(super) of: Names,
    /// The functions of an inherent `impl`; none of a trait's.
    pub(super) methods: BTreeSet<String>,
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

/// The `use` that begins at `at`, and the number of its tokens.
fn nested_use(tokens: &[TokenTree], at: usize) -> Option<(ItemUse, usize)> {
    matches!(&tokens[at], TokenTree::Ident(name) if name == "use").then_some(())?;
    let is_end = |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ';');
    let length = tokens[at..].iter().position(is_end)? + 1;
    // `use<'a>` in a bound is no import.
    let import = syn::parse2(tokens[at..at + length].iter().cloned().collect()).ok()?;
    Some((import, length))
}

impl Module {
    /// Adds the items of a file or an inline module at the path `at`. `found` gets the inline modules in it, too.
    pub(super) fn read(
        items: Vec<Item>,
        at: &[String],
        file: (&str, &Names),
        found: &mut BTreeMap<Names, Module>,
    ) {
        let mut module = found.remove(at).unwrap_or_default();
        // An inline module may replace one in a file of its own in some builds.
        if module.file.is_empty() || at == file.1.as_slice() {
            (module.file, module.home) = (file.0.to_owned(), file.1.clone());
        }
        for item in items {
            let inner = |name: &syn::Ident| [at, &[name.to_string()]].concat();
            match item {
                Item::Mod(item) if item.content.is_none() && is_test(&item.attrs) => {
                    module.tests.push(inner(&item.ident));
                }
                item if is_test(attributes_of(&item)) => {}
                Item::Mod(item) => {
                    if let Some((_, items)) = item.content {
                        Module::read(items, &inner(&item.ident), file, found);
                    }
                }
                Item::Use(item) => module.import(&item),
                Item::Impl(item) => module.implement(item),
                item => {
                    module.items.extend(name_of(&item));
                    module.scan(item.to_token_stream());
                }
            }
        }
        found.insert(at.to_vec(), module);
    }

    fn import(&mut self, item: &ItemUse) {
        let mut found = Vec::new();
        leaves(&item.tree, &[], &mut found);
        for (name, path) in found {
            if matches!(item.vis, Visibility::Inherited) {
                self.named.insert(path.clone());
            }
            match name {
                Some(name) => self.imports.entry(name).or_default().insert(path),
                None => self.globs.insert(path),
            };
        }
    }

    fn implement(&mut self, mut item: ItemImpl) {
        item.items.retain(|item| !matches!(item, ImplItem::Fn(item) if is_test(&item.attrs)));
        if let Type::Path(of) = &*item.self_ty {
            let method = |of: &ImplItem| match of {
                ImplItem::Fn(method) if item.trait_.is_none() => Some(method.sig.ident.to_string()),
                _ => None,
            };
            let of = of.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.impls.push(Impl { of, methods: item.items.iter().filter_map(method).collect() });
        }
        self.scan(item.into_token_stream());
    }

    /// Adds every path, single name, method call and import in `tokens`, inside macros too.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: usize, c: char| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == c);
        let is_arguments = |at: usize| match tokens.get(at) {
            Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Parenthesis,
            _ => false,
        };
        let is_separator = |at: usize| is(at, ':') && is(at + 1, ':');
        let mut at = 0;
        while at < tokens.len() {
            if let Some((import, length)) = nested_use(&tokens, at) {
                self.import(&import);
                at += length;
                continue;
            }
            let follows_dot = at > 0 && is(at - 1, '.') && !(at > 1 && is(at - 2, '.'));
            match &tokens[at] {
                TokenTree::Ident(name) if follows_dot && (is_separator(at + 1) || is_arguments(at + 1)) => {
                    self.calls.insert(name.to_string());
                }
                TokenTree::Ident(_) if follows_dot => {} // a field
                TokenTree::Ident(name) => {
                    let mut path = vec![name.to_string()];
                    while let (true, Some(TokenTree::Ident(name))) =
                        (is_separator(at + 1), tokens.get(at + 3))
                    {
                        path.push(name.to_string());
                        at += 3;
                    }
                    self.named.insert(path);
                }
                TokenTree::Group(group) => self.scan(group.stream()),
                _ => {}
            }
            at += 1;
        }
    }
}

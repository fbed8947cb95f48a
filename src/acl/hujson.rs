//! HuJSON: JSON with comments and trailing commas, and nothing looser. Values keep their lines.
//!
//! Source: the description of HuJSON in Tailscale's documentation, "Tailnet policy file".

use std::collections::HashSet;
use std::str::FromStr;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::tokens::{Token, TokenAndRange};
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, parse_to_ast};

use super::fault::FileFault;

/// A value and the line where it begins, from 1.
#[derive(Debug, Clone)]
pub(super) struct Json {
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
    /// A number, true, false or null. The policy language has no keys with these, except within capabilities.
    Other(serde_json::Value),
}

impl Json {
    /// The kind of value, for a reason.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
            Value::Other(serde_json::Value::Number(_)) => "a number",
            Value::Other(serde_json::Value::Null) => "null",
            Value::Other(_) => "true or false",
        }
    }

    /// Drops the keys of an entry of `acls` that begin with `#`, which Headscale ignores as comments. It refuses them
    /// elsewhere. Source: `ACL.UnmarshalJSON` in hscontrol/policy/v2/types.go.
    pub(super) fn drop_comments(&mut self) {
        let Value::Object(sections) = &mut self.value else { return };
        let acls = sections.iter_mut().filter(|(name, _)| name.eq_ignore_ascii_case("acls"));
        let lists = acls
            .filter_map(|(_, acls)| if let Value::List(acls) = &mut acls.value { Some(acls) } else { None });
        for entry in lists.flatten() {
            if let Value::Object(fields) = &mut entry.value {
                fields.retain(|(key, _)| !key.starts_with('#'));
            }
        }
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Text(text) => text.as_str().into(),
            Value::List(list) => list.iter().map(Json::to_json).collect(),
            Value::Object(fields) => fields.iter().map(|(k, v)| (k.clone(), v.to_json())).collect(),
            Value::Other(value) => value.clone(),
        }
    }
}

/// Reads a whole file.
///
/// # Errors
/// The text is not HuJSON, or an object has a key twice.
pub(super) fn parse(text: &str) -> Result<Json, Vec<FileFault>> {
    let lines = Lines::of(text);
    let collect = CollectOptions { comments: CommentCollectionStrategy::AsTokens, tokens: true };
    let tree = parse_to_ast(text, &collect, &OPTIONS).map_err(|e| {
        let reason = format!("not HuJSON: {}", e.kind().to_string().to_lowercase());
        vec![FileFault::new(e.line_display(), "", "", reason)]
    })?;
    if let Some((at, reason)) = find_loose(text, &tree.tokens.unwrap_or_default()) {
        return Err(vec![FileFault::new(lines.at(at), "", "", format!("not HuJSON: {reason}"))]);
    }
    let Some(root) = tree.value else {
        return Err(vec![FileFault::new(1, "", "", "the file is empty: it must hold one JSON object")]);
    };
    let mut reader = Reader { text, lines, faults: Vec::new() };
    let json = reader.json("", &root);
    if reader.faults.is_empty() { Ok(json) } else { Err(reader.faults) }
}

const OPTIONS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Finds what this parser accepts and Tailscale's does not: spaces other than JSON's, and a comment whose line does not
/// end.
fn find_loose(text: &str, tokens: &[TokenAndRange<'_>]) -> Option<(usize, &'static str)> {
    let mut end = 0;
    let strange_space = |from: usize, to: usize| {
        let gap = text.get(from..to).unwrap_or_default();
        gap.find(|c| !matches!(c, ' ' | '\t' | '\r' | '\n')).map(|at| from + at)
    };
    for token in tokens {
        if let Some(at) = strange_space(end, token.range.start) {
            return Some((at, "a space that JSON does not allow; use an ordinary one"));
        }
        end = token.range.end;
        let rest = text.get(end..).unwrap_or_default();
        let ended = rest.starts_with('\n') || rest.starts_with("\r\n");
        if matches!(token.token, Token::CommentLine(_)) && !ended {
            return Some((end, "the line of the comment does not end"));
        }
    }
    strange_space(end, text.len()).map(|at| (at, "a space that JSON does not allow; use an ordinary one"))
}

struct Reader<'a> {
    text: &'a str,
    lines: Lines,
    faults: Vec<FileFault>,
}

impl Reader<'_> {
    /// The parser refuses nesting that is deep enough to exhaust the stack.
    fn json(&mut self, key: &str, node: &ast::Value<'_>) -> Json {
        let line = self.lines.at(node.range().start);
        let value = match node {
            ast::Value::StringLit(text) => {
                self.check_literal(key, node);
                Value::Text(text.value.clone().into_owned())
            }
            ast::Value::NumberLit(number) => {
                self.check_literal(key, node);
                let number = serde_json::Number::from_str(number.value);
                Value::Other(number.map_or(serde_json::Value::Null, serde_json::Value::Number))
            }
            ast::Value::BooleanLit(literal) => Value::Other(literal.value.into()),
            ast::Value::NullKeyword(_) => Value::Other(serde_json::Value::Null),
            ast::Value::Array(array) => {
                let items = array.elements.iter().enumerate();
                Value::List(items.map(|(i, item)| self.json(&format!("{key}[{i}]"), item)).collect())
            }
            ast::Value::Object(object) => Value::Object(self.fields(key, object)),
        };
        Json { line, value }
    }

    fn fields(&mut self, key: &str, object: &ast::Object<'_>) -> Vec<(String, Json)> {
        let mut seen = HashSet::new();
        let mut fields = Vec::new();
        for property in &object.properties {
            let name = property.name.as_str().to_owned();
            let path = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            if !seen.insert(name.clone()) {
                let line = self.lines.at(property.range.start);
                self.faults.push(FileFault::new(line, &path, "", "appears twice; write it once"));
            }
            let value = self.json(&path, &property.value);
            fields.push((name, value));
        }
        fields
    }

    /// Refuses a literal that plain JSON does not allow. The parser has no setting for all of these.
    fn check_literal(&mut self, key: &str, node: &ast::Value<'_>) {
        let range = node.range();
        let literal = self.text.get(range.start..range.end).unwrap_or_default();
        if serde_json::from_str::<serde_json::Value>(literal).is_err() {
            let line = self.lines.at(range.start);
            self.faults.push(FileFault::new(
                line,
                key,
                literal,
                "not HuJSON: JSON does not allow this spelling",
            ));
        }
    }
}

/// Where each line begins, in bytes.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Lines {
        Lines(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|begin| *begin <= offset)
    }
}

//! The fields of a line of the log as text: `name=value`, a space between two. Strings stand there as
//! Rust's `Debug` has them, in quotes with escapes, so that nothing in one can be taken for another field.

use serde_json::{Map, Value};

/// The fields, or nothing if the text is not made so to its end or has a name twice. What is neither a string in quotes nor
/// a number becomes a string.
pub(super) fn fields(mut text: &str) -> Option<Map<String, Value>> {
    let mut fields = Map::new();
    loop {
        let (name, rest) = text.split_once('=')?;
        let (value, rest) = if rest.starts_with('"') { quoted(rest)? } else { bare(rest) };
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if !is_name || fields.insert(name.to_owned(), value).is_some() {
            return None;
        }
        match rest.strip_prefix(' ') {
            Some(more) => text = more,
            None if rest.is_empty() => return Some(fields),
            None => return None,
        }
    }
}

fn bare(text: &str) -> (Value, &str) {
    let end = text.find(' ').unwrap_or(text.len());
    let (value, rest) = text.split_at(end);
    let number = serde_json::from_str(value).ok().filter(Value::is_number);
    (number.unwrap_or_else(|| value.into()), rest)
}

fn quoted(text: &str) -> Option<(Value, &str)> {
    let mut value = String::new();
    let mut chars = text.strip_prefix('"')?.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value.into(), chars.as_str())),
            '\\' => value.push(match chars.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '0' => '\0',
                'u' => {
                    let (code, rest) = chars.as_str().strip_prefix('{')?.split_once('}')?;
                    chars = rest.chars();
                    char::from_u32(u32::from_str_radix(code, 16).ok()?)?
                }
                itself @ ('"' | '\'' | '\\') => itself,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn whatever_debug_makes_of_a_string_is_read_back(text in any::<String>(), n in any::<u64>()) {
            let line = format!("a={text:?} n={n:?} b={text:?}");
            let expected = json!({"a": text, "n": n, "b": text});
            prop_assert_eq!(fields(&line).map(Value::from), Some(expected));
        }
    }

    #[test]
    fn what_is_not_made_so_is_none() {
        for text in [
            "",
            "a",
            "a=\"",
            "a=\"x\"b=1",
            "a=\"x\" ",
            "a=\"\\q\"",
            "a=\"\\u{d800}\"",
            "a=\"\\u{}\"",
            "a=1 a=1",
            "A=1",
            "a b=1",
            "=1",
        ] {
            assert_eq!(fields(text), None, "{text}");
        }
        let told = fields("addr=[fd7a::1]:5 ms=1.5 \u{20}").map(Value::from);
        assert_eq!(told, None);
        let told = fields("addr=[fd7a::1]:5 ms=1.5").map(Value::from);
        assert_eq!(told, Some(json!({"addr": "[fd7a::1]:5", "ms": 1.5})));
    }
}

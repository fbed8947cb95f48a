//! An incremental JSON tokenizer: takes a text in chunks of any size and never holds any of it.
//!
//! It finds the structure (brackets, commas, colons, strings) and checks nothing else; a caller that needs a grammar, as
//! [`ModelReader`](crate::policy::ModelReader) does, builds it on these tokens.
//!
//! By hand, because the crates that parse in chunks (`json-event-parser`, `actson`, `struson`) hold each string until it
//! ends, so a peer's body would decide how much memory it takes, and stop at the first thing that is not JSON.

/// Splits JSON into tokens. Starts outside of any value.
#[derive(Debug, Default)]
pub(crate) struct Tokenizer {
    context: Context,
}

/// Where the next byte is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Context {
    #[default]
    OutsideString,
    InString,
    /// In a string, right after a backslash.
    Escaped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bracket {
    Object,
    List,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    Open(Bracket),
    Close(Bracket),
    Colon,
    Comma,
    StringStart,
    /// Some bytes of a string as written, escapes included. A string has any number of these.
    StringPart(&'a [u8]),
    StringEnd,
    /// One byte of a number or of a literal such as `true`, or one that has no place in JSON.
    Scalar(u8),
}

impl Tokenizer {
    /// Takes the next token off the front of `bytes`; `None` once all of them are taken.
    pub(crate) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Token<'a>> {
        match self.context {
            Context::OutsideString => self.outside_string(bytes),
            Context::InString => self.in_string(bytes),
            Context::Escaped => {
                let escaped = take(bytes, 1)?;
                self.context = Context::InString;
                Some(Token::StringPart(escaped))
            }
        }
    }

    fn outside_string<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Token<'a>> {
        let blanks = bytes.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
        take(bytes, blanks)?;
        let &[byte] = take(bytes, 1)? else { return None };
        Some(match byte {
            b'{' => Token::Open(Bracket::Object),
            b'[' => Token::Open(Bracket::List),
            b'}' => Token::Close(Bracket::Object),
            b']' => Token::Close(Bracket::List),
            b':' => Token::Colon,
            b',' => Token::Comma,
            b'"' => {
                self.context = Context::InString;
                Token::StringStart
            }
            _ => Token::Scalar(byte),
        })
    }

    fn in_string<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Token<'a>> {
        let plain = bytes.iter().position(|b| matches!(b, b'"' | b'\\')).unwrap_or(bytes.len());
        if plain > 0 {
            return take(bytes, plain).map(Token::StringPart);
        }
        let mark = take(bytes, 1)?;
        if mark == b"\\" {
            self.context = Context::Escaped;
            return Some(Token::StringPart(mark));
        }
        self.context = Context::OutsideString;
        Some(Token::StringEnd)
    }
}

/// The first `count` bytes, which are no longer in `bytes` then; `None` if there are fewer.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

/// A string as written, or only that it is longer than `MAX` bytes.
#[derive(Debug, Default)]
pub(crate) struct ShortText<const MAX: usize> {
    bytes: Vec<u8>,
    is_longer: bool,
}

impl<const MAX: usize> ShortText<MAX> {
    pub(crate) fn push(&mut self, part: &[u8]) {
        self.is_longer |= self.bytes.len() + part.len() > MAX;
        if !self.is_longer {
            self.bytes.extend_from_slice(part);
        }
    }

    /// The bytes; `None` if there were more than `MAX`.
    pub(crate) fn get(&self) -> Option<&[u8]> {
        (!self.is_longer).then_some(&self.bytes)
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.is_longer = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The tokens, those of a string joined to one.
    fn tokens<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let (mut tokenizer, mut text, mut all) = (Tokenizer::default(), Vec::new(), Vec::new());
        for mut chunk in chunks {
            while let Some(token) = tokenizer.next(&mut chunk) {
                match token {
                    Token::StringPart(part) => text.extend_from_slice(part),
                    Token::StringEnd => {
                        all.push(format!("{:?}", std::mem::take(&mut text).escape_ascii().to_string()))
                    }
                    Token::StringStart => assert!(text.is_empty()),
                    other => all.push(format!("{other:?}")),
                }
            }
            assert!(chunk.is_empty());
        }
        all
    }

    fn whole(text: &[u8]) -> Vec<String> {
        tokens([text])
    }

    #[test]
    fn structure_is_told_from_the_contents_of_strings() {
        use Token::*;
        let mut bytes = &br#" {"a\"b}" : [1, -t] }"#[..];
        let mut tokenizer = Tokenizer::default();
        let found: Vec<_> = std::iter::from_fn(|| tokenizer.next(&mut bytes)).collect();
        let expected = [
            Open(Bracket::Object),
            StringStart,
            StringPart(b"a"),
            StringPart(b"\\"),
            StringPart(b"\""),
            StringPart(b"b}"),
            StringEnd,
            Colon,
            Open(Bracket::List),
            Scalar(b'1'),
            Comma,
            Scalar(b'-'),
            Scalar(b't'),
            Close(Bracket::List),
            Close(Bracket::Object),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_backslash_escapes_one_byte() {
        assert_eq!(whole(br#""\\" 1"#).len(), 2);
        assert_eq!(whole(br#""\\\"" 1"#).len(), 2);
        assert_eq!(whole(br#""\" 1"#), Vec::<String>::new(), "the string goes on");
    }

    #[test]
    fn only_jsons_four_blanks_are_skipped() {
        assert_eq!(whole(b" \t\r\n"), Vec::<String>::new());
        assert_eq!(whole("\u{b}\u{c}\u{a0}".as_bytes()).len(), 4, "each byte is a scalar");
    }

    #[test]
    fn a_text_beyond_the_limit_takes_no_memory() {
        let mut text = ShortText::<4>::default();
        text.push(b"abc");
        text.push(b"d");
        assert_eq!(text.get(), Some(&b"abcd"[..]));
        text.push(&vec![b'e'; 1 << 20]);
        text.push(b"");
        assert_eq!(text.get(), None);
        assert!(text.bytes.capacity() <= 8);
        text.clear();
        assert_eq!(text.get(), Some(&b""[..]));
    }

    proptest! {
        #[test]
        fn chunk_borders_make_no_difference(text in "[{}\\[\\],:\"\\\\a0 \n]{0,60}", size in 1usize..9) {
            prop_assert_eq!(whole(text.as_bytes()), tokens(text.as_bytes().chunks(size)));
        }

        #[test]
        fn every_string_ends_where_serde_json_has_it_end(text in any::<String>(), after in "[\\[\\]{},:]{0,5}") {
            let json = serde_json::Value::from(text).to_string();
            let found = whole(format!("{json}{after}").as_bytes());
            prop_assert_eq!(found.len(), 1 + after.len());
        }
    }
}

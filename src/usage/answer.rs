//! Finds the token counts in the JSON of an answer, in any of the four APIs.
//!
//! Source: Ollama's docs/api.md, `openai/openai.go`, `openai/responses.go` and `anthropic/anthropic.go`.

use super::tokens::Tokens;
use crate::json::{Bracket, ShortText, Token, Tokenizer};

/// Reads JSON values, one after another. It looks for counts in the three outermost levels of objects, and skips the rest.
#[derive(Debug, Default)]
pub(super) struct AnswerReader {
    tokenizer: Tokenizer,
    /// How many objects and lists are open.
    depth: usize,
    /// What the outermost of those are.
    open: [Place; LEVELS],
    /// Whether the next string is a key of an object that can have counts.
    expects_key: bool,
    key: ShortText<KEY_MAX>,
    /// The number being read; `None` if the value is something else.
    number: Option<u64>,
    tokens: Tokens,
    /// Tokens of the prompt that came from a cache, where `tokens.input` leaves them out.
    cached: u64,
    /// Values since the last count above zero. Some streams report zeros until they end.
    unreported: u64,
}

/// Counts are at most this deep: in `usage` in `message` in the outermost object.
const LEVELS: usize = 3;

/// The longest key that counts, `cache_read_input_tokens`, and some.
const KEY_MAX: usize = 26;

/// What an object is, by where it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// The outermost object.
    Outermost,
    /// The answer, in an event about it.
    Answer,
    Usage,
    #[default]
    Elsewhere,
}

impl AnswerReader {
    /// The counts so far. The whole prompt counts, also what came from a cache.
    pub(super) fn tokens(&self) -> Tokens {
        let Tokens { input, output } = self.tokens;
        Tokens { input: input.map(|input| input.saturating_add(self.cached)), output }
    }

    /// Values since the last count above zero.
    pub(super) fn unreported(&self) -> u64 {
        self.unreported
    }

    /// Drops a value that has not ended: the next byte begins another one.
    pub(super) fn begin_value(&mut self) {
        let AnswerReader { tokens, cached, unreported, .. } = *self;
        *self = AnswerReader { tokens, cached, unreported, ..AnswerReader::default() };
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(token) = self.tokenizer.next(&mut bytes) {
            self.read(token);
        }
    }

    fn read(&mut self, token: Token<'_>) {
        match token {
            Token::StringStart if self.expects_key => self.key.clear(),
            Token::StringPart(part) if self.expects_key => self.key.push(part),
            Token::StringStart | Token::StringPart(_) => {}
            Token::StringEnd => self.number = None,
            Token::Open(bracket) => self.open(bracket),
            Token::Close(_) => {
                self.end_value();
                self.depth = self.depth.saturating_sub(1);
                self.unreported += u64::from(self.depth == 0);
                self.expects_key = false;
            }
            Token::Comma => {
                self.end_value();
                self.expects_key = self.place() != Place::Elsewhere;
            }
            Token::Colon => {
                self.expects_key = false;
                self.number = Some(0);
            }
            Token::Scalar(byte) => self.number = self.number.and_then(|number| append_digit(number, byte)),
        }
    }

    fn place(&self) -> Place {
        let innermost = self.depth.checked_sub(1);
        innermost.and_then(|level| self.open.get(level).copied()).unwrap_or_default()
    }

    fn key(&self) -> &[u8] {
        self.key.get().unwrap_or_default()
    }

    fn open(&mut self, bracket: Bracket) {
        let place = match (self.depth, self.place(), self.key()) {
            _ if bracket == Bracket::List => Place::Elsewhere,
            (0, ..) => Place::Outermost,
            (_, Place::Outermost | Place::Answer, b"usage") => Place::Usage,
            (_, Place::Outermost, b"response" | b"message") => Place::Answer,
            _ => Place::Elsewhere,
        };
        if let Some(level) = self.open.get_mut(self.depth) {
            *level = place;
        }
        self.depth = self.depth.saturating_add(1);
        self.expects_key = self.place() != Place::Elsewhere;
        self.number = None;
    }

    /// Keeps the number that has ended, if it is a count.
    fn end_value(&mut self) {
        let Some(number) = self.number.take() else { return };
        let count = match (self.place(), self.key()) {
            (Place::Usage, b"prompt_tokens" | b"input_tokens") => &mut self.tokens.input,
            (Place::Usage, b"cache_read_input_tokens") => {
                self.cached = number;
                return;
            }
            (Place::Outermost, b"prompt_eval_count") => &mut self.tokens.input,
            (Place::Usage, b"completion_tokens" | b"output_tokens") => &mut self.tokens.output,
            (Place::Outermost, b"eval_count") => &mut self.tokens.output,
            _ => return,
        };
        *count = Some(number);
        if number > 0 {
            self.unreported = 0;
        }
    }
}

/// The number with one more digit; `None` if the byte is no digit or the number is too large.
fn append_digit(number: u64, byte: u8) -> Option<u64> {
    let digit = char::from(byte).to_digit(10)?;
    number.checked_mul(10)?.checked_add(digit.into())
}

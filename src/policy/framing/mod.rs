//! How a client's bytes fall into requests, checked on the bytes themselves.
//!
//! The HTTP library is lenient where two readers could disagree about where a request ends
//! (request smuggling, RFC 9112, 11.2), and no longer shows what it has forgiven. This reader
//! follows the same bytes and faults whatever is ambiguous; it never changes one.

use super::host::is_host;

/// The largest request head (request line and headers) in bytes.
pub const HEAD_MAX: usize = 32 << 10;

/// The largest chunk-size line in bytes: 16 digits.
const CHUNK_LINE_MAX: usize = 16;

/// What is wrong with a request's framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingFault {
    /// Line feed without carriage return, or the reverse.
    #[error("a line does not end in CR LF")]
    LineEnd,
    /// A header continued on the next line (obs-fold).
    #[error("a header is folded over two lines")]
    Fold,
    /// Not `METHOD SP target SP HTTP/1.x`, a target that is `*` for another method than OPTIONS, or in the target a `#`, a
    /// control byte or one beyond ASCII.
    #[error("the request line is malformed")]
    RequestLine,
    /// A line without a name and a colon, or with a control byte.
    #[error("a header line is malformed")]
    Header,
    /// Host is missing, repeated, or no host with or without a port (RFC 9112, 3.2).
    #[error("there must be exactly one Host header, with a host and perhaps a port")]
    Host,
    /// Content-Length is repeated or not a number.
    #[error("Content-Length must be one number")]
    Length,
    /// Transfer-Encoding is anything but one `chunked`, or comes in HTTP/1.0.
    #[error("Transfer-Encoding must be chunked and nothing else")]
    Encoding,
    /// Both Content-Length and Transfer-Encoding.
    #[error("Content-Length and Transfer-Encoding exclude each other")]
    Both,
    /// A chunk's size is no hexadecimal number, or has an extension.
    #[error("a chunk of the body is malformed")]
    Chunk,
    /// Fields after the last chunk.
    #[error("trailers are not accepted")]
    Trailer,
    /// More than [`HEAD_MAX`] bytes of request line.
    #[error("the request's URL takes more than 32 KiB")]
    TargetTooLong,
    /// More than [`HEAD_MAX`] bytes of head.
    #[error("the request's headers take more than 32 KiB")]
    TooLong,
}

/// Where in a request the bytes so far have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramingPosition {
    /// Between two requests, or within an empty line there.
    Between,
    /// Within a head, or after something that can't be told apart.
    Head,
    /// Within a body.
    Body,
}

/// Follows one connection's bytes from the client.
#[derive(Debug, Default)]
pub struct Framing {
    state: State,
    /// The unfinished head or line.
    held: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    LastLine,
    /// Faulted: nothing after it can be told apart.
    Broken,
}

impl Framing {
    /// Follows further bytes. `heads` gets one entry for each head that ends (or faults) in them.
    ///
    /// # Errors
    /// A fault in a body; its head has been reported as sound before.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        heads: &mut impl Extend<Result<(), FramingFault>>,
    ) -> Result<(), FramingFault> {
        while !bytes.is_empty() {
            let step = match self.state {
                State::Broken => return Ok(()),
                State::Head => match self.head(&mut bytes) {
                    Ok(None) => Ok(State::Head),
                    Ok(Some(next)) => {
                        heads.extend([Ok(())]);
                        Ok(next)
                    }
                    Err(fault) => {
                        heads.extend([Err(fault)]);
                        Ok(State::Broken)
                    }
                },
                State::Body(left) => Ok(match skip(&mut bytes, left) {
                    0 => State::Head,
                    left => State::Body(left),
                }),
                State::ChunkData(left) => Ok(match skip(&mut bytes, left) {
                    0 => State::ChunkEnd,
                    left => State::ChunkData(left),
                }),
                State::ChunkSize | State::ChunkEnd | State::LastLine => self.line(&mut bytes),
            };
            self.state = step.inspect_err(|_| self.state = State::Broken)?;
        }
        Ok(())
    }

    /// Where the bytes so far have ended.
    pub fn position(&self) -> FramingPosition {
        match self.state {
            State::Head if matches!(*self.held, [] | [b'\r']) => FramingPosition::Between,
            State::Head | State::Broken => FramingPosition::Head,
            _ => FramingPosition::Body,
        }
    }

    /// Collects a head; returns what follows it once it is whole.
    fn head(&mut self, bytes: &mut &[u8]) -> Result<Option<State>, FramingFault> {
        for (at, b) in bytes.iter().enumerate() {
            let line_end = self.held.last() == Some(&b'\r');
            if line_end != (*b == b'\n') {
                return Err(FramingFault::LineEnd);
            }
            self.held.push(*b);
            // Empty lines before a request are to be ignored (RFC 9112, 2.2).
            if self.held == b"\r\n" {
                self.held.clear();
            }
            if self.held.len() > HEAD_MAX {
                let lines = self.held.contains(&b'\n');
                return Err(if lines { FramingFault::TooLong } else { FramingFault::TargetTooLong });
            }
            if self.held.ends_with(b"\r\n\r\n") {
                *bytes = &bytes[at + 1..];
                let next = parse_head(&self.held[..self.held.len() - 4]);
                // Kept small between requests: most connections are idle.
                self.held = Vec::new();
                return next.map(Some);
            }
        }
        *bytes = &[];
        Ok(None)
    }

    /// Collects one line of chunked framing and says what follows it.
    fn line(&mut self, bytes: &mut &[u8]) -> Result<State, FramingFault> {
        while let [b, rest @ ..] = *bytes {
            *bytes = rest;
            if *b != b'\n' {
                self.held.push(*b);
                if self.held.len() > CHUNK_LINE_MAX + 1 {
                    return Err(FramingFault::Chunk);
                }
                continue;
            }
            let held = std::mem::take(&mut self.held);
            let line = held.strip_suffix(b"\r").ok_or(FramingFault::LineEnd)?;
            return match self.state {
                State::ChunkEnd if line.is_empty() => Ok(State::ChunkSize),
                State::ChunkEnd => Err(FramingFault::Chunk),
                State::LastLine if line.is_empty() => Ok(State::Head),
                State::LastLine => Err(FramingFault::Trailer),
                _ => match number(line, 16)? {
                    0 => Ok(State::LastLine),
                    size => Ok(State::ChunkData(size)),
                },
            };
        }
        Ok(self.state)
    }
}

fn skip(bytes: &mut &[u8], left: u64) -> u64 {
    let n = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    *bytes = &bytes[n..];
    left - n as u64
}

/// Digits only: no sign, space or prefix; and no more than a reader with signed numbers can hold.
fn number(digits: &[u8], radix: u32) -> Result<u64, FramingFault> {
    let fault = if radix == 16 { FramingFault::Chunk } else { FramingFault::Length };
    let sound = !digits.is_empty() && digits.iter().all(|d| char::from(*d).is_digit(radix));
    let text = std::str::from_utf8(digits).map_err(|_| fault)?;
    let n = i64::from_str_radix(text, radix).ok().filter(|_| sound);
    n.and_then(|n| u64::try_from(n).ok()).ok_or(fault)
}

/// Reads what decides about framing from a head without its last two line ends.
fn parse_head(head: &[u8]) -> Result<State, FramingFault> {
    let mut lines = head.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l));
    let mut words = lines.next().unwrap_or_default().split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(FramingFault::RequestLine);
    };
    let old = version == b"HTTP/1.0";
    let odd = |b: &u8| *b == b'#' || b.is_ascii_control() || !b.is_ascii();
    let target_sound =
        !target.is_empty() && !target.iter().any(odd) && (target != b"*" || method == b"OPTIONS");
    if !is_token(method) || !target_sound || !(old || version == b"HTTP/1.1") {
        return Err(FramingFault::RequestLine);
    }
    let (mut hosts, mut length, mut chunked) = (0, None, false);
    for line in lines {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Err(FramingFault::Fold);
        }
        let colon = line.iter().position(|b| *b == b':').ok_or(FramingFault::Header)?;
        let (name, value) = (&line[..colon], without_spaces(&line[colon + 1..]));
        if !is_token(name) || value.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
            return Err(FramingFault::Header);
        }
        if name.eq_ignore_ascii_case(b"host") {
            if !is_host(value) {
                return Err(FramingFault::Host);
            }
            hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let n = number(value, 10)?;
            if length.replace(n).is_some() {
                return Err(FramingFault::Length);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if old || chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(FramingFault::Encoding);
            }
            chunked = true;
        }
    }
    match (hosts, length, chunked) {
        (1, Some(_), true) => Err(FramingFault::Both),
        (1, None, true) => Ok(State::ChunkSize),
        (1, None | Some(0), false) => Ok(State::Head),
        (1, Some(n), false) => Ok(State::Body(n)),
        _ => Err(FramingFault::Host),
    }
}

/// RFC 9110, 5.6.2.
fn is_token(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

/// A value without the spaces around it. Tabs might stand there too (RFC 9110, 5.6.3), but nobody writes
/// them and some readers take them for a part of the value: they stay, and are no number and no coding.
fn without_spaces(value: &[u8]) -> &[u8] {
    let from = value.iter().position(|b| *b != b' ').unwrap_or(value.len());
    let to = value.iter().rposition(|b| *b != b' ').map_or(from, |last| last + 1);
    &value[from..to]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heads(bytes: &[u8]) -> (Vec<Result<(), FramingFault>>, Result<(), FramingFault>) {
        let (mut framing, mut heads) = (Framing::default(), Vec::new());
        let body = framing.feed(bytes, &mut heads);
        (heads, body)
    }

    const HOST: &str = "Host: a\r\n";

    #[test]
    fn sound_requests_follow_each_other() {
        let bytes = format!(
            "\r\nGET / HTTP/1.1\r\n{HOST}\r\nPOST /a HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\nGET /\
             POST /b HTTP/1.1\r\n{HOST}Transfer-Encoding:  Chunked \r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n\
             GET / HTTP/1.0\r\n{HOST}\r\n"
        );
        assert_eq!(heads(bytes.as_bytes()), (vec![Ok(()); 4], Ok(())));
    }

    #[test]
    fn each_ambiguity_has_its_fault() {
        use FramingFault::*;
        for (head, fault) in [
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", LineEnd),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", LineEnd),
            ("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", LineEnd),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", Fold),
            ("GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", RequestLine),
            ("GET /\r\nHost: a\r\n\r\n", RequestLine),
            ("GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            ("GET:/ / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", Header),
            ("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", Header),
            ("GET / HTTP/1.1\r\nHost: a\r\nX(: x\r\n\r\n", Header),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: x\0\r\n\r\n", Header),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: x\x7f\r\n\r\n", Header),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Header),
            ("GET / HTTP/1.1\r\n\r\n", Host),
            ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", Host),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Host),
            ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Host),
            ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", Host),
            ("GET / HTTP/1.1\r\nHost: a:+80\r\n\r\n", Host),
            ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", Length),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", Length),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", Length),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\t1\r\n\r\n", Length),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n", Length),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", Length),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n", Length),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Encoding),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                Encoding,
            ),
            ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", Encoding),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\r\n\r\n", Encoding),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n", Header),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", Both),
        ] {
            assert_eq!(heads(head.as_bytes()).0, vec![Err(fault)], "{head:?}");
        }
        let long = format!("GET / HTTP/1.1\r\n{HOST}X: {}\r\n\r\n", "x".repeat(HEAD_MAX));
        assert_eq!(heads(long.as_bytes()).0, vec![Err(TooLong)]);
        let long = format!("GET /{} HTTP/1.1\r\n{HOST}\r\n", "x".repeat(HEAD_MAX));
        assert_eq!(heads(long.as_bytes()).0, vec![Err(TargetTooLong)]);
    }

    #[test]
    fn half_an_empty_line_begins_no_head() {
        let mut framing = Framing::default();
        for (byte, position) in [
            (b"\r", FramingPosition::Between),
            (b"\n", FramingPosition::Between),
            (b"G", FramingPosition::Head),
            (b"\r", FramingPosition::Head),
        ] {
            framing.feed(byte, &mut Vec::new()).unwrap();
            assert_eq!(framing.position(), position);
        }
    }

    #[test]
    fn chunks_must_be_plain() {
        use FramingFault::*;
        for (body, fault) in [
            ("5;a=b\r\nhello\r\n", Chunk),
            ("0x5\r\nhello\r\n", Chunk),
            (" 5\r\nhello\r\n", Chunk),
            ("+5\r\nhello\r\n", Chunk),
            ("5 \r\nhello\r\n", Chunk),
            ("8000000000000000\r\n", Chunk),
            ("\r\n", Chunk),
            ("5\nhello\r\n", LineEnd),
            ("5\r\nhelloX\r\n", Chunk),
            ("11111111111111111\r\n", Chunk),
            ("0\r\nA: b\r\n\r\n", Trailer),
        ] {
            let bytes = format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{body}");
            assert_eq!(heads(bytes.as_bytes()), (vec![Ok(())], Err(fault)), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn the_size_of_reads_makes_no_difference(cuts in proptest::collection::vec(1usize..9, 0..80)) {
            let bytes = format!(
                "POST /b HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /#x HTTP/1.1\r\n{HOST}\r\n"
            );
            let (mut framing, mut heads) = (Framing::default(), Vec::new());
            let mut rest = bytes.as_bytes();
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                framing.feed(now, &mut heads).unwrap();
                rest = later;
            }
            framing.feed(rest, &mut heads).unwrap();
            prop_assert_eq!(heads, vec![Ok(()), Err(FramingFault::RequestLine)]);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = heads(&bytes);
        }
    }
}

//! Where each request of a connection begins and ends, checked on the client's bytes.
//!
//! The HTTP library accepts some bytes in which two readers could find different requests (request smuggling, RFC 9112,
//! 11.2), and no longer shows them afterwards. This reader follows the same bytes and reports every ambiguity. It changes
//! no byte.

mod fault;
mod head;

pub use fault::FramingFault;
use head::{BodyLength, digits, parse_head};

/// The largest request head (request line and headers) in bytes.
pub const HEAD_MAX: usize = 32 << 10;

/// The largest chunk-size line in bytes: 16 digits.
const CHUNK_LINE_MAX: usize = 16;

/// The part of a request that the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramingPosition {
    /// Between requests. An empty line before a head counts.
    Between,
    /// A head, or anything after a fault.
    Head,
    /// A body.
    Body,
}

/// Follows the bytes that the client sends on one connection.
#[derive(Debug, Default)]
pub struct Framing {
    state: FramingState,
    /// The head or line that has not ended yet.
    held: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum FramingState {
    #[default]
    Head,
    /// In a body, with this many bytes left.
    Body(u64),
    ChunkSize,
    /// In a chunk, with this many bytes left.
    ChunkData(u64),
    /// In the line end after a chunk.
    ChunkEnd,
    /// In the empty line after the last chunk.
    LastLine,
    /// After a fault. No later byte can be attributed to a request.
    Faulted,
}

impl Framing {
    /// Follows more bytes. `heads` gets one entry for each head that ends, or has a fault, in these bytes.
    ///
    /// # Errors
    /// A fault in a body, whose head was reported as valid before.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        heads: &mut impl Extend<Result<(), FramingFault>>,
    ) -> Result<(), FramingFault> {
        while !bytes.is_empty() {
            let next = match self.state {
                FramingState::Faulted => return Ok(()),
                FramingState::Head => match self.read_head(&mut bytes) {
                    None => Ok(FramingState::Head),
                    Some(head) => {
                        heads.extend([head.map(|_| ())]);
                        Ok(head.map_or(FramingState::Faulted, after_head))
                    }
                },
                FramingState::Body(left) => Ok(match skip(&mut bytes, left) {
                    0 => FramingState::Head,
                    left => FramingState::Body(left),
                }),
                FramingState::ChunkData(left) => Ok(match skip(&mut bytes, left) {
                    0 => FramingState::ChunkEnd,
                    left => FramingState::ChunkData(left),
                }),
                FramingState::ChunkSize | FramingState::ChunkEnd | FramingState::LastLine => {
                    self.read_chunk_line(&mut bytes)
                }
            };
            self.state = next.inspect_err(|_| self.state = FramingState::Faulted)?;
        }
        Ok(())
    }

    /// The part of a request that the next byte belongs to.
    pub fn position(&self) -> FramingPosition {
        match self.state {
            FramingState::Head if matches!(*self.held, [] | [b'\r']) => FramingPosition::Between,
            FramingState::Head | FramingState::Faulted => FramingPosition::Head,
            _ => FramingPosition::Body,
        }
    }

    /// Collects a head; `None` while it has not ended.
    fn read_head(&mut self, bytes: &mut &[u8]) -> Option<Result<BodyLength, FramingFault>> {
        while let Some((byte, rest)) = bytes.split_first() {
            *bytes = rest;
            let follows_cr = self.held.last() == Some(&b'\r');
            if follows_cr != (*byte == b'\n') {
                return Some(Err(FramingFault::LineEnd));
            }
            self.held.push(*byte);
            // A server ignores empty lines before a request (RFC 9112, 2.2).
            if self.held == b"\r\n" {
                self.held.clear();
            }
            if self.held.len() > HEAD_MAX {
                let is_past_request_line = self.held.contains(&b'\n');
                return Some(Err(if is_past_request_line {
                    FramingFault::TooLong
                } else {
                    FramingFault::TargetTooLong
                }));
            }
            if self.held.ends_with(b"\r\n\r\n") {
                // Frees the memory too, as most connections are idle.
                let held = std::mem::take(&mut self.held);
                return Some(parse_head(held.strip_suffix(b"\r\n\r\n").unwrap_or_default()));
            }
        }
        None
    }

    /// Collects a line of chunked framing and says what follows it.
    fn read_chunk_line(&mut self, bytes: &mut &[u8]) -> Result<FramingState, FramingFault> {
        while let Some((byte, rest)) = bytes.split_first() {
            *bytes = rest;
            if *byte == b'\n' {
                let held = std::mem::take(&mut self.held);
                let line = held.strip_suffix(b"\r").ok_or(FramingFault::LineEnd)?;
                return self.after_chunk_line(line);
            }
            self.held.push(*byte);
            if self.held.len() > CHUNK_LINE_MAX + 1 {
                return Err(FramingFault::Chunk);
            }
        }
        Ok(self.state)
    }

    fn after_chunk_line(&self, line: &[u8]) -> Result<FramingState, FramingFault> {
        match self.state {
            FramingState::ChunkEnd if line.is_empty() => Ok(FramingState::ChunkSize),
            FramingState::ChunkEnd => Err(FramingFault::Chunk),
            FramingState::LastLine if line.is_empty() => Ok(FramingState::Head),
            FramingState::LastLine => Err(FramingFault::Trailer),
            _ => match digits(line, 16).ok_or(FramingFault::Chunk)? {
                0 => Ok(FramingState::LastLine),
                size => Ok(FramingState::ChunkData(size)),
            },
        }
    }
}

fn after_head(body: BodyLength) -> FramingState {
    match body {
        BodyLength::Known(0) => FramingState::Head,
        BodyLength::Known(length) => FramingState::Body(length),
        BodyLength::Chunked => FramingState::ChunkSize,
    }
}

/// Skips up to `left` bytes and returns how many of those are still to come.
fn skip(bytes: &mut &[u8], left: u64) -> u64 {
    let n = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    *bytes = &bytes[n..];
    left - n as u64
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
    fn pipelined_requests_are_told_apart() {
        let bytes = format!(
            "\r\nGET / HTTP/1.1\r\n{HOST}\r\nPOST /a HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\nGET /\
             POST /b HTTP/1.1\r\n{HOST}Transfer-Encoding:  Chunked \r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n\
             GET / HTTP/1.0\r\n{HOST}\r\n"
        );
        assert_eq!(heads(bytes.as_bytes()), (vec![Ok(()); 4], Ok(())));
    }

    #[test]
    fn each_ambiguity_is_refused() {
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
    fn ambiguous_chunks_are_refused() {
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
        fn chunk_borders_make_no_difference(cuts in proptest::collection::vec(1usize..9, 0..80)) {
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
        fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = heads(&bytes);
        }
    }
}

//! What decides about framing in one request head.

use super::fault::FramingFault;
use crate::policy::host::is_host;

/// How long the body after a head is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyLength {
    /// This many bytes.
    Known(u64),
    /// Until the last chunk.
    Chunked,
}

/// The headers that decide about framing, as far as they are read.
#[derive(Debug, Default)]
struct FramingHeaders {
    hosts: usize,
    content_length: Option<u64>,
    is_chunked: bool,
}

/// Parses a head without its last two line ends.
pub(super) fn parse_head(head: &[u8]) -> Result<BodyLength, FramingFault> {
    let mut lines = head.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l));
    let version = parse_request_line(lines.next().unwrap_or_default())?;
    let mut headers = FramingHeaders::default();
    for line in lines {
        headers.read_line(line, version)?;
    }
    headers.body_length()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

fn parse_request_line(line: &[u8]) -> Result<Version, FramingFault> {
    let mut words = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(FramingFault::RequestLine);
    };
    let is_target_byte = |b: &u8| b.is_ascii() && !b.is_ascii_control() && *b != b'#';
    let is_target = !target.is_empty() && target.iter().all(is_target_byte);
    if !is_token(method) || !is_target || (target == b"*" && method != b"OPTIONS") {
        return Err(FramingFault::RequestLine);
    }
    match version {
        b"HTTP/1.0" => Ok(Version::Http10),
        b"HTTP/1.1" => Ok(Version::Http11),
        _ => Err(FramingFault::RequestLine),
    }
}

impl FramingHeaders {
    fn read_line(&mut self, line: &[u8], version: Version) -> Result<(), FramingFault> {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Err(FramingFault::Fold);
        }
        let colon = line.iter().position(|b| *b == b':').ok_or(FramingFault::Header)?;
        let (name, value) = (&line[..colon], trim_spaces(&line[colon + 1..]));
        if !is_token(name) || value.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
            return Err(FramingFault::Header);
        }
        if name.eq_ignore_ascii_case(b"host") {
            if !is_host(value) {
                return Err(FramingFault::Host);
            }
            self.hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let length = digits(value, 10).ok_or(FramingFault::Length)?;
            if self.content_length.replace(length).is_some() {
                return Err(FramingFault::Length);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if version == Version::Http10 || self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(FramingFault::Encoding);
            }
            self.is_chunked = true;
        }
        Ok(())
    }

    fn body_length(&self) -> Result<BodyLength, FramingFault> {
        if self.hosts != 1 {
            return Err(FramingFault::Host);
        }
        match (self.content_length, self.is_chunked) {
            (Some(_), true) => Err(FramingFault::Both),
            (None, true) => Ok(BodyLength::Chunked),
            (length, false) => Ok(BodyLength::Known(length.unwrap_or(0))),
        }
    }
}

/// RFC 9110, 5.6.2.
fn is_token(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

/// A value without the spaces around it. RFC 9110, 5.6.3, allows tabs there too, but no client sends them and some readers
/// take them for a part of the value. They stay, so such a value is no number and no coding.
fn trim_spaces(value: &[u8]) -> &[u8] {
    let from = value.iter().position(|b| *b != b' ').unwrap_or(value.len());
    let to = value.iter().rposition(|b| *b != b' ').map_or(from, |last| last + 1);
    &value[from..to]
}

/// Parses a number of digits only: no sign, blank or prefix. It must fit into 63 bits, as other readers use signed numbers.
pub(super) fn digits(text: &[u8], radix: u32) -> Option<u64> {
    if text.is_empty() || !text.iter().all(|b| char::from(*b).is_digit(radix)) {
        return None;
    }
    let number = i64::from_str_radix(std::str::from_utf8(text).ok()?, radix).ok()?;
    u64::try_from(number).ok()
}

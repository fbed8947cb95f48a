//! Compares our reader of framing with the HTTP library's parser: both must find the same requests in the same bytes. Chunk
//! borders must not matter.

#![no_main]

use httparse::Status::{Complete, Partial};
use libfuzzer_sys::fuzz_target;
use remote_ollama_proxy::policy::{Framing, FramingFault};

fuzz_target!(|input: &[u8]| {
    let Some((seed, bytes)) = input.split_first() else { return };
    let whole = follow([bytes]);
    let single = follow(bytes.chunks(1));
    assert_eq!(whole.verdict(), single.verdict(), "byte by byte");
    assert_eq!(whole.verdict(), follow(cuts(*seed, bytes)).verdict(), "cut by {seed}");

    let faults = single.heads.iter().filter(|(head, _)| head.is_err()).count();
    assert!(faults + usize::from(single.body.is_some()) <= 1, "a report after a fault");
    if faults == 1 {
        assert!(single.heads.last().is_some_and(|(head, _)| head.is_err()), "a head after a fault");
    }
    compare(bytes, &single);
});

/// What the reader reports about a connection.
#[derive(Default)]
struct Reports {
    /// Each head, and after how many bytes it was reported.
    heads: Vec<(Result<(), FramingFault>, usize)>,
    /// A fault in the last head's body.
    body: Option<FramingFault>,
}

impl Reports {
    fn verdict(&self) -> (Vec<Result<(), FramingFault>>, Option<FramingFault>) {
        (self.heads.iter().map(|(head, _)| *head).collect(), self.body)
    }
}

fn follow<'a>(reads: impl IntoIterator<Item = &'a [u8]>) -> Reports {
    let (mut framing, mut reports, mut at) = (Framing::default(), Reports::default(), 0);
    for read in reads {
        at += read.len();
        let mut heads = Vec::new();
        if let Err(fault) = framing.feed(read, &mut heads) {
            assert!(reports.body.replace(fault).is_none(), "a second fault");
        }
        reports.heads.extend(heads.into_iter().map(|head| (head, at)));
    }
    reports
}

/// Cuts of 1 to 32 bytes that the seed decides.
fn cuts(seed: u8, mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut state = u32::from(seed) * 2 + 1;
    std::iter::from_fn(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (now, later) = rest.split_at_checked((state >> 27) as usize + 1).unwrap_or((rest, &[]));
        rest = later;
        (!now.is_empty()).then_some(now)
    })
}

/// Parses the same bytes with the library, as far as both accept them.
fn compare(bytes: &[u8], reports: &Reports) {
    let mut at = 0;
    for (head, end) in &reports.heads {
        if head.is_err() {
            return;
        }
        let (length, body) = match library(&bytes[at..]) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => panic!("the library waits for more of a head that our reader finds complete"),
            Err(()) => return, // the library refuses it
        };
        assert_eq!(at + length, *end, "a head ends elsewhere");
        at += length;
        match body_length(&bytes[at..], body) {
            Ok(Some(length)) => at += length,
            Ok(None) => return, // no further head has arrived
            Err(()) => return,
        }
    }
    if reports.body.is_none() && at < bytes.len() {
        assert!(
            !matches!(library(&bytes[at..]), Ok(Some(_))),
            "the library finds a request that our reader does not"
        );
    }
}

enum Body {
    Length(usize),
    Chunked,
}

/// The length of a head, and its body.
fn library(bytes: &[u8]) -> Result<Option<(usize, Body)>, ()> {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(Complete(length)) => length,
        Ok(Partial) => return Ok(None),
        Err(_) => return Err(()),
    };
    let value =
        |name: &str| request.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value);
    let body = match (value("transfer-encoding"), value("content-length")) {
        (Some(_), _) => Body::Chunked,
        (None, None) => Body::Length(0),
        (None, Some(digits)) => {
            let digits = str::from_utf8(digits.trim_ascii()).map_err(|_| ())?;
            Body::Length(usize::try_from(digits.parse::<u64>().map_err(|_| ())?).map_err(|_| ())?)
        }
    };
    Ok(Some((length, body)))
}

/// The length of a body with its framing; `None` if it goes on beyond `bytes`.
fn body_length(bytes: &[u8], body: Body) -> Result<Option<usize>, ()> {
    let Body::Chunked = body else {
        let Body::Length(length) = body else { unreachable!() };
        return Ok((length <= bytes.len()).then_some(length));
    };
    let mut at = 0;
    loop {
        let (line, size) = match httparse::parse_chunk_size(&bytes[at..]) {
            Ok(Complete(parsed)) => parsed,
            Ok(Partial) => return Ok(None),
            Err(_) => return Err(()),
        };
        let size = usize::try_from(size).map_err(|_| ())?;
        let end = at.checked_add(line).and_then(|at| at.checked_add(size)).ok_or(())?;
        match bytes.get(end..).map(|rest| (rest.len() >= 2, rest.starts_with(b"\r\n"))) {
            Some((true, true)) if size == 0 => return Ok(Some(end + 2)),
            Some((true, true)) => at = end + 2,
            Some((true, false)) => return Err(()),
            _ => return Ok(None),
        }
    }
}

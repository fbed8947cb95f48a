//! Thousands of spellings of requests, the same in every run: those that a reader could take for another path if it
//! decodes, cleans, folds case or splits at other places.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::http::{Answer, Client, header};
use crate::routes::{self, HEADERS, METHODS, allowed};

/// A body whose model keeps Ollama from computing.
pub(crate) const BODY: &str = r#"{"model":"no-such"}"#;

/// One spelling.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Spelling {
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) headers: &'static str,
}

impl Spelling {
    /// Sends it to `host` over a connection; also returns whether the connection ends with the answer.
    pub(crate) async fn ask<S>(&self, client: &mut Client<S>, host: &str) -> (Answer, bool)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let tail = format!(
            " HTTP/1.1\r\nHost: {host}\r\n{}Content-Length: {}\r\n\r\n{BODY}",
            self.headers,
            BODY.len()
        );
        client.send([&self.method, &b" "[..], &self.target, tail.as_bytes()].concat()).await;
        let head = client.head().await.unwrap_or_else(|| panic!("no answer to {self:?}"));
        let ends = header(&head, "connection").is_some_and(|c| c.eq_ignore_ascii_case("close"));
        let body = match self.method.as_slice() {
            b"HEAD" => Vec::new(),
            _ => client.body(&head).await.unwrap_or_else(|| panic!("half an answer to {self:?}")),
        };
        (Answer { head, body }, ends)
    }

    /// Whether it may pass with `also` on in addition to the defaults.
    pub(crate) fn allowed(&self, also: &[(&str, &str)]) -> bool {
        allowed(&self.method, &self.target, self.headers, also)
    }
}

impl fmt::Debug for Spelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = [&self.method, &b" "[..], &self.target].concat();
        write!(f, "\"{}\" {:?}", line.escape_ascii(), self.headers)
    }
}

/// All spellings, each once.
pub(crate) fn all() -> Vec<Spelling> {
    let mut all = Vec::new();
    for (method, path) in routes::all() {
        for target in targets(&path) {
            all.push(Spelling { method: method.into(), target, headers: "" });
        }
        let bare_methods = BARE.map(|bare| [b"GET", bare].concat());
        for method in words(METHODS).map(Vec::from).chain(bare_methods) {
            all.push(Spelling { method, target: path.clone().into(), headers: "" });
        }
        for headers in HEADERS {
            for method in [method, "GET", "OPTIONS", "HEAD"] {
                all.push(Spelling { method: method.into(), target: path.clone().into(), headers });
            }
        }
    }
    for target in ELSEWHERE.split(' ') {
        for method in ["GET", "OPTIONS", "CONNECT", "POST"] {
            all.push(Spelling { method: method.into(), target: target.into(), headers: "" });
        }
    }
    let mut seen = HashSet::new();
    all.retain(|spelling| seen.insert(spelling.clone()));
    all
}

// The tables are split at white space.

/// Targets that are no path.
const ELSEWHERE: &str = "* ? # . .. api remote-ollama-proxy:11434 127.0.0.1:11434 [::1]:11434 :11434 http:// \
    http://remote-ollama-proxy:11434 //remote-ollama-proxy:11434";

/// Replacements for a slash.
const SLASHES: &str = "// /// /./ /../ /x/../ /%2e/ /%2E/ /%2e%2e/ /.%2e/ /%2e./ /../../ \\ /\\ \\/ %5c %2f %2F %252f \
    /;/ /;x=y/ /..;/ \u{2215} \u{ff0f}";

/// Suffixes of a path.
const ENDINGS: &str = "/ // /. /.. /./ /../ /../pull /x/.. \\ /\\.. %20 %00 %09 %0a %0d%0a %2e %2f %2f.. %3f %3fx %23 \
    %23x %3b %3A %3a %40 %5c %7f %80 %c0%af %c3%a9 %ef%bc%8f %e2%80%ae % %z %zz %2 %u0061 %%20 %00.json ; ;x ;x=y \
    ;/.. .json . .. ~ @ @x :80 : , = & &x=y ! $ ' ( * + - _ \u{e9} \u{ff0f} \u{200b} \u{202e} \u{301} \u{1f999}";

/// Prefixes of a path.
const STARTS: &str = "/ // /. /.. /./ /../.. /%2e /%2e%2e /%2f \\ /\\ . .. ~ @ ; /; ? # * x /x/.. /api/tags/.. \
    /v1/models/.. /v1/models/tiny/../.. /v1/models/tiny%2f..%2f.. http: http://remote-ollama-proxy \
    http://remote-ollama-proxy:11434 https://remote-ollama-proxy HTTP://127.0.0.1:11434 http://evil.example \
    http://x@remote-ollama-proxy remote-ollama-proxy:11434";

/// Suffixes that are no part of the path.
const QUERIES: &str = "? ?? ?x ?beta=true ?x=%20 ?x=/../ ?/../../api/pull ?a=b&c=d ?;x=y ?%zz ?%00 ?%0d%0a \
    ?_method=DELETE ?model=tiny ?x=http://evil.example/ ?x={\"a\":[1]} ?x={a:[1]} ?x=\\ ?x=<y> ?\0 ?\u{e9} ?x#y # #x \
    #?x #/../pull";

/// Parts that a table can't have: white space, and bytes that are no UTF-8.
const BARE: [&[u8]; 9] = [b"", b" ", b"  ", b" x", b"\t", b"\t/", b"/ /", b"\xff", b"\xc0\xaf"];

/// Spellings of one path.
fn targets(path: &str) -> Vec<Vec<u8>> {
    let mut all = vec![path.as_bytes().to_vec()];
    let each = |to: &dyn Fn(u8) -> String| path.bytes().map(to).collect::<String>().into_bytes();
    let put = |at: Range<usize>, with: &[u8]| {
        [&path.as_bytes()[..at.start], with, &path.as_bytes()[at.end..]].concat()
    };
    for (at, b) in path.bytes().enumerate() {
        let codes = [format!("%{b:02X}"), format!("%{b:02x}"), format!("%25{b:02x}"), format!("%u00{b:02x}")];
        all.extend(codes.iter().map(|code| put(at..at + 1, code.as_bytes())));
        if b.is_ascii_lowercase() {
            all.push(put(at..at + 1, &[b.to_ascii_uppercase()]));
            // The same letter in full width, in an overlong encoding, and with its highest bit set.
            let wide = char::from_u32(u32::from(b) + 0xfee0).unwrap_or_default().to_string();
            all.push(put(at..at + 1, wide.as_bytes()));
            all.push(put(at..at + 1, &[0xc0 | b >> 6, 0x80 | b & 0x3f]));
            all.push(put(at..at + 1, &[b | 0x80]));
        }
        if b == b'/' {
            all.extend(words(SLASHES).map(|slash| put(at..at + 1, slash)));
        }
    }
    // Letters that fold to ASCII ones.
    for (plain, folds) in [('s', "\u{17f}"), ('k', "\u{212a}"), ('i', "\u{131}"), ('i', "\u{130}")] {
        all.push(path.replace(plain, folds).into_bytes());
    }
    all.push(each(&|b| format!("%{b:02x}")));
    all.push(each(&|b| format!("%25{b:02x}")));
    all.push(each(&|b| if b == b'/' { "/".to_owned() } else { format!("%{b:02X}") }));
    all.push(each(&|b| char::from(b).to_uppercase().to_string()));
    all.push(path.replace('/', "\\").into_bytes());
    for b in (0..0x20).chain([0x7f]) {
        all.push([path.as_bytes(), &[b]].concat());
        all.push(put(1..1, &[b]));
    }
    // Every byte in a model's name and in a query.
    let (sweep, query) = (path == "/v1/models/tiny", matches!(path, "/api/show" | "/api/tags" | "/api/pull"));
    for b in (0..=255u8).filter(|_| sweep) {
        let codes = [vec![b], format!("%{b:02X}").into_bytes(), format!("%{b:02x}").into_bytes()];
        for code in codes {
            all.push([path.as_bytes(), &code, b"x"].concat());
            all.push([b"/v1/models/", &code[..]].concat());
        }
    }
    for b in (0..=255u8).filter(|_| sweep || query) {
        all.push([path.as_bytes(), b"?x=", &[b]].concat());
    }
    all.extend(words(ENDINGS).chain(words(QUERIES)).map(|ending| [path.as_bytes(), ending].concat()));
    all.extend(words(STARTS).map(|start| [start, path.as_bytes()].concat()));
    all
}

fn words(table: &'static str) -> impl Iterator<Item = &'static [u8]> {
    table.split(' ').map(str::as_bytes).chain(BARE)
}

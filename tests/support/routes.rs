//! Requests to try in every spelling: Ollama's routes, methods, and headers that name another method. Also which of
//! them may pass, written independently of the proxy's code.

use crate::ollama_routes;

/// Each path of Ollama's, in any version, with one of its methods; and some that it does not have.
pub(crate) fn all() -> Vec<(&'static str, String)> {
    let mut all: Vec<(&str, String)> = Vec::new();
    for route in ollama_routes::all() {
        let (method, path) = (if route.method == "*" { "POST" } else { route.method }, route.sample());
        if method != "HEAD" && all.iter().all(|(_, known)| *known != path) {
            all.push((method, path));
        }
    }
    all.extend(UNKNOWN.map(|(method, path)| (method, path.to_owned())));
    all
}

/// Unknown to Ollama.
const UNKNOWN: [(&str, &str); 15] = [
    ("GET", "/metrics"),
    ("GET", "/debug/pprof/"),
    ("GET", "/api"),
    ("GET", "/api/"),
    ("GET", "/api/experimental"),
    ("POST", "/api/experimental/new"),
    ("POST", "/api/codex"),
    ("GET", "/v1"),
    ("POST", "/v1/messages/count_tokens"),
    ("GET", "/v1/models/"),
    ("GET", "/v1/models/library/tiny"),
    ("GET", "/v1/responses/compact/"),
    ("GET", "/v2/models"),
    ("POST", "/api/new"),
    ("GET", "/%"),
];

/// The registered methods (IANA, "HTTP Method Registry"), spellings of them, and words that are no method.
pub(crate) const METHODS: &str = "\
    GET HEAD POST PUT DELETE PATCH OPTIONS TRACE CONNECT QUERY ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY \
    LABEL LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE ORDERPATCH PRI PROPFIND \
    PROPPATCH REBIND REPORT SEARCH UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL * \
    get head post delete options Get Post gET POSt GeT hEAD BREW PULL DEBUG TRACK PURGE INVOKE GETPOST GETT GE \
    POST,GET GET; GET: GET/ GET? (GET) \"GET\" G\0ET GET\x7f \u{ff27}ET GE\u{422} %47ET GET%20 POST\u{ad}";

/// Headers with their line ends in which frameworks look for another method or path, and those of a browser's
/// preflight.
pub(crate) const HEADERS: [&str; 14] = [
    "X-HTTP-Method-Override: DELETE\r\n",
    "X-HTTP-Method-Override: POST\r\n",
    "X-HTTP-Method: POST\r\n",
    "X-Method-Override: POST\r\n",
    "X-Method: DELETE\r\n",
    "Method: POST\r\n",
    "X-Original-URL: /api/pull\r\n",
    "X-Rewrite-URL: /api/pull\r\n",
    "X-Forwarded-Uri: /api/pull\r\n",
    "X-Forwarded-Prefix: /api/pull\r\n",
    "Origin: http://localhost\r\nAccess-Control-Request-Method: POST\r\n",
    "Origin: http://localhost\r\nAccess-Control-Request-Method: GET\r\n",
    "Origin: http://localhost\r\nAccess-Control-Request-Method: DELETE\r\n",
    "Origin: http://localhost\r\nAccess-Control-Request-Method: post\r\n",
];

/// Requests that pass by default. This restates the promise of README.md; it shares nothing with the proxy's own table
/// and parser.
const ALLOWED: [(&str, &str); 9] = [
    ("POST", "/v1/chat/completions"),
    ("GET", "/v1/models"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/messages"),
    ("GET", "/api/version"),
    ("HEAD", "/api/version"),
    ("GET", "/api/tags"),
    ("HEAD", "/api/tags"),
    ("POST", "/api/show"),
];

/// Requests that pass with every switch on.
pub(crate) const ALSO: [(&str, &str); 13] = [
    ("POST", "/api/chat"),
    ("POST", "/api/generate"),
    ("POST", "/api/embed"),
    ("POST", "/api/embeddings"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/responses/compact"),
    ("POST", "/v1/audio/transcriptions"),
    ("POST", "/v1/images/generations"),
    ("POST", "/v1/images/edits"),
    ("GET", "/api/ps"),
    ("GET", "/"),
    ("HEAD", "/"),
];

/// Whether a request may pass: a pair in `ALLOWED` or `also`, byte for byte, or `GET /v1/models/` and a name of
/// `[A-Za-z0-9._:-]` or `%3A`; after a `?` any visible character except `" # < > \`. A preflight passes if its request
/// would.
pub(crate) fn allowed(method: &[u8], target: &[u8], headers: &str, also: &[(&str, &str)]) -> bool {
    let wanted = headers.split("Access-Control-Request-Method: ").nth(1).map(str::trim_end);
    let method = match (method, wanted) {
        (b"OPTIONS", Some(wanted)) => wanted.as_bytes(),
        _ => method,
    };
    let (path, query) = match target.iter().position(|b| *b == b'?') {
        Some(at) => (&target[..at], &target[at + 1..]),
        None => (target, &b""[..]),
    };
    let seen = query.iter().all(|b| (0x21..0x7f).contains(b) && !b"\"#<>\\".contains(b));
    let model = path.strip_prefix(b"/v1/models/").is_some_and(|name| {
        let name = String::from_utf8_lossy(name).replace("%3A", ":").replace("%3a", ":");
        !matches!(name.as_str(), "" | "." | "..")
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._:-".contains(c))
    });
    let listed = ALLOWED.iter().chain(also).any(|(m, p)| (m.as_bytes(), p.as_bytes()) == (method, path));
    seen && (listed || model && method == b"GET")
}

//! The exit codes, for service managers and scripts. Those from 64 on come from BSD's sysexits.h; 2 is the one of clap.

macro_rules! codes {
    ($(#[doc = $doc:literal] $name:ident = $code:literal;)*) => {
        $(#[doc = $doc] pub const $name: u8 = $code;)*

        /// Every code with its meaning.
        pub const TABLE: &[(u8, &str)] = &[$(($code, $doc)),*];
    };
}

codes! {
    /// Success.
    OK = 0;
    /// An unexpected failure.
    FAILURE = 1;
    /// The command line is invalid.
    USAGE = 2;
    /// The service is installed but not running.
    NOT_RUNNING = 3;
    /// The service is not installed.
    NOT_INSTALLED = 4;
    /// The policy file is valid, but lets no device reach the node.
    CLOSED = 65;
    /// Refused to run as root.
    ROOT = 67;
    /// The control server, the running proxy, Ollama or the keychain can't be reached.
    UNAVAILABLE = 69;
    /// The service manager is missing or failed.
    MANAGER = 71;
    /// The state folder can't be used, or a file can't be written.
    STATE = 73;
    /// The key is refused or expired, or the node needs a login or an approval.
    NO_PERMISSION = 77;
    /// The config is invalid, or the tailnet requires a feature that this node lacks.
    CONFIG = 78;
}

/// The exit codes of a command that starts a node.
pub(super) const NODE_CODES: &[u8] = &[ROOT, UNAVAILABLE, STATE, NO_PERMISSION, CONFIG];

/// The exit codes of a command that asks the running proxy.
pub(super) const ADMIN_CODES: &[u8] = &[UNAVAILABLE, CONFIG];

/// The meaning of a code; empty if it is unknown.
pub(super) fn meaning(code: u8) -> &'static str {
    TABLE.iter().find(|(c, _)| *c == code).map_or("", |(_, meaning)| meaning.trim())
}

/// The whole table for the help.
pub(super) fn help() -> String {
    listed(|code| Some(meaning(code)))
}

/// The first three codes and `codes`, for a command that starts a node.
pub(super) fn of_node(codes: &[u8]) -> String {
    listed(|code| (code <= USAGE || codes.contains(&code)).then(|| meaning(code)))
}

/// The first three codes and `codes`, for a command that starts no node.
pub(super) fn of(codes: &[u8]) -> String {
    listed(|code| match code {
        _ if code > USAGE && !codes.contains(&code) => None,
        CONFIG => Some("The config is invalid"),
        _ => Some(meaning(code)),
    })
}

/// The codes of `init`, which writes a file and no state folder.
pub(super) fn of_init() -> String {
    listed(|code| match code {
        STATE => Some("The file can't be written"),
        CONFIG => Some("The config is invalid"),
        _ => (code <= USAGE).then(|| meaning(code)),
    })
}

fn listed(meaning: impl Fn(u8) -> Option<&'static str>) -> String {
    let rows = TABLE.iter().filter_map(|(code, _)| Some((code, meaning(*code)?)));
    rows.fold("Exit codes:".to_owned(), |help, (code, meaning)| {
        help + &format!("\n  {code:>2}  {}", meaning.trim().trim_end_matches('.'))
    })
}

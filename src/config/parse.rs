//! Parses the text or number of one setting, one function for each kind. An error says what is expected.

use std::path::PathBuf;
use std::time::Duration;

use http::uri::Authority;

use super::checked::{LogFormat, PlainHttp, StartOffline, Withdraw};
use crate::ollama::Upstream;
use crate::policy::{AccessMode, Model, ModelNameFault};

/// One of a few words.
fn choice<T: Clone>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let chosen = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| value.clone());
    chosen.ok_or_else(|| {
        let words: Vec<_> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
        let (last, others) = words.split_last().map_or(("", &[][..]), |(last, others)| (last, others));
        format!("expected {} or {last}", others.join(", "))
    })
}

/// What the HTTP port does.
pub(super) fn plain_http(text: &str) -> Result<PlainHttp, String> {
    choice(text, &[("serve", PlainHttp::Serve), ("redirect", PlainHttp::Redirect), ("off", PlainHttp::Off)])
}

/// When a Service is withdrawn.
pub(super) fn withdraw(text: &str, handover: Duration) -> Result<Withdraw, String> {
    choice(text, &[("first", Withdraw::First(handover)), ("last", Withdraw::Last)])
}

/// The form of a log line.
pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    choice(text, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
}

/// What a stored node does if the control server is unreachable at the start.
pub(super) fn start_offline(text: &str) -> Result<StartOffline, String> {
    choice(text, &[("wait", StartOffline::Wait), ("cached", StartOffline::Cached)])
}

/// What a peer without a grant may ask.
pub(super) fn access(text: &str) -> Result<AccessMode, String> {
    choice(text, &[("network", AccessMode::Network), ("grants", AccessMode::Grants)])
}

/// Whether a model rule lets requests pass.
pub(super) fn allow(text: &str) -> Result<bool, String> {
    choice(text, &[("allow", true), ("deny", false)])
}

/// A model that Ollama can load on this machine.
pub(super) fn preload(name: &str) -> Result<Model, String> {
    match Model::parse(name) {
        Ok(model) if model.is_cloud() => {
            Err("runs in the cloud, so there is nothing to load: remove it".to_owned())
        }
        Ok(model) => Ok(model),
        Err(ModelNameFault::Form) => {
            Err("expected a model's name such as \"qwen3:8b\", of the form name:tag, \
             namespace/name:tag or host/namespace/name:tag"
                .to_owned())
        }
        Err(fault @ ModelNameFault::Local) => Err(fault.to_string()),
    }
}

/// A port, 1 to 65535.
pub(super) fn port(number: &i64) -> Result<u16, String> {
    match u16::try_from(*number) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("expected a port from 1 to 65535".to_owned()),
    }
}

/// A number of at least one.
pub(super) fn count(number: &i64) -> Result<u32, String> {
    match u32::try_from(*number) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("expected a whole number from 1 to {}", u32::MAX)),
    }
}

/// A number of at least one that may be large.
pub(super) fn large_count(number: &i64) -> Result<u64, String> {
    match u64::try_from(*number) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("expected a whole number from 1 to {}", i64::MAX)),
    }
}

/// A number that may be zero.
pub(super) fn count_or_none(number: &i64) -> Result<u32, String> {
    u32::try_from(*number).map_err(|_| format!("expected a whole number from 0 to {}", u32::MAX))
}

/// A label of a DNS name (RFC 1123, 2.1) in lower case.
pub(super) fn label(name: &str) -> Result<String, String> {
    let valid = (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if valid {
        Ok(name.to_owned())
    } else {
        Err("expected 1 to 63 lower-case letters, digits and -, without - at either end".to_owned())
    }
}

/// A host as a Host header names it, without a port.
pub(super) fn host(name: &str) -> Result<String, String> {
    let address = name.parse::<std::net::IpAddr>().is_ok();
    let labels = || name.len() <= 253 && name.split('.').all(|l| label(&l.to_ascii_lowercase()).is_ok());
    if address || labels() {
        Ok(name.to_owned())
    } else {
        Err("expected a host name or an address, without scheme, port or wildcard".to_owned())
    }
}

/// A tag, by the rules of Tailscale's `tailcfg.CheckTag`.
pub(super) fn tag(tag: &str) -> Result<String, String> {
    let name = tag.strip_prefix("tag:").unwrap_or_default();
    let valid = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if valid {
        Ok(tag.to_owned())
    } else {
        Err("expected \"tag:\", a letter, and then letters, digits and -, such as \"tag:ai-server\""
            .to_owned())
    }
}

/// The name of a Tailscale Service, by the rules of `tailcfg.ServiceName`, in lower case.
pub(super) fn service(name: &str) -> Result<String, String> {
    match name.strip_prefix("svc:").map(label) {
        Some(Ok(_)) => Ok(name.to_owned()),
        _ => Err("expected \"svc:\" and 1 to 63 lower-case letters, digits and -, such as \"svc:ollama\""
            .to_owned()),
    }
}

/// An absolute path; `~/` stands for the home folder.
pub(super) fn path(path: &str) -> Result<PathBuf, String> {
    let expanded = match path.strip_prefix("~/") {
        Some(rest) => {
            let home = dirs::home_dir();
            home.ok_or("this account has no home folder for ~: set an absolute path")?.join(rest)
        }
        None => PathBuf::from(path),
    };
    if expanded.is_absolute() && !path.contains('\0') {
        Ok(expanded)
    } else {
        Err("expected an absolute path, or one that starts with ~/".to_owned())
    }
}

/// A word of a command.
pub(super) fn word(word: &str) -> Result<String, String> {
    if word.is_empty() || word.contains('\0') {
        return Err("expected text that is not empty".to_owned());
    }
    Ok(word.to_owned())
}

/// The URL of a control server, without a final slash.
pub(super) fn control_url(url: &str) -> Result<String, String> {
    let expected =
        || "expected a URL such as \"https://headscale.example.com\", without user and query".to_owned();
    let uri: http::Uri = url.parse().map_err(|_| expected())?;
    let Some(authority) = uri.authority() else { return Err(expected()) };
    let bare = uri.query().is_none() && !url.contains(['@', '#']);
    if !bare || !matches!(uri.scheme_str(), Some("https" | "http")) {
        return Err(expected());
    }
    check_port(authority)?;
    Ok(url.trim_end_matches('/').to_owned())
}

/// The URL of Ollama.
pub(super) fn upstream(url: &str) -> Result<Upstream, String> {
    let uri = url.parse::<http::Uri>().unwrap_or_default();
    if let (Some(_), Some(authority)) = (uri.scheme(), uri.authority()) {
        check_port(authority)?;
    }
    Upstream::parse(url).map_err(|e| e.to_string())
}

/// Checks a port that is written in a URL: `http` accepts any text there and then reports no port.
fn check_port(authority: &Authority) -> Result<(), String> {
    let after_user = authority.as_str().rsplit('@').next().unwrap_or_default();
    match after_user.strip_prefix(authority.host()).unwrap_or_default().strip_prefix(':') {
        None => Ok(()),
        Some(text) => port(&text.parse().unwrap_or(0)).map(|_| ()),
    }
}

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A duration that may be zero, of at most a day.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = crate::time::parse_duration(text).ok().filter(|duration| *duration <= DAY);
    duration.ok_or_else(|| "expected a duration from 0s to 24h, such as \"30s\" or \"2m\"".to_owned())
}

/// A duration from a second to a day.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = duration(text).ok().filter(|duration| *duration >= Duration::from_secs(1));
    timeout.ok_or_else(|| "expected a duration from 1s to 24h, such as \"30s\" or \"2m\"".to_owned())
}

/// An age from an hour to ten years.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    let age = crate::time::parse_duration(text).ok().filter(|age| (DAY / 24..=3660 * DAY).contains(age));
    age.ok_or_else(|| "expected an age from 1h to 3660d, such as \"12h\" or \"30d\"".to_owned())
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Levels for `tracing_subscriber::filter::Targets`. `Targets` reads a lone unknown word as a module at level
/// `trace`, so `infos` would silence everything else; it is refused here.
pub(super) fn log_level(level: &str) -> Result<String, String> {
    let valid = |directive: &str| {
        let level = directive.rsplit('=').next().unwrap_or_default();
        !directive.contains(char::is_whitespace) && LEVELS.contains(&level.to_ascii_lowercase().as_str())
    };
    if level.split(',').all(valid) && level.parse::<tracing_subscriber::filter::Targets>().is_ok() {
        Ok(level.to_owned())
    } else {
        let levels = LEVELS.join(", ");
        Err(format!(
            "expected one of {levels}, or levels by module without spaces, such as \"info,tsnet=debug\""
        ))
    }
}

/// The name of an app capability: a domain and a path (Tailscale documentation, "Grants: app").
pub(super) fn capability(name: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._/".contains(&b);
    match name.split_once('/') {
        Some((domain, path))
            if domain.contains('.')
                && host(domain).is_ok()
                && !path.is_empty()
                && path.bytes().all(plain) =>
        {
            Ok(name.to_owned())
        }
        _ => Err("expected a domain and a path, such as \"example.com/cap/ollama\"".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<T>(parse: impl Fn(&str) -> Result<T, String>, good: &[&str], bad: &[&str]) {
        good.iter().for_each(|text| assert!(parse(text).is_ok(), "{text} is refused"));
        bad.iter().for_each(|text| assert!(parse(text).is_err(), "{text} is taken"));
    }

    #[test]
    fn names() {
        let long = "a".repeat(64);
        all(label, &["a", "a-1", &long[1..]], &["", "-a", "a-", "A", "a.b", "a_b", "ä", &long]);
        all(
            host,
            &["a", "A.b", "10.0.0.1", "::1"],
            &["", "a..b", "a:1", "http://a", "*.a", "a/", "[::1]", ".a"],
        );
        all(host, &[], &[&"a.".repeat(130)]);
        all(
            tag,
            &["tag:a", "tag:A-1"],
            &["", "a", "tag:", "tag:1", "tag:-", "tag:a,tag:b", "tag:a b", "TAG:a"],
        );
    }

    #[test]
    fn addresses() {
        all(
            control_url,
            &["https://h.example", "http://127.0.0.1:8080/", "https://[::1]:443/base"],
            &["", "h.example", "ftp://h", "https://", "https://a@h", "https://h/?q", "https://h/#f"],
        );
        all(control_url, &[], &["https://h:x", "https://h:0", "https://h:65536", "https://h:"]);
        all(
            upstream,
            &["http://127.0.0.1:1", "http://[::1]", "unix:/run/a"],
            &[
                "http://127.0.0.1:0",
                "http://127.0.0.1:65536",
                "http://[::1]:x",
                "http://127.0.0.1:",
                "unix:a",
            ],
        );
        assert!(upstream("unix:a").unwrap_err().contains("unix:/absolute/path"));
        assert_eq!(control_url("https://h.example/").unwrap(), "https://h.example");
    }

    #[test]
    fn paths() {
        all(path, &["/", "/a b"], &["", "a", "./a", "~", "~user/a", "/a\0"]);
    }

    #[test]
    fn durations() {
        all(duration, &["0s", "30s", "1m 30s", "24h"], &["", "30", "-1s", "soon", "24h 1s", "1000000y"]);
        all(timeout, &["1s"], &["0s", "999ms"]);
    }

    #[test]
    fn levels() {
        all(
            log_level,
            &["info", "INFO", "off", "info,tsnet=debug", "warn,a::b=off"],
            &["", "infos", "tsnet", "info,", "info, tsnet=debug", "tsnet=debg", "a=b=info", "verbose", "3"],
        );
    }
}

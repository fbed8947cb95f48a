//! What a value may say, one function for each kind. Errors are the reason and the way out.

use std::path::PathBuf;
use std::time::Duration;

use http::uri::Authority;

use super::checked::{LogFormat, PlainHttp, StartOffline, Withdraw};
use crate::ollama::Upstream;
use crate::policy::AccessMode;

/// 1 to 65535.
pub(super) fn port(number: &i64) -> Result<u16, String> {
    match u16::try_from(*number) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("a port is 1 to 65535".to_owned()),
    }
}

/// "serve", "redirect" or "off".
pub(super) fn plain_http(what: &str) -> Result<PlainHttp, String> {
    match what {
        "serve" => Ok(PlainHttp::Serve),
        "redirect" => Ok(PlainHttp::Redirect),
        "off" => Ok(PlainHttp::Off),
        _ => Err("say \"serve\", \"redirect\" or \"off\"".to_owned()),
    }
}

/// At least one.
pub(super) fn count(number: &i64) -> Result<u32, String> {
    match u32::try_from(*number) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("want a whole number from 1 to {}", u32::MAX)),
    }
}

/// None, or any number.
pub(super) fn count_or_none(number: &i64) -> Result<u32, String> {
    u32::try_from(*number).map_err(|_| format!("want a whole number from 0 to {}", u32::MAX))
}

/// A label of a DNS name (RFC 1123, 2.1) in lower case.
pub(super) fn label(name: &str) -> Result<String, String> {
    let sound = (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if sound {
        Ok(name.to_owned())
    } else {
        Err("a name here is 1 to 63 lower-case letters, digits and -, with no - at either end".to_owned())
    }
}

/// A host as a Host header names it, without a port.
pub(super) fn host(name: &str) -> Result<String, String> {
    let address = name.parse::<std::net::IpAddr>().is_ok();
    let labels = || name.len() <= 253 && name.split('.').all(|l| label(&l.to_ascii_lowercase()).is_ok());
    if address || labels() {
        Ok(name.to_owned())
    } else {
        Err("want a host name or an address, without scheme, port or wildcard".to_owned())
    }
}

/// A tag, by the rules of Tailscale's `tailcfg.CheckTag`.
pub(super) fn tag(tag: &str) -> Result<String, String> {
    let name = tag.strip_prefix("tag:").unwrap_or_default();
    let sound = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if sound {
        Ok(tag.to_owned())
    } else {
        Err("a tag is \"tag:\", a letter, and then letters, digits and -, such as \"tag:ai-server\""
            .to_owned())
    }
}

/// The name of a Tailscale Service, by the rules of `tailcfg.ServiceName`, in lower case.
pub(super) fn service(name: &str) -> Result<String, String> {
    match name.strip_prefix("svc:").map(label) {
        Some(Ok(_)) => Ok(name.to_owned()),
        _ => Err("a Service is \"svc:\" and a name of 1 to 63 lower-case letters, digits and -, such as \"svc:ollama\"".to_owned()),
    }
}

/// When a Service is withdrawn.
pub(super) fn withdraw(when: &str, handover: Duration) -> Result<Withdraw, String> {
    match when {
        "first" => Ok(Withdraw::First(handover)),
        "last" => Ok(Withdraw::Last),
        _ => Err("say \"first\" or \"last\"".to_owned()),
    }
}

/// An absolute path; `~/` stands for the home folder.
pub(super) fn path(path: &str) -> Result<PathBuf, String> {
    let expanded = match path.strip_prefix("~/") {
        Some(rest) => dirs::home_dir().ok_or("~ has no meaning: this account has no home folder")?.join(rest),
        None => PathBuf::from(path),
    };
    if expanded.is_absolute() && !path.contains('\0') {
        Ok(expanded)
    } else {
        Err("want an absolute path or one that starts with ~/".to_owned())
    }
}

/// The address of a control server, without a final slash.
pub(super) fn control_url(url: &str) -> Result<String, String> {
    let form = || "want a URL such as \"https://headscale.example.com\", without user and query".to_owned();
    let uri: http::Uri = url.parse().map_err(|_| form())?;
    let Some(authority) = uri.authority() else { return Err(form()) };
    let bare = uri.query().is_none() && !url.contains(['@', '#']);
    if !bare || !matches!(uri.scheme_str(), Some("https" | "http")) {
        return Err(form());
    }
    explicit_port(authority)?;
    Ok(url.trim_end_matches('/').to_owned())
}

/// Where Ollama is.
pub(super) fn upstream(url: &str) -> Result<Upstream, String> {
    let uri = url.parse::<http::Uri>().unwrap_or_default();
    if let (Some(_), Some(authority)) = (uri.scheme(), uri.authority()) {
        explicit_port(authority)?;
    }
    Upstream::parse(url).map_err(|e| e.to_string())
}

/// `http` takes any text for a port and then says that there is none.
fn explicit_port(authority: &Authority) -> Result<(), String> {
    let after_user = authority.as_str().rsplit('@').next().unwrap_or_default();
    match after_user.strip_prefix(authority.host()).unwrap_or_default().strip_prefix(':') {
        None => Ok(()),
        Some(text) => port(&text.parse().unwrap_or(0)).map(|_| ()),
    }
}

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A duration of at most a day.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= DAY => Ok(duration),
        Ok(_) => Err("a duration here is at most 24h".to_owned()),
        Err(e) => Err(format!("want a duration such as \"30s\" or \"2m\": {e}")),
    }
}

/// A duration of at least a second.
pub(super) fn patience(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        short if short < Duration::from_secs(1) => Err("a duration here is at least 1s".to_owned()),
        duration => Ok(duration),
    }
}

/// An age of an hour to ten years.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(age) if (DAY / 24..=3660 * DAY).contains(&age) => Ok(age),
        Ok(_) => Err("an age is at least 1h and at most 10 years".to_owned()),
        Err(e) => Err(format!("want an age such as \"30days\" or \"12h\": {e}")),
    }
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Levels as `tracing_subscriber::filter::Targets` reads them, which takes a lone word that is no
/// level for a module that may say everything, so that `infos` would log nothing but that.
pub(super) fn log_level(level: &str) -> Result<String, String> {
    let sound = |directive: &str| {
        let level = directive.rsplit('=').next().unwrap_or_default();
        !directive.contains(char::is_whitespace) && LEVELS.contains(&level.to_ascii_lowercase().as_str())
    };
    if level.split(',').all(sound) && level.parse::<tracing_subscriber::filter::Targets>().is_ok() {
        Ok(level.to_owned())
    } else {
        let levels = LEVELS.join(", ");
        Err(format!("say one of {levels}, or levels by module without blanks, such as \"info,tsnet=debug\""))
    }
}

/// `text` or `json`.
pub(super) fn log_format(format: &str) -> Result<LogFormat, String> {
    match format {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("say \"text\" or \"json\"".to_owned()),
    }
}

/// `wait` or `cached`.
pub(super) fn start_offline(what: &str) -> Result<StartOffline, String> {
    match what {
        "wait" => Ok(StartOffline::Wait),
        "cached" => Ok(StartOffline::Cached),
        _ => Err("say \"wait\" or \"cached\"".to_owned()),
    }
}

pub(super) fn access(mode: &str) -> Result<AccessMode, String> {
    match mode {
        "network" => Ok(AccessMode::Network),
        "grants" => Ok(AccessMode::Grants),
        _ => Err("say \"network\" or \"grants\"".to_owned()),
    }
}

/// `allow` or `deny`: whether models in the cloud are refused.
pub(super) fn deny_cloud(what: &str) -> Result<bool, String> {
    match what {
        "allow" => Ok(false),
        "deny" => Ok(true),
        _ => Err("say \"allow\" or \"deny\"".to_owned()),
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
        _ => Err("want a domain and a path, such as \"example.com/cap/ollama\"".to_owned()),
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
        all(patience, &["1s"], &["0s", "999ms"]);
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

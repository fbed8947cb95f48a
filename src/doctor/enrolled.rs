//! Whether the state folder holds a node that a tailnet has accepted, as the node itself finds out
//! (`enrolled` in vendor/libtailscale/node/state.go). tailscale makes the file before it joins.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

/// A profile, as far as it matters here.
#[derive(Deserialize)]
struct Profile {
    #[serde(rename = "Config")]
    login: Option<Login>,
}

#[derive(Deserialize)]
struct Login {
    #[serde(rename = "PrivateNodeKey", default)]
    key: String,
    #[serde(rename = "UserProfile", default)]
    user: User,
}

#[derive(Deserialize, Default)]
struct User {
    #[serde(rename = "LoginName", default)]
    login_name: String,
}

/// Whom a node belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A user, by login name.
    User(String),
    /// Nobody: it acts for its tags, which the file does not have.
    Tags,
}

/// The owner that Tailscale's control server names for a node with tags; headscale does so too.
const TAGGED: &str = "tagged-devices";

/// Whose node tailscale's `file` has; `None`: none that has joined.
///
/// # Errors
/// It can't be read, or is no such file.
pub(super) fn owner(file: &Path) -> std::io::Result<Option<Owner>> {
    let login = login(file)?.filter(|login| is_key(&login.key));
    Ok(login.map(|login| login.user.login_name).and_then(|name| match name.as_str() {
        "" => None,
        TAGGED => Some(Owner::Tags),
        _ => Some(Owner::User(name)),
    }))
}

/// Whether tailscale's `file` has a node that has joined; one that does not exist has none.
///
/// # Errors
/// It can't be read, or is no such file.
pub(super) fn enrolled(file: &Path) -> std::io::Result<bool> {
    Ok(login(file)?.is_some_and(|login| is_key(&login.key)))
}

fn login(file: &Path) -> std::io::Result<Option<Login>> {
    if !file.try_exists()? {
        return Ok(None);
    }
    let values: BTreeMap<String, String> = serde_json::from_slice(&std::fs::read(file)?)?;
    Ok(profile(&values).and_then(|profile| profile.login))
}

/// The profile in use.
fn profile(values: &BTreeMap<String, String>) -> Option<Profile> {
    let name = String::from_utf8(decode(values.get("_current-profile")?)?).ok()?;
    serde_json::from_slice(&decode(values.get(&name)?)?).ok()
}

/// A key that is not set is written as zeros.
fn is_key(text: &str) -> bool {
    text.strip_prefix("privkey:").is_some_and(|digits| digits.bytes().any(|digit| digit != b'0'))
}

/// Base64 (RFC 4648, section 4), as Go writes bytes in JSON.
fn decode(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut rest, mut length) = (Vec::new(), 0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        rest = rest << 6 | DIGITS.iter().position(|known| *known == digit)? as u32;
        length += 6;
        if length >= 8 {
            length -= 8;
            bytes.push((rest >> length) as u8);
            rest &= (1 << length) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read() {
        for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmE=", "fooba")]
        {
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        assert_eq!(decode("Zm 9v"), None);
    }

    #[test]
    fn only_a_node_key_of_the_profile_in_use_counts() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state");
        let told = |text: &str| {
            std::fs::write(&file, text).unwrap();
            enrolled(&file)
        };
        assert!(!enrolled(&dir.path().join("none")).unwrap());
        assert!(!told(r#"{"_machinekey": "cHJpdmtleTow"}"#).unwrap());
        // The name is "p"; the profiles are {"Config":null}, with the key privkey:0, and with privkey:01.
        for (profile, is) in [
            ("eyJDb25maWciOm51bGx9", false),
            ("eyJDb25maWciOnsiUHJpdmF0ZU5vZGVLZXkiOiJwcml2a2V5OjAifX0=", false),
            ("eyJDb25maWciOnsiUHJpdmF0ZU5vZGVLZXkiOiJwcml2a2V5OjAxIn19", true),
        ] {
            let text = format!(r#"{{"_current-profile": "cA==", "p": "{profile}"}}"#);
            assert_eq!(told(&text).unwrap(), is, "{profile}");
        }
        assert!(told("").is_err());
    }
}

//! The node in the state folder that a tailnet has accepted, read as the node itself reads it (`enrolled` in
//! vendor/libtailscale/node/state.go). tailscale makes the file before it joins.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

/// Where tailscale's library keeps the node's keys, in the state folder.
pub(crate) const STATE_FILE: &str = "tailscaled.state";

/// The login name that control servers give for tagged nodes.
const TAGGED: &str = "tagged-devices";

/// What is stored of a node that has joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredNode {
    /// Its owner when it joined; `None`: the file does not say.
    pub(crate) owner: Option<Owner>,
}

/// The owner of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A user, by login name.
    User(String),
    /// Its tags, which the file does not have.
    Tags,
}

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

/// The node that `state_dir` holds; `None` where there is none that has joined.
///
/// # Errors
/// The file with its keys can't be read, or is no such file.
pub(crate) fn read(state_dir: &Path) -> std::io::Result<Option<StoredNode>> {
    let file = state_dir.join(STATE_FILE);
    if !file.try_exists()? {
        return Ok(None);
    }
    let values: BTreeMap<String, String> = serde_json::from_slice(&std::fs::read(file)?)?;
    let login = profile(&values).and_then(|profile| profile.login).filter(|login| is_key(&login.key));
    Ok(login.map(|login| StoredNode { owner: owner(login.user.login_name) }))
}

fn owner(login_name: String) -> Option<Owner> {
    match login_name.as_str() {
        "" => None,
        TAGGED => Some(Owner::Tags),
        _ => Some(Owner::User(login_name)),
    }
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
        let told = |text: &str| {
            std::fs::write(dir.path().join(STATE_FILE), text).unwrap();
            read(dir.path())
        };
        assert_eq!(read(dir.path()).unwrap(), None);
        assert_eq!(told(r#"{"_machinekey": "cHJpdmtleTow"}"#).unwrap(), None);
        // The name is "p"; the profiles are {"Config":null}, with the key privkey:0, with privkey:01, and with that and
        // the owner tagged-devices.
        let tagged = "eyJDb25maWciOnsiUHJpdmF0ZU5vZGVLZXkiOiJwcml2a2V5OjAxIiwiVXNlclByb2ZpbGUiOnsiTG9naW5OYW1lIjoidGFnZ2VkLWRldmljZXMifX19";
        for (profile, stored) in [
            ("eyJDb25maWciOm51bGx9", None),
            ("eyJDb25maWciOnsiUHJpdmF0ZU5vZGVLZXkiOiJwcml2a2V5OjAifX0=", None),
            ("eyJDb25maWciOnsiUHJpdmF0ZU5vZGVLZXkiOiJwcml2a2V5OjAxIn19", Some(StoredNode { owner: None })),
            (tagged, Some(StoredNode { owner: Some(Owner::Tags) })),
        ] {
            let text = format!(r#"{{"_current-profile": "cA==", "p": "{profile}"}}"#);
            assert_eq!(told(&text).unwrap(), stored, "{profile}");
        }
        assert!(told("").is_err());
    }
}

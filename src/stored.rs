//! Reads the node stored in the state folder, as the node itself does (`enrolled` in vendor/libtailscale/node/state.go).
//! tailscale creates the file before it joins, so the file alone does not mean that a node has joined.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64; // as Go encodes bytes in JSON
use serde::Deserialize;

/// The file in the state folder in which tailscale's library keeps the node's keys.
pub(crate) const STATE_FILE: &str = "tailscaled.state";

/// The login name that control servers give for tagged nodes.
const TAGGED: &str = "tagged-devices";

/// A stored node that has joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredNode {
    /// The owner when the node joined; `None`: not in the file.
    pub(crate) owner: Option<Owner>,
}

/// The owner of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A user, with the login name.
    User(String),
    /// Tags, which are not in the file.
    Tags,
}

/// A profile, without the fields that are not needed here.
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

/// The node in `state_dir`; `None` if no node has joined.
///
/// # Errors
/// The file with the keys can't be read, or has another format.
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

/// The current profile.
fn profile(values: &BTreeMap<String, String>) -> Option<Profile> {
    let name = String::from_utf8(BASE64.decode(values.get("_current-profile")?).ok()?).ok()?;
    serde_json::from_slice(&BASE64.decode(values.get(&name)?).ok()?).ok()
}

/// An unset key is written as zeros.
fn is_key(text: &str) -> bool {
    text.strip_prefix("privkey:").is_some_and(|digits| digits.bytes().any(|digit| digit != b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_node_key_in_the_current_profile_counts() {
        let dir = tempfile::tempdir().unwrap();
        let stored = |text: &str| {
            std::fs::write(dir.path().join(STATE_FILE), text).unwrap();
            read(dir.path())
        };
        assert_eq!(read(dir.path()).unwrap(), None);
        assert_eq!(stored(r#"{"_machinekey": "cHJpdmtleTow"}"#).unwrap(), None);
        // The name is "p"; the profiles are {"Config":null}, with the key privkey:0, with privkey:01, and with that and
        // the owner tagged-devices.
        let tagged = "eyJDb25maWciOnsiUHJpdmF0ZU5vZGVLZXkiOiJwcml2a2V5OjAxIiwiVXNlclByb2ZpbGUiOnsiTG9naW5OYW1lIjoidGFnZ2VkLWRldmljZXMifX19";
        for (profile, expected) in [
            ("eyJDb25maWciOm51bGx9", None),
            ("eyJDb25maWciOnsiUHJpdmF0ZU5vZGVLZXkiOiJwcml2a2V5OjAifX0=", None),
            ("eyJDb25maWciOnsiUHJpdmF0ZU5vZGVLZXkiOiJwcml2a2V5OjAxIn19", Some(StoredNode { owner: None })),
            (tagged, Some(StoredNode { owner: Some(Owner::Tags) })),
        ] {
            let text = format!(r#"{{"_current-profile": "cA==", "p": "{profile}"}}"#);
            assert_eq!(stored(&text).unwrap(), expected, "{profile}");
        }
        assert!(stored("").is_err());
    }
}

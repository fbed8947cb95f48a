//! Finds the credential that the node joins with: environment variables first, then the files that the config
//! names, then the keychain.

use std::path::PathBuf;

use super::checked::NodeConfig;
use super::section::Section;
use crate::auth::{self, CredentialKind, CredentialSource, Environment, Keychain};

const NEEDS_TAGS: &str = "a node that joins with an OAuth client secret needs tags: set node.tags to tags that the client may assign";

/// Finds the credential. The files have to be valid even if a variable is used instead of them.
pub(super) fn find(
    s: &mut Section<'_, '_>,
    node: &NodeConfig,
    environment: &Environment,
) -> CredentialSource {
    let untagged = node.tags.is_empty() && !s.is_faulty("tags");
    if node.auth_key_file.is_some() && node.client_secret_file.is_some() {
        s.fault("client_secret_file", "node.auth_key_file is set too: remove one of the two");
    }
    if node.client_secret_file.is_some() && untagged {
        s.fault("client_secret_file", NEEDS_TAGS);
    }
    let auth_key = read(s, "auth_key_file", node.auth_key_file.as_ref(), CredentialKind::AuthKey);
    let client_secret =
        read(s, "client_secret_file", node.client_secret_file.as_ref(), CredentialKind::ClientSecret);
    let source = match environment.find() {
        Ok(Some(source)) => {
            if let CredentialSource::Environment(variable, credential) = &source
                && credential.kind() == CredentialKind::ClientSecret
                && untagged
            {
                s.fault_elsewhere(variable, NEEDS_TAGS);
            }
            source
        }
        Ok(None) => auth_key.or(client_secret).unwrap_or(CredentialSource::Unset),
        Err((variable, fault)) => {
            s.fault_elsewhere(variable, &fault.to_string());
            CredentialSource::Unset
        }
    };
    match source {
        CredentialSource::MissingFile(_) | CredentialSource::Unset if node.keychain => {
            CredentialSource::Keychain(Keychain::of(&node.hostname))
        }
        source => source.ephemeral(node.ephemeral),
    }
}

fn read(
    s: &mut Section<'_, '_>,
    key: &'static str,
    path: Option<&PathBuf>,
    kind: CredentialKind,
) -> Option<CredentialSource> {
    match auth::read(path?, kind) {
        Ok(source) => Some(source),
        Err(faults) => {
            faults.iter().for_each(|fault| s.fault(key, &fault.to_string()));
            None
        }
    }
}

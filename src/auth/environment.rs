//! The environment variables that may hold the credential.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::sync::LazyLock;

use super::credential::{Credential, CredentialKind, ENV, KeyFault};
use super::source::CredentialSource;

/// The variables that may hold a credential. The first that is set is used.
const VARIABLES: [(&str, CredentialKind); 3] = [
    (ENV, CredentialKind::AuthKey),
    ("TS_AUTH_KEY", CredentialKind::AuthKey),
    ("TS_CLIENT_SECRET", CredentialKind::ClientSecret),
];

/// The values of these variables when the process started.
#[derive(Default, Clone)]
pub struct Environment(BTreeMap<&'static str, OsString>);

impl Environment {
    /// The variables of the process at the first call. They are removed afterwards, so that neither the node nor child
    /// processes find them.
    pub fn of_process() -> Environment {
        static FIRST: LazyLock<Environment> = LazyLock::new(|| Environment::new(std::env::var_os));
        FIRST.clone()
    }

    /// Takes each variable from `value`. An empty variable counts as not set.
    pub fn new(value: impl Fn(&'static str) -> Option<OsString>) -> Environment {
        let set = |(variable, _)| Some((variable, value(variable).filter(|v| !v.is_empty())?));
        Environment(VARIABLES.into_iter().filter_map(set).collect())
    }

    /// The credential in the first variable that is set.
    ///
    /// # Errors
    /// The name of the variable, if its value is not a credential.
    pub fn find(&self) -> Result<Option<CredentialSource>, (&'static str, KeyFault)> {
        let first = VARIABLES.into_iter().find_map(|(v, kind)| Some((v, kind, self.0.get(v)?)));
        let Some((variable, kind, value)) = first else { return Ok(None) };
        value
            .to_str()
            .ok_or(KeyFault::Content(kind))
            .and_then(|text| Credential::parse(kind, text))
            .map(|credential| Some(CredentialSource::Environment(variable, credential)))
            .map_err(|fault| (variable, fault))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(set: &[(&'static str, &str)]) -> Environment {
        Environment::new(|name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v)))
    }

    #[test]
    fn first_variable_wins_and_an_empty_one_is_not_set() {
        let all = [(ENV, "a"), ("TS_AUTH_KEY", "b"), ("TS_CLIENT_SECRET", "tskey-client-c")];
        let found = environment(&all).find().unwrap().unwrap();
        assert_eq!(found.key().unwrap().expose(), "a");
        assert_eq!(found.client_secret(), None);
        assert_eq!(found.to_string(), "auth key from TS_AUTHKEY");

        let found = environment(&all[1..]).find().unwrap().unwrap();
        assert_eq!(found.key().unwrap().expose(), "b");

        let found = environment(&[(ENV, ""), all[2]]).find().unwrap().unwrap();
        assert_eq!(found.key(), None);
        assert_eq!(found.client_secret().unwrap().expose(), "tskey-client-c");
        assert_eq!(found.to_string(), "OAuth client secret from TS_CLIENT_SECRET");

        assert_eq!(environment(&[]).find().unwrap(), None);
    }

    #[test]
    fn variable_without_a_credential_is_a_fault() {
        for (variable, value, said) in [
            (ENV, " \n", "is empty"),
            (ENV, "a b", "one line"),
            (ENV, "tskey-client-a", "TS_CLIENT_SECRET"),
            (ENV, "tskey-api-a", "API access token"),
            ("TS_CLIENT_SECRET", "tskey-auth-a", "TS_AUTHKEY"),
            ("TS_CLIENT_SECRET", "tskey-client-a?b=1", "baseURL=URL"),
            ("TS_CLIENT_SECRET", "tskey-client-a?ephemeral=yes", "ephemeral=true"),
        ] {
            let (named, fault) = environment(&[(variable, value)]).find().unwrap_err();
            assert_eq!(named, variable);
            assert!(fault.to_string().contains(said), "{fault}");
        }
        use std::os::unix::ffi::OsStringExt;
        let bytes = Environment::new(|name| (name == ENV).then(|| OsString::from_vec(vec![0xff])));
        assert!(bytes.find().is_err());
    }

    #[test]
    fn client_secret_gets_the_attribute_ephemeral_unless_it_has_one() {
        for (secret, ephemeral, completed) in [
            ("tskey-client-a", false, "tskey-client-a?ephemeral=false"),
            ("tskey-client-a", true, "tskey-client-a?ephemeral=true"),
            ("tskey-client-a?preauthorized=true", false, "tskey-client-a?preauthorized=true&ephemeral=false"),
            (
                "tskey-client-a?preauthorized=1&ephemeral=true",
                false,
                "tskey-client-a?preauthorized=1&ephemeral=true",
            ),
        ] {
            let found = environment(&[("TS_CLIENT_SECRET", secret)]).find().unwrap().unwrap();
            assert_eq!(found.ephemeral(ephemeral).client_secret().unwrap().expose(), completed);
        }
        let found = environment(&[(ENV, "a")]).find().unwrap().unwrap();
        assert_eq!(found.ephemeral(true).key().unwrap().expose(), "a");
    }

    #[test]
    fn printed_forms_redact_the_secret() {
        let environment =
            environment(&[(ENV, "tskey-auth-HIDDEN"), ("TS_CLIENT_SECRET", "tskey-client-HIDDEN")]);
        let found = environment.find().unwrap();
        let printed = format!("{environment:?} {found:?} {}", found.as_ref().unwrap());
        assert!(!printed.contains("HIDDEN") && !printed.contains("tskey"), "{printed}");
    }
}

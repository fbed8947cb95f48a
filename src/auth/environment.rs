//! The environment variables that may hold the credential.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::sync::LazyLock;

use super::{Credential, CredentialSource, KeyFault, VARIABLES};

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

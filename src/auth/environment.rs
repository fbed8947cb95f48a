//! The variables of the environment that may hold what a node joins with.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::sync::LazyLock;

use super::{Credential, CredentialSource, KeyFault, VARIABLES};

/// The environment variables that matter here, as they were when the process started.
#[derive(Default, Clone)]
pub struct Environment(BTreeMap<&'static str, OsString>);

impl Environment {
    /// The process's own, as it was when this was called first: later the variables may be gone, so that
    /// neither the node nor a child process finds them.
    pub fn of_process() -> Environment {
        static FIRST: LazyLock<Environment> = LazyLock::new(|| Environment::new(std::env::var_os));
        FIRST.clone()
    }

    /// What `value` gives for each variable; an empty one counts as not set.
    pub fn new(value: impl Fn(&'static str) -> Option<OsString>) -> Environment {
        let set = |(variable, _)| Some((variable, value(variable).filter(|v| !v.is_empty())?));
        Environment(VARIABLES.into_iter().filter_map(set).collect())
    }

    /// The first variable that is set.
    ///
    /// # Errors
    /// It holds no such thing.
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

//! What is known of a process.

use std::collections::HashMap;

/// A process of `ollama serve`.
pub(in crate::doctor) struct OllamaProcess {
    pub(in crate::doctor) pid: u32,
    /// `None`: it may not be read, usually because the process belongs to another account.
    pub(in crate::doctor) environment: Option<Environment>,
}

/// The variables of a process. Some are secret, so it can't be printed.
pub(in crate::doctor) struct Environment(HashMap<String, String>);

impl Environment {
    pub(in crate::doctor) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn parse<'a>(pairs: impl Iterator<Item = &'a str>) -> Environment {
        let pairs = pairs.filter_map(|pair| pair.split_once('='));
        Environment(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

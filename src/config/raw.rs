//! The config file as it stands. Reading never stops at the first fault: a value of the wrong
//! type and a key that nobody knows are kept, to be told together with everything else.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// A value that may be absent or of the wrong type.
#[derive(Debug)]
pub(super) enum Field<T> {
    Absent,
    Given(T),
    Wrong { value: String, reason: String },
}

impl<T> Default for Field<T> {
    fn default() -> Self {
        Field::Absent
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(d)?;
        let text = value.to_string();
        Ok(match T::deserialize(value) {
            Ok(given) => Field::Given(given),
            Err(e) => Field::Wrong { value: text, reason: e.to_string().trim().replace('\n', ": ") },
        })
    }
}

/// Keys that the section does not have.
pub(super) type Unknown = BTreeMap<String, toml::Value>;

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        pub(super) struct $name {
            $(#[serde(default)] pub(super) $field: Field<$type>,)*
            #[serde(flatten)]
            pub(super) unknown: Unknown,
        }

        impl $name {
            /// The keys that the section has.
            pub(super) const KEYS: &'static [&'static str] = &[$(stringify!($field)),*];
        }
    };
}

section!(Raw {
    node: Node,
    listen: Listen,
    upstream: Upstream,
    endpoints: BTreeMap<String, toml::Value>,
    http: Http,
    shutdown: Shutdown,
    log: Log,
});

section!(Node {
    hostname: String,
    state_dir: String,
    auth_key_file: String,
    control_url: String,
    tags: Vec<String>,
    ephemeral: bool,
    port_mapping: bool,
    up_timeout: String,
});

section!(Listen { port: i64 });

section!(Upstream { url: String });

section!(Http { hosts: Vec<String>, preflight: bool });

section!(Shutdown { drain_timeout: String });

section!(Log { level: String, format: String });

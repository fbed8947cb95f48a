//! The keys of a body with which a client changes a loaded model for everyone: how long it stays loaded, and the options
//! with which it was loaded.
//!
//! Source: Ollama 0.17.4 and 0.34.2, `api/types.go` (the requests of `/api/chat`, `/api/generate`, `/api/embed` and
//! `/api/embeddings`; `Runner` for the options), `server/routes.go` (`keep_alive: 0` without a prompt unloads) and
//! `needsReload` in `server/sched.go`. The endpoints below `/v1` read none of these keys.

/// Who does not let a client set a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeniedBy {
    /// The config.
    Config,
    /// The peer's grants.
    Grants,
}

/// What the keys change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelSetting {
    /// How long the model stays loaded; 0 unloads it.
    KeepAlive,
    /// How the model is loaded; another value than the loaded model's reloads it.
    LoadOptions,
}

/// The settings that a client may not change, each with who denies it; `None`: it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeniedSettings {
    /// [`ModelSetting::KeepAlive`].
    pub keep_alive: Option<DeniedBy>,
    /// [`ModelSetting::LoadOptions`].
    pub load_options: Option<DeniedBy>,
}

/// A key that a body has and may not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeniedKey {
    /// The key, as Ollama's documentation spells it.
    pub key: &'static str,
    /// What it changes.
    pub setting: ModelSetting,
    /// Who denies it.
    pub by: DeniedBy,
}

/// Changes for how long the model stays loaded.
const KEEP_ALIVE: &str = "keep_alive";

/// Reloads the model since Ollama 0.34, although it is no option: `contextShift` in `needsReload`.
const SHIFT: &str = "shift";

/// The keys of `options` that reload the model. The last one is of Ollama 0.34.
const LOAD_OPTIONS: [&str; 7] =
    ["num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "draft_num_predict"];

/// The length of the longest key above, in letters.
pub(super) const LONGEST: usize = "draft_num_predict".len();

impl ModelSetting {
    /// The setting's key in `[models]` and in a grant.
    pub fn name(self) -> &'static str {
        match self {
            ModelSetting::KeepAlive => "keep_alive",
            ModelSetting::LoadOptions => "load_options",
        }
    }
}

impl DeniedSettings {
    /// Whether the client may change every setting.
    pub fn is_empty(&self) -> bool {
        self.keep_alive.is_none() && self.load_options.is_none()
    }

    /// The denied key of the body itself that `key` is. It has been folded as Go folds it.
    pub(super) fn in_body(&self, key: &str) -> Option<DeniedKey> {
        match key {
            KEEP_ALIVE => self.keep_alive.map(|by| denied(KEEP_ALIVE, ModelSetting::KeepAlive, by)),
            SHIFT => self.load_options.map(|by| denied(SHIFT, ModelSetting::LoadOptions, by)),
            _ => None,
        }
    }

    /// The denied key of the body's `options` that `key` is. Ollama takes only the exact spelling of these; the proxy
    /// refuses the others, too.
    pub(super) fn in_options(&self, key: &str) -> Option<DeniedKey> {
        let by = self.load_options?;
        let name = LOAD_OPTIONS.iter().find(|name| **name == key)?;
        Some(denied(name, ModelSetting::LoadOptions, by))
    }
}

fn denied(key: &'static str, setting: ModelSetting, by: DeniedBy) -> DeniedKey {
    DeniedKey { key, setting, by }
}

impl std::fmt::Display for DeniedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let DeniedKey { key, setting, by } = self;
        let effect = match setting {
            ModelSetting::KeepAlive => "it changes for everyone how long the model stays loaded",
            ModelSetting::LoadOptions => "it can reload the model for everyone",
        };
        let name = setting.name();
        match by {
            DeniedBy::Config => write!(
                f,
                "requests may not set \"{key}\" here, because {effect}; leave it out, or ask the operator to set \
                 models.{name} = \"allow\""
            ),
            DeniedBy::Grants => write!(
                f,
                "the tailnet policy does not let you set \"{key}\", because {effect}; leave it out, or ask an admin of \
                 the tailnet to remove \"{name}\": false from your grant"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BodyFault, ModelKeys, ModelReader};
    use super::*;

    const ALL: DeniedSettings =
        DeniedSettings { keep_alive: Some(DeniedBy::Config), load_options: Some(DeniedBy::Grants) };

    /// The key for which a body is refused, read whole and byte by byte, with and without a rule about its model.
    fn refused(denied: DeniedSettings, body: &str) -> Option<&'static str> {
        let key = |fed: Result<(), BodyFault>| match fed {
            Ok(()) => None,
            Err(BodyFault::Denied(denied)) => Some(denied.key),
            Err(fault) => panic!("{body}: {fault}"),
        };
        let found = [ModelKeys::Model, ModelKeys::Ignored].map(|keys| {
            let whole = ModelReader::new(keys).denying(denied).feed(body.as_bytes());
            let mut slow = ModelReader::new(keys).denying(denied);
            assert_eq!(whole, body.bytes().try_for_each(|byte| slow.feed(&[byte])), "{body}");
            key(whole)
        });
        assert_eq!(found[0], found[1], "{body}");
        found[0]
    }

    #[test]
    fn denied_key_is_found_in_every_spelling_and_at_every_place_that_go_takes() {
        for (body, key) in [
            (r#"{"keep_alive":0}"#, "keep_alive"),
            (r#"{"model":"a","messages":[],"keep_alive":"5m"}"#, "keep_alive"),
            (r#"{"KEEP_Alive":-1}"#, "keep_alive"),
            ("{\"\u{212a}eep_alive\":0}", "keep_alive"),
            (r#"{"\u212aeep_alive":0}"#, "keep_alive"),
            (r#"{"\u006b\u0065\u0065\u0070\u005f\u0061\u006c\u0069\u0076\u0065":0}"#, "keep_alive"),
            (r#"{"keep_alive":null}"#, "keep_alive"),
            (r#"{"model":"a","options":{"temperature":1,"num_ctx":8192}}"#, "num_ctx"),
            (r#"{"options":{"stop":["}"],"x":{"y":[{}]},"num_gpu":0}}"#, "num_gpu"),
            (r#"{"options":{},"options":{"num_batch":1}}"#, "num_batch"),
            ("{\"option\u{17f}\":{\"num_thread\":1}}", "num_thread"),
            (r#"{"OPTIONS":{"use_mmap":true}}"#, "use_mmap"),
            (r#"{"option\u0073":{"main_gpu":1}}"#, "main_gpu"),
            (r#"{"options":{"num\u005fctx":1}}"#, "num_ctx"),
            (r#"{"options":{"Num_Ctx":1}}"#, "num_ctx"),
            (r#"{"options":{"draft_num_predict":1}}"#, "draft_num_predict"),
            (r#"{"shift":false}"#, "shift"),
            ("{\"\u{17f}hift\":false}", "shift"),
        ] {
            assert_eq!(refused(ALL, body), Some(key), "{body}");
            assert_eq!(refused(DeniedSettings::default(), body), None, "{body}");
        }
        let body = r#"{"options":{"num_ctx":1},"keep_alive":0}"#;
        assert_eq!(refused(DeniedSettings { load_options: None, ..ALL }, body), Some("keep_alive"));
        assert_eq!(refused(DeniedSettings { keep_alive: None, ..ALL }, body), Some("num_ctx"));
    }

    #[test]
    fn the_same_words_elsewhere_are_not_refused() {
        for body in [
            r#"{"model":"a","prompt":"\"keep_alive\":0","messages":[{"keep_alive":0,"options":{"num_ctx":1}}]}"#,
            r#"{"num_ctx":1,"options":{"keep_alive":0,"shift":1,"options":{"num_ctx":1}}}"#,
            r#"{"keep_alivex":0,"keep-alive":0,"options ":{"num_ctx":1},"options":{"num_predict":1}}"#,
            r#"{"options":null,"options":[{"num_ctx":1}],"options":"num_ctx"}"#,
            r#"{"options":{},"format":{"num_ctx":1}}"#,
        ] {
            assert_eq!(refused(ALL, body), None, "{body}");
        }
    }

    #[test]
    fn model_is_found_around_the_options() {
        for body in [r#"{"options":{"seed":1,"a":[]},"model":"a"}"#, r#"{"model":"a","options":{}}"#] {
            let mut reader = ModelReader::new(ModelKeys::Model).denying(ALL);
            reader.feed(body.as_bytes()).unwrap();
            assert_eq!(reader.model(), Some("a"));
        }
        let mut reader = ModelReader::new(ModelKeys::Ignored).denying(ALL);
        reader.feed(br#"{"model":1,"model":"a","MODEL":"b"}"#).unwrap();
        assert_eq!(reader.model(), None);
        assert_eq!(reader.feed(b"{}"), Err(BodyFault::NotObject));
    }
}

//! Whether the models of `models.preload` are loaded.

use super::finding::Finding;
use crate::preload::{PreloadState, PreloadedModel};

const NAME: &str = "preload";

/// `None`: there are no such models.
pub(super) fn loaded(models: &[PreloadedModel]) -> Option<Finding> {
    let names = |state: PreloadState| -> Vec<&str> {
        models.iter().filter(|model| model.state == state).map(|model| &*model.model).collect()
    };
    if models.is_empty() {
        return None;
    }
    if let Some(failed) = models.iter().find(|model| model.state == PreloadState::Failed) {
        let reason = failed.reason.as_deref().unwrap_or_default();
        return Some(Finding::warning(
            NAME,
            format!("{} of models.preload is not loaded: {reason}", failed.model),
            "remove the reason, then run `remote-ollama-proxy reload`",
        ));
    }
    let unloaded = names(PreloadState::Unloaded);
    if !unloaded.is_empty() {
        return Some(Finding::warning(
            NAME,
            format!("Ollama has unloaded {} of models.preload since", unloaded.join(", ")),
            "set OLLAMA_KEEP_ALIVE=-1 for Ollama, so that it keeps models loaded, and restart it",
        ));
    }
    let loaded = names(PreloadState::Loaded);
    Some(if loaded.len() == models.len() {
        Finding::good(NAME, format!("loaded: {}", loaded.join(", ")))
    } else {
        Finding::unknown(NAME, "not checked, since models of models.preload are still being loaded")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use PreloadState::{Failed, Loaded, Loading, Unloaded, Waiting};

    #[test]
    fn finding_names_the_models_that_are_not_loaded() {
        let finding = |states: &[PreloadState]| {
            let model = |(i, state): (usize, &PreloadState)| PreloadedModel {
                model: format!("m{i}"),
                state: *state,
                reason: (*state == Failed).then(|| "no memory".to_owned()),
            };
            let models: Vec<_> = states.iter().enumerate().map(model).collect();
            loaded(&models).map(|finding| finding.reason)
        };
        assert_eq!(finding(&[]), None);
        for (states, words) in [
            (&[Loaded, Loaded][..], "loaded: m0, m1"),
            (&[Loaded, Loading], "still being loaded"),
            (&[Waiting, Failed], "m1 of models.preload is not loaded: no memory"),
            (&[Loaded, Unloaded], "Ollama has unloaded m1"),
        ] {
            let text = finding(states).unwrap();
            assert!(text.contains(words), "{text}");
        }
    }
}

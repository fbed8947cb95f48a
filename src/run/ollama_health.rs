//! Whether Ollama serves, judged by its last answers.

/// Ollama's health. It changes only after several equal answers, so that clients are not moved back and forth.
#[derive(Debug, Default)]
pub(super) struct OllamaHealth {
    pub(super) up: bool,
    /// How many answers in a row contradict `up`.
    contrary: u32,
    /// After Ollama has answered once, it counts as up again only after three answers.
    has_been_up: bool,
}

impl OllamaHealth {
    const DOWN: u32 = 2;
    const UP_AGAIN: u32 = 3;

    /// Before the first answer, as if Ollama had answered: only its absence is a change.
    pub(super) fn assumed_up() -> Self {
        OllamaHealth { up: true, contrary: 0, has_been_up: true }
    }

    /// Takes the outcome of one probe. Returns whether `up` changes.
    pub(super) fn note(&mut self, answered: bool) -> bool {
        if answered == self.up {
            self.contrary = 0;
            return false;
        }
        self.contrary += 1;
        let enough = if !answered {
            Self::DOWN
        } else if self.has_been_up {
            Self::UP_AGAIN
        } else {
            1
        };
        let changes = self.contrary >= enough;
        if changes {
            *self = OllamaHealth { up: answered, contrary: 0, has_been_up: true };
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_answer_changes_nothing_except_the_first() {
        let mut health = OllamaHealth::default();
        // Whether Ollama answers, and whether that changes its health.
        for (i, (answered, changes)) in [
            (false, false),
            (true, true),
            (false, false),
            (true, false),
            (false, false),
            (false, true),
            (false, false),
            (true, false),
            (true, false),
            (false, false),
            (true, false),
            (true, false),
            (true, true),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(health.note(answered), changes, "answer {i}: {health:?}");
        }
    }
}

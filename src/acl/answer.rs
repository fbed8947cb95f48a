//! Answers of an evaluation that knows only the policy file: yes, no, or perhaps.

/// An answer. It is never a guess.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// No, whatever the file does not say.
    No,
    /// The file alone does not decide, for at least one of these reasons.
    Perhaps(Vec<String>),
    /// Yes, whatever the file does not say.
    Yes,
}

impl Answer {
    pub(super) fn perhaps(reason: String) -> Answer {
        Answer::Perhaps(vec![reason])
    }

    /// Whether at least one holds.
    pub(super) fn or(self, other: Answer) -> Answer {
        match (self, other) {
            (Answer::Yes, _) | (_, Answer::Yes) => Answer::Yes,
            (Answer::No, answer) | (answer, Answer::No) => answer,
            (Answer::Perhaps(a), Answer::Perhaps(b)) => Answer::Perhaps(joined(a, b)),
        }
    }

    /// Whether both hold.
    pub(super) fn and(self, other: Answer) -> Answer {
        match (self, other) {
            (Answer::No, _) | (_, Answer::No) => Answer::No,
            (Answer::Yes, answer) | (answer, Answer::Yes) => answer,
            (Answer::Perhaps(a), Answer::Perhaps(b)) => Answer::Perhaps(joined(a, b)),
        }
    }

    pub(super) fn any(answers: impl Iterator<Item = Answer>) -> Answer {
        answers.fold(Answer::No, Answer::or)
    }
}

impl From<bool> for Answer {
    fn from(is: bool) -> Answer {
        if is { Answer::Yes } else { Answer::No }
    }
}

fn joined(mut a: Vec<String>, b: Vec<String>) -> Vec<String> {
    for reason in b {
        if !a.contains(&reason) {
            a.push(reason);
        }
    }
    a
}

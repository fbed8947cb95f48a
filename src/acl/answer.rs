//! Yes, no, or can't tell.

/// An answer that is never a guess.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Certainly not.
    No,
    /// The policy file alone does not tell, for these reasons; at least one.
    Perhaps(Vec<String>),
    /// Certainly.
    Yes,
}

impl Answer {
    pub(super) fn perhaps(reason: String) -> Answer {
        Answer::Perhaps(vec![reason])
    }

    /// Whether either is so.
    pub(super) fn or(self, other: Answer) -> Answer {
        match (self, other) {
            (Answer::Yes, _) | (_, Answer::Yes) => Answer::Yes,
            (Answer::No, answer) | (answer, Answer::No) => answer,
            (Answer::Perhaps(a), Answer::Perhaps(b)) => Answer::Perhaps(joined(a, b)),
        }
    }

    /// Whether both are so.
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

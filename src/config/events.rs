//! Reads `[events]`, and checks that the command may be run.

use std::time::Duration;

use super::checked::EventsConfig;
use super::parse;
use super::section::Section;
use crate::events::{EventCommand, EventKind, check_program};

pub(super) fn events(s: &mut Section<'_, '_>) -> EventsConfig {
    let on = s.list("on", EventKind::named);
    if s.is_written("on") && on.is_empty() && !s.is_faulty("on") {
        s.fault("on", "an empty list names no event: list events, or remove the key for all of them");
    }
    EventsConfig {
        command: command(s),
        on: if s.is_written("on") { on } else { EventKind::ALL.to_vec() },
        timeout: s.text("timeout", Duration::from_secs(10), parse::timeout),
    }
}

fn command(s: &mut Section<'_, '_>) -> Option<EventCommand> {
    let words = s.list("command", parse::word);
    if !s.is_written("command") || s.is_faulty("command") {
        return None;
    }
    let Some((program, args)) = words.split_first() else {
        s.fault("command", "an empty list names no program: name one, or remove the key");
        return None;
    };
    let checked = parse::path(program)
        .map_err(|_| {
            "expected the absolute path of a program, or one that starts with ~/, then its arguments"
                .to_owned()
        })
        .and_then(|program| check_program(&program).map(|()| program));
    match checked {
        Ok(program) => Some(EventCommand { program, args: args.to_vec() }),
        Err(reason) => {
            s.fault("command", &reason);
            None
        }
    }
}

//! Events for a person: something has happened that the operator wants to know of, and a command of the operator's is run
//! with the event as JSON on its standard input. docs/events.md describes the events. The proxy itself sends nothing.
//!
//! [`Events`] takes events from every part of the proxy without waiting. `throttle` holds back repetitions, `runner` runs
//! the command for one event at a time, and `command` is one run.

mod command;
mod event;
mod kind;
mod known_refused;
mod logs;
mod observer;
mod program;
mod raise;
mod runner;
mod sample;
mod throttle;

pub use command::{CommandRun, EventCommand, RunFault};
pub use event::{
    AccessOf, Event, EventReport, KeyExpires, LogLost, Occurrence, OllamaDown, OllamaUp, PeerRefusedFirst,
    QuotaReached,
};
pub use kind::EventKind;
pub use logs::watch_logs;
pub use observer::EventObserver;
pub use program::check_program;
pub use raise::{Events, Incoming};
pub use runner::run_events;

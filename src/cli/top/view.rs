//! The state of `top`, and the effect of keys on it. No terminal and no clock.

use std::collections::HashMap;
use std::time::Instant;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::admin::{ListedRequest, Requests};

/// The state of the screen.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) rows: Vec<Row>,
    /// The selected request. It stays selected while others start and end.
    pub(super) selected: Option<String>,
    /// The request that the user is asked to confirm cancelling.
    pub(super) confirming: Option<String>,
    /// The result of the last key.
    pub(super) result: Option<String>,
    /// Why the rows are out of date.
    pub(super) lost: Option<String>,
}

/// A request and how fast it is.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) request: ListedRequest,
    /// Bytes per second since the last update; `None` the first time.
    pub(super) rate: Option<u64>,
    passed: u64,
    seen: Instant,
}

/// The effect of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Act {
    Nothing,
    Quit,
    Cancel(String),
}

impl View {
    /// Takes over the requests as of `now`.
    pub(super) fn update(&mut self, current: Requests, now: Instant) {
        let at = self.place();
        let before: HashMap<String, Row> =
            self.rows.drain(..).map(|row| (row.request.id.clone(), row)).collect();
        self.rows = current.requests.into_iter().map(|r| row(r, &before, now)).collect();
        if self.place().is_none() {
            // The one that takes its place on the screen.
            let next = at.unwrap_or(0).min(self.rows.len().saturating_sub(1));
            self.selected = self.rows.get(next).map(|row| row.request.id.clone());
        }
        let gone = |id: &String| self.rows.iter().all(|row| row.request.id != *id);
        if self.confirming.as_ref().is_some_and(gone) {
            self.result = self.confirming.take().map(|id| format!("request {id} has ended by itself"));
        }
        self.lost = None;
    }

    /// The proxy does not answer.
    pub(super) fn lost(&mut self, why: &str) {
        self.lost = Some(why.to_owned());
    }

    /// The result of [`Act::Cancel`].
    pub(super) fn cancelled(&mut self, id: &str, done: bool) {
        let result = if done { "is cancelled" } else { "has ended by itself" };
        self.result = Some(format!("request {id} {result}"));
    }

    /// The row of the selected request.
    pub(super) fn place(&self) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        self.rows.iter().position(|row| row.request.id == *selected)
    }

    /// The user pressed `key`.
    pub(super) fn press(&mut self, key: KeyEvent) -> Act {
        if key.kind == KeyEventKind::Release {
            return Act::Nothing;
        }
        self.result = None;
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Act::Quit;
        }
        if let Some(id) = self.confirming.take() {
            // The request of the question, whichever is selected by now.
            return if key.code == KeyCode::Char('y') { Act::Cancel(id) } else { Act::Nothing };
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Act::Quit,
            KeyCode::Up | KeyCode::Char('k') => self.choose(|at| at.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.choose(|at| at + 1),
            KeyCode::Char('c') | KeyCode::Delete => self.confirming.clone_from(&self.selected),
            _ => {}
        }
        Act::Nothing
    }

    fn choose(&mut self, step: impl Fn(usize) -> usize) {
        let at = self.place().map(step).unwrap_or_default();
        if let Some(row) = self.rows.get(at) {
            self.selected = Some(row.request.id.clone());
        }
    }
}

fn row(request: ListedRequest, before: &HashMap<String, Row>, now: Instant) -> Row {
    let passed = request.bytes_in + request.bytes_out;
    let rate = before.get(&request.id).and_then(|old| {
        let seconds = now.duration_since(old.seen).as_secs_f64();
        (seconds > 0.0).then(|| (passed.saturating_sub(old.passed) as f64 / seconds) as u64)
    });
    Row { request, rate, passed, seen: now }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::admin::RequestState;

    pub(crate) fn request(id: &str, state: RequestState, bytes_out: u64) -> ListedRequest {
        ListedRequest {
            id: id.to_owned(),
            node: "laptop.tailnet.test".to_owned(),
            principal: "tag:ai-client".to_owned(),
            endpoint: "v1_chat_completions".to_owned(),
            since: "2026-11-24T16:44:13.000Z".to_owned(),
            state,
            bytes_in: 100,
            bytes_out,
        }
    }

    pub(crate) fn there(requests: &[ListedRequest]) -> Requests {
        Requests { requests: requests.to_vec() }
    }

    fn key(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, KeyModifiers::NONE)
    }

    fn running(ids: &[&str]) -> Requests {
        there(&ids.iter().map(|id| request(id, RequestState::Running, 0)).collect::<Vec<_>>())
    }

    #[test]
    fn request_stays_selected_while_others_start_and_end() {
        let (mut view, now) = (View::default(), Instant::now());
        view.update(running(&["a", "b", "c"]), now);
        assert_eq!(view.selected.as_deref(), Some("a"));
        assert_eq!(view.press(key(KeyCode::Down)), Act::Nothing);
        view.update(running(&["b", "c", "d"]), now);
        assert_eq!(view.selected.as_deref(), Some("b"));
        view.press(key(KeyCode::Char('j')));
        view.press(key(KeyCode::Char('j')));
        view.press(key(KeyCode::Char('j')));
        assert_eq!(view.selected.as_deref(), Some("d"));
        view.update(running(&["b", "c"]), now);
        assert_eq!(view.selected.as_deref(), Some("c"));
        view.update(running(&[]), now);
        assert_eq!(view.selected, None);
    }

    #[test]
    fn only_a_confirmed_request_is_cancelled() {
        let (mut view, now) = (View::default(), Instant::now());
        view.update(running(&["a", "b"]), now);
        assert_eq!(view.press(key(KeyCode::Char('c'))), Act::Nothing);
        view.update(running(&["z", "a", "b"]), now);
        assert_eq!(view.press(key(KeyCode::Char('y'))), Act::Cancel("a".to_owned()));
        assert_eq!(view.press(key(KeyCode::Char('y'))), Act::Nothing);
        for no in [KeyCode::Char('n'), KeyCode::Esc, KeyCode::Char('q'), KeyCode::Enter] {
            view.press(key(KeyCode::Char('c')));
            assert_eq!(view.press(key(no)), Act::Nothing);
            assert_eq!(view.confirming, None);
        }
        view.press(key(KeyCode::Char('c')));
        view.update(running(&["b"]), now);
        assert_eq!(view.press(key(KeyCode::Char('y'))), Act::Nothing);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!((view.press(interrupt), view.press(key(KeyCode::Char('q')))), (Act::Quit, Act::Quit));
    }

    #[test]
    fn rate_covers_the_time_between_two_updates() {
        let (mut view, now) = (View::default(), Instant::now());
        view.update(there(&[request("a", RequestState::Running, 0)]), now);
        assert_eq!(view.rows[0].rate, None);
        view.update(there(&[request("a", RequestState::Running, 5000)]), now + Duration::from_secs(2));
        assert_eq!(view.rows[0].rate, Some(2500));
    }
}

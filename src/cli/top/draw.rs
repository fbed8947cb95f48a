//! Draws a frame of `top` from its state.

use std::time::SystemTime;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Row, Table, TableState};

use super::super::units::{bytes, time};
use super::view::{self, View};
use crate::admin::RequestState;

const HEADER: [&str; 8] = ["ID", "PEER", "ENDPOINT", "STATE", "AGE", "RATE", "IN", "OUT"];

/// On a narrow terminal the names are shortened first.
const WIDTHS: [Constraint; 8] = [
    Constraint::Length(15),
    Constraint::Min(12),
    Constraint::Max(23),
    Constraint::Length(7),
    Constraint::Length(9),
    Constraint::Length(8),
    Constraint::Length(7),
    Constraint::Length(7),
];

/// Draws `view` as of `now`.
pub(super) fn draw(view: &View, now: SystemTime, frame: &mut Frame<'_>) {
    let [title, list, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)])
            .areas(frame.area());
    let waiting = view.rows.iter().filter(|row| row.request.state == RequestState::Waiting).count();
    let running = view.rows.len() - waiting;
    let bold = Style::new().add_modifier(Modifier::BOLD);
    frame.render_widget(
        Line::styled(format!("remote-ollama-proxy: {running} running, {waiting} waiting"), bold),
        title,
    );
    let reversed = Style::new().add_modifier(Modifier::REVERSED);
    let rows = view.rows.iter().map(|row| Row::new(cells(row, now)));
    let table = Table::new(rows, WIDTHS).header(Row::new(HEADER).style(bold)).row_highlight_style(reversed);
    let mut state = TableState::new().with_selected(view.place());
    frame.render_stateful_widget(table, list, &mut state);
    frame.render_widget(Line::raw(last_line(view)), foot);
}

fn cells(row: &view::Row, now: SystemTime) -> [String; 8] {
    let r = &row.request;
    let state = match r.state {
        RequestState::Waiting => "waiting",
        RequestState::Running => "running",
    };
    [
        r.id.clone(),
        format!("{} ({})", r.node.split('.').next().unwrap_or_default(), r.principal),
        r.endpoint.clone(),
        state.to_owned(),
        time(r.age(now)),
        row.rate.map(|rate| format!("{}/s", bytes(rate))).unwrap_or_default(),
        bytes(r.bytes_in),
        bytes(r.bytes_out),
    ]
}

fn last_line(view: &View) -> String {
    if let Some(id) = &view.confirming {
        return format!("cancel request {id}? y: yes, any other key: no");
    }
    if let Some(why) = &view.lost {
        return format!("not up to date: {why}");
    }
    view.result.clone().unwrap_or_else(|| "↑ ↓ choose   c cancel   q quit".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::super::view::tests::{request, there};
    use super::*;

    fn drawn(view: &View, width: u16) -> Vec<String> {
        let now = crate::time::parse_rfc3339("2026-11-24T16:45:15Z").unwrap();
        let mut terminal = Terminal::new(TestBackend::new(width, 6)).unwrap();
        terminal.draw(|frame| draw(view, now, frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..6).map(line).collect()
    }

    fn view() -> View {
        let mut view = View::default();
        let now = Instant::now();
        view.update(there(&[request("1a20e718f5e-7", RequestState::Running, 0)]), now);
        let both = [
            request("1a20e718f5e-7", RequestState::Running, 4000),
            request("1a20e718f5e-8", RequestState::Waiting, 0),
        ];
        view.update(there(&both), now + Duration::from_secs(1));
        view
    }

    #[test]
    fn a_frame_shows_each_request_with_its_rate() {
        assert_eq!(
            drawn(&view(), 110),
            [
                "remote-ollama-proxy: 1 running, 1 waiting",
                "ID              PEER                        ENDPOINT                STATE   AGE       RATE     IN      OUT",
                "1a20e718f5e-7   laptop (tag:ai-client)      v1_chat_completions     running 1m 2s     4.0 kB/s 100 B   4.0 kB",
                "1a20e718f5e-8   laptop (tag:ai-client)      v1_chat_completions     waiting 1m 2s              100 B   0 B",
                "",
                "↑ ↓ choose   c cancel   q quit",
            ]
        );
    }

    #[test]
    fn last_line_has_questions_and_results() {
        let mut view = view();
        view.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::NONE));
        let last = |view: &View| drawn(view, 110)[5].clone();
        assert_eq!(last(&view), "cancel request 1a20e718f5e-7? y: yes, any other key: no");
        view.press(KeyEvent::new(KeyCode::Char('y'), KeyModifiers::NONE));
        view.cancelled("1a20e718f5e-7", true);
        assert_eq!(last(&view), "request 1a20e718f5e-7 is cancelled");
        view.lost("the socket is gone");
        assert_eq!(last(&view), "not up to date: the socket is gone");
    }

    #[test]
    fn selected_request_is_reversed_and_a_narrow_terminal_works() {
        let mut terminal = Terminal::new(TestBackend::new(80, 6)).unwrap();
        terminal.draw(|frame| draw(&view(), SystemTime::now(), frame)).unwrap();
        let reversed = |y| terminal.backend().buffer()[(0, y)].modifier.contains(Modifier::REVERSED);
        assert_eq!((reversed(2), reversed(3)), (true, false));
        for width in [1, 20, 60] {
            drawn(&view(), width);
        }
        let none = drawn(&View::default(), 60);
        assert_eq!(none[0], "remote-ollama-proxy: 0 running, 0 waiting");
    }
}

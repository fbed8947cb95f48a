//! `top`: shows the running and waiting requests on the terminal, live.

mod draw;
mod view;

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use http::Method;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use serde::de::DeserializeOwned;
use tokio::signal::unix::SignalKind;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::args::ConfigArgs;
use super::ask::{ask, refuse_to_ask, runtime};
use super::{complain, exit};
use crate::admin::{self, CancelAnswer, Requests};
use crate::signals;
use view::{Act, View};

/// The interval between two requests to the proxy.
const EVERY: Duration = Duration::from_secs(1);

/// The timeout for its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn top(args: &ConfigArgs) -> u8 {
    let config = match args.load() {
        Ok(config) => config,
        Err(faults) => return refuse_to_ask(&faults),
    };
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        complain(
            "remote-ollama-proxy: top needs a terminal for its input and output: use `remote-ollama-proxy status --json` in scripts",
        );
        return exit::FAILURE;
    }
    // Before the screen is switched, so that an error stays visible.
    let first = match ask::<Requests>(&config, Method::GET, "/requests") {
        Ok(answer) => answer.value,
        Err(code) => return code,
    };
    let mut view = View::default();
    view.update(first, Instant::now());
    match runtime().and_then(|r| r.block_on(watch(&admin::path(&config.node.state_dir), view))) {
        Ok(()) => exit::OK,
        Err(fault) => {
            complain(&format!("remote-ollama-proxy: {fault:#}"));
            exit::FAILURE
        }
    }
}

/// Restores the terminal when dropped.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        let _ = ratatui::try_restore(); // the process is ending
    }
}

async fn watch(socket: &Path, view: View) -> anyhow::Result<()> {
    let on = |kind| signals::receive(kind).context("signals can't be received");
    let mut signals = [on(SignalKind::terminate())?, on(SignalKind::interrupt())?, on(SignalKind::hangup())?];
    let [term, int, hangup] = &mut signals;
    let _ = on(SignalKind::window_change())?; // for crossterm, which would install a handler of its own
    let _restore = Restore;
    let terminal = ratatui::try_init().context("the terminal can't be used")?; // also restored by a panic
    tokio::select! {
        done = follow(socket, view, terminal) => done,
        _ = term.recv() => Ok(()),
        _ = int.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
    }
}

async fn follow(socket: &Path, mut view: View, mut terminal: DefaultTerminal) -> anyhow::Result<()> {
    let mut events = events();
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        terminal
            .draw(|frame| draw::draw(&view, SystemTime::now(), frame))
            .context("the terminal can't be drawn on")?;
        tokio::select! {
            _ = tick.tick() => match ask_in_time::<Requests>(socket, Method::GET, "/requests").await {
                Ok(requests) => view.update(requests, Instant::now()),
                Err(fault) => view.lost(&fault),
            },
            event = events.recv() => match event {
                Some(Event::Key(key)) => match view.press(key) {
                    Act::Quit => return Ok(()),
                    Act::Cancel(id) => {
                        let target = format!("/requests/{id}/cancel");
                        match ask_in_time::<CancelAnswer>(socket, Method::POST, &target).await {
                            Ok(CancelAnswer { cancelled }) => view.cancelled(&id, cancelled),
                            Err(fault) => view.lost(&fault),
                        }
                        tick.reset_immediately();
                    }
                    Act::Nothing => {}
                },
                Some(_) => {} // such as a resize
                None => return Ok(()), // the terminal was closed
            },
        }
    }
}

async fn ask_in_time<T: DeserializeOwned>(socket: &Path, method: Method, target: &str) -> Result<T, String> {
    let asked = tokio::time::timeout(ANSWER_TIMEOUT, admin::ask(socket, method, target)).await;
    let answer =
        asked.map_err(|_| format!("no answer within {ANSWER_TIMEOUT:?}"))?.map_err(|e| e.to_string())?;
    serde_json::from_slice(&answer).map_err(|e| format!("the running proxy is of another version: {e}"))
}

/// The events of the terminal. Reading them blocks, so a thread of its own does, which ends with the process.
fn events() -> mpsc::Receiver<Event> {
    let (sender, events) = mpsc::channel(16);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    events
}

//! `top` on the test's own terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::Stdio;

use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::json;
use tokio::process::Child;
use tokio::sync::mpsc;

use crate::http::*;
use crate::ollama;
use crate::tailnet::World;

const ROWS: NonZeroU16 = NonZeroU16::new(24).unwrap();
const COLUMNS: NonZeroU16 = NonZeroU16::new(120).unwrap();

/// A terminal with a program on it.
struct Screen {
    keyboard: File,
    /// The program's end, kept to read the terminal's settings.
    terminal: File,
    written: mpsc::UnboundedReceiver<Vec<u8>>,
    screen: vt100::Parser,
    child: Child,
}

impl Screen {
    fn top(world: &World) -> Screen {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let terminal = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        tcsetwinsize(
            &terminal,
            Winsize { ws_row: ROWS.get(), ws_col: COLUMNS.get(), ws_xpixel: 0, ws_ypixel: 0 },
        )
        .unwrap();
        let end = || Stdio::from(terminal.try_clone().unwrap());
        let mut command = world.command("top", &[]);
        let child = command.stdin(end()).stdout(end()).stderr(end()).kill_on_drop(true).spawn().unwrap();
        let keyboard = File::from(master);
        let mut screen = keyboard.try_clone().unwrap();
        let (send, written) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let mut buf = [0; 4096];
            while let Ok(n @ 1..) = screen.read(&mut buf) {
                let _ = send.send(buf[..n].to_vec());
            }
        });
        Screen { keyboard, terminal, written, screen: vt100::Parser::new(ROWS, COLUMNS, 0), child }
    }

    /// Waits until the screen is as wanted.
    async fn until(&mut self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) {
        let shown = soon(what, async {
            while !wanted(self.screen.screen()) {
                self.screen.process(&self.written.recv().await?);
            }
            Some(())
        });
        assert!(shown.await.is_some(), "the screen is gone: {what}");
    }

    async fn shows(&mut self, text: &str) {
        self.until(text, |screen| screen.contents().contains(text)).await;
    }

    /// Waits until the program ends and restores the terminal.
    async fn is_given_back(&mut self) {
        self.until("the screen of before", |screen| !screen.alternate_screen() && !screen.hide_cursor())
            .await;
        assert_eq!(soon("the end", self.child.wait()).await.unwrap().code(), Some(0));
        assert!(self.is_as_before());
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Whether the terminal echoes keys and gathers lines, as a shell needs it.
    fn is_as_before(&self) -> bool {
        let modes = tcgetattr(&self.terminal).unwrap().local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }
}

#[tokio::test]
async fn top_cancels_a_request_and_restores_the_terminal() {
    let mut world = World::new(ollama::url(), "").await;
    let body = json!({"model": "slow", "messages": [{"role": "user", "content": "Hello"}], "stream": true});
    let mut client = world.connect().await;
    client.send(post("/v1/chat/completions", &body.to_string())).await;
    client.head().await.unwrap();

    let mut screen = Screen::top(&world);
    screen.shows("v1_chat_completions").await;
    assert!(!screen.is_as_before());
    screen.press("c");
    screen.shows("y: yes").await;
    screen.press("y");
    screen.shows("is cancelled").await;
    screen.shows("0 running, 0 waiting").await;
    world.proxy.process.line(&["\"ended\":\"cancelled\""]).await;
    client.rest().await;
    screen.press("\x03"); // Ctrl-C
    screen.is_given_back().await;
}

#[tokio::test]
async fn top_restores_the_terminal_after_a_signal() {
    let world = World::new(ollama::url(), "").await;
    let mut screen = Screen::top(&world);
    screen.shows("0 running").await;
    let pid = screen.child.id().unwrap().cast_signed();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    screen.is_given_back().await;

    let out = world.run("top", &[]).await;
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("top needs a terminal"));
}

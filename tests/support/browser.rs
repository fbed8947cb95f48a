//! A headless Chromium, controlled through WebDriver (W3C) by chromedriver.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::http::{Client, PATIENCE, soon};
use crate::process::Process;

/// A browser with one window and its own profile.
pub(crate) struct Browser {
    at: SocketAddr,
    session: String,
    _driver: Process,
    _profile: TempDir,
}

impl Browser {
    /// A browser that resolves `name` to this machine, for every port.
    pub(crate) async fn new(name: &str) -> Browser {
        let mut command = Command::new("chromedriver");
        let found = std::process::Command::new("chromedriver").arg("--version").output();
        assert!(found.is_ok(), "there is no chromedriver: run scripts/setup.sh test");
        let mut driver = Process::start("chromedriver", command.arg("--port=0"));
        let line = driver.line(&["started successfully on port"]).await;
        let port: u16 = line.trim_end_matches('.').rsplit(' ').next().unwrap().parse().unwrap();
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        let profile = TempDir::new().unwrap();
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--hide-scrollbars".to_owned(),
            "--no-proxy-server".to_owned(),
            "--lang=en-GB".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
            format!("--host-resolver-rules=MAP {name} 127.0.0.1"),
        ];
        if rustix::process::geteuid().is_root() {
            arguments.push("--no-sandbox".to_owned()); // root has no sandbox
        }
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        let made = ask(at, "POST", "/session", &wanted).await;
        let session = made["sessionId"].as_str().unwrap().to_owned();
        Browser { at, session, _driver: driver, _profile: profile }
    }

    /// The address of a page of another site, which the driver serves.
    pub(crate) fn foreign(&self) -> String {
        format!("http://{}/status", self.at)
    }

    async fn ask(&self, method: &str, command: &str, body: Value) -> Value {
        ask(self.at, method, &format!("/session/{}/{command}", self.session), &body).await
    }

    pub(crate) async fn go(&self, url: &str) {
        self.ask("POST", "url", json!({ "url": url })).await;
    }

    /// The result of a script in the page. A promise is awaited.
    pub(crate) async fn script(&self, script: &str) -> Value {
        self.ask("POST", "execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Waits until an expression in the page is true.
    pub(crate) async fn until(&self, what: &str, expression: &str) {
        let script = format!("return !!({expression});");
        let there = async { while self.script(&script).await != json!(true) {} };
        if tokio::time::timeout(PATIENCE, there).await.is_err() {
            panic!("still waiting for {what}; the page says:\n{}", self.text("body").await);
        }
    }

    /// The visible text of the first element for a selector.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({}).innerText;", json!(selector));
        self.script(&script).await.as_str().unwrap_or_default().to_owned()
    }

    /// Presses and releases each key in turn, by WebDriver's names: \u{e004} is Tab, \u{e007} is Enter. Shift (\u{e008}) and
    /// Control (\u{e009}) stay pressed until the last key is released.
    pub(crate) async fn press(&self, keys: &str) {
        let is_held = |key: &char| matches!(key, '\u{e008}' | '\u{e009}');
        let stroke = |kind: &str, key: char| json!({ "type": kind, "value": key.to_string() });
        let mut strokes = Vec::new();
        for key in keys.chars() {
            strokes.push(stroke("keyDown", key));
            if !is_held(&key) {
                strokes.push(stroke("keyUp", key));
            }
        }
        strokes.extend(keys.chars().filter(is_held).map(|key| stroke("keyUp", key)));
        let actions = json!({ "actions": [{ "type": "key", "id": "keys", "actions": strokes }] });
        self.ask("POST", "actions", actions).await;
    }

    /// Clicks the first element for a selector, as a person does. A click by a script may not copy, for example.
    pub(crate) async fn click(&self, selector: &str) {
        let found = self.ask("POST", "element", json!({ "using": "css selector", "value": selector })).await;
        let element =
            found.as_object().and_then(|found| found.values().next()).and_then(Value::as_str).unwrap();
        self.ask("POST", &format!("element/{element}/click"), json!({})).await;
    }

    /// A command of the Chrome DevTools Protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.ask("POST", "goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    /// New log entries: `browser` is the console, `performance` is the network.
    pub(crate) async fn log(&self, kind: &str) -> Vec<Value> {
        self.ask("POST", "se/log", json!({ "type": kind })).await.as_array().unwrap().clone()
    }

    /// The window as a PNG.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        base64(self.ask("GET", "screenshot", Value::Null).await.as_str().unwrap())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Otherwise Chromium outlives its driver. A failure here shows elsewhere.
        if let Ok(mut stream) = TcpStream::connect(self.at) {
            let _ = write!(
                stream,
                "DELETE /session/{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                self.session
            );
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let _ = stream.read(&mut [0; 1]); // the driver keeps the connection open
        }
    }
}

async fn ask(at: SocketAddr, method: &str, path: &str, body: &Value) -> Value {
    let body = if method == "GET" { String::new() } else { body.to_string() };
    let mut client = Client::new(soon("chromedriver", tokio::net::TcpStream::connect(at)).await.unwrap());
    client
        .send(format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    let answer = client.answer().await;
    let reply: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer.status(), 200, "{path}: {}", reply["value"]["message"]);
    reply["value"].clone()
}

/// RFC 4648, section 4.
fn base64(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter_map(|c| alphabet.iter().position(|a| *a == c));
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0u32, 0);
    for digit in digits {
        held = held << 6 | digit as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    bytes
}

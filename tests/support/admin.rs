//! Commands, and HTTP over the admin socket of the running proxy.

use std::process::Output;

use serde_json::Value;
use tokio::net::UnixStream;
use tokio::process::Command;

use crate::http::{Answer, Client, found, soon};
use crate::tailnet::World;

impl World {
    /// A subcommand with the proxy's config.
    pub(crate) fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remote-ollama-proxy"));
        command
            .arg(name)
            .args(arguments)
            .arg("--config")
            .arg(self.tailnet.dir.path().join("proxy-state.toml"));
        command
    }

    /// Its output, after it has ended.
    pub(crate) async fn run(&self, name: &str, arguments: &[&str]) -> Output {
        soon(name, self.command(name, arguments).output()).await.unwrap()
    }

    /// One request over the admin socket.
    pub(crate) async fn admin(&self, method: &str, target: &str) -> Answer {
        let socket = self.tailnet.dir.path().join("proxy-state/admin.sock");
        let mut client = Client::new(UnixStream::connect(socket).await.unwrap());
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        client.answer().await
    }

    /// Repeats a request over the admin socket until the answer is as wanted.
    pub(crate) async fn until(&self, what: &str, target: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        found(what, async || {
            let answer: Value = serde_json::from_slice(&self.admin("GET", target).await.body).unwrap();
            wanted(&answer).then_some(answer)
        })
        .await
    }
}

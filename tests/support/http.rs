//! HTTP as bytes, for tests that check each of them.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

#[path = "wait.rs"]
mod wait;
pub(crate) use wait::*;

/// A GET with the right Host.
pub(crate) fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: remote-ollama-proxy:11434\r\n\r\n")
}

pub(crate) fn post(target: &str, body: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: remote-ollama-proxy:11434\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// One end of an HTTP connection, a byte at a time.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    unread: Vec<u8>,
}

/// A message's head and body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (n, v) = line.split_once(':')?;
        n.eq_ignore_ascii_case(name).then_some(v.trim())
    })
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Client { stream, unread: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon("sending", self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Reads until `done` returns how many of the unread bytes to take; `None` if the stream ends first.
    async fn until(&mut self, what: &str, done: impl Fn(&[u8]) -> Option<usize>) -> Option<Vec<u8>> {
        loop {
            if let Some(n) = done(&self.unread) {
                return Some(self.unread.drain(..n).collect());
            }
            if soon(what, self.stream.read_buf(&mut self.unread)).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// The head of the next message, without its empty line.
    pub(crate) async fn head(&mut self) -> Option<String> {
        let end = |b: &[u8]| b.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
        let head = self.until("a head", end).await?;
        Some(String::from_utf8_lossy(&head[..head.len() - 4]).into_owned())
    }

    /// One chunk of a chunked body; empty at its end.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line =
            self.until("a chunk", |b| b.windows(2).position(|w| w == b"\r\n").map(|at| at + 2)).await?;
        let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).expect("a chunk size");
        let data = self.until("a chunk's data", |b| (b.len() >= size + 2).then_some(size + 2)).await?;
        Some(data[..size].to_vec())
    }

    /// The body that belongs to `head`.
    pub(crate) async fn body(&mut self, head: &str) -> Option<Vec<u8>> {
        if header(head, "transfer-encoding").is_some() {
            let mut body = Vec::new();
            loop {
                let chunk = self.chunk().await?;
                if chunk.is_empty() {
                    return Some(body);
                }
                body.extend(chunk);
            }
        }
        let length = header(head, "content-length").map_or(0, |n| n.parse().unwrap());
        self.until("a body", |b| (b.len() >= length).then_some(length)).await
    }

    /// The next whole message.
    pub(crate) async fn answer(&mut self) -> Answer {
        let head = self.head().await.expect("the connection ended without an answer");
        let body = self.body(&head).await.expect("the connection ended within an answer");
        Answer { head, body }
    }

    /// Waits for the end of the stream; returns the bytes before it.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while soon("the end", self.stream.read_buf(&mut self.unread)).await.unwrap_or(0) > 0 {}
        std::mem::take(&mut self.unread)
    }
}

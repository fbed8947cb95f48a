//! A stand-in for Ollama whose streams are numbered lines, so that a reader sees gaps. Unlike a real model, it takes
//! no processor time.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::http::{Client, PATIENCE, delay, header, post, soon, within};

/// The time between two lines, as of a fast model.
const PACE: Duration = Duration::from_millis(20);

/// The requested answer, as the request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// A line every 20 ms.
    Lines,
    /// Lines of 16 KB, as fast as they are read.
    Flood,
    /// No answer, as from a model that thinks.
    Silence,
}

const ASKS: [Ask; 3] = [Ask::Lines, Ask::Flood, Ask::Silence];

/// The number of running requests of each kind.
type Running = watch::Sender<[u64; ASKS.len()]>;

pub(crate) struct Ticker {
    pub(crate) url: String,
    running: Running,
}

impl Ticker {
    pub(crate) async fn new() -> Ticker {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let running = Running::default();
        let shared = running.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(Client::new(stream), shared.clone()));
            }
        });
        Ticker { url, running }
    }

    /// Waits until this many requests of this kind run.
    pub(crate) async fn runs(&self, ask: Ask, wanted: u64, patience: Duration) {
        let mut running = self.running.subscribe();
        let reached = running.wait_for(|running| running[ask as usize] == wanted);
        within(patience, &format!("{wanted} requests for {ask:?}"), reached).await.unwrap();
    }
}

/// Answers the requests of a connection until it ends.
async fn serve(mut client: Client<TcpStream>, running: Running) {
    loop {
        // Idle time between two requests is not bounded.
        if client.stream.readable().await.is_err() {
            return;
        }
        let Some(head) = client.head().await else { return };
        let Some(body) = client.body(&head).await else { return };
        let Some(ask) = ASKS.into_iter().find(|ask| format!("{ask:?}").as_bytes() == body) else {
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
            continue;
        };
        running.send_modify(|running| running[ask as usize] += 1);
        // These end with the connection only.
        let _ = match ask {
            Ask::Lines => lines(&mut client.stream, 0, Some(PACE)).await,
            Ask::Flood => lines(&mut client.stream, 16 << 10, None).await,
            Ask::Silence => client.stream.read(&mut [0]).await.map(|_| ()),
        };
        running.send_modify(|running| running[ask as usize] -= 1);
        return;
    }
}

/// Numbered lines until the connection ends, each followed by `filler` bytes.
async fn lines(stream: &mut TcpStream, filler: usize, pace: Option<Duration>) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
    let (mut from, mut to) = stream.split();
    let writing = async {
        for n in 0u64.. {
            let line = format!("{n} {:.<filler$}\n", "");
            to.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).await?;
            if let Some(pace) = pace {
                delay(pace).await;
            }
        }
        Ok(())
    };
    let mut byte = [0];
    tokio::select! {
        wrote = writing => wrote,
        ended = from.read(&mut byte) => ended.map(|_| ()),
    }
}

/// A connection on which the request was sent and nothing was read.
pub(crate) async fn ask(at: SocketAddr, ask: Ask) -> Client<TcpStream> {
    let mut client = Client::new(soon("a connection", TcpStream::connect(at)).await.unwrap());
    client.send(post("/v1/chat/completions", &format!("{ask:?}"))).await;
    client
}

/// A stream that is being read. It must not have gaps.
pub(crate) struct Flow {
    read: watch::Receiver<Read>,
    reader: JoinHandle<()>,
}

/// The progress of a stream.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Read {
    pub(crate) lines: u64,
    /// The longest time without a line.
    pub(crate) gap: Duration,
}

impl Flow {
    /// Reads the answer to a request for lines, until the answer ends or this value is dropped.
    pub(crate) async fn of(mut client: Client<TcpStream>) -> Flow {
        let head = client.head().await.expect("no answer");
        assert!(head.starts_with("HTTP/1.1 200") && header(&head, "transfer-encoding").is_some(), "{head}");
        let (progress, read) = watch::channel(Read::default());
        let reader = tokio::spawn(async move {
            let (mut before, mut rest) = (tokio::time::Instant::now(), Vec::new());
            while let Some(chunk) = client.chunk().await {
                assert!(!chunk.is_empty(), "a clean end of what has none");
                rest.extend(chunk);
                while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    let now = tokio::time::Instant::now();
                    progress.send_modify(|read| {
                        let number = String::from_utf8_lossy(&line);
                        assert_eq!(
                            number.split(' ').next(),
                            Some(read.lines.to_string().as_str()),
                            "lost or mixed up"
                        );
                        *read = Read { lines: read.lines + 1, gap: read.gap.max(now - before) };
                    });
                    before = now;
                }
            }
        });
        let mut flow = Flow { read, reader };
        flow.goes_on("at its beginning", 2).await;
        flow
    }

    pub(crate) fn read(&self) -> Read {
        *self.read.borrow()
    }

    /// Waits for this many more lines.
    pub(crate) async fn goes_on(&mut self, when: &str, lines: u64) {
        let end = self.read().lines + lines;
        let waiting = self.read.wait_for(|read| read.lines >= end);
        let arrived = tokio::time::timeout(3 * PATIENCE, waiting).await.is_ok_and(|read| read.is_ok());
        assert!(arrived, "the stream does not go on {when}: {:?}", self.read());
    }

    /// Waits until the stream breaks visibly.
    pub(crate) async fn breaks(self, patience: Duration) {
        tokio::time::timeout(patience, self.reader).await.expect("the stream goes on").expect("reading");
    }
}

//! A stand-in for Ollama: it reports its state, and answers every chat with words until the client disconnects.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::http::Client;

const MODELS: &str =
    r#"{"models":[{"name":"qwen3:30b","size":19200000000},{"name":"gemma3:4b","size":4300000000}]}"#;

/// One name is what a browser could read as markup.
const INSTALLED: &str = r#"{"models":[
    {"model":"<b>hostile</b>","digest":"a"}, {"model":"qwen3:30b","digest":"b"}, {"model":"gemma3:4b","digest":"c"}]}"#;

/// Its URL.
pub(crate) async fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream));
        }
    });
    url
}

async fn serve(stream: TcpStream) {
    let mut client = Client::new(stream);
    while let Some(head) = client.head().await {
        if client.body(&head).await.is_none() {
            return;
        }
        let json = match head.split(' ').nth(1) {
            Some("/api/version") => r#"{"version":"0.12.6"}"#,
            Some("/api/ps") => MODELS,
            Some("/api/tags") => INSTALLED,
            Some("/api/show") => r#"{"capabilities":["completion"]}"#,
            Some("/api/generate") => "{}",
            Some("/v1/models") => r#"{"object":"list","data":[]}"#,
            _ => return talk(client.stream).await,
        };
        client.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{json}", json.len())).await;
    }
}

async fn talk(mut stream: TcpStream) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("d0\r\ndata: {}\n\n\r\n", "w".repeat(0xd0 - 8));
    let mut said = stream.write_all(head.as_bytes()).await;
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    while said.is_ok() {
        ticks.tick().await;
        said = stream.write_all(chunk.as_bytes()).await;
    }
}

//! A stand-in for Ollama.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::http::*;

/// A stand-in for Ollama.
pub(crate) struct Ollama {
    pub(crate) url: String,
    pub(crate) listener: TcpListener,
}

impl Ollama {
    pub(crate) async fn new() -> Ollama {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Ollama { url: format!("http://{}", listener.local_addr().unwrap()), listener }
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> Client<TcpStream> {
        Client::new(soon("a connection to Ollama", self.listener.accept()).await.unwrap().0)
    }

    /// Whether no connection waits to be accepted.
    pub(crate) async fn untouched(&self) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(self.listener.poll_accept(cx).is_pending())).await
    }

    /// Answers every request with `answer`, and returns their heads and bodies.
    pub(crate) fn answering(self, answer: &'static str) -> (String, mpsc::UnboundedReceiver<Answer>) {
        self.answering_with(move |_| answer.to_owned())
    }

    /// The same, with the answer computed from the head.
    pub(crate) fn answering_with(
        self,
        answer: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> (String, mpsc::UnboundedReceiver<Answer>) {
        let answer = Arc::new(answer);
        let (seen, requests) = mpsc::unbounded_channel();
        let url = self.url.clone();
        tokio::spawn(async move {
            loop {
                let mut conn = Client::new(self.listener.accept().await.unwrap().0);
                let (seen, answer) = (seen.clone(), Arc::clone(&answer));
                tokio::spawn(async move {
                    while let Some(head) = conn.head().await {
                        let Some(body) = conn.body(&head).await else { return };
                        let answer = answer(&head);
                        let _ = seen.send(Answer { head, body });
                        conn.send(answer).await;
                    }
                });
            }
        });
        (url, requests)
    }
}

//! Being told to stop, and to stop at once.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How often SIGTERM or SIGINT has come.
#[derive(Clone)]
pub struct Stop(watch::Receiver<u32>);

impl Stop {
    /// From now on the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// The system does not let signals be received.
    pub fn new() -> io::Result<Self> {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (told, times) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = term.recv() => {}
                    _ = int.recv() => {}
                }
                told.send_modify(|times| *times += 1);
            }
        });
        Ok(Stop(times))
    }

    /// Waits for the first signal.
    pub async fn wait(&self) {
        self.times(1).await;
    }

    /// Waits for the second: somebody is in a hurry.
    pub async fn at_once(&self) {
        self.times(2).await;
    }

    async fn times(&self, least: u32) {
        let mut times = self.0.clone();
        // Its sender lives as long as the runtime does.
        let _ = times.wait_for(|times| *times >= least).await;
    }
}

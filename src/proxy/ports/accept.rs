//! The accept loop of a port, and its end: a drain with a deadline.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::audit::Ended;
use crate::listen::Listen;
use crate::panics;
use crate::proxy::ports::connection;
use crate::proxy::ports::handler::Handler;
use crate::proxy::ports::port::{Admitted, Port};

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut while a request still ran on them.
    pub cut: usize,
}

impl Port {
    /// Serves connections until `shutdown` is ready. Then running requests may end until `deadline` is ready, which is
    /// polled from then on, and what is left is cut.
    ///
    /// # Errors
    /// The listener has ended by itself.
    pub(crate) async fn serve(
        &self,
        listener: impl Listen,
        handler: Arc<impl Handler>,
        shutdown: impl Future<Output = ()>,
        deadline: impl Future<Output = ()>,
    ) -> io::Result<Drained> {
        let mut connections = Connections::default();
        tokio::select! {
            () = shutdown => {}
            error = connections.accept(self, listener, handler) => return Err(error),
        }
        self.stopping().store(true, Ordering::Relaxed);
        Ok(connections.drain(self, deadline).await)
    }

    /// Serves connections until it is dropped, and all of them with it.
    ///
    /// # Errors
    /// The listener has ended by itself.
    pub(crate) async fn serve_until_dropped(
        &self,
        listener: impl Listen,
        handler: impl Handler,
    ) -> io::Result<Infallible> {
        Err(Connections::default().accept(self, listener, Arc::new(handler)).await)
    }
}

#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    graceful: GracefulShutdown,
}

impl Connections {
    /// Accepts connections, each in a task of its own, until the listener ends. Returns its error.
    async fn accept(
        &mut self,
        port: &Port,
        mut listener: impl Listen,
        handler: Arc<impl Handler>,
    ) -> io::Error {
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => {
                        if let Some(admitted) = port.admit(accepted) {
                            self.spawn(port, admitted, Arc::clone(&handler));
                        }
                    }
                    Err(error) => return error,
                },
                // A panic in one has been logged, and has broken its connection.
                Some(_) = self.tasks.join_next() => {}
            }
        }
    }

    fn spawn<Io>(&mut self, port: &Port, admitted: Admitted<Io>, handler: Arc<impl Handler>)
    where
        Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let peer = Arc::clone(&admitted.entered.session.peer);
        // A span has a level, but is no line: at ERROR it is there at every `log.level` that shows any line.
        let span = tracing::error_span!("connection", %peer, port = admitted.entered.session.local.port());
        let served = connection::serve(port.clone(), admitted, handler, self.graceful.watcher());
        self.tasks.spawn(panics::serving("a connection", peer, served.instrument(span)));
    }

    /// Waits for running requests until `deadline`, and cuts what is left.
    async fn drain(mut self, port: &Port, deadline: impl Future<Output = ()>) -> Drained {
        let ended = async {
            self.graceful.shutdown().await;
            while self.tasks.join_next().await.is_some() {}
        };
        let in_time = tokio::select! {
            () = ended => true,
            () = deadline => false,
        };
        let sessions = port.sessions().all();
        let cut = sessions.iter().filter(|session| !in_time && session.running().is_some()).count();
        sessions.iter().for_each(|session| session.cut(Ended::Stopped));
        self.tasks.shutdown().await;
        Drained { cut }
    }
}

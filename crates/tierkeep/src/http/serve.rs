//! The API behind a socket: connections that may hold only so much, and an end in order.
//!
//! `axum::serve` has no limits on connections and writes no body where a request cannot be read, so the loop is our own.

mod connection;
mod open;
mod refusal;
mod watch;
mod wire;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connection::{Ends, Served};
use self::open::Open;
use super::api::Api;
use crate::config::Connections;

/// How long requests that are under way may take once nothing is accepted any more. The rest of the end takes up to 2 s, and
/// service managers lose their patience after 10.
const DRAIN: Duration = Duration::from_secs(7);
/// Longest pause after a failure to accept: the process has no descriptor left, and somebody must close one first.
const BACK_OFF: Duration = Duration::from_millis(100);
/// How often somebody is asked to make room while every connection is taken.
const MAKE_ROOM_EVERY: Duration = Duration::from_millis(100);

/// Answers until `stop` is cancelled. Then goes on for `shutdown_delay`, stops accepting, closes what is idle, and lets
/// requests that are under way finish, for at most 7 s.
///
/// When the future is dropped, connections that are open go on until they end by themselves.
///
/// # Errors
/// None at present: a failure to accept is logged and tried again.
pub async fn serve(
    listener: TcpListener,
    api: impl Into<Api>,
    connections: Connections,
    stop: CancellationToken,
) -> io::Result<()> {
    let ends = Ends::default();
    let delay = connections.shutdown_delay;
    let floor = Floor {
        open: Open::new(connections.most),
        served: Arc::new(Served { api: api.into(), connections }),
        tasks: TaskTracker::new(),
        ends: ends.clone(),
    };
    let until = async {
        stop.cancelled().await;
        tokio::time::sleep(delay).await;
    };
    floor.accept(&listener, until).await;
    drop(listener);
    ends.draining.cancel();
    floor.tasks.close();
    if tokio::time::timeout(DRAIN, floor.tasks.wait()).await.is_err() {
        let left = floor.tasks.len();
        tracing::warn!(left, "some requests were still under way after {DRAIN:?} and were dropped");
        ends.over.cancel();
        floor.tasks.wait().await;
    }
    Ok(())
}

/// Where connections are served.
struct Floor {
    open: Open,
    served: Arc<Served>,
    tasks: TaskTracker,
    ends: Ends,
}

impl Floor {
    /// Accepts until `end`.
    async fn accept(&self, listener: &TcpListener, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        let mut is_failing = false;
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut end => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    if std::mem::take(&mut is_failing) {
                        tracing::info!("connections are accepted again");
                    }
                    tokio::select! {
                        biased;
                        () = &mut end => return,
                        () = self.begin(stream, peer) => {}
                    }
                }
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::error!(%error, "no connection can be accepted; it is tried again");
                    }
                    self.open.make_room();
                    tokio::select! {
                        biased;
                        () = &mut end => return,
                        _ = tokio::time::timeout(BACK_OFF, self.open.left()) => {}
                    }
                }
            }
        }
    }

    /// Serves a connection once there is room for it: the one that has waited longest for a request makes it.
    async fn begin(&self, stream: TcpStream, peer: SocketAddr) {
        // answers are written at once: without this a small one may wait for the acknowledgement of the one before
        let _ = stream.set_nodelay(true);
        let place = loop {
            match self.open.enter() {
                Some(place) => break place,
                None => {
                    self.open.make_room();
                    let _ = tokio::time::timeout(MAKE_ROOM_EVERY, self.open.left()).await;
                }
            }
        };
        let (served, ends) = (Arc::clone(&self.served), self.ends.clone());
        self.tasks.spawn(async move {
            connection::run(stream, peer.ip(), served, place.watch(), ends).await;
            drop(place);
        });
    }
}

/// Whether a failure to accept concerns one client only, which has gone away again.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

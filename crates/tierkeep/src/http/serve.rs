//! The API behind a socket.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long requests that are under way may take once the end was asked for.
const DRAIN: Duration = Duration::from_secs(10);

/// Answers until `stop` is cancelled, then stops accepting and lets requests that are under way finish, for at most 10 s.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> io::Result<()> {
    // answers are written at once: without this a small one may wait for the acknowledgement of the one before
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let graceful = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    let deadline = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = graceful => ended,
        () = deadline => {
            tracing::warn!("some requests were still under way after {DRAIN:?} and were dropped");
            Ok(())
        }
    }
}

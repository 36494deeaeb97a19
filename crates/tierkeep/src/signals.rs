//! SIGINT and SIGTERM: the first asks for an orderly end, the second ends at once.

use std::io;
use std::process;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code of "stopped early, can be continued".
const STOPPED: i32 = 4;

/// A token that is cancelled by the first SIGINT or SIGTERM. The second one ends the process: whatever was under way is
/// a transaction that the database rolls back.
///
/// The watching task lives until the process ends.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn stop_token() -> io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        for nth in 1.. {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if nth > 1 {
                process::exit(STOPPED);
            }
            cancelled.cancel();
        }
    });
    Ok(token)
}

//! One direction of a connection.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::endpoint::{Reads, Writes};
use super::{Mode, State};

/// Bytes forwarded at once, and held at most.
const CHUNK: usize = 16 << 10;

/// Forwards chunk after chunk, each when the mode lets it pass, and then the end of the stream.
pub(super) async fn run(
    mut from: Reads<'_>,
    mut to: Writes<'_>,
    mut states: watch::Receiver<State>,
    bytes: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = from.read(&mut buffer).await?;
        passage(&mut states).await;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
        bytes.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// Returns when a chunk that is held now may pass.
async fn passage(states: &mut watch::Receiver<State>) {
    loop {
        let mode = states.borrow_and_update().mode;
        let delay = match mode {
            Mode::Pass => return,
            Mode::Delay(delay) => Some(delay),
            // A broken connection is about to be closed: nothing passes any more.
            Mode::Stall | Mode::Cut | Mode::Reset => None,
        };
        let changed = async { states.changed().await.is_ok() };
        let is_open = match delay {
            None => changed.await,
            Some(delay) => tokio::select! {
                () = tokio::time::sleep(delay) => return,
                is_open = changed => is_open,
            },
        };
        if !is_open {
            // The proxy is gone, and this task with it in a moment.
            return std::future::pending().await;
        }
    }
}

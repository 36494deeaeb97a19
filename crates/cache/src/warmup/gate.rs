//! When a node that has just started may be sent requests.

use tokio::sync::watch;

/// Why a gate is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ready {
    /// The restore had nothing left to do, or nothing to do at all.
    Done,
    /// The keys that are there make up the wanted share of the accesses that are expected; the restore goes on.
    Covered,
    /// The time was over.
    DeadlineOver,
    /// The warm-up was given up.
    GivenUp,
}

/// Tells when the restore of a [`LearnedWarmup`](super::LearnedWarmup) has done enough, for a readiness probe. A cheap
/// handle. Once open it stays open.
#[derive(Clone, Debug)]
pub struct WarmupGate(watch::Receiver<Option<Ready>>);

impl WarmupGate {
    /// A closed gate, and what opens it.
    pub(super) fn new() -> (Key, Self) {
        let (sender, receiver) = watch::channel(None);
        (Key(sender), Self(receiver))
    }

    /// Whether the node is warm, as far as it will wait for that.
    pub fn is_ready(&self) -> bool {
        self.ready().is_some()
    }

    /// Why it is open; `None` while it is not.
    pub fn ready(&self) -> Option<Ready> {
        let ready = *self.0.borrow();
        // Nobody is left to open it.
        ready.or_else(|| self.0.has_changed().is_err().then_some(Ready::GivenUp))
    }

    /// Waits until it is open.
    pub async fn wait(&self) -> Ready {
        let mut gate = self.0.clone();
        match gate.wait_for(Option::is_some).await {
            Ok(ready) => ready.unwrap_or(Ready::GivenUp),
            Err(_) => Ready::GivenUp,
        }
    }
}

/// Opens a gate; dropped, it is given up.
#[derive(Debug)]
pub(super) struct Key(watch::Sender<Option<Ready>>);

impl Key {
    /// The first reason counts.
    pub(super) fn open(&self, why: Ready) {
        self.0.send_if_modified(|ready| {
            let first = ready.is_none();
            ready.get_or_insert(why);
            first
        });
    }
}

//! What happens inside a cache, told to whoever listens, without ever waiting for a listener.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::flight::FillRefusal;
use crate::stamp::Severity;
use crate::tag::TagId;

/// Events that a slow listener may lag behind; older ones are lost to it, and it is told how many.
pub(crate) const EVENT_CAPACITY: usize = 1024;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An entry was invalidated by its key.
    Invalidated {
        /// The view.
        view: Arc<str>,
        /// The encoded key.
        key: Arc<[u8]>,
        /// Hard or soft.
        severity: Severity,
        /// Whether another node said so.
        heard: bool,
    },
    /// A tag was invalidated.
    TagInvalidated {
        /// The tag.
        tag: TagId,
        /// Hard or soft.
        severity: Severity,
        /// Whether another node said so.
        heard: bool,
    },
    /// The sweep found an entry expired.
    Expired {
        /// The view.
        view: Arc<str>,
        /// The encoded key.
        key: Arc<[u8]>,
    },
    /// A loaded value was not stored.
    FillRefused {
        /// The view.
        view: Arc<str>,
        /// The encoded key.
        key: Arc<[u8]>,
        /// Why.
        why: FillRefusal,
    },
    /// A value was stored in memory only, because the remote tier is away.
    DegradedFill {
        /// The view.
        view: Arc<str>,
        /// The encoded key.
        key: Arc<[u8]>,
    },
    /// A write-back was given up: the source will never take it.
    DeadLetter {
        /// The view.
        view: Arc<str>,
        /// The encoded key.
        key: Arc<[u8]>,
        /// The operation's version.
        version: u64,
        /// What the sink said.
        why: Arc<str>,
    },
    /// Messages of the bus were missed: what memory held is suspect.
    Gap,
    /// Memory is served again.
    LeaseGained,
    /// No sign of life from the bus for a lease: memory is not served.
    LeaseLost,
    /// An invalidation that the remote tier had not acknowledged has reached it.
    Settled,
    /// A hit that was compared with the source differed, and differed again later.
    AuditStuck {
        /// The view.
        view: Arc<str>,
        /// The encoded key.
        key: Arc<[u8]>,
    },
}

/// Events from now on.
#[derive(Debug)]
pub struct EventStream(broadcast::Receiver<Event>);

impl EventStream {
    /// The next event; `Err` with their number if this listener was too slow for some. `None` once the cache is gone.
    pub async fn next(&mut self) -> Option<Result<Event, u64>> {
        match self.0.recv().await {
            Ok(event) => Some(Ok(event)),
            Err(broadcast::error::RecvError::Lagged(lost)) => Some(Err(lost)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// Where events are sent from.
#[derive(Clone, Debug)]
pub(crate) struct Events(broadcast::Sender<Event>);

impl Events {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(EVENT_CAPACITY))
    }

    pub(crate) fn listen(&self) -> EventStream {
        EventStream(self.0.subscribe())
    }

    /// Sends, if anybody listens.
    pub(crate) fn send(&self, event: impl FnOnce() -> Event) {
        if self.0.receiver_count() > 0 {
            // Nobody may be left by now; then nobody misses it.
            drop(self.0.send(event()));
        }
    }
}

//! What a cache promises of other nodes' invalidations, and the lease by which it keeps the promise.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Tick;

/// How soon an invalidation is seen on *other* nodes. On the node that made it, it is seen at once, whatever the promise.
///
/// | | promise | price |
/// |---|---|---|
/// | `Local` | other nodes lag by the life of a value in memory at most | none |
/// | `Bounded(Δ)` | no read that begins at t is older than an invalidation acknowledged before t − Δ | a node cut off from the bus serves nothing from memory after Δ |
/// | `Strict` | no read that begins after the acknowledgement is older | an invalidation waits for the slowest node, or for its lease to run out |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// This node only.
    Local,
    /// Every node, within this time: the lease under which memory is served.
    Bounded(Duration),
    /// Every node, when the invalidation returns. The time is the lease, which a write may have to wait for.
    Strict(Duration),
}

impl Promise {
    /// The lease, if there is one.
    pub fn lease(self) -> Option<Duration> {
        match self {
            Self::Local => None,
            Self::Bounded(lease) | Self::Strict(lease) => Some(lease),
        }
    }

    /// By how much a read may lag behind an acknowledged invalidation of another node; `None` if only by its TTL.
    pub fn bound(self) -> Option<Duration> {
        match self {
            Self::Local => None,
            Self::Bounded(bound) => Some(bound),
            Self::Strict(_) => Some(Duration::ZERO),
        }
    }

    pub(crate) fn is_strict(self) -> bool {
        matches!(self, Self::Strict(_))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Bounded(_) => "bounded",
            Self::Strict(_) => "strict",
        }
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lease() {
            None => f.write_str(self.name()),
            Some(lease) => write!(f, "{}({lease:?})", self.name()),
        }
    }
}

/// Until when memory may be served.
#[derive(Debug)]
pub(crate) struct Lease {
    promise: Promise,
    until: AtomicU64,
}

impl Lease {
    /// Without a lease memory is always served; with one, not before the first echo.
    pub(crate) fn new(promise: Promise) -> Self {
        let until = if promise.lease().is_none() { Tick::NEVER } else { Tick::default() };
        Self { promise, until: AtomicU64::new(until.as_millis()) }
    }

    pub(crate) fn promise(&self) -> Promise {
        self.promise
    }

    #[inline]
    pub(crate) fn serves(&self, now: Tick) -> bool {
        now.as_millis() < self.until.load(Ordering::Acquire)
    }

    pub(crate) fn until(&self) -> Tick {
        Tick::from_millis(self.until.load(Ordering::Acquire))
    }

    /// Counts from the moment the heartbeat was sent. One percent and 5 ms are left for clocks that run at
    /// different rates and for the step of the coarse one.
    pub(crate) fn renew(&self, sent: Tick) {
        if let Some(lease) = self.promise.lease() {
            let served = lease.mul_f64(0.99).saturating_sub(Duration::from_millis(5));
            self.until.fetch_max(sent.after(served).as_millis(), Ordering::AcqRel);
        }
    }

    /// Whether a reader that comes now may wait for a load that began at `began`.
    pub(crate) fn may_join(&self, began: Tick, now: Tick) -> bool {
        self.serves(now) || self.promise.bound().is_none_or(|bound| !bound.is_zero() && now.since(began) < bound)
    }
}

//! What adaptive refresh keeps with an entry: its pace, what its load took, and how often it was read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Tick;

/// The period of a key's refreshes, in tenths of the base: 1 to 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace(u8);

impl Pace {
    /// The whole base, with which every key begins.
    pub(crate) const BASE: Self = Self(10);

    /// After a refresh: a tenth shorter if it found a change, else a tenth longer, within the bounds.
    pub(crate) fn after(self, changed: bool) -> Self {
        Self(if changed { (self.0 - 1).max(1) } else { (self.0 + 1).min(10) })
    }

    /// As many percent of it, at least one.
    pub(crate) fn share(self, percent: u8) -> u8 {
        u8::try_from(u32::from(percent) * u32::from(self.0) / 10).unwrap_or(u8::MAX).max(1)
    }

    /// The period, for this base.
    pub(crate) fn of(self, base: Duration) -> Duration {
        base * u32::from(self.0) / 10
    }
}

/// Told of a value that a refresh brought in vain.
pub(crate) type Unread = Box<dyn Fn() + Send + Sync>;

/// One entry of a view with adaptive refresh.
pub(crate) struct Pulse {
    pub(crate) pace: Pace,
    /// What its load took, in microseconds; 0 where that is not known.
    pub(crate) cost: u64,
    reads: AtomicU64,
    /// Until then nobody asks for a refresh again, in milliseconds of the clock.
    asked_until: AtomicU64,
    unread: Option<Unread>,
}

impl Pulse {
    /// `unread` is called if the entry goes and nobody has read it.
    pub(crate) fn new(pace: Pace, cost: u64, unread: Option<Unread>) -> Self {
        Self { pace, cost, reads: AtomicU64::new(0), asked_until: AtomicU64::new(0), unread }
    }

    /// Counts a read: all that a hit pays for.
    #[inline]
    pub(crate) fn read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Whether a reader may ask for a refresh now.
    #[inline]
    pub(crate) fn asks(&self, now: Tick) -> bool {
        now.as_millis() >= self.asked_until.load(Ordering::Relaxed)
    }

    /// Takes the right to ask, which the next one has at `again`. One reader of many gets it.
    pub(crate) fn take_turn(&self, now: Tick, again: Tick) -> bool {
        let before = self.asked_until.load(Ordering::Relaxed);
        let turn =
            |from| self.asked_until.compare_exchange(from, again.as_millis(), Ordering::Relaxed, Ordering::Relaxed);
        now.as_millis() >= before && turn(before).is_ok()
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        if *self.reads.get_mut() == 0
            && let Some(unread) = &self.unread
        {
            unread();
        }
    }
}

impl std::fmt::Debug for Pulse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pulse({:?}, {} us, {} reads)", self.pace, self.cost, self.reads())
    }
}

//! What a load has waited for before its value was there, for who wants to know why a read was slow.

use std::time::Duration;

use crate::clock::Tick;

/// What the load behind a read has waited for, to the millisecond. All of it is zero for a read that memory answered, and
/// for reads of many keys, whose waits are those of others as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    // milliseconds: the struct travels with every value that is read
    remote: u32,
    lease: u32,
    turn: u32,
    remote_failed: bool,
}

impl Waits {
    /// For answers of the remote tier, before the loader was called.
    pub fn remote(&self) -> Duration {
        Duration::from_millis(self.remote.into())
    }

    /// Whether the remote tier gave none: it failed, or not in time.
    pub fn remote_failed(&self) -> bool {
        self.remote_failed
    }

    /// For another node that loads the same.
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.lease.into())
    }

    /// For a turn, as too many loads ran; see [`LoadLimit`](crate::LoadLimit).
    pub fn turn(&self) -> Duration {
        Duration::from_millis(self.turn.into())
    }

    pub(crate) fn add_lease(&mut self, began: Tick, now: Tick) {
        self.lease = self.lease.saturating_add(millis(began, now));
    }

    /// The dealings with the remote tier are over, waits for a lease among them.
    pub(crate) fn set_remote(&mut self, began: Tick, now: Tick, failed: bool) {
        self.remote = millis(began, now).saturating_sub(self.lease);
        self.remote_failed = failed;
    }

    pub(crate) fn set_turn(&mut self, began: Tick, now: Tick) {
        self.turn = millis(began, now);
    }
}

fn millis(began: Tick, now: Tick) -> u32 {
    u32::try_from(now.as_millis().saturating_sub(began.as_millis())).unwrap_or(u32::MAX)
}

//! The time that refreshes may take: earned by the loads that readers wait for, and lost when it grows old.

use std::time::Duration;

use crate::clock::Tick;

/// The parts that a window is counted in: what is in it may be too short by one of them, never too long.
const CELLS: usize = 64;

/// A sum over the last so much time.
#[derive(Debug)]
struct Window {
    cells: [u64; CELLS],
    /// The number of the cell that time is in.
    newest: u64,
    cell_ms: u64,
}

impl Window {
    fn new(length: Duration) -> Self {
        Self { cells: [0; CELLS], newest: 0, cell_ms: (length.as_millis() as u64 / CELLS as u64).max(1) }
    }

    fn length_ms(&self) -> u64 {
        self.cell_ms * CELLS as u64
    }

    fn slot(cell: u64) -> usize {
        (cell % CELLS as u64) as usize
    }

    fn roll(&mut self, now: Tick) {
        let cell = now.as_millis() / self.cell_ms;
        for passed in (self.newest + 1..=cell).take(CELLS) {
            self.cells[Self::slot(passed)] = 0;
        }
        self.newest = self.newest.max(cell);
    }

    fn add(&mut self, now: Tick, amount: u64) {
        self.roll(now);
        let cell = &mut self.cells[Self::slot(self.newest)];
        *cell = cell.saturating_add(amount);
    }

    fn sum(&mut self, now: Tick) -> u64 {
        self.roll(now);
        self.cells.iter().fold(0, |sum, cell| sum.saturating_add(*cell))
    }

    /// Takes up to this much, the oldest first, and tells how much was there.
    fn take(&mut self, now: Tick, amount: u64) -> u64 {
        self.roll(now);
        let mut left = amount;
        for older in (0..CELLS as u64).rev() {
            let cell = &mut self.cells[Self::slot(self.newest.saturating_sub(older))];
            let taken = left.min(*cell);
            *cell -= taken;
            left -= taken;
        }
        amount - left
    }

    /// Gives back what was taken. It counts as the oldest there is: nothing lives longer for having been taken.
    fn give_back(&mut self, now: Tick, amount: u64) {
        self.roll(now);
        self.cells[Self::slot(self.newest + 1)] += amount;
    }

    /// The same over a longer time.
    fn widen(&mut self, now: Tick, length: Duration) {
        let held = self.sum(now);
        *self = Self::new(length);
        self.add(now, held);
    }
}

/// What refreshes may still take. For every span of time: the refreshes begun in it were estimated at no more than
/// `extra_percent` of what readers' loads took in it and in the window before it.
#[derive(Debug)]
pub(crate) struct Credit {
    extra_percent: u64,
    /// In hundredths of a microsecond, so that no percent is lost.
    unspent: Window,
    /// What readers' loads took, in microseconds.
    foreground: Window,
    /// What refreshes took beyond their estimate; paid before anything else.
    debt: u64,
}

impl Credit {
    pub(crate) fn new(extra_percent: u32, window: Duration) -> Self {
        Self {
            extra_percent: u64::from(extra_percent),
            unspent: Window::new(window),
            foreground: Window::new(window),
            debt: 0,
        }
    }

    /// Counts over at least this long.
    pub(crate) fn widen(&mut self, now: Tick, window: Duration) {
        if window.as_millis() as u64 > self.foreground.length_ms() {
            self.unspent.widen(now, window);
            self.foreground.widen(now, window);
        }
    }

    /// A reader's load took this many microseconds.
    pub(crate) fn earn(&mut self, now: Tick, cost: u64) {
        self.foreground.add(now, cost);
        let earned = cost.saturating_mul(self.extra_percent);
        let paid = self.debt.min(earned);
        self.debt -= paid;
        self.unspent.add(now, earned - paid);
    }

    /// Takes what a refresh is estimated to need, if that is there.
    pub(crate) fn reserve(&mut self, now: Tick, cost: u64) -> bool {
        let needed = cost.saturating_mul(100);
        if self.debt > 0 || self.unspent.sum(now) < needed {
            return false;
        }
        self.unspent.take(now, needed);
        true
    }

    /// A refresh for which `reserved` microseconds were taken has taken `cost`.
    pub(crate) fn settle(&mut self, now: Tick, reserved: u64, cost: u64) {
        if cost <= reserved {
            self.unspent.give_back(now, (reserved - cost).saturating_mul(100));
        } else {
            let over = (cost - reserved).saturating_mul(100);
            self.debt = self.debt.saturating_add(over - self.unspent.take(now, over));
        }
    }

    /// The load that refreshes may cause, in nanoseconds of work a second.
    pub(crate) fn allowance(&mut self, now: Tick) -> u64 {
        let taken = u128::from(self.foreground.sum(now)) * u128::from(self.extra_percent) * 10_000;
        u64::try_from(taken / u128::from(self.foreground.length_ms())).unwrap_or(u64::MAX)
    }
}

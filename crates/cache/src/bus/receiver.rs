//! What a node has heard, and whether it may have missed something: a pure state machine.

use std::collections::BTreeSet;

use super::Epoch;

/// Numbers below `applied` that are remembered, so that a repeated notice is not applied twice.
const REMEMBERED: u64 = 1024;

/// Follows the counter of a bus.
///
/// A notice may come late, twice or never. What matters is one question, asked when an echo arrives: was
/// everything up to the counter's value applied? If not, something was missed, and memory is suspect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Receiver {
    epoch: Option<Epoch>,
    /// Every number up to this one was applied, or covered by a gap.
    applied: u64,
    /// Numbers above `applied` that were applied.
    ahead: BTreeSet<u64>,
    /// Numbers at or below `applied` that a gap covered, but that were never seen: they may still come.
    missed: BTreeSet<u64>,
}

/// What to do about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Heard {
    /// Apply the notice.
    Apply,
    /// It was applied before.
    Repeated,
    /// Nothing was missed.
    Whole,
    /// Something was missed: what memory holds from before this moment is suspect.
    Gap,
}

impl Receiver {
    /// Takes a notice. A notice of an unknown counter is applied; the next echo tells what was missed.
    pub fn notice(&mut self, epoch: Epoch, number: u64) -> Heard {
        if self.epoch != Some(epoch) {
            return Heard::Apply;
        }
        if number <= self.applied {
            // Late: apply it, unless it was applied before. What a gap covered may hit entries that were loaded
            // since, which costs a load and nothing else.
            return if self.missed.remove(&number) { Heard::Apply } else { Heard::Repeated };
        }
        if !self.ahead.insert(number) {
            return Heard::Repeated;
        }
        while self.ahead.remove(&(self.applied + 1)) {
            self.applied += 1;
        }
        Heard::Apply
    }

    /// Takes the echo of an own heartbeat: everything announced before it was sent has arrived, or is lost.
    pub fn echo(&mut self, epoch: Epoch, last: u64) -> Heard {
        if self.epoch != Some(epoch) {
            *self = Self { epoch: Some(epoch), applied: last, ..Self::default() };
            return Heard::Gap;
        }
        if last <= self.applied {
            return Heard::Whole;
        }
        let missed = (self.applied + 1..=last).rev().take(REMEMBERED as usize).filter(|n| !self.ahead.contains(n));
        self.missed.extend(missed);
        while self.missed.len() > REMEMBERED as usize {
            self.missed.pop_first();
        }
        self.applied = last;
        self.ahead.retain(|number| *number > last);
        while self.ahead.remove(&(self.applied + 1)) {
            self.applied += 1;
        }
        Heard::Gap
    }

    /// Forgets the counter: after a lost connection the next echo is a gap, whatever it says.
    pub fn disconnected(&mut self) {
        *self = Self::default();
    }

    /// The counter that is followed.
    pub fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// Every notice up to this one was applied, or covered by a gap.
    pub fn applied(&self) -> u64 {
        self.applied
    }
}

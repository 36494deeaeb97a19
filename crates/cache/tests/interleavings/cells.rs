//! `src/cells.rs`, behind a layer that can plant one fault: an invalidation that is late in the log.

#[path = "../../src/cells.rs"]
mod production;

use crate::clock::Tick;
use crate::planted::{Fault, planted};
use crate::stamp::{Severity, Standing};
use crate::sync::{AtomicU64, Ordering};
use crate::tag::TagId;

pub(crate) use production::{Base, Mark, Since, standing};

/// The production cells. With the fault planted, `since` does not see the newest invalidation until `bump` has also
/// passed a scheduling point.
#[derive(Debug)]
pub(crate) struct Cells {
    inner: production::Cells,
    logged: AtomicU64,
}

impl Cells {
    pub(crate) fn new() -> Self {
        Self { inner: production::Cells::new(), logged: AtomicU64::new(0) }
    }

    pub(crate) fn last(&self) -> u64 {
        self.inner.last()
    }

    pub(crate) fn last_rule(&self) -> u64 {
        self.inner.last_rule()
    }

    pub(crate) fn base(&self, tags: [TagId; 2]) -> Base {
        self.inner.base(tags)
    }

    pub(crate) fn capture(&self, tags: &[TagId]) -> Vec<Mark> {
        self.inner.capture(tags)
    }

    pub(crate) fn bump(&self, tag: TagId, severity: Severity) -> u64 {
        let number = self.inner.bump(tag, severity);
        if planted() == Fault::LogAfterGeneration {
            self.logged.fetch_max(number, Ordering::AcqRel);
        }
        number
    }

    pub(crate) fn add_rule(&self, tags: &[TagId], now: Tick, until: Tick, most: usize) -> bool {
        self.inner.add_rule(tags, now, until, most)
    }

    pub(crate) fn ruled_out(&self, born: u64, has: impl Fn(&TagId) -> bool) -> bool {
        self.inner.ruled_out(born, has)
    }

    pub(crate) fn standing_between(&self, since: u64, until: u64, tags: &[TagId]) -> Standing {
        let until = match planted() {
            Fault::LogAfterGeneration => until.min(self.logged.load(Ordering::Acquire)),
            _ => until,
        };
        self.inner.standing_between(since, until, tags)
    }

    pub(crate) fn since(&self, since: u64, tags: &[TagId]) -> Since {
        let found = self.inner.since(since, tags);
        match found {
            Since::Hit { last, .. }
                if planted() == Fault::LogAfterGeneration && last > self.logged.load(Ordering::Acquire) =>
            {
                Since::Nothing
            }
            _ => found,
        }
    }

    pub(crate) fn sweep(&self) -> usize {
        self.inner.sweep()
    }
}

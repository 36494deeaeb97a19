//! What the schedules of a test came across: a test that met nothing proves nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seen {
    Hit,
    StaleHit,
    /// A reader got the value of another reader's load.
    Join,
    /// A reader waited for a load, and had to look again.
    LookedAgain,
    Fill,
    /// A fill was refused: its key was invalidated, or written, meanwhile.
    Poisoned,
    AcrossGap,
    TooOld,
    /// A tag that the load turned out to carry was invalidated meanwhile.
    LateTag,
    /// A value was copied without a load; or was not.
    Glanced,
    GlanceRefused,
    /// A write met another one, or a load.
    WriteConflict,
}

std::thread_local! {
    static SEEN: RefCell<BTreeMap<Seen, u64>> = const { RefCell::new(BTreeMap::new()) };
}

pub(crate) fn saw(what: Seen) {
    SEEN.with_borrow_mut(|seen| *seen.entry(what).or_default() += 1);
}

/// Everything since the last call.
pub(crate) fn take() -> BTreeMap<Seen, u64> {
    SEEN.take()
}

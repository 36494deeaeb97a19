//! What goes on and what goes wrong in a run: all of it, or much of what one property is about.

use crate::faults::Fault;
use crate::workload::Change;
use crate::world::{Level, Profile};

/// Everything that can be done and that can go wrong.
pub(crate) const USUAL: Profile = Profile {
    level: Level::Bounded,
    sabotage: None,
    operations: 90,
    pause: 60,
    favourite: None,
    changes: &[
        (30, Change::Key),
        (8, Change::Through),
        (4, Change::Around),
        (6, Change::Keys),
        (10, Change::KeySoftly),
        (5, Change::Below),
        (12, Change::EarlyTag),
        (12, Change::LateTag),
        (5, Change::TagSoftly),
        (6, Change::BothTags),
        (2, Change::ClearView),
        (2, Change::ClearAll),
    ],
    faults: &[
        (4, Fault::SlowRemote),
        (3, Fault::FailingRemote),
        (3, Fault::LostRemoteAnswers),
        (3, Fault::OvertakenRemoteCalls),
        (3, Fault::RemoteAway),
        (3, Fault::SlowBus),
        (3, Fault::FailingBus),
        (3, Fault::BusAway),
        (2, Fault::OvertakenBusCalls),
        (4, Fault::LateMessages),
        (4, Fault::ReorderedMessages),
        (6, Fault::LostNotices),
        (4, Fault::LostEchoes),
        (3, Fault::Duplicates),
        (4, Fault::Deaf),
        (3, Fault::Cut),
        (3, Fault::EvictValues),
        (3, Fault::EvictRecords),
        (1, Fault::RemoteRestart),
        (1, Fault::BusRestart),
        (2, Fault::Crash),
        (2, Fault::FailingSource),
    ],
    calm: 250,
};

/// Invalidations by key, few faults: most loads meet one.
pub(crate) const LOADS: Profile = Profile {
    changes: &[
        (45, Change::Key),
        (15, Change::Through),
        (5, Change::Around),
        (10, Change::Keys),
        (10, Change::Below),
        (10, Change::KeySoftly),
        (2, Change::ClearAll),
    ],
    calm: 600,
    ..USUAL
};

/// Invalidations by tags, half of them known only to the loader.
pub(crate) const TAGS: Profile = Profile {
    changes: &[
        (20, Change::EarlyTag),
        (40, Change::LateTag),
        (15, Change::BothTags),
        (10, Change::TagSoftly),
        (10, Change::Key),
        (3, Change::ClearView),
        (2, Change::ClearAll),
    ],
    calm: 500,
    ..USUAL
};

/// Memory is lost all the time and filled from a slow remote tier.
pub(crate) const COPIES: Profile = Profile {
    faults: &[
        (10, Fault::SlowRemote),
        (3, Fault::LostRemoteAnswers),
        (3, Fault::OvertakenRemoteCalls),
        (10, Fault::Cut),
        (3, Fault::LostNotices),
        (3, Fault::Crash),
        (2, Fault::BusRestart),
    ],
    calm: 150,
    ..USUAL
};

/// Messages and the calls that make them are lost.
pub(crate) const LOSSES: Profile = Profile {
    faults: &[
        (10, Fault::LostNotices),
        (5, Fault::LostEchoes),
        (6, Fault::Deaf),
        (4, Fault::Cut),
        (4, Fault::FailingBus),
        (4, Fault::BusAway),
        (4, Fault::OvertakenBusCalls),
        (4, Fault::SlowBus),
        (4, Fault::LateMessages),
        (2, Fault::BusRestart),
        (2, Fault::Crash),
    ],
    calm: 180,
    ..USUAL
};

/// Messages come late, twice, and in another order.
pub(crate) const DISORDER: Profile = Profile {
    faults: &[
        (10, Fault::ReorderedMessages),
        (8, Fault::Duplicates),
        (6, Fault::LateMessages),
        (2, Fault::LostNotices),
        (2, Fault::OvertakenBusCalls),
        (1, Fault::BusRestart),
    ],
    calm: 120,
    ..USUAL
};

/// Nodes start again and again, each time with another clock.
pub(crate) const CLOCKS: Profile = Profile {
    favourite: Some(crate::source::Family::Lively),
    faults: &[
        (6, Fault::Crash),
        (3, Fault::SlowRemote),
        (3, Fault::LateMessages),
        (3, Fault::LostNotices),
        (2, Fault::FailingSource),
        (2, Fault::BusRestart),
    ],
    calm: 250,
    ..USUAL
};

/// The remote tier forgets values, tags, or everything.
pub(crate) const EVICTIONS: Profile = Profile {
    changes: TAGS.changes,
    faults: &[
        (12, Fault::EvictRecords),
        (6, Fault::EvictValues),
        (2, Fault::RemoteRestart),
        (2, Fault::SlowRemote),
        (2, Fault::Cut),
        (2, Fault::Crash),
    ],
    calm: 80,
    ..USUAL
};

/// The source fails, and old values stand in for what it would say.
pub(crate) const STAND_INS: Profile = Profile {
    favourite: Some(crate::source::Family::Lively),
    faults: &[
        (8, Fault::FailingSource),
        (4, Fault::SlowRemote),
        (3, Fault::FailingRemote),
        (3, Fault::RemoteAway),
        (3, Fault::LostNotices),
        (2, Fault::Cut),
        (1, Fault::Crash),
    ],
    calm: 200,
    ..USUAL
};

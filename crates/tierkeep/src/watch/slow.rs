//! What is said of an answer that was slow: about what, from which tier, and why.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tierkeep_cache::Waits;
use tierkeep_learning::key::UserId;
use tierkeep_learning::statistic::StatisticKind;
use tierkeep_learning::store::Basis;

use super::loads::Load;
use crate::tiers::Tier;

/// Lines a second. A node that is slow altogether is told of as well by these, and its log can still be read.
const LINES: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);
/// Computations shorter than this part of what is slow are not remembered: they cannot be why.
const WORTH: u32 = 4;

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject {
    /// Which statistic.
    pub(crate) kind: StatisticKind,
    /// About whom; `None`: about many, or all.
    pub(crate) user: Option<UserId>,
    /// About how many; 0: about all.
    pub(crate) learners: usize,
}

impl Subject {
    pub(super) fn is_about(self, other: Self) -> bool {
        self.kind == other.kind && self.user == other.user
    }
}

/// By which way an answer was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Through the tiers.
    Tiers,
    /// Past them: what was kept could not be vouched for, as the database has not said for this time what changed.
    Past(Duration),
    /// Past them: changes may go unnoticed, or the client had seen a later change, or nothing is kept.
    Database,
}

/// What an answer was waited for before it was computed, or instead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Waited {
    pub(crate) redis: Duration,
    pub(crate) redis_failed: bool,
    pub(crate) lease: Duration,
    pub(crate) turn: Duration,
}

impl From<Waits> for Waited {
    fn from(waits: Waits) -> Self {
        Self { redis: waits.remote(), redis_failed: waits.remote_failed(), lease: waits.lease(), turn: waits.turn() }
    }
}

/// Why an answer was slow, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Redis did not answer, or not in time.
    RedisTimeout,
    /// Redis took its time.
    Redis,
    /// Another node computed the same.
    LeaseWait,
    /// Too much was computed at once.
    BudgetWait,
    /// Changes had to be folded into the summaries first.
    Fold,
    /// The database took its time with stored summaries.
    Database,
    /// There were no summaries to read, so rows were.
    Rows,
    /// What is kept could not be used.
    Bypass,
    /// It was in memory: the machine had something else to do.
    Busy,
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::RedisTimeout => "redis_timeout",
            Self::Redis => "redis",
            Self::LeaseWait => "lease_wait",
            Self::BudgetWait => "budget_wait",
            Self::Fold => "fold",
            Self::Database => "database",
            Self::Rows => "rows",
            Self::Bypass => "bypass",
            Self::Busy => "busy",
        }
    }

    /// The longest of the pieces that are known, or what the tier says where none is.
    fn of(way: Way, tier: Option<Tier>, waited: Waited, load: Option<&Load>) -> Self {
        if matches!(way, Way::Past(_)) {
            return Self::Bypass;
        }
        let is_rows = load.map_or(tier == Some(Tier::Miss), |load| load.basis == Some(Basis::Rows));
        let reading = if is_rows { Self::Rows } else { Self::Database };
        let pieces = [
            (waited.redis, if waited.redis_failed { Self::RedisTimeout } else { Self::Redis }),
            (waited.lease, Self::LeaseWait),
            (waited.turn, Self::BudgetWait),
            (load.map_or(Duration::ZERO, |load| load.effort.folding), Self::Fold),
            (load.map_or(Duration::ZERO, |load| load.took.saturating_sub(load.effort.folding)), reading),
        ];
        match pieces.into_iter().max_by_key(|(time, _)| *time) {
            Some((time, cause)) if !time.is_zero() => cause,
            _ => match tier {
                Some(Tier::L1) => Self::Busy,
                Some(Tier::L2) => Self::Redis,
                _ => reading,
            },
        }
    }
}

/// Tells of slow answers, a few lines a second.
#[derive(Debug)]
pub(super) struct SlowLog {
    /// 0 = nothing is slow.
    from: Duration,
    pace: Mutex<Pace>,
}

#[derive(Debug, Default)]
struct Pace {
    /// When the present second began, and the lines in it.
    second: Option<(Instant, u32)>,
    suppressed: u64,
}

impl SlowLog {
    pub(super) fn new(from: Duration) -> Self {
        Self { from, pace: Mutex::default() }
    }

    #[inline]
    pub(super) fn is_slow(&self, took: Duration) -> bool {
        !self.from.is_zero() && took >= self.from
    }

    pub(super) fn is_worth_remembering(&self, took: Duration) -> bool {
        !self.from.is_zero() && took >= self.from / WORTH
    }

    /// Whether a line may be written at `now`, and how many could not since the last one.
    pub(super) fn may_tell(&self, now: Instant) -> Option<u64> {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut pace.second {
            Some((began, lines)) if now.duration_since(*began) < SECOND => {
                if *lines == LINES {
                    pace.suppressed += 1;
                    return None;
                }
                *lines += 1;
            }
            second => *second = Some((now, 1)),
        }
        Some(std::mem::take(&mut pace.suppressed))
    }

    pub(super) fn tell(
        &self,
        subject: Subject,
        took: Duration,
        way: Way,
        found: Option<(Tier, Waited)>,
        load: Option<Load>,
    ) {
        let Some(suppressed) = self.may_tell(Instant::now()) else { return };
        let (tier, waited) = (found.map(|(tier, _)| tier), found.map(|(_, waited)| waited).unwrap_or_default());
        let cause = Cause::of(way, tier, waited, load.as_ref());
        let effort = load.map(|load| load.effort).filter(|effort| !effort.folding.is_zero());
        let behind = if let Way::Past(behind) = way { behind } else { Duration::ZERO };
        tracing::warn!(
            target: "tierkeep::slow",
            statistic = subject.kind.name(),
            learner = subject.user.map(tracing::field::display),
            learners = (subject.learners > 1).then_some(subject.learners),
            tier = tier.map_or("none", Tier::name),
            cause = cause.name(),
            duration_ms = millis(took),
            behind_ms = some_millis(behind),
            redis_ms = some_millis(waited.redis),
            lease_ms = some_millis(waited.lease),
            budget_ms = some_millis(waited.turn),
            fold_ms = effort.map(|effort| millis(effort.folding)),
            folded_learners = effort.map(|effort| effort.learners),
            folded_rows = effort.map(|effort| effort.rows),
            database_ms = load.map(|load| millis(load.took.saturating_sub(load.effort.folding))),
            suppressed = (suppressed > 0).then_some(suppressed),
            "a read was slow"
        );
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn some_millis(time: Duration) -> Option<u64> {
    (!time.is_zero()).then(|| millis(time))
}

#[cfg(test)]
mod tests {
    use tierkeep_learning::store::Effort;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn load(took: Duration, folding: Duration, basis: Basis) -> Load {
        let subject = Subject { kind: StatisticKind::Global, user: None, learners: 0 };
        let effort = Effort { folding, ..Effort::default() };
        Load { subject, ended: Instant::now(), took, effort, basis: Some(basis) }
    }

    #[test]
    fn the_longest_piece_is_the_cause() {
        let none = Waited::default();
        let folded = load(MS * 500, MS * 300, Basis::Summaries);
        let read = load(MS * 500, MS * 100, Basis::Summaries);
        let rows = load(MS * 500, MS * 100, Basis::Rows);
        let table = [
            ("fold", Way::Tiers, Some(Tier::L3), none, Some(&folded)),
            ("database", Way::Tiers, Some(Tier::L3), none, Some(&read)),
            ("rows", Way::Tiers, Some(Tier::Miss), none, Some(&rows)),
            ("rows", Way::Database, Some(Tier::Miss), none, None),
            ("database", Way::Tiers, None, none, None),
            ("redis", Way::Tiers, Some(Tier::L2), none, None),
            ("redis", Way::Tiers, Some(Tier::L2), Waited { redis: MS * 3, ..none }, None),
            (
                "redis_timeout",
                Way::Tiers,
                Some(Tier::L3),
                Waited { redis: MS * 501, redis_failed: true, ..none },
                Some(&read),
            ),
            ("lease_wait", Way::Tiers, Some(Tier::L2), Waited { redis: MS, lease: MS * 600, ..none }, None),
            ("budget_wait", Way::Tiers, Some(Tier::L3), Waited { turn: MS * 600, ..none }, Some(&read)),
            ("bypass", Way::Past(MS * 2000), Some(Tier::L3), none, Some(&folded)),
            ("busy", Way::Tiers, Some(Tier::L1), none, None),
        ];
        for (cause, way, tier, waited, load) in table {
            assert_eq!(Cause::of(way, tier, waited, load).name(), cause, "{way:?} {tier:?} {waited:?} {load:?}");
        }
    }

    #[test]
    fn ten_lines_a_second_are_written_and_the_others_counted() {
        let (log, start) = (SlowLog::new(MS), Instant::now());

        let first: Vec<_> = (0..15).map(|n| log.may_tell(start + MS * n)).collect();

        assert_eq!(first, [vec![Some(0); 10], vec![None; 5]].concat());
        assert_eq!(log.may_tell(start + SECOND), Some(5));
        assert_eq!(log.may_tell(start + SECOND), Some(0));
    }

    #[test]
    fn nothing_is_slow_where_it_is_turned_off() {
        assert!(!SlowLog::new(Duration::ZERO).is_slow(MS * 1_000_000));
        assert!(SlowLog::new(MS * 250).is_slow(MS * 250));
        assert!(!SlowLog::new(MS * 250).is_slow(MS * 249));
    }
}

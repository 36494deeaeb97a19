//! Refreshes that follow the source: often where it changes, seldom where it does not, never where nobody reads.
//!
//! A hit on a value that is due starts the refresh, with the reader's own loader, as an early refresh does. When a value
//! is due is written into its entry when it is stored (`Times`), so a hit compares what it compares anyway; what is
//! counted of an entry lies with it (`pulse`). Only the hit on a due value asks here, by `Adaptive::admit`, and of all
//! readers of an entry one at a time: first whether the key is among those that pay most (`plan`), then whether
//! readers' loads have earned the time (`credit`).

mod credit;
mod plan;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::credit::Credit;
use self::plan::{Answer, Plan, Wish};
use crate::budget::Urgency;
use crate::clock::Tick;
use crate::counters::Count;
use crate::engine::{Engine, ViewShared};
use crate::load::Job;
use crate::memory::{AnyValue, Entry, EntryKey, KeyRef};
use crate::pulse::{Pace, Pulse, Unread};

/// Loads of readers count for at least this long. With views whose values live longer, for as long as those live: they
/// come in bursts that are one life apart.
const WINDOW: Duration = Duration::from_secs(60);

/// How a view's values are refreshed before they expire; see [`Policy::adaptive_refresh`](crate::Policy::adaptive_refresh).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdaptiveRefresh {
    pub(crate) base_percent: Option<u8>,
}

impl AdaptiveRefresh {
    /// The longest period between two refreshes of a key, in percent (1-99) of a value's life: where every key begins.
    /// Default: where [`Policy::early_refresh`](crate::Policy::early_refresh) would begin, 80 % without one.
    pub fn base_percent(self, percent: u8) -> Self {
        Self { base_percent: Some(percent.clamp(1, 99)) }
    }
}

/// The bounds of adaptive refresh, for all views of a cache; see [`CacheBuilder::refresh_limit`](crate::CacheBuilder::refresh_limit).
///
/// ```
/// use tierkeep_cache::RefreshLimit;
///
/// let limit = RefreshLimit::extra_percent(50).keys(1_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshLimit {
    extra_percent: u32,
    keys: usize,
}

impl RefreshLimit {
    /// Refreshes may take this many percent (0 to 100,000) of the time that the loads of readers take, measured in the
    /// loaders; at most 10,000 keys are tracked.
    ///
    /// In any span of time the refreshes begun are estimated at no more than this share of the readers' loads within
    /// it and one window before it: a minute, or the longest life of a view with adaptive refresh. What a load took
    /// beyond the last one of its key is paid back first. A cache whose readers never load refreshes nothing, until
    /// values expire and they do.
    pub fn extra_percent(percent: u32) -> Self {
        Self { extra_percent: percent.min(100_000), keys: 10_000 }
    }

    /// At most this many keys are tracked (1 to 1,000,000), about 200 bytes and two copies of the key for each.
    pub fn keys(self, keys: usize) -> Self {
        Self { keys: keys.clamp(1, 1_000_000), ..self }
    }
}

impl Default for RefreshLimit {
    /// As much again as readers' loads take, 10,000 keys.
    fn default() -> Self {
        Self::extra_percent(100)
    }
}

/// What all views of a cache share.
pub(crate) struct Adaptive {
    /// Whether a view takes part; until then loads are not counted.
    on: AtomicBool,
    /// Off only in a test that shows that the cap is needed.
    capped: bool,
    state: Mutex<State>,
}

struct State {
    plan: Plan,
    credit: Credit,
}

/// Whether a refresh may begin.
enum Verdict {
    /// It may, and so much time was taken for it; these keys had to give way.
    Go(u64, Vec<EntryKey>),
    NotNow,
}

impl Adaptive {
    pub(crate) fn new(limit: RefreshLimit, capped: bool) -> Self {
        let state = State { plan: Plan::new(limit.keys), credit: Credit::new(limit.extra_percent, WINDOW) };
        Self { on: AtomicBool::new(false), capped, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A view takes part whose values live this long.
    pub(crate) fn join(&self, now: Tick, life: Duration) {
        self.lock().credit.widen(now, life);
        self.on.store(true, Ordering::Release);
    }

    fn admit(&self, now: Tick, wish: Wish, cost: u64) -> Verdict {
        if !self.capped {
            return Verdict::Go(0, Vec::new());
        }
        let mut state = self.lock();
        let allowance = state.credit.allowance(now);
        match state.plan.ask(now, wish, allowance) {
            Answer::Tracked(ways) if state.credit.reserve(now, cost) => Verdict::Go(cost, ways),
            _ => Verdict::NotNow,
        }
    }

    /// Forgets keys that nobody reads any more.
    pub(crate) fn sweep(&self, now: Tick) {
        if self.on.load(Ordering::Acquire) {
            self.lock().plan.tidy(now);
        }
    }
}

/// One refresh on its way: what was there before, and the time that was taken for it.
pub(crate) struct Beat {
    pace: Pace,
    cost: u64,
    before: Option<AnyValue>,
    version: Option<u64>,
    reserved: AtomicU64,
    engine: Arc<Engine>,
}

impl Beat {
    fn settle(&self, cost: u64) {
        let reserved = self.reserved.swap(0, Ordering::Relaxed);
        if self.engine.adaptive.capped && (reserved, cost) != (0, 0) {
            self.engine.adaptive.lock().credit.settle(self.engine.clock.now(), reserved, cost);
        }
    }

    /// Whether what the refresh found is known to be something else. A source's own versions know best.
    fn found_change(&self, view: &ViewShared, value: Option<&AnyValue>, version: Option<u64>) -> bool {
        if let (Some(before), Some(now)) = (self.version, version) {
            return before != now;
        }
        match (&self.before, value) {
            (Some(before), Some(now)) if Arc::ptr_eq(before, now) => false,
            (Some(before), Some(now)) => view.unchanged.as_ref().is_some_and(|unchanged| !unchanged(before, now)),
            (before, now) => before.is_some() != now.is_some(),
        }
    }
}

impl Drop for Beat {
    /// A refresh that came to nothing, for whatever reason, has taken nothing.
    fn drop(&mut self) {
        self.settle(0);
    }
}

/// What is known of a loaded value before it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rhythm {
    pub(crate) pace: Pace,
    cost: u64,
    /// Of a refresh: whether it found a change.
    refreshed: Option<bool>,
}

impl Rhythm {
    /// Of a value that somebody waited for, or wrote.
    pub(crate) fn first(cost: u64) -> Self {
        Self { pace: Pace::BASE, cost, refreshed: None }
    }
}

/// Microseconds, at least one: no load is for nothing.
fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX).clamp(1, u64::from(u32::MAX))
}

impl Engine {
    /// A loader has ended after this time; tells its cost.
    pub(crate) fn clocked(&self, job: &Job, took: Duration) -> u64 {
        let cost = micros(took);
        if let Some(beat) = &job.beat {
            beat.settle(cost);
        } else if job.urgency == Urgency::Reader && self.adaptive.on.load(Ordering::Acquire) {
            self.adaptive.lock().credit.earn(self.clock.now(), cost);
        }
        cost
    }

    /// What is to be kept of a value that was loaded at this cost; 0: it was there already, in the remote tier.
    pub(crate) fn rhythm(
        &self,
        job: &Job,
        value: Option<&AnyValue>,
        version: Option<u64>,
        cost: u64,
    ) -> Option<Rhythm> {
        job.view.policy.adaptive?;
        let Some(beat) = &job.beat else { return Some(Rhythm::first(cost)) };
        let changed = beat.found_change(&job.view, value, version);
        let cost = if cost == 0 { beat.cost } else { cost };
        Some(Rhythm { pace: beat.pace.after(changed), cost, refreshed: Some(changed) })
    }

    /// What is kept with an entry about to be stored; nothing in views without adaptive refresh.
    pub(crate) fn pulse(&self, view: &Arc<ViewShared>, rhythm: Option<Rhythm>) -> Option<Box<Pulse>> {
        view.policy.adaptive?;
        let rhythm = rhythm.unwrap_or(Rhythm::first(0));
        let unread = rhythm.refreshed.map(|changed| {
            view.count(Count::Refreshed);
            if changed {
                view.count(Count::RefreshChanged);
            }
            let view = Arc::clone(view);
            Box::new(move || view.count(Count::RefreshWasted)) as Unread
        });
        Some(Box::new(Pulse::new(rhythm.pace, rhythm.cost, unread)))
    }

    /// The right to refresh a value that is due, for one of its readers, if the cap allows it.
    ///
    /// A key that is put off asks again a little later: its period grows, its load shrinks, and it may fit then. The moment is
    /// left to chance, so that what came due together does not come back together.
    pub(crate) fn beat(
        self: &Arc<Self>,
        view: &ViewShared,
        key: KeyRef<'_>,
        entry: &Entry,
        now: Tick,
    ) -> Option<Arc<Beat>> {
        let pulse = entry.pulse()?;
        let life = entry.fresh_until().since(entry.loaded_at).as_millis() as u64;
        let step = (life / 20).max(1);
        let pause = Duration::from_millis(step + self.entropy.below(step));
        if !pulse.take_turn(now, now.after(pause)) {
            return None;
        }
        let elapsed = (now.since(entry.loaded_at).as_millis() as u64).max(1);
        let cost = pulse.cost.max(1);
        let per_second = |amount: u64, unit: u64| amount.saturating_mul(unit) / elapsed;
        let wish = Wish {
            key: key.to_owned(),
            worth: per_second(pulse.reads().saturating_mul(cost), 1000),
            load: per_second(cost, 1_000_000),
            until: now.after(Duration::from_millis(life)),
        };
        match self.adaptive.admit(now, wish, cost) {
            Verdict::NotNow => {
                view.count(Count::RefreshShed);
                None
            }
            Verdict::Go(reserved, ways) => {
                for view in ways.iter().filter_map(|key| self.view_numbered(key.view)) {
                    view.count(Count::RefreshShed);
                }
                Some(Arc::new(Beat {
                    pace: pulse.pace,
                    cost: pulse.cost,
                    before: entry.value.clone(),
                    version: entry.version(),
                    reserved: AtomicU64::new(reserved),
                    engine: Arc::clone(self),
                }))
            }
        }
    }
}

//! The share of reads that was answered without the database: lately, in the last hour and in the last day.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tierkeep_cache::history::{HOURS, History, MINUTES};
use tierkeep_cache::{Counts, Tick};
use tierkeep_learning::statistic::StatisticKind;

use crate::tiers::ViewState;

/// Minutes that are "lately".
const LATELY: usize = 5;
/// How often somebody should look, so that each minute has its own reads.
pub(crate) const LOOK: Duration = Duration::from_secs(20);

/// The shares of one statistic, 0 to 1; `None` where nobody read. What was before the node started is not part of them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct HitRatios {
    /// Of the last five minutes, the running one included.
    pub(crate) lately: Option<f64>,
    /// Of the last 60 minutes.
    pub(crate) hour: Option<f64>,
    /// Of the last 24 hours.
    pub(crate) day: Option<f64>,
    /// The last `lately` that there was: what nobody reads any more does not vanish.
    pub(crate) last: Option<f64>,
}

/// What was counted of each statistic, minute by minute and hour by hour, since the start.
#[derive(Debug)]
pub(super) struct Ratios {
    began: Instant,
    histories: Mutex<Vec<Followed>>,
}

#[derive(Debug)]
struct Followed {
    kind: StatisticKind,
    history: History,
    last: Option<f64>,
}

impl Followed {
    /// A view counts from the start, as this does.
    fn new(view: &ViewState) -> Self {
        Self { kind: view.kind, history: History::new(Tick::from_millis(0), Counts::default()), last: None }
    }

    fn read(&mut self, now: Tick) -> (StatisticKind, HitRatios) {
        let spans = self.history.ratios(now);
        let lately = spans.minutes(LATELY).hit_ratio();
        self.last = lately.or(self.last);
        let (hour, day) = (spans.minutes(MINUTES).hit_ratio(), spans.hours(HOURS).hit_ratio());
        (self.kind, HitRatios { lately, hour, day, last: self.last })
    }
}

impl Ratios {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, histories: Mutex::default() }
    }

    /// Takes what was counted since the last look into the running minute, and tells the ratios.
    pub(super) fn read(&self, views: &[ViewState], now: Instant) -> Vec<(StatisticKind, HitRatios)> {
        let elapsed = now.saturating_duration_since(self.began);
        let now = Tick::from_millis(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        let mut histories = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
        if histories.is_empty() {
            *histories = views.iter().map(Followed::new).collect();
        }
        for view in views {
            if let Some(followed) = histories.iter_mut().find(|followed| followed.kind == view.kind) {
                followed.history.tick(now, view.counts);
            }
        }
        histories.iter_mut().map(|followed| followed.read(now)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daily(memory_hits: u64, misses: u64) -> [ViewState; 1] {
        let mut counts = Counts::default();
        (counts.memory_hits, counts.misses) = (memory_hits, misses);
        [ViewState { kind: StatisticKind::Daily, ttl: Duration::from_secs(1), counts, restored: 0 }]
    }

    #[test]
    fn each_ratio_is_of_its_own_time() {
        let start = Instant::now();
        let ratios = Ratios::new(start);
        let at = |seconds, hits, misses| {
            let read = ratios.read(&daily(hits, misses), start + Duration::from_secs(seconds));
            let [(StatisticKind::Daily, ratios)] = read[..] else { panic!("{read:?}") };
            (ratios.lately, ratios.hour, ratios.day)
        };

        assert_eq!(at(1, 0, 0), (None, None, None), "nobody has read");
        assert_eq!(at(60, 1, 3), (Some(0.25), Some(0.25), Some(0.25)));
        assert_eq!(at(10 * 60, 7, 5), (Some(0.75), Some(7.0 / 12.0), Some(7.0 / 12.0)), "six hits of eight since");
        assert_eq!(at(20 * 60, 7, 5), (None, Some(7.0 / 12.0), Some(7.0 / 12.0)), "nobody has read lately");
        assert_eq!(at(2 * 3600, 10, 5), (Some(1.0), Some(1.0), Some(10.0 / 15.0)));
        assert_eq!(at(40 * 3600, 10, 5), (None, None, None));
        assert_eq!(ratios.read(&daily(10, 5), start)[0].1.last, Some(1.0), "what was true when somebody read last");
    }
}

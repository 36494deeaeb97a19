//! From the events of the feed to invalidated tags, and whether what is kept may be served.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tierkeep_cache::{Cache, Clock, Tag};
use tokio_util::sync::CancellationToken;

use super::{Bypass, everything, table_tag};
use crate::feed::{FeedError, FeedHealth, Polled};

/// Events that one question brings at most.
pub(super) const EVENTS: u32 = 10_000;
/// Questions within the bound: an answer is served until the bound is over, so some may fail.
const QUESTIONS_PER_BOUND: u32 = 8;

#[derive(Debug)]
pub(super) struct Follower {
    clock: Clock,
    bound: Duration,
    /// When the last question began that was answered, in milliseconds of the clock; 0 = never.
    asked: AtomicU64,
    broken: RwLock<Option<Arc<[String]>>>,
    /// What was taken in; held while a question is asked, so that answers are taken in in their order.
    taken: tokio::sync::Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    position: u64,
    /// Absent before the first answer.
    epoch: Option<u64>,
    is_broken: bool,
}

/// What a question brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Changes of rows, or none.
    Rows,
    /// What was known before means nothing: the schema may have changed, too.
    Everything,
}

impl Follower {
    pub(super) fn new(clock: Clock, bound: Duration) -> Self {
        Self { clock, bound, asked: AtomicU64::new(0), broken: RwLock::default(), taken: tokio::sync::Mutex::default() }
    }

    /// Why nothing may be served that was kept, if there is a reason.
    #[inline]
    pub(super) fn objection(&self) -> Option<Bypass> {
        let asked = self.asked.load(Ordering::Acquire);
        let now = self.clock.now().as_millis();
        if asked > 0 && Duration::from_millis(now.saturating_sub(asked)) < self.bound {
            return None;
        }
        let broken = self.broken.read().unwrap_or_else(PoisonError::into_inner);
        Some(broken.as_ref().map_or(Bypass::Silent, |problems| Bypass::Broken(problems.to_vec())))
    }

    /// Asks for everything up to now and forgets what it outdates.
    pub(super) async fn catch_up<F, Fut>(&self, cache: &Cache, poll: F) -> Result<News, FeedError>
    where
        F: Fn(u64) -> Fut,
        Fut: Future<Output = Result<Polled, FeedError>>,
    {
        let mut taken = self.taken.lock().await;
        let mut news = News::Rows;
        loop {
            // Before the question: what commits meanwhile may be missing in its answer.
            let began = self.clock.now().as_millis();
            let polled = poll(taken.position).await?;
            let tags = taken.take_in(&polled);
            if tags.contains(&everything()) {
                news = News::Everything;
            }
            // In memory it is done when this returns, whatever other tiers of a shared cache say; those repeat it.
            let _ = cache.invalidate_tags(&tags).await;
            let is_whole = polled.health == FeedHealth::Whole;
            if let FeedHealth::Broken(problems) = polled.health {
                *self.broken.write().unwrap_or_else(PoisonError::into_inner) = Some(problems.into());
            } else if taken.is_broken {
                *self.broken.write().unwrap_or_else(PoisonError::into_inner) = None;
            }
            taken.is_broken = !is_whole;
            if polled.more {
                continue;
            }
            // Only what was asked of a whole feed vouches for what is kept.
            self.asked.store(if is_whole { began.max(1) } else { 0 }, Ordering::Release);
            return Ok(news);
        }
    }

    /// Runs `ask` eight times within the bound until `stop`. A question that fails is asked again.
    pub(super) async fn follow<F, Fut>(&self, ask: F, stop: CancellationToken)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        let asking = async {
            loop {
                // One that hangs is given up: what was kept is not served by then.
                let _ = tokio::time::timeout(self.bound, ask()).await;
                tokio::time::sleep(self.bound / QUESTIONS_PER_BOUND).await;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = asking => {}
        }
    }
}

impl Taken {
    /// The tags of what has changed.
    fn take_in(&mut self, polled: &Polled) -> Vec<Tag> {
        let is_first = self.epoch.is_none();
        let is_another = self.epoch.is_some_and(|epoch| epoch != polled.epoch);
        let sources: BTreeSet<&str> = polled.events.iter().map(|event| event.source.as_str()).collect();
        let is_broken = polled.health != FeedHealth::Whole;
        // Nothing was kept before the first answer.
        let nothing_holds = !is_first && (is_another || polled.gap || polled.position < self.position);
        let changed = self.is_broken != is_broken;
        self.epoch = Some(polled.epoch);
        // With more to come the events end before the feed's position. After a gap there is nothing to catch up with.
        self.position = match polled.events.last() {
            Some(last) if polled.more && !nothing_holds => last.position,
            _ => polled.position,
        };
        if nothing_holds || changed || sources.contains("") {
            return vec![everything()];
        }
        sources.into_iter().map(table_tag).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::FeedEvent;

    fn polled(position: u64, sources: &[&str]) -> Polled {
        let event = |source: &&str| FeedEvent {
            position,
            source: (*source).to_owned(),
            key: Some("1".to_owned()),
            first: None,
            last: None,
            note: None,
        };
        Polled {
            position,
            floor: 1,
            events: sources.iter().map(event).collect(),
            more: false,
            gap: false,
            health: FeedHealth::Whole,
            unsettled: false,
            epoch: 7,
        }
    }

    fn taken() -> Taken {
        let mut taken = Taken::default();
        assert_eq!(taken.take_in(&polled(5, &[])), []);
        taken
    }

    #[test]
    fn events_become_the_tags_of_their_tables_once() {
        let mut taken = taken();

        assert_eq!(taken.take_in(&polled(9, &["t", "u", "t"])), [table_tag("t"), table_tag("u")]);
        assert_eq!(taken.position, 9);
    }

    #[test]
    fn whatever_casts_doubt_on_what_was_told_forgets_everything() {
        let broken = FeedHealth::Broken(vec!["gone".to_owned()]);
        for doubtful in [
            Polled { gap: true, ..polled(9, &["t"]) },
            Polled { epoch: 8, ..polled(9, &["t"]) },
            Polled { health: broken, ..polled(9, &["t"]) },
            polled(4, &[]),
            polled(9, &["t", ""]),
        ] {
            assert_eq!(taken().take_in(&doubtful), [everything()], "{doubtful:?}");
        }
    }

    #[test]
    fn events_that_were_cut_off_are_asked_for_next() {
        let mut taken = taken();
        let mut cut = polled(6, &["t"]);
        (cut.more, cut.position) = (true, 20);

        taken.take_in(&cut);

        assert_eq!(taken.position, 6);
    }

    #[tokio::test]
    async fn nothing_is_served_before_the_first_answer_nor_after_the_bound() {
        let clock = Clock::manual();
        let follower = Follower::new(clock.clone(), Duration::from_secs(1));
        let cache = Cache::builder("t").build().unwrap();
        assert_eq!(follower.objection(), Some(Bypass::Silent));

        follower.catch_up(&cache, async |_| Ok(polled(5, &[]))).await.unwrap();
        clock.advance(Duration::from_millis(999));
        assert_eq!(follower.objection(), None);
        clock.advance(Duration::from_millis(1));

        assert_eq!(follower.objection(), Some(Bypass::Silent));
    }

    #[tokio::test]
    async fn broken_feed_is_an_objection_until_it_is_whole() {
        let follower = Follower::new(Clock::manual(), Duration::from_secs(1));
        let cache = Cache::builder("t").build().unwrap();
        let broken = || Polled { health: FeedHealth::Broken(vec!["gone".to_owned()]), ..polled(5, &[]) };

        follower.catch_up(&cache, async |_| Ok(broken())).await.unwrap();
        assert_eq!(follower.objection(), Some(Bypass::Broken(vec!["gone".to_owned()])));
        follower.catch_up(&cache, async |_| Ok(polled(6, &[""]))).await.unwrap();

        assert_eq!(follower.objection(), None);
    }
}

//! From the events of the feed to invalidated tags, and whether what is kept may be served.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tierkeep_cache::{Cache, Clock, Tag, Tick};
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
    /// The tags of all tables, and the one of any.
    all: Vec<Tag>,
    /// When the last question began that was answered, in milliseconds of the clock; 0 = never.
    asked: AtomicU64,
    broken: RwLock<Option<Arc<[String]>>>,
    /// What was taken in; held while a question is asked, so that answers are taken in in their order.
    taken: tokio::sync::Mutex<Taken>,
}

#[derive(Debug, Clone, Default)]
struct Taken {
    position: u64,
    /// Absent before the first answer.
    epoch: Option<u64>,
    is_broken: bool,
}

/// What a question brought.
#[derive(Debug, PartialEq, Eq)]
enum News {
    /// Rows of these tables changed.
    Tables(Vec<Tag>),
    /// What was known before means nothing: the schema may have changed, too.
    Everything,
}

impl Follower {
    pub(super) fn new<'a>(clock: Clock, bound: Duration, sources: impl Iterator<Item = &'a str>) -> Self {
        let all = sources.map(table_tag).chain([everything()]).collect();
        Self {
            clock,
            bound,
            all,
            asked: AtomicU64::new(0),
            broken: RwLock::default(),
            taken: tokio::sync::Mutex::default(),
        }
    }

    /// Whether what was kept may be served.
    #[inline]
    pub(super) fn vouches(&self, now: Tick) -> bool {
        let asked = self.asked.load(Ordering::Acquire);
        asked > 0 && now < Tick::from_millis(asked).after(self.bound)
    }

    /// Why nothing may be served that was kept, if there is a reason.
    pub(super) fn objection(&self) -> Option<Bypass> {
        if self.vouches(self.clock.now()) {
            return None;
        }
        let broken = self.broken.read().unwrap_or_else(PoisonError::into_inner);
        Some(broken.as_ref().map_or(Bypass::Silent, |problems| Bypass::Broken(problems.to_vec())))
    }

    /// The tags of everything that depends on any table.
    pub(super) fn all(&self) -> &[Tag] {
        &self.all
    }

    /// Asks for everything up to now and forgets what it outdates; `forget` is for what depends on the schema.
    ///
    /// If the future is dropped, the same is asked again next time.
    pub(super) async fn catch_up<F, Fut>(&self, cache: &Cache, forget: impl Fn(), poll: F) -> Result<(), FeedError>
    where
        F: Fn(u64) -> Fut,
        Fut: Future<Output = Result<Polled, FeedError>>,
    {
        let mut taken = self.taken.lock().await;
        loop {
            // Before the question: what commits meanwhile may be missing in its answer.
            let began = self.clock.now().as_millis();
            let polled = poll(taken.position).await?;
            let mut next = taken.clone();
            let tags = match next.take_in(&polled) {
                News::Tables(tags) => tags,
                News::Everything => {
                    forget();
                    self.all.clone()
                }
            };
            // In memory it is done when this returns, whatever other tiers of a shared cache say; those repeat it.
            let _ = cache.invalidate_tags(&tags).await;
            // Only now: what was not forgotten is asked for again.
            let was_broken = std::mem::replace(&mut *taken, next).is_broken;
            let is_whole = polled.health == FeedHealth::Whole;
            if let FeedHealth::Broken(problems) = polled.health {
                *self.broken.write().unwrap_or_else(PoisonError::into_inner) = Some(problems.into());
            } else if was_broken {
                *self.broken.write().unwrap_or_else(PoisonError::into_inner) = None;
            }
            if polled.more {
                continue;
            }
            // Only what was asked of a whole feed vouches for what is kept.
            self.asked.store(if is_whole { began.max(1) } else { 0 }, Ordering::Release);
            return Ok(());
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
    fn take_in(&mut self, polled: &Polled) -> News {
        // Whoever shares the cache may have kept something before the first answer.
        let is_another = self.epoch != Some(polled.epoch);
        let sources: BTreeSet<&str> = polled.events.iter().map(|event| event.source.as_str()).collect();
        let is_broken = polled.health != FeedHealth::Whole;
        let nothing_holds = is_another || polled.gap || polled.position < self.position;
        let changed = std::mem::replace(&mut self.is_broken, is_broken) != is_broken;
        self.epoch = Some(polled.epoch);
        // With more to come the events end before the feed's position. After a gap there is nothing to catch up with.
        self.position = match polled.events.last() {
            Some(last) if polled.more && !nothing_holds => last.position,
            _ => polled.position,
        };
        if nothing_holds || changed || sources.contains("") {
            return News::Everything;
        }
        News::Tables(sources.into_iter().map(table_tag).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tierkeep_cache::remote::{InProcess, RemoteTier};
    use tierkeep_cache::testing::{CallFaults, FaultyRemote};

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
        assert_eq!(taken.take_in(&polled(5, &[])), News::Everything, "what was kept before the first answer");
        taken
    }

    #[test]
    fn events_become_the_tags_of_their_tables_once() {
        let mut taken = taken();

        assert_eq!(taken.take_in(&polled(9, &["t", "u", "t"])), News::Tables(vec![table_tag("t"), table_tag("u")]));
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
            assert_eq!(taken().take_in(&doubtful), News::Everything, "{doubtful:?}");
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
        let follower = Follower::new(clock.clone(), Duration::from_secs(1), ["t"].into_iter());
        let cache = Cache::builder("t").build().unwrap();
        assert_eq!(follower.objection(), Some(Bypass::Silent));

        follower.catch_up(&cache, || (), async |_| Ok(polled(5, &[]))).await.unwrap();
        clock.advance(Duration::from_millis(999));
        assert_eq!(follower.objection(), None);
        clock.advance(Duration::from_millis(1));

        assert_eq!(follower.objection(), Some(Bypass::Silent));
    }

    #[tokio::test(start_paused = true)]
    async fn question_that_was_given_up_before_its_answer_was_acted_upon_is_asked_again() {
        let remote = Arc::new(FaultyRemote::new(Arc::new(InProcess::new(Clock::manual())), 1));
        let cache = Cache::builder("t").remote(Arc::clone(&remote) as Arc<dyn RemoteTier>).build().unwrap();
        let follower = Follower::new(Clock::manual(), Duration::from_secs(1), ["t"].into_iter());
        follower.catch_up(&cache, || (), async |_| Ok(polled(5, &[]))).await.unwrap();
        let asked = Mutex::new(Vec::new());
        let poll = |after| {
            asked.lock().unwrap().push(after);
            std::future::ready(Ok(polled(9, &["t"])))
        };

        remote.set(CallFaults { black_hole: true, ..CallFaults::default() });
        let given_up = tokio::time::timeout(Duration::from_millis(100), follower.catch_up(&cache, || (), poll)).await;
        remote.set(CallFaults::default());
        follower.catch_up(&cache, || (), poll).await.unwrap();
        follower.catch_up(&cache, || (), poll).await.unwrap();

        assert!(given_up.is_err());
        assert_eq!(*asked.lock().unwrap(), [5, 5, 9]);
    }

    #[tokio::test]
    async fn broken_feed_is_an_objection_until_it_is_whole() {
        let follower = Follower::new(Clock::manual(), Duration::from_secs(1), ["t"].into_iter());
        let cache = Cache::builder("t").build().unwrap();
        let broken = || Polled { health: FeedHealth::Broken(vec!["gone".to_owned()]), ..polled(5, &[]) };

        follower.catch_up(&cache, || (), async |_| Ok(broken())).await.unwrap();
        assert_eq!(follower.objection(), Some(Bypass::Broken(vec!["gone".to_owned()])));
        follower.catch_up(&cache, || (), async |_| Ok(polled(6, &[""]))).await.unwrap();

        assert_eq!(follower.objection(), None);
    }
}

//! The cache of answers: one view for each statistic over memory and Redis, and the feed that vouches for it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use thiserror::Error;
use tierkeep_cache::redis::{Redis, RedisConfigError};
use tierkeep_cache::{
    BuildError, Cache, CacheBuilder, Explanation, LoadError, LoadLimit, Loaded, Policy, Promise, Receipt, View,
};
use tierkeep_learning::key::UserId;
use tierkeep_learning::service::{ServiceError, Statistics};
use tierkeep_learning::statistic::StatisticKind;
use tierkeep_learning::store::StoreError;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::body::{Body, BodyCodec};
use super::computing::{Kitchen, Refused, computing, is_not_asked, loaded, not_asked, served};
use super::feed::{Feed, Standing};
use super::learned::Learning;
use super::policy::{policy, tags, user_tag};
use super::question::Question;
use super::state::{SharedTier, State, ViewState};
use super::warmup::Warmup;
use super::{Found, FoundByUser, Invalidation, Tier, answer, compute_many};
use crate::clock::Clock;
use crate::config::{
    Cache as CacheConfig, Freshness, Redis as RedisOptions, RedisUrlError, Ttls, Warmup as WarmupOptions,
};
use crate::watch::{SharedWatch, Waited};

/// Computations at once, those that a warm-up takes part of included.
const LOADS: usize = 256;

/// How answers are kept.
#[derive(Debug, Clone)]
pub struct KeepingOptions {
    /// Memory, and lives.
    pub cache: CacheConfig,
    /// The tier that nodes share.
    pub redis: RedisOptions,
    /// How old an answer may be.
    pub freshness: Freshness,
    /// What is computed before anybody asks.
    pub warmup: WarmupOptions,
    /// Longest time for one computation.
    pub patience: Duration,
    /// The present instant, for what is computed before anybody asks.
    pub clock: Clock,
}

/// Why the tiers cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The database does not say who it is.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address of Redis cannot be used.
    #[error(transparent)]
    RedisUrl(#[from] RedisUrlError),
    /// Redis cannot be used as configured.
    #[error(transparent)]
    Redis(#[from] RedisConfigError),
    /// The cache cannot be built as configured.
    #[error(transparent)]
    Cache(#[from] BuildError),
}

pub(super) struct Keeping {
    cache: Cache,
    redis: Option<Redis>,
    views: [View<Question, Body>; StatisticKind::ALL.len()],
    feed: Arc<Feed>,
    warmup: Arc<Warmup>,
    kitchen: Arc<Kitchen>,
    learning: Option<Learning>,
    options: KeepingOptions,
    stop: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl fmt::Debug for Keeping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeping").field("cache", &self.cache).field("feed", &self.feed).finish_non_exhaustive()
    }
}

impl Keeping {
    /// `None` where changes cannot be told.
    pub(super) async fn open(statistics: &Statistics, options: &KeepingOptions) -> Result<Option<Self>, OpenError> {
        let store = statistics.store();
        let Some(installation) = store.installation().await? else { return Ok(None) };
        if store.is_read_only() {
            return Ok(None);
        }
        let redis = connect(&options.redis, &installation).await?;
        let learning = Learning::new(options.warmup, &installation);
        // whoever is told that too many wait computes by themselves, beyond the limit: a request waits as long as it may
        let limit = LoadLimit::concurrent(LOADS).wait(options.patience);
        let builder = builder(redis.as_ref()).memory(options.cache.l1.get()).load_limit(limit);
        let cache = learning.iter().fold(builder, |builder, learning| builder.hot(learning.hot())).build()?;
        let warmup = Arc::new(Warmup::new(options.warmup, redis.is_some()));
        let feed = Arc::new(Feed::new(Arc::clone(store), options.freshness.bound, Arc::clone(&warmup)));
        // before the first question is answered, so that its answer can be kept
        feed.ask(&cache).await;
        let views = views(&cache, options, &feed)?;
        let kitchen =
            Arc::new(Kitchen { statistics: statistics.clone(), feed: Arc::clone(&feed), views: views.clone() });
        let stop = CancellationToken::new();
        let following = tokio::spawn({
            let (feed, stop, cache) = (Arc::clone(&feed), stop.clone(), cache.clone());
            async move { feed.follow(cache, stop).await }
        });
        let warming = tokio::spawn({
            let (warmup, stop, kitchen) = (Arc::clone(&warmup), stop.clone(), Arc::clone(&kitchen));
            let (clock, ttls) = (options.clock, options.cache.ttl);
            let warm = move |question: Question| {
                let kitchen = Arc::clone(&kitchen);
                async move { kitchen.warm(question, ttls.of(question.kind()), clock.now()).await }
            };
            async move { warmup.work(warm, stop).await }
        });
        let tasks = Mutex::new(vec![following, warming]);
        let options = options.clone();
        Ok(Some(Self { cache, redis, views, feed, warmup, kitchen, learning, options, stop, tasks }))
    }

    /// Begins to compute what was hot before a restart, and to keep what is for the next one.
    pub(super) fn begin_restore(&self) {
        if let Some(learning) = &self.learning {
            learning.begin(&self.cache, &self.kitchen, self.ttls(), self.options.clock);
        }
    }

    pub(super) fn learning(&self) -> Option<&Learning> {
        self.learning.as_ref()
    }

    pub(super) fn standing(&self) -> Standing {
        self.feed.standing()
    }

    pub(super) fn is_unfolded(&self) -> bool {
        self.feed.is_unfolded()
    }

    /// Learns what changed up to now; `None` if the database does not say, or a change may have gone unnoticed. If it does
    /// not say, what was kept is not served until it does: a write of this node may be what it would have said.
    pub(super) async fn learn(&self) -> Option<u64> {
        if !self.feed.ask(&self.cache).await {
            self.feed.doubt();
            return None;
        }
        (self.feed.standing() != Standing::Untold).then(|| self.feed.position())
    }

    pub(super) fn position(&self) -> u64 {
        self.feed.position()
    }

    /// How long the database is waited for while it does not say whether anything changed, before a kept answer will do.
    pub(super) fn patience(&self) -> Duration {
        self.options.freshness.bound
    }

    pub(super) fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    pub(super) fn ttls(&self) -> Ttls {
        self.options.cache.ttl
    }

    pub(super) fn view(&self, question: &Question) -> &View<Question, Body> {
        &self.views[question.kind() as usize]
    }

    /// From memory, if there is nothing to be waited for.
    pub(super) fn at_once(&self, question: Question, now: Timestamp) -> Option<Found> {
        let found = served(self.view(&question).at_once(&question)?, now)?;
        self.note_asked(question, found.tier);
        Some(found)
    }

    /// From the nearest tier. Whoever asks the same meanwhile waits for the same computation.
    pub(super) async fn ask(
        &self,
        statistics: &Statistics,
        watch: &SharedWatch,
        question: Question,
        now: Timestamp,
    ) -> Result<Found, Arc<ServiceError>> {
        let ttl = self.options.cache.ttl.of(question.kind());
        let compute = {
            let (statistics, watch, feed) = (statistics.clone(), Arc::clone(watch), Arc::clone(&self.feed));
            let (asking, traced) = (Span::current(), crate::telemetry::Span::current());
            move |_| {
                let computing = async move {
                    // before anything is read: what changes from here on makes the answer too old
                    let position = feed.position();
                    let body = answer(&statistics, &watch, question, now).await?;
                    Ok::<_, ServiceError>(loaded(body, position, ttl, now))
                };
                traced.during(computing.instrument(asking))
            }
        };
        let began = Instant::now();
        let mut waited = Waited::default();
        let found = match self.view(&question).fetch(&question, compute).await {
            Ok(found) => served(found, now),
            Err(LoadError::Loader(error)) if !is_not_asked(&error) => return Err(error),
            Err(LoadError::Overloaded) => {
                waited.turn = began.elapsed();
                None
            }
            Err(_) => None,
        };
        let found = match found {
            Some(found) => found,
            // another reader's look at what is left, from when the database did not answer, which this one has joined; or
            // of another day by a clock that was set, or something of the cache failed: the database knows
            None => Found { waited, ..Found::computed(answer(statistics, watch, question, now).await?) },
        };
        self.note_asked(question, found.tier);
        Ok(found)
    }

    #[inline]
    fn note_asked(&self, question: Question, tier: Tier) {
        match tier {
            Tier::L1 => self.warmup.hit(question),
            Tier::L2 | Tier::L3 | Tier::Miss | Tier::Stale => self.warmup.missed(question),
        }
    }

    /// From the nearest tiers, for learners each of whom is asked for once.
    pub(super) async fn ask_many(
        &self,
        statistics: &Statistics,
        watch: &SharedWatch,
        users: &[UserId],
        question: Question,
        now: Timestamp,
    ) -> Result<FoundByUser, Arc<ServiceError>> {
        let question = question.canonical();
        let questions: Vec<Question> = users.iter().map(|user| question.about(*user)).collect();
        let ttl = self.options.cache.ttl.of(question.kind());
        let refused = Refused::default();
        let watched = Some(Arc::clone(watch));
        let loader = computing(statistics, &self.feed, watched, ttl, now, Arc::clone(&refused));
        let mut found = match self.view(&question).fetch_many(&questions, loader).await {
            Ok(found) => found,
            // one of them was somebody else's load already, and failed for its learner only, or the cache has failed
            Err(LoadError::Loader(error)) if matches!(*error, ServiceError::Store(_)) && !is_not_asked(&error) => {
                return Err(error);
            }
            Err(_) => HashMap::new(),
        };
        let mut answers = std::mem::take(&mut *refused.lock().unwrap_or_else(PoisonError::into_inner));
        let mut missing = Vec::new();
        for (question, user) in questions.iter().zip(users) {
            match found.remove(question).and_then(|found| served(found, now)) {
                Some(found) => {
                    self.note_asked(*question, found.tier);
                    answers.insert(*user, Ok(found));
                }
                None if answers.contains_key(user) => {}
                None => missing.push(*user),
            }
        }
        if !missing.is_empty() {
            answers.extend(compute_many(statistics, watch, &missing, question, now).await?);
        }
        Ok(answers)
    }

    /// As [`Keeping::leftover`], if there is one for each learner.
    pub(super) async fn leftovers(
        &self,
        behind: Duration,
        users: &[UserId],
        question: Question,
        now: Timestamp,
    ) -> Option<FoundByUser> {
        let all = async {
            let mut kept = HashMap::with_capacity(users.len());
            for user in users {
                kept.insert(*user, Ok(self.leftover(behind, question.about(*user), now).await?));
            }
            Some(kept)
        };
        tokio::time::timeout(self.patience(), all).await.ok()?
    }

    /// What is kept of an answer while the database is down, if that is not for too long.
    pub(super) async fn leftover(&self, behind: Duration, question: Question, now: Timestamp) -> Option<Found> {
        if behind > self.options.freshness.max_stale {
            return None;
        }
        let nothing = async |_| Err::<Loaded<Body>, _>(not_asked());
        let kept = self.view(&question).fetch(&question, nothing);
        let kept = tokio::time::timeout(self.patience(), kept).await.ok()?.ok()?;
        let body = kept.value.filter(|body| body.holds().contains(&now))?;
        Some(Found { body, tier: Tier::Stale, age: kept.age, waited: kept.waits.into() })
    }

    pub(super) fn state(&self) -> State {
        let views = StatisticKind::ALL.into_iter().zip(&self.views);
        State {
            standing: self.standing(),
            position: self.feed.position(),
            behind: self.feed.behind(),
            broken: self.feed.broken(),
            cache: self.cache.state(),
            shared: match &self.redis {
                None => SharedTier::None,
                Some(redis) if redis.is_connected() => SharedTier::Connected,
                Some(_) => SharedTier::Away,
            },
            views: views
                .map(|(kind, view)| ViewState {
                    kind,
                    ttl: self.options.cache.ttl.of(kind),
                    counts: view.counts(),
                    restored: self.learning.as_ref().map_or(0, |learning| learning.restored(kind)),
                })
                .collect(),
            polls: self.feed.polls(),
            warmup: self.warmup.counts(),
            learned: self.learning.as_ref().and_then(Learning::state),
        }
    }

    pub(super) async fn explain(&self, question: Question) -> Explanation {
        self.view(&question).explain(&question).await
    }

    pub(super) async fn invalidate(&self, order: &Invalidation) -> Receipt {
        match order {
            Invalidation::Keys(questions) => {
                let mut receipt = self.cache.invalidate_tags(&[]).await;
                for question in questions {
                    let one = self.view(question).invalidate(question).await;
                    if receipt.is_complete() {
                        receipt = one;
                    }
                }
                receipt
            }
            Invalidation::Learners(users) => {
                let tags: Vec<_> = users.iter().map(|user| user_tag(*user)).collect();
                let receipt = self.cache.invalidate_tags(&tags).await;
                self.remove_values(users).await;
                receipt
            }
            Invalidation::Tags(tags) => self.cache.invalidate_tags(tags).await,
            Invalidation::Everything => self.cache.clear().await,
        }
    }

    /// What is outdated already and is to be gone as well.
    async fn remove_values(&self, users: &[UserId]) {
        let Some(redis) = &self.redis else { return };
        if let Err(error) = redis.remove_values(|key| users.iter().any(|user| is_about(key, *user))).await {
            tracing::warn!(%error, "outdated answers stay in Redis until their time ends");
        }
    }

    /// How many answers in memory had expired.
    pub(super) fn sweep(&self) -> u64 {
        let expired = || self.cache.counts().expired;
        let before = expired();
        self.cache.sweep();
        expired() - before
    }

    pub(super) async fn close(&self) {
        self.stop.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            if task.await.is_err() {
                tracing::error!("a task that follows the database's changes panicked");
            }
        }
        if let Some(learning) = &self.learning {
            learning.close().await;
        }
        self.cache.close().await;
    }
}

/// Whether a kept answer is about a learner, by the bytes of its key, which end with the text of a question.
fn is_about(key: &[u8], user: UserId) -> bool {
    let text = String::from_utf8_lossy(key);
    let (user, kinds) = (user.to_string(), StatisticKind::ALL);
    kinds.iter().any(|kind| {
        let beginning = format!("{}/{user}", kind.name());
        text.split(&beginning).skip(1).any(|after| after.is_empty() || after.starts_with('/'))
    })
}

/// Names of keys begin with the installation's own: two installations on one Redis never meet.
async fn connect(options: &RedisOptions, installation: &str) -> Result<Option<Redis>, OpenError> {
    let Some(url) = &options.url else { return Ok(None) };
    let config = url
        .config()?
        .prefix(format!("{}:{installation}", options.prefix))
        .connect_timeout(options.connect_timeout)
        .command_timeout(options.command_timeout);
    Ok(Some(Redis::connect(config).await?))
}

/// What other nodes do is told by the database, not by the bus, which brings orders of people only: so memory is served
/// without a lease, and Redis may be down for as long as it likes.
fn builder(redis: Option<&Redis>) -> CacheBuilder {
    // the coarse clock wakes up 500 times a second, more than all that an idle node does besides
    let builder = Cache::builder("statistics").promise(Promise::Local).clock(tierkeep_cache::Clock::precise());
    match redis {
        None => builder,
        Some(redis) => builder.remote(Arc::new(redis.tier())).bus(Arc::new(redis.bus())),
    }
}

fn views(
    cache: &Cache,
    options: &KeepingOptions,
    feed: &Arc<Feed>,
) -> Result<[View<Question, Body>; StatisticKind::ALL.len()], BuildError> {
    let view = |kind: StatisticKind| {
        let feed = Arc::clone(feed);
        let rules: Policy = policy(options.cache.ttl.of(kind), options.freshness.max_stale, options.patience);
        cache
            .view(kind.name())
            .policy(rules)
            .codec(BodyCodec)
            .tags(tags)
            .required_position(move |question: &Question| Some(feed.required(question.user())))
            .build()
    };
    use StatisticKind::{Analytics, Courses, Daily, Global, Heatmap, Monthly, Streaks, Weekly};
    Ok([
        view(Daily)?,
        view(Weekly)?,
        view(Monthly)?,
        view(Analytics)?,
        view(Streaks)?,
        view(Heatmap)?,
        view(Courses)?,
        view(Global)?,
    ])
}

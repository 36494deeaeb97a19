//! What both databases have in common: answers, where they come from, and how they are kept.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tierkeep_cache::{BuildError, Cache, CacheKey, Clock, Counts, KeyWriter, LoadContext, LoadError, Policy, View};
use tokio_util::sync::CancellationToken;

use super::follower::Follower;
use super::plans::{Plans, Prepared};
use super::{Bypass, ParameterKey};
use crate::feed::{Feed, FeedError, Polled};
use crate::{Dialect, Error};

/// How answers are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuerySettings {
    /// Name of the cache's view, one for each database and role; default `queries`.
    pub view: String,
    /// How long an answer lives, even if nothing changes; default 300 s.
    pub ttl: Duration,
    /// Longest time since the feed was asked for which an answer is served; at least 10 ms, default 1 s. Exact
    /// to some milliseconds, as the cache's own clock is.
    pub bound: Duration,
    /// Largest answer that is kept, in bytes; default 1 MiB. The bound of all is that of the cache.
    pub largest: usize,
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self {
            view: "queries".to_owned(),
            ttl: Duration::from_secs(300),
            bound: Duration::from_secs(1),
            largest: 1 << 20,
        }
    }
}

/// The rows of a query, and where they come from.
#[derive(Debug)]
pub struct Answer<R> {
    /// The rows, shared with whoever asks the same.
    pub rows: Arc<Vec<R>>,
    /// Where they come from.
    pub origin: Origin,
}

/// Where an answer comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// From memory, or from another caller's query that was under way.
    Cache,
    /// From the database; it is kept unless a table changed meanwhile.
    Database,
    /// From the database, and it is not kept.
    Bypassed(Bypass),
}

/// What can go wrong with a query.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The database, or the way to it, refused the query. Shared by all who waited for it.
    #[error(transparent)]
    Database(Arc<Error>),
    /// The cache could not load: too many loads wait, a load took more than 30 s, or the cache was closed.
    #[error("the query was not run: {0}")]
    NotRun(String),
    /// The cache cannot be made: the name of its view is taken.
    #[error("the answers cannot be kept")]
    Cache(#[from] BuildError),
    /// The feed cannot be read.
    #[error("the change feed cannot be read")]
    Feed(#[from] FeedError),
}

impl From<Error> for QueryError {
    fn from(error: Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

/// Why a load brings nothing that may be shared.
#[derive(Debug)]
pub(super) enum LoadFailure {
    Database(Arc<Error>),
    /// What this connection would answer is not for those who wait.
    OtherSession,
}

impl From<Error> for LoadFailure {
    fn from(error: Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

impl fmt::Display for LoadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => error.fmt(f),
            Self::OtherSession => Bypass::OtherSession.fmt(f),
        }
    }
}

/// A key that is encoded already.
pub(super) struct EncodedKey(ParameterKey);

impl CacheKey for EncodedKey {
    fn write(&self, key: &mut KeyWriter) {
        key.bytes(self.0.as_bytes());
    }

    fn whole(&self) -> Option<&[u8]> {
        Some(self.0.as_bytes())
    }
}

impl EncodedKey {
    pub(super) fn new(number: u64, mut parameters: ParameterKey) -> Self {
        parameters.number(number);
        Self(parameters)
    }
}

/// A query that memory did not answer.
pub(super) struct Asked {
    pub(super) parameters: ParameterKey,
    /// Of its text, if the answers of that are known to be kept.
    pub(super) number: Option<u64>,
}

/// Answers by text and parameters, with what is needed to judge them.
pub(super) struct Kept<R> {
    cache: Cache,
    view: View<EncodedKey, Vec<R>>,
    pub(super) plans: Plans,
    pub(super) follower: Follower,
    pub(super) clock: Clock,
}

impl<R: Send + Sync + 'static> Kept<R> {
    pub(super) fn new(
        cache: &Cache,
        settings: &QuerySettings,
        feed: &Feed,
        dialect: Dialect,
        weigh: impl Fn(&R) -> usize + Send + Sync + 'static,
    ) -> Result<Self, QueryError> {
        if settings.bound < Duration::from_millis(10) {
            let given = format!("{:?}", settings.bound);
            return Err(Error::InvalidSetting { setting: "bound", given, accepted: "10 ms or more" }.into());
        }
        let clock = Clock::coarse();
        let policy = Policy::ttl(settings.ttl).max_value_bytes(settings.largest);
        let weigh = move |rows: &Vec<R>| size_of::<Vec<R>>() + rows.iter().map(&weigh).sum::<usize>();
        let view = cache.view(&settings.view).policy(policy).build_weighed(weigh)?;
        Ok(Self {
            cache: cache.clone(),
            view,
            plans: Plans::new(dialect, settings.ttl),
            follower: Follower::new(clock.clone(), settings.bound, feed.sources().iter().map(|source| source.name)),
            clock,
        })
    }

    /// The number of a text whose answers are known to be kept, without a look at anything else.
    #[inline]
    pub(super) fn number(&self, text: &str, is_about_now: bool) -> Option<u64> {
        let now = self.clock.now();
        if is_about_now || !self.follower.vouches(now) {
            return None;
        }
        self.plans.number(text, now)
    }

    /// The same of a prepared text.
    #[inline]
    pub(super) fn number_of(&self, prepared: &Prepared, is_about_now: bool) -> Option<u64> {
        let now = self.clock.now();
        if is_about_now || !self.follower.vouches(now) {
            return None;
        }
        self.plans.number_of(prepared, now)
    }

    /// The answer to the parameters of a text if memory has it and there is nothing to wait for: without a look at the
    /// room that a future needs in which a query may be run.
    #[inline]
    pub(super) fn at_once(&self, number: Option<u64>, parameters: ParameterKey) -> Result<Answer<R>, Asked> {
        let Some(known) = number else { return Err(Asked { parameters, number }) };
        let key = EncodedKey::new(known, parameters);
        match self.view.value_at_once(&key) {
            Some(rows) => Ok(Answer { rows, origin: Origin::Cache }),
            None => Err(Asked { parameters: key.0, number }),
        }
    }

    /// Names the tables that an answer under a number rests on to whoever keeps it.
    pub(super) fn depend(&self, context: &LoadContext<Vec<R>>, sql: &str, number: u64) {
        // Absent, or another one, only if it was forgotten this moment.
        match self.plans.get(sql, self.clock.now()) {
            Some(plan) if plan.number == number => plan.tags().iter().for_each(|tag| {
                context.tag(tag);
            }),
            _ => {
                context.do_not_store();
            }
        }
    }

    /// Asks the feed for everything up to now and forgets what it outdates.
    pub(super) async fn catch_up<F, Fut>(&self, poll: F) -> Result<(), QueryError>
    where
        F: Fn(u64) -> Fut,
        Fut: Future<Output = Result<Polled, FeedError>>,
    {
        Ok(self.follower.catch_up(&self.cache, || self.plans.forget(), poll).await?)
    }

    /// Runs `catch_up` eight times within the bound until `stop`; one that fails is tried again.
    pub(super) async fn follow<F, Fut>(&self, catch_up: F, stop: CancellationToken)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<(), QueryError>>,
    {
        let ask = || async {
            // Silence is seen by the bound: nothing that was kept is served then.
            let _ = catch_up().await;
        };
        self.follower.follow(ask, stop).await;
    }

    /// Forgets all answers, and what is known of texts.
    pub(super) async fn forget(&self) {
        self.plans.forget();
        // Other tiers of a shared cache repeat it until it is done.
        let _ = self.cache.invalidate_tags(self.follower.all()).await;
    }

    /// What the cache has counted of the answers.
    pub(super) fn counts(&self) -> Counts {
        self.view.counts()
    }

    /// The answer under a key, or what `load` brings; `None` if that, or the load of whoever it waited for, found another
    /// session.
    ///
    /// The load borrows from its caller; if that goes away, whoever waits for it loads anew.
    pub(super) async fn answer<F, Fut>(&self, key: &EncodedKey, load: F) -> Result<Option<Answer<R>>, QueryError>
    where
        F: FnOnce(LoadContext<Vec<R>>) -> Fut + Send,
        Fut: Future<Output = Result<Vec<R>, LoadFailure>> + Send,
    {
        let mut origin = Origin::Cache;
        let told = &mut origin;
        let rows = self
            .view
            .get_or_load_here(key, |context| async move {
                *told = Origin::Database;
                load(context).await
            })
            .await;
        match rows {
            Ok(rows) => Ok(Some(Answer { rows, origin })),
            Err(LoadError::Loader(failure)) => match &*failure {
                LoadFailure::Database(error) => Err(QueryError::Database(Arc::clone(error))),
                LoadFailure::OtherSession => Ok(None),
            },
            Err(other) => Err(QueryError::NotRun(other.to_string())),
        }
    }
}

impl<R> fmt::Debug for Kept<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("view", &self.view).finish_non_exhaustive()
    }
}

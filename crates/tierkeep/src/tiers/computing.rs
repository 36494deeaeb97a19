//! The way of an answer from the database into the cache: for readers of many, and before anybody asks.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tierkeep_cache::{Loaded, Source, View};
use tierkeep_learning::key::UserId;
use tierkeep_learning::service::{ServiceError, Statistics};
use tierkeep_learning::statistic::StatisticKind;
use tierkeep_learning::store::StoreError;

use super::body::Body;
use super::feed::{Feed, Standing};
use super::question::Question;
use super::warmup::Warmed;
use super::{Found, FoundByUser, Tier, answers, of_many};
use crate::telemetry::Span;
use crate::watch::{SharedWatch, about};

/// What is computed before anybody asks, where it goes, and what vouches for it.
pub(super) struct Kitchen {
    pub(super) statistics: Statistics,
    pub(super) feed: Arc<Feed>,
    pub(super) views: [View<Question, Body>; StatisticKind::ALL.len()],
}

impl Kitchen {
    /// Brings an answer into the tiers, if none of them has it, behind all readers.
    pub(super) async fn warm(&self, question: Question, ttl: Duration, now: Timestamp) -> Warmed {
        if self.feed.standing() != Standing::Current {
            return Warmed::NotNow;
        }
        // why a learner has no answer is nothing that anybody waits for
        let loader = computing(&self.statistics, &self.feed, None, ttl, now, Refused::default());
        match self.views[question.kind() as usize].warm(&[question], loader).await {
            Ok(_) => Warmed::Yes,
            Err(error) => {
                tracing::debug!(%question, %error, "an answer could not be computed in advance");
                Warmed::Failed
            }
        }
    }
}

/// Computes the answers to questions that differ in their learners only; why some have none goes to `refused`, and what it
/// cost to who watches.
pub(super) fn computing(
    statistics: &Statistics,
    feed: &Arc<Feed>,
    watch: Option<SharedWatch>,
    ttl: Duration,
    now: Timestamp,
    refused: Refused,
) -> impl Fn(Vec<Question>) -> LoadingMany + Send + Sync + 'static {
    let (statistics, feed) = (statistics.clone(), Arc::clone(feed));
    // loads have tasks of their own
    let traced = Span::current();
    move |questions| {
        let (statistics, feed, refused) = (statistics.clone(), Arc::clone(&feed), Arc::clone(&refused));
        let watch = watch.clone();
        Box::pin(traced.during(async move {
            let position = feed.position();
            let users: Vec<UserId> = questions.iter().filter_map(Question::user).collect();
            let Some(question) = questions.first() else { return Ok(Vec::new()) };
            let computing = answers(&statistics, &users, *question, now);
            let answers = match watch {
                Some(watch) => {
                    watch.computing(about(question.kind(), None), computing, |answers| of_many(answers)).await?
                }
                None => computing.await?,
            };
            let mut refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
            let mut computed = Vec::with_capacity(questions.len());
            for ((question, user), answer) in questions.iter().zip(users).zip(answers) {
                match answer {
                    Ok(body) => computed.push((*question, loaded(body, position, ttl, now))),
                    Err(error) => drop(refused.insert(user, Err(error.into()))),
                }
            }
            Ok(computed)
        }))
    }
}

/// Why learners have no answer.
pub(super) type Refused = Arc<Mutex<FoundByUser>>;
type LoadingMany = Pin<Box<dyn Future<Output = Result<Vec<(Question, Loaded<Body>)>, ServiceError>> + Send>>;

/// A body as it is kept: with the position that was known before anything was read, as what changes from there on makes it
/// too old, and no longer than its day.
pub(super) fn loaded(body: Body, position: u64, ttl: Duration, now: Timestamp) -> Loaded<Body> {
    let left = Duration::try_from(now.duration_until(body.holds().end)).unwrap_or_default();
    Loaded::value(body).position(position).ttl(ttl.min(left))
}

/// What the cache found, if it is an answer now.
pub(super) fn served(found: tierkeep_cache::Found<Body>, now: Timestamp) -> Option<Found> {
    let tierkeep_cache::Found { value, source, stale, age, waits } = found;
    let body = value.filter(|body| body.holds().contains(&now))?;
    let tier = match source {
        _ if stale => Tier::Stale,
        Source::Memory => Tier::L1,
        Source::Remote => Tier::L2,
        Source::Loader => Tier::computed(body.basis()),
    };
    Some(Found { body, tier, age, waited: waits.into() })
}

/// What a look at kept answers fails with where there is none. It may be waiting in the cache for another node when the
/// database answers again, and whoever asks then joins it, so they must know it from a failure of the database.
pub(super) fn not_asked() -> ServiceError {
    StoreError::from(tierkeep_db::Error::Closed).into()
}

pub(super) fn is_not_asked(error: &ServiceError) -> bool {
    matches!(error, ServiceError::Store(StoreError::Database(tierkeep_db::Error::Closed)))
}

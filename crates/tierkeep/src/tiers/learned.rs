//! What was hot before a restart is there again before anybody asks.
//!
//! All statistics tell one [`HotKeys`] what they are asked. Each minute and at the end of the node the best of that is kept
//! in the database, so that it outlives Redis as well; the nodes of an installation keep it together: each reads what is
//! there, merges and writes. Of two that do so at once the last one is right, so at most one node's last minute is lost.
//!
//! The node that starts next computes it again, best first: by way of the cache, so that what is computed here is fenced by
//! position as every other computation, and takes at most half of what may be computed at once.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};
use tierkeep_cache::warmup::{
    HotKey, HotKeys, KeyLoader, LearnedCounts, LearnedWarmup, Ready, SnapshotStore, SnapshotStoreError, WarmupReport,
};
use tierkeep_cache::{Cache, Loaded};
use tierkeep_learning::key::KeyType;
use tierkeep_learning::local_day::LocalDay;
use tierkeep_learning::service::ServiceError;
use tierkeep_learning::statistic::StatisticKind;
use tierkeep_learning::store::Store;

use super::body::Body;
use super::computing::{Kitchen, Refused, computing, loaded};
use super::feed::Standing;
use super::question::Question;
use crate::chain::Chain;
use crate::clock::Clock;
use crate::config::{Ttls, Warmup as Options};

/// Under which name the database keeps it.
const NAME: &str = "hot-keys";
/// The shape of the keys: another number for another one, as what an older release kept names other answers then.
const SHAPE: u32 = 1;
/// Keys whose turn comes together: those of one statistic among them are one computation, so that ten thousand keys take
/// some tens of queries, and what the first readers want most does not wait for the rest.
const AT_ONCE: usize = 1000;
/// Longest time for a save: the end of a node waits for its last one.
const SAVE_LIMIT: Duration = Duration::from_secs(1);
/// After so many computations that failed of one batch it is the database that fails, not some learner's data. One learner
/// of a batch is found by half as many.
const HOPELESS: u32 = 24;
/// How long a batch waits for a database that does not say what changed, before it is given up.
const SILENCE: Duration = Duration::from_secs(2);
/// No learner's day begins later than this after midnight in UTC: the last zone is twelve hours behind.
const LAST_ZONE: SignedDuration = SignedDuration::from_hours(12);

/// How the warm-up of a node stands by what was learnt.
#[derive(Debug, Clone, Copy)]
pub struct LearnedState {
    /// Why the node is as warm as it will wait for; `None` while it is not.
    pub ready: Option<Ready>,
    /// What happened to snapshots.
    pub counts: LearnedCounts,
    /// Time since the snapshot was taken that was restored or saved last; `None` while there was none.
    pub snapshot_age: Option<Duration>,
}

/// What this node learns, and what it does with what was learnt before.
pub(super) struct Learning {
    hot: Arc<HotKeys>,
    fingerprint: u64,
    options: Options,
    restore: OnceLock<LearnedWarmup>,
}

impl Learning {
    /// `None` where it is turned off.
    pub(super) fn new(options: Options, installation: &str) -> Option<Self> {
        // room for keys that may become hot: those that are rare displace each other, not what is kept
        let hot = HotKeys::builder().keys(options.keys + options.keys / 2).seed(RandomState::new().hash_one(NAME));
        options.learned.then(|| Self {
            hot: hot.build(),
            fingerprint: fingerprint(installation),
            options,
            restore: OnceLock::new(),
        })
    }

    /// What a cache tells what it is asked.
    pub(super) fn hot(&self) -> Arc<HotKeys> {
        Arc::clone(&self.hot)
    }

    /// Begins to compute what was hot, and to keep what is. Once; a second time nothing happens.
    pub(super) fn begin(&self, cache: &Cache, kitchen: &Arc<Kitchen>, ttls: Ttls, clock: Clock) {
        self.restore.get_or_init(|| {
            let store = Arc::new(InDatabase(Arc::clone(kitchen.statistics.store())));
            let key_type = kitchen.statistics.store().key_type();
            let first_day = earliest_day(kitchen, clock);
            let is_worth_it = move |hot: &HotKey| {
                question_of(&hot.key).is_some_and(|question| {
                    is_of(question, key_type) && question.last_day().is_none_or(|day| day >= first_day())
                })
            };
            let told = Arc::clone(kitchen);
            let mut learned = LearnedWarmup::builder(cache, &self.hot, store, move || SystemTime::from(clock.now()))
                .fingerprint(self.fingerprint)
                .top(self.options.keys)
                .concurrent(AT_ONCE)
                .deadline(self.options.deadline)
                .save_within(SAVE_LIMIT)
                .only(is_worth_it)
                .after(async move { told.feed.told().await });
            for (kind, view) in StatisticKind::ALL.into_iter().zip(&kitchen.views) {
                let decode = move |key: &[u8]| question_of(key).filter(|question| question.kind() == kind);
                learned = learned.view(view, decode, loader(kitchen, kind, ttls, clock));
            }
            learned.restore()
        });
    }

    pub(super) fn state(&self) -> Option<LearnedState> {
        let learned = self.restore.get()?;
        let (ready, counts, snapshot_age) = (learned.gate().ready(), learned.counts(), learned.snapshot_age());
        Some(LearnedState { ready, counts, snapshot_age })
    }

    /// Answers of a statistic that were brought in, or found there, because they were hot before.
    pub(super) fn restored(&self, kind: StatisticKind) -> u64 {
        self.restore.get().map_or(0, |learned| learned.restored_keys(kind.name()))
    }

    /// Waits for the end of the restore.
    pub(super) async fn restored_whole(&self) -> Option<WarmupReport> {
        self.restore.get()?.restored().await
    }

    /// Keeps what was learnt.
    pub(super) async fn close(&self) {
        if let Some(learned) = self.restore.get() {
            learned.close().await;
        }
    }
}

/// Names the installation and the shape of its keys.
fn fingerprint(installation: &str) -> u64 {
    let digest = Sha256::digest(format!("{NAME}/{SHAPE}/{installation}"));
    digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// The question that a key encodes: its text after its length, which is below 128.
fn question_of(key: &[u8]) -> Option<Question> {
    let (length, text) = key.split_first()?;
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == usize::from(*length))?;
    text.parse().ok()
}

fn is_of(question: Question, key_type: KeyType) -> bool {
    question.user().is_none_or(|user| user.key().key_type() == key_type)
}

/// The earliest day that is today for anybody.
fn earliest_day(kitchen: &Kitchen, clock: Clock) -> impl Fn() -> LocalDay + Send + Sync + 'static {
    let day_start = SignedDuration::from_hours(i64::from(kitchen.statistics.settings().day_start.get()));
    move || {
        let earliest = clock.now().saturating_sub(LAST_ZONE + day_start);
        LocalDay::clamped(earliest.unwrap_or(jiff::Timestamp::MAX).to_zoned(TimeZone::UTC).date())
    }
}

fn loader(kitchen: &Arc<Kitchen>, kind: StatisticKind, ttls: Ttls, clock: Clock) -> KeyLoader<Question, Body> {
    let kitchen = Arc::clone(kitchen);
    KeyLoader::together(move |questions: Vec<Question>| {
        let kitchen = Arc::clone(&kitchen);
        async move { kitchen.cook(questions, ttls.of(kind), clock).await }
    })
}

impl Kitchen {
    /// Computes the answers to questions of one statistic: together where they differ in their learners only. Why some
    /// learner has none is nothing that anybody waits for.
    async fn cook(&self, questions: Vec<Question>, ttl: Duration, clock: Clock) -> Result<Cooked, String> {
        let mut groups: HashMap<Option<Question>, Vec<Question>> = HashMap::new();
        let anyone = questions.iter().find_map(Question::user);
        for question in questions {
            groups.entry(anyone.map(|anyone| question.about(anyone))).or_default().push(question);
        }
        let mut groups: Vec<Vec<Question>> = groups.into_values().collect();
        let (mut cooked, mut failures) = (Vec::new(), 0);
        while let Some(group) = groups.pop() {
            // a node that is busy may ask late what changed, which is no reason to leave a batch out
            drop(tokio::time::timeout(SILENCE, self.feed.told()).await);
            if self.feed.standing() != Standing::Current {
                return Err("the database does not say what changed".to_owned());
            }
            match self.together(group.clone(), ttl, clock).await {
                Ok(answers) => cooked.extend(answers),
                Err(error) => {
                    failures += 1;
                    if failures >= HOPELESS {
                        return Err(Chain(&error).to_string());
                    }
                    // one whose data cannot be read fails all who are read with them
                    let (one, other) = group.split_at(group.len() / 2);
                    if one.is_empty() {
                        tracing::debug!(reason = %Chain(&error), "an answer that was hot cannot be computed");
                    } else {
                        groups.extend([one.to_vec(), other.to_vec()]);
                    }
                }
            }
        }
        Ok(cooked)
    }

    async fn together(&self, questions: Vec<Question>, ttl: Duration, clock: Clock) -> Result<Cooked, ServiceError> {
        let now = clock.now();
        if questions.iter().any(|question| question.user().is_some()) {
            return computing(&self.statistics, &self.feed, None, ttl, now, Refused::default())(questions).await;
        }
        let position = self.feed.position();
        let answer = self.statistics.global(now).await?;
        Ok(vec![(Question::Global, loaded(Body::encode(&answer, &answer.footing), position, ttl, now))])
    }
}

type Cooked = Vec<(Question, Loaded<Body>)>;

/// What was hot, as the database keeps it.
struct InDatabase(Arc<dyn Store>);

#[async_trait]
impl SnapshotStore for InDatabase {
    async fn load(&self) -> Result<Option<Vec<u8>>, SnapshotStoreError> {
        self.0.snapshot(NAME).await.map_err(SnapshotStoreError::new)
    }

    async fn save(&self, bytes: &[u8]) -> Result<(), SnapshotStoreError> {
        self.0.save_snapshot(NAME, bytes).await.map_err(SnapshotStoreError::new)
    }
}

#[cfg(test)]
mod tests {
    use tierkeep_cache::KeyWriter;

    use super::*;

    #[test]
    fn a_key_is_read_as_the_question_that_it_encodes() {
        for text in ["daily/7/today", "analytics/00000000-0000-4000-8000-000000000001/2026-01-31/365/zh", "global"] {
            let question: Question = text.parse().unwrap();
            assert_eq!(question_of(&KeyWriter::encode(&question)), Some(question), "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_key_are_no_question() {
        for key in [&b""[..], b"\x06globa", b"global", b"\x02\xff\xff", b"\x07nothing"] {
            assert_eq!(question_of(key), None, "{key:?}");
        }
    }

    #[test]
    fn installations_differ() {
        assert_ne!(fingerprint("one"), fingerprint("other"));
    }
}

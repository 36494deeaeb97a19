//! Answers from the nearest tier that has them: memory, Redis, stored summaries, rows.
//!
//! [`tierkeep_learning::service::Statistics`] computes; this module keeps what it computed, as the bytes that are sent,
//! and says which tier they came from. `question` is what is asked and the key under which its answer is kept,
//! `policy` how long, `body` what is kept, `feed` why it may be served: it learns from the database that something
//! changed. A tier that fails costs time and never changes an answer.

mod body;
mod computing;
mod feed;
mod gathering;
mod keeping;
mod learned;
mod policy;
mod precompute;
mod question;
mod state;
mod tier;
mod told;
mod warmup;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tierkeep_learning::key::UserId;
use tierkeep_learning::service::{Answers, ServiceError, Statistics};
use tierkeep_learning::store::Basis;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

pub use self::body::Body;
pub use self::feed::{Polls, Standing};
pub use self::keeping::{KeepingOptions, OpenError};
pub use self::learned::LearnedState;
pub(crate) use self::policy::default_ttl;
pub use self::policy::{global_tag, named_tag, user_tag};
pub use self::precompute::{FailedAnswer, Precomputed};
pub use self::question::{Question, QuestionError};
pub use self::state::{SharedTier, State, ViewState};
pub use self::tier::{Found, Tier};
pub use self::warmup::WarmupCounts;

use self::keeping::Keeping;
use crate::audit::AuditCounts;
use crate::watch::{LOOK, SharedWatch, Subject, Waited, Watch, Way, about};

/// The statistics behind their tiers.
#[derive(Debug)]
pub struct Tiers {
    statistics: Statistics,
    keeping: Option<Keeping>,
    audit: Arc<AuditCounts>,
    watch: SharedWatch,
}

impl Tiers {
    /// Every answer from the database: for a store whose changes cannot be told, and for tests.
    #[must_use]
    pub fn unkept(statistics: Statistics) -> Self {
        Self { statistics, keeping: None, audit: Arc::default(), watch: Arc::default() }
    }

    /// Keeps answers in memory and, if there is one, in Redis; without either where changes of the database cannot be
    /// told. Starts tasks on the current runtime; end them with [`Tiers::close`].
    ///
    /// # Errors
    /// [`OpenError`]: the database does not say who it is, or the options cannot work. Never that Redis is down.
    pub async fn open(statistics: Statistics, options: &KeepingOptions) -> Result<Self, OpenError> {
        let keeping = Keeping::open(&statistics, options).await?;
        Ok(Self { statistics, keeping, audit: Arc::default(), watch: Arc::default() })
    }

    /// The same tiers, which say in the log why an answer took this time or longer; 0, as at first: they do not.
    #[must_use]
    pub fn telling_of(self, slow: Duration) -> Self {
        Self { watch: Arc::new(Watch::new(slow)), ..self }
    }

    /// How long answers took.
    pub(crate) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Remembers how reads were answered, minute by minute, until `stop`.
    pub(crate) async fn count_by_the_minute(&self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Some(state) = self.state() {
                self.watch.hit_ratios(&state.views);
            }
        }
    }

    /// What computes.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// What the auditor of this node has done.
    #[must_use]
    pub fn audit(&self) -> &Arc<AuditCounts> {
        &self.audit
    }

    /// Answers from the nearest tier.
    ///
    /// # Errors
    /// [`ServiceError`], shared by all who waited for the same computation.
    pub async fn ask(&self, question: Question, now: Timestamp) -> Result<Found, Arc<ServiceError>> {
        if let Some(user) = question.user()
            && user.key().key_type() != self.statistics.store().key_type()
        {
            // an id of the type that this database does not have belongs to nobody, and no query has to find that out
            return Err(ServiceError::UnknownLearner(user).into());
        }
        let began = Instant::now();
        let (way, found) = match &self.keeping {
            None => (Way::Database, self.compute(question, now).await),
            Some(keeping) => match keeping.standing() {
                Standing::Current => (Way::Tiers, keeping.ask(&self.statistics, &self.watch, question, now).await),
                Standing::Untold => (Way::Database, self.compute(question, now).await),
                Standing::Behind(behind) => (Way::Past(behind), self.ask_past(keeping, behind, question, now).await),
            },
        };
        self.note(question, began, way, &found);
        found
    }

    /// Answers from memory; `None` where an answer would have to be waited for, or may be no more what counts.
    pub(crate) fn at_once(&self, question: Question, now: Timestamp) -> Option<Found> {
        let keeping = self.keeping.as_ref()?;
        let began = Instant::now();
        let is_of_type = question.user().is_none_or(|user| user.key().key_type() == self.statistics.store().key_type());
        if !is_of_type || keeping.standing() != Standing::Current {
            return None;
        }
        let found = keeping.at_once(question, now)?;
        let about = about(question.kind(), question.user());
        self.watch.answered(about, began, Way::Tiers, Some((found.tier, found.waited)));
        Some(found)
    }

    fn note(&self, question: Question, began: Instant, way: Way, found: &Result<Found, Arc<ServiceError>>) {
        let found = found.as_ref().ok().map(|found| (found.tier, found.waited));
        self.watch.answered(about(question.kind(), question.user()), began, way, found);
    }

    /// Answers from the database, whatever is kept.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn ask_database(&self, question: Question, now: Timestamp) -> Result<Found, Arc<ServiceError>> {
        if let Some(user) = question.user()
            && user.key().key_type() != self.statistics.store().key_type()
        {
            return Err(ServiceError::UnknownLearner(user).into());
        }
        let began = Instant::now();
        let found = self.compute(question, now).await;
        self.note(question, began, Way::Database, &found);
        found
    }

    /// Whether this node knows of all changes up to a position, asking the database if it did not. Where nothing is kept
    /// every answer knows of all.
    pub async fn reach(&self, position: u64) -> bool {
        let Some(keeping) = &self.keeping else { return true };
        keeping.position() >= position || keeping.learn().await.is_some_and(|known| known >= position)
    }

    /// Answers one question about many learners, in their order, from the nearest tiers: one question to Redis, and one
    /// computation for all that no tier has.
    ///
    /// # Errors
    /// [`ServiceError`] where the database does not answer, and what was kept does not suffice.
    pub async fn ask_many(
        &self,
        users: &[UserId],
        question: Question,
        now: Timestamp,
    ) -> Result<ManyFound, Arc<ServiceError>> {
        let known = self.known(users);
        let began = Instant::now();
        let (way, found) = match &self.keeping {
            _ if known.is_empty() => return Ok(in_order(users, &HashMap::new())),
            None => (Way::Database, self.compute_many(&known, question, now).await),
            Some(keeping) => match keeping.standing() {
                Standing::Current => {
                    (Way::Tiers, keeping.ask_many(&self.statistics, &self.watch, &known, question, now).await)
                }
                Standing::Untold => (Way::Database, self.compute_many(&known, question, now).await),
                Standing::Behind(behind) => {
                    (Way::Past(behind), self.ask_many_past(keeping, behind, &known, question, now).await)
                }
            },
        };
        self.note_many(known.len(), question, began, way, &found);
        Ok(in_order(users, &found?))
    }

    /// One answer about many, from the farthest of the tiers that it came from.
    fn note_many(
        &self,
        learners: usize,
        question: Question,
        began: Instant,
        way: Way,
        found: &Result<FoundByUser, Arc<ServiceError>>,
    ) {
        let tiers = found.iter().flat_map(HashMap::values).flatten().map(|found| found.tier);
        let worst = Tier::worst(tiers).map(|tier| (tier, Waited::default()));
        self.watch.answered(Subject { learners, ..about(question.kind(), None) }, began, way, worst);
    }

    async fn compute_many(
        &self,
        users: &[UserId],
        question: Question,
        now: Timestamp,
    ) -> Result<FoundByUser, Arc<ServiceError>> {
        compute_many(&self.statistics, &self.watch, users, question, now).await
    }

    /// As [`Tiers::ask_many`], from the database, whatever is kept.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn ask_database_many(
        &self,
        users: &[UserId],
        question: Question,
        now: Timestamp,
    ) -> Result<ManyFound, Arc<ServiceError>> {
        let (known, began) = (self.known(users), Instant::now());
        let found = self.compute_many(&known, question, now).await;
        self.note_many(known.len(), question, began, Way::Database, &found);
        Ok(in_order(users, &found?))
    }

    /// Each learner once, without those whose id is of the type that this database does not have: they are nobody.
    fn known(&self, users: &[UserId]) -> Vec<UserId> {
        let key_type = self.statistics.store().key_type();
        let mut seen = HashSet::with_capacity(users.len());
        users.iter().copied().filter(|user| user.key().key_type() == key_type && seen.insert(*user)).collect()
    }

    /// As [`Tiers::ask_past`], for many.
    async fn ask_many_past(
        &self,
        keeping: &Keeping,
        behind: Duration,
        users: &[UserId],
        question: Question,
        now: Timestamp,
    ) -> Result<FoundByUser, Arc<ServiceError>> {
        let mut computing = std::pin::pin!(self.compute_many(users, question, now));
        let error = match tokio::time::timeout(keeping.patience(), &mut computing).await {
            Ok(Err(error)) if matches!(*error, ServiceError::Store(_)) => Some(error),
            Ok(answers) => return answers,
            Err(_) => None,
        };
        if let Some(kept) = keeping.leftovers(behind, users, question, now).await {
            return Ok(kept);
        }
        match error {
            Some(error) => Err(error),
            None => computing.await,
        }
    }

    async fn compute(&self, question: Question, now: Timestamp) -> Result<Found, Arc<ServiceError>> {
        Ok(Found::computed(answer(&self.statistics, &self.watch, question, now).await?))
    }

    /// While it is not known whether anything changed: the database itself is right. If it does not answer either, what
    /// was kept is served for a while and called stale.
    async fn ask_past(
        &self,
        keeping: &Keeping,
        behind: Duration,
        question: Question,
        now: Timestamp,
    ) -> Result<Found, Arc<ServiceError>> {
        let mut computing = std::pin::pin!(self.compute(question, now));
        let error = match tokio::time::timeout(keeping.patience(), &mut computing).await {
            Ok(Err(error)) if matches!(*error, ServiceError::Store(_)) => Some(error),
            Ok(answer) => return answer,
            Err(_) => None,
        };
        if let Some(kept) = keeping.leftover(behind, question, now).await {
            return Ok(kept);
        }
        match error {
            Some(error) => Err(error),
            None => computing.await,
        }
    }

    /// Makes sure that this node has been told every change whose commit was acknowledged before this call, and returns its
    /// position; `None` where changes cannot be told, or the database does not answer.
    pub async fn learn_of_change(&self) -> Option<u64> {
        self.keeping.as_ref()?.learn().await
    }

    /// Whether a change waits to be folded into the stored summaries.
    #[must_use]
    pub fn is_unfolded(&self) -> bool {
        self.keeping.as_ref().is_some_and(Keeping::is_unfolded)
    }

    /// How the node stands; `None` where nothing is kept.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        self.keeping.as_ref().map(Keeping::state)
    }

    /// Why a question would be answered as it would; `None` where nothing is kept.
    pub async fn explain(&self, question: Question) -> Option<tierkeep_cache::Explanation> {
        Some(self.keeping.as_ref()?.explain(question).await)
    }

    /// Forgets answers in all tiers and on all nodes; `None` where nothing is kept.
    pub async fn invalidate(&self, order: &Invalidation) -> Option<tierkeep_cache::Receipt> {
        Some(self.keeping.as_ref()?.invalidate(order).await)
    }

    /// Frees the answers in memory whose life is over; how many those were.
    pub fn sweep(&self) -> u64 {
        self.keeping.as_ref().map_or(0, Keeping::sweep)
    }

    /// Begins to bring in what was hot before this node started, behind all readers, and to keep what is hot for the next
    /// start; [`State::learned`] tells how it stands. Nothing happens where that is turned off, or nothing is kept.
    pub fn begin_restore(&self) {
        if let Some(keeping) = &self.keeping {
            keeping.begin_restore();
        }
    }

    /// Waits until all that was hot is there, or for as long as `warmup.deadline` says; `None` where nothing is restored,
    /// or it was given up.
    pub async fn restored(&self) -> Option<tierkeep_cache::warmup::WarmupReport> {
        self.keeping.as_ref()?.learning()?.restored_whole().await
    }

    /// Ends the tasks and waits for them.
    pub async fn close(&self) {
        if let Some(keeping) = &self.keeping {
            keeping.close().await;
        }
    }
}

/// Which answers are forgotten.
#[derive(Debug, Clone)]
pub enum Invalidation {
    /// Those to these questions.
    Keys(Vec<Question>),
    /// Those about these learners, and what Redis holds of them is removed, as far as it is one server and answers.
    Learners(Vec<UserId>),
    /// Those that carry any of these tags.
    Tags(Vec<tierkeep_cache::Tag>),
    /// All.
    Everything,
}

/// One answer, or why there is none, for each learner of many.
pub type ManyFound = Vec<Result<Found, Arc<ServiceError>>>;
type FoundByUser = HashMap<UserId, Result<Found, Arc<ServiceError>>>;

fn in_order(users: &[UserId], found: &FoundByUser) -> ManyFound {
    let answer = |user: &UserId| {
        let unknown = || Err(ServiceError::UnknownLearner(*user).into());
        found.get(user).cloned().unwrap_or_else(unknown)
    };
    users.iter().map(answer).collect()
}

/// Computes the answers about some learners, each asked for once.
async fn compute_many(
    statistics: &Statistics,
    watch: &Watch,
    users: &[UserId],
    question: Question,
    now: Timestamp,
) -> Result<FoundByUser, Arc<ServiceError>> {
    let subject = about(question.kind(), None);
    let answers =
        watch.computing(subject, answers(statistics, users, question, now), |answers| of_many(answers)).await?;
    let found = answers.into_iter().map(|answer| answer.map(Found::computed).map_err(Arc::new));
    Ok(users.iter().copied().zip(found).collect())
}

/// Computes the answers to one question about some learners and encodes them, in the order of the learners.
async fn answers(
    statistics: &Statistics,
    users: &[UserId],
    question: Question,
    now: Timestamp,
) -> Result<Vec<Result<Body, ServiceError>>, ServiceError> {
    Ok(match question {
        Question::Daily { date, .. } => encoded(statistics.daily(users, date, now).await?),
        Question::Weekly { week_of, .. } => encoded(statistics.weekly(users, week_of, now).await?),
        Question::Monthly { month, .. } => encoded(statistics.monthly(users, month, now).await?),
        Question::Analytics { to, days, language, .. } => {
            encoded(statistics.analytics(users, to, days, Some(language), now).await?)
        }
        Question::Streaks { .. } => encoded(statistics.streaks(users, now).await?),
        Question::Heatmap { year, .. } => encoded(statistics.heatmap(users, year, now).await?),
        Question::Courses { .. } => encoded(statistics.courses(users, now).await?),
        // it is about nobody
        Question::Global => Vec::new(),
    })
}

fn encoded<T: serde::Serialize>(answers: Answers<T>) -> Vec<Result<Body, ServiceError>> {
    answers.into_iter().map(|answer| answer.map(|answer| Body::encode(&answer, &answer.footing))).collect()
}

/// What answers about many were computed from: rows, if any of them was.
fn of_many(answers: &[Result<Body, ServiceError>]) -> Option<Basis> {
    let mut bases = answers.iter().flatten().map(Body::basis);
    let first = bases.next()?;
    Some(if bases.any(|basis| basis == Basis::Rows) { Basis::Rows } else { first })
}

/// Computes one answer and encodes it.
async fn answer(
    statistics: &Statistics,
    watch: &Watch,
    question: Question,
    now: Timestamp,
) -> Result<Body, ServiceError> {
    let subject = about(question.kind(), question.user());
    watch.computing(subject, one(statistics, question, now), |body| Some(body.basis())).await
}

async fn one(statistics: &Statistics, question: Question, now: Timestamp) -> Result<Body, ServiceError> {
    match question.user() {
        Some(user) => {
            let answer = answers(statistics, &[user], question, now).await?.into_iter().next();
            answer.unwrap_or(Err(ServiceError::UnknownLearner(user)))
        }
        None => {
            let answer = statistics.global(now).await?;
            Ok(Body::encode(&answer, &answer.footing))
        }
    }
}

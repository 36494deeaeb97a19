//! Computing the answers about many learners before anybody asks.

use std::sync::Arc;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Serialize;
use tierkeep_cache::LoadError;
use tierkeep_learning::key::UserId;
use tierkeep_learning::language::Language;
use tierkeep_learning::service::ServiceError;
use tierkeep_learning::statistic::{StatisticKind, WindowDays};
use utoipa::ToSchema;

use super::feed::Standing;
use super::gathering::Gathering;
use super::keeping::Keeping;
use super::question::Question;
use super::{Invalidation, Tier, Tiers, global_tag};
use crate::chain::Chain;

/// After so many answers in a row that failed, the others of a batch are not tried one by one: it is the database
/// that fails, not their data.
const HOPELESS: u32 = 5;

/// Failures that a report names.
const NAMED: usize = 20;

/// What became of answers that were to be there before anybody asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Precomputed {
    /// Learners that were looked after.
    pub learners: u64,
    /// Answers that were computed.
    pub computed: u64,
    /// Answers that were there already.
    pub fresh: u64,
    /// Answers that could not be computed.
    pub failed: u64,
    /// The first of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailedAnswer>,
}

/// An answer that could not be computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FailedAnswer {
    /// Its key.
    pub key: String,
    /// Why.
    pub reason: String,
}

impl std::ops::AddAssign for Precomputed {
    fn add_assign(&mut self, other: Self) {
        let Self { learners, computed, fresh, failed, failures } = other;
        self.learners += learners;
        self.computed += computed;
        self.fresh += fresh;
        self.failed += failed;
        let room = NAMED.saturating_sub(self.failures.len());
        self.failures.extend(failures.into_iter().take(room));
    }
}

impl Precomputed {
    fn failed(&mut self, question: Question, error: &(dyn std::error::Error + 'static)) {
        self.failed += 1;
        let reason = Chain(error).to_string();
        tracing::debug!(%question, reason, "an answer could not be computed in advance");
        if self.failures.len() < NAMED {
            self.failures.push(FailedAnswer { key: question.to_string(), reason });
        }
    }
}

impl Tiers {
    /// Brings answers about some learners, each named once, as of their today, into the tiers, behind all readers; those
    /// that are there and count stay. Why one failed is logged, and keeps no other from being computed.
    ///
    /// `None` where nothing would be kept: nothing is, or the database does not say what changed.
    pub async fn precompute(&self, users: &[UserId], kinds: &[StatisticKind], now: Timestamp) -> Option<Precomputed> {
        let keeping = self.current().await?;
        let mut sum = Precomputed { learners: users.len() as u64, ..Precomputed::default() };
        match self.warm(keeping, users, kinds, now).await {
            Ok(done) => sum += done,
            // one whose data cannot be read fails all who are read with it
            Err(_) => sum += self.warm_one_by_one(keeping, users, kinds, now).await,
        }
        Some(sum)
    }

    /// The same for the statistic that is about nobody.
    pub async fn precompute_global(&self, now: Timestamp) -> Option<Precomputed> {
        let found = self.current().await?.ask(&self.statistics, &self.watch, Question::Global, now).await;
        Some(match found.map(|found| found.tier) {
            Ok(Tier::L1 | Tier::L2) => Precomputed { fresh: 1, ..Precomputed::default() },
            Ok(_) => Precomputed { computed: 1, ..Precomputed::default() },
            Err(error) => {
                let mut done = Precomputed::default();
                done.failed(Question::Global, &*error);
                done
            }
        })
    }

    /// Brings all that can be asked about some learners without parameters into the tiers, and what is about nobody if
    /// `is_global`; what was kept is forgotten before if `is_forced`. `None` as of [`Tiers::precompute`].
    pub async fn warm_up(
        &self,
        users: &[UserId],
        is_global: bool,
        is_forced: bool,
        now: Timestamp,
    ) -> Option<Precomputed> {
        self.current().await?;
        if is_forced {
            if !users.is_empty() {
                self.invalidate(&Invalidation::Learners(users.to_vec())).await;
            }
            if is_global {
                self.invalidate(&Invalidation::Tags(vec![global_tag()])).await;
            }
        }
        let mut done = self.precompute(users, &StatisticKind::ALL, now).await?;
        if is_global {
            done += self.precompute_global(now).await?;
        }
        Some(done)
    }

    /// Where answers are kept, if the database says what changed: it is asked once more, as a node that has just started, or
    /// that is busy, may only be late.
    async fn current(&self) -> Option<&Keeping> {
        let keeping = self.keeping.as_ref()?;
        if keeping.standing() != Standing::Current {
            keeping.learn().await;
        }
        (keeping.standing() == Standing::Current).then_some(keeping)
    }

    async fn warm(
        &self,
        keeping: &Keeping,
        users: &[UserId],
        kinds: &[StatisticKind],
        now: Timestamp,
    ) -> Result<Precomputed, LoadError<ServiceError>> {
        let language = self.statistics.settings().language;
        let Some(anyone) = users.first() else { return Ok(Precomputed::default()) };
        let asked: Vec<Question> = kinds.iter().filter_map(|kind| todays(*kind, *anyone, language)).collect();
        let gathering = Gathering::new(&self.statistics, keeping.feed(), keeping.ttls(), now, asked.len());
        let gathering = &gathering;
        let each = asked.into_iter().map(|question| async move {
            let part = gathering.part(question.kind());
            let questions: Vec<Question> = users.iter().map(|user| question.about(*user)).collect();
            let loader = {
                let part = Arc::clone(&part);
                move |questions| {
                    let part = Arc::clone(&part);
                    async move { part.load(questions).await }
                }
            };
            let warmed = keeping.view(&question).warm(&questions, loader).await;
            part.leave().await;
            warmed.map(|_| part.outcome())
        });
        let mut sum = Precomputed::default();
        for outcome in join_all(each).await {
            let (computed, failed) = outcome?;
            let mut done = Precomputed { computed, ..Precomputed::default() };
            for (question, error) in failed {
                done.failed(question, &*error);
            }
            done.fresh = (users.len() as u64).saturating_sub(done.computed + done.failed);
            sum += done;
        }
        Ok(sum)
    }

    async fn warm_one_by_one(
        &self,
        keeping: &Keeping,
        users: &[UserId],
        kinds: &[StatisticKind],
        now: Timestamp,
    ) -> Precomputed {
        let (mut sum, mut in_a_row) = (Precomputed::default(), 0);
        let language = self.statistics.settings().language;
        for (index, user) in users.iter().enumerate() {
            for kind in kinds {
                let Some(question) = todays(*kind, *user, language) else { continue };
                match self.warm(keeping, std::slice::from_ref(user), std::slice::from_ref(kind), now).await {
                    Ok(done) => {
                        sum += done;
                        in_a_row = 0;
                    }
                    Err(error) => {
                        sum.failed(question, &error);
                        in_a_row += 1;
                    }
                }
            }
            if in_a_row >= HOPELESS {
                sum.failed += ((users.len() - index - 1) * kinds.len()) as u64;
                break;
            }
        }
        sum
    }
}

/// The question about a learner's today that readers ask without parameters; `None` for what is about nobody.
fn todays(kind: StatisticKind, user: UserId, language: Language) -> Option<Question> {
    Some(match kind {
        StatisticKind::Daily => Question::Daily { user, date: None },
        StatisticKind::Weekly => Question::Weekly { user, week_of: None },
        StatisticKind::Monthly => Question::Monthly { user, month: None },
        StatisticKind::Analytics => Question::Analytics { user, to: None, days: WindowDays::default(), language },
        StatisticKind::Streaks => Question::Streaks { user },
        StatisticKind::Heatmap => Question::Heatmap { user, year: None },
        StatisticKind::Courses => Question::Courses { user },
        StatisticKind::Global => return None,
    })
}

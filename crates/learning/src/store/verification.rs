//! Whether what is stored is what the rows give: the same summaries computed a second time, from every row and from the
//! bases of days, which are taken for what they say as nothing can compute them again.

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use super::StoreError;
use crate::key::UserId;
use crate::local_day::LocalDay;

pub(super) mod inspection;
pub(super) mod sums;

/// A stored value that is not what the rows give.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Whose; `None` in the sums over all learners.
    #[serde(rename = "user_id")]
    pub learner: Option<UserId>,
    /// Which local day; `None` where the value is not of one day.
    pub day: Option<LocalDay>,
    /// Which value: a field of the day's summary, `active`, `sessions`, `time_zone`, `learner`, a value that cannot be read
    /// (`month` or `base` with the month), or a global sum.
    pub field: String,
    /// What is stored; null = nothing.
    pub stored: Value,
    /// What the rows give; null = nothing, or not to be had.
    pub recomputed: Value,
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Verified {
    /// Learners looked at.
    pub learners: u64,
    /// Of these, learners of whom nothing stored counts at present: a reader would compute all of it anew.
    pub unbuilt: u64,
    /// Days compared. Days with changes that wait to be folded are left out: a reader would compute them anew.
    pub days: u64,
    /// What is wrong.
    pub differences: Vec<Difference>,
}

impl Difference {
    /// A stored value that cannot be read.
    pub(super) fn of_error(learner: UserId, error: &StoreError) -> Self {
        Self {
            learner: Some(learner),
            day: None,
            field: "month".to_owned(),
            stored: Value::String(error.to_string()),
            recomputed: Value::Null,
        }
    }
}

impl Verified {
    /// Adds what another batch found.
    pub fn merge(&mut self, other: Self) {
        self.learners += other.learners;
        self.unbuilt += other.unbuilt;
        self.days += other.days;
        self.differences.extend(other.differences);
    }
}

/// Comparing what is stored with the rows, and mending it.
///
/// Everything is compared as a reader would see it: in one snapshot, with the changes that wait in the outbox applied. So
/// writers cause no false alarm, whenever they commit.
#[async_trait]
pub trait Verification {
    /// Recomputes all days of some learners (at most 1,000) from all their rows and bases and compares. One snapshot; reads every row of
    /// these learners. On a platform's tables nothing is stored, so there nothing differs.
    async fn verify(&self, users: &[UserId]) -> Result<Verified, StoreError>;

    /// Compares the global sums with the sum of all stored days, in one snapshot. Reads every stored month.
    async fn verify_totals(&self) -> Result<Vec<Difference>, StoreError>;

    /// Learners who are there or of whom something is stored, from `after` on (not included), in the order of their ids.
    async fn known_learners(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError>;

    /// Random learners among them. Reads all ids.
    async fn random_learners(&self, limit: u32) -> Result<Vec<UserId>, StoreError>;

    /// Forgets what is derived of some learners (bases are not: they stay), so that the next fold builds it anew, and computes the global sums anew from
    /// what is left; all in one transaction, which other folds (on SQLite, other writers) wait for. Reads every stored month.
    async fn forget(&self, users: &[UserId]) -> Result<(), StoreError>;
}

/// The smallest key of a type.
pub(super) fn first_key(keys: crate::key::KeyType) -> crate::key::Key {
    match keys {
        crate::key::KeyType::Int => crate::key::Key::Int(i64::MIN),
        crate::key::KeyType::Uuid => crate::key::Key::Uuid(uuid::Uuid::nil()),
    }
}

//! Writing for the API: single rows, each decided by what is stored at that moment, and retries that write once.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{ListedSession, StoreError};
use crate::key::{ContentId, CourseProgressId, SessionId, UserId};
use crate::rows::{ProgressRow, SessionRow};
use crate::session_change::{Completion, FieldFault, Flag, NewSession, SessionChange};

mod deciding;
mod row_statements;
mod values;

#[cfg(test)]
mod tests;

pub(super) use deciding::{
    Standing, absent, before_change, foreign_course, known_as, spoken_of, to_complete, unknown_learner,
};
pub(super) use row_statements::RowStatements;
pub(super) use values::{Value, progress_value, session_value};

/// Most orders of one request.
pub const MAX_ORDERS: usize = 1000;

/// One thing to be written.
#[derive(Debug, Clone)]
pub enum Order {
    /// A new session.
    Create {
        /// Its id.
        id: NewId,
        /// What is said of it.
        session: NewSession,
    },
    /// A change of a session.
    Change {
        /// Which.
        id: SessionId,
        /// What changes.
        change: SessionChange,
        /// Which version it must have.
        expected: Expected,
    },
    /// The end of a session.
    Complete {
        /// Which.
        id: SessionId,
        /// How it ended.
        completion: Completion,
        /// Which version it must have.
        expected: Expected,
    },
    /// A session that goes. Its id is not used again.
    Delete {
        /// Which.
        id: SessionId,
        /// Which version it must have.
        expected: Expected,
    },
    /// A learner's progress in a content, new or replaced: of several rows the one that counts.
    PutCourse(CourseWrite),
    /// A learner's progress in a content goes, with all its duplicates.
    DeleteCourse {
        /// Whose.
        user_id: UserId,
        /// In what.
        content_id: ContentId,
    },
}

/// The id of a new row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewId {
    /// The client chose it: the same session under the same id is a retry.
    Chosen(SessionId),
    /// Nobody chose it. This one is taken, which is random enough to be new; where ids are integers the database makes one.
    Made(uuid::Uuid),
}

/// A learner's progress in a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CourseWrite {
    /// Whose.
    pub user_id: UserId,
    /// In what.
    pub content_id: ContentId,
    /// The id of a new row, where ids are UUIDs.
    pub made: uuid::Uuid,
    /// Name of the subject.
    pub subject_name: String,
    /// 0 to 100.
    pub proficiency_level: i32,
    /// Hours this week, 0 or more.
    pub learning_hour_week: i32,
    /// Hours in all, 0 or more.
    pub learning_hour_total: i32,
    /// Hours estimated until the end, 1 or more.
    pub est_finish_hour: Option<i32>,
    /// 1 to 10.
    pub difficulty: i32,
}

impl CourseWrite {
    /// The row; `of` is the one that it replaces.
    pub(super) fn row(&self, id: CourseProgressId, of: Option<(Timestamp, Timestamp)>, now: Timestamp) -> ProgressRow {
        let (created_at, updated_at) = of.unwrap_or((now, now));
        ProgressRow {
            id,
            user_id: self.user_id,
            content_id: self.content_id,
            subject_name: self.subject_name.clone(),
            proficiency_level: self.proficiency_level,
            learning_hour_week: self.learning_hour_week,
            learning_hour_total: self.learning_hour_total,
            est_finish_hour: self.est_finish_hour,
            difficulty: self.difficulty,
            created_at,
            // not before: the newest of several rows counts, and it must go on to be this one
            updated_at: updated_at.max(now),
        }
    }
}

/// Which version a session must have to be changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Expected {
    /// Any.
    #[default]
    Any,
    /// One of these.
    OneOf(Vec<SessionVersion>),
}

impl Expected {
    pub(super) fn holds(&self, found: &SessionVersion) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(versions) => versions.contains(found),
        }
    }
}

/// A digest of everything that a session shows: equal exactly where two sessions are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionVersion([u8; 16]);

impl SessionVersion {
    /// The version of a session.
    #[must_use]
    pub fn of(listed: &ListedSession) -> Self {
        let row = serde_json::to_vec(&listed.row).expect("a row is made of texts, numbers and instants");
        let digest = Sha256::new().chain_update(row).chain_update([u8::from(listed.archived)]).finalize();
        let mut version = [0; 16];
        version.copy_from_slice(&digest[..16]);
        Self(version)
    }

    /// Reads what [`Display`](fmt::Display) writes; `None` for anything else, which is the version of nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = u128::from_str_radix(text, 16).ok()?;
        let version = Self(number.to_be_bytes());
        (version.to_string() == text).then_some(version)
    }
}

impl fmt::Display for SessionVersion {
    /// 32 hexadecimal digits in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SessionVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionVersion({self})")
    }
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A session was made.
    Created(WrittenSession),
    /// The session was there already, as it was asked for.
    Replayed(WrittenSession),
    /// A session was changed, or was as asked for.
    Changed(WrittenSession),
    /// A session went.
    Deleted(UserId),
    /// It had gone before.
    AlreadyDeleted,
    /// Course progress was made.
    CourseCreated(ProgressRow),
    /// Course progress was replaced.
    CourseReplaced(ProgressRow),
    /// Course progress went.
    CourseDeleted(UserId),
    /// Nothing was written.
    Refused(Refusal),
}

/// A session as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenSession {
    /// The session.
    pub session: ListedSession,
    /// What is odd about it.
    pub flags: Vec<Flag>,
}

impl Outcome {
    /// The learner whose rows were written.
    #[must_use]
    pub fn touched(&self) -> Option<UserId> {
        match self {
            Self::Created(written) | Self::Replayed(written) | Self::Changed(written) => {
                Some(written.session.row.user_id)
            }
            Self::Deleted(user) | Self::CourseDeleted(user) => Some(*user),
            Self::CourseCreated(row) | Self::CourseReplaced(row) => Some(row.user_id),
            Self::AlreadyDeleted | Self::Refused(_) => None,
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// Why nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// These fields cannot be taken.
    #[error("{} of the session's fields cannot be taken", .0.len())]
    Fields(Vec<FieldFault>),
    /// No session has this id.
    #[error("session {0} is unknown")]
    UnknownSession(SessionId),
    /// The session was deleted, and its id is not used again.
    #[error("session {0} was deleted; its id is not used again")]
    Deleted(SessionId),
    /// The session lies in the archive.
    #[error("session {0} lies in the archive, whose rows are not changed; restore it first")]
    Archived(SessionId),
    /// Another session has this id.
    #[error("session {0} exists with other content")]
    OtherContent(SessionId),
    /// The session has another version than was expected.
    #[error("session {id} was changed since the version that If-Match names")]
    OtherVersion {
        /// Which.
        id: SessionId,
        /// The version it has.
        found: SessionVersion,
    },
    /// The session has ended in another way.
    #[error("session {0} has ended, and not as this says; change it with PATCH")]
    EndedOtherwise(SessionId),
    /// No learner has this id.
    #[error("learner {0} is unknown")]
    UnknownLearner(UserId),
    /// The learner was erased.
    #[error("learner {0} was erased, and nothing is written about them any more")]
    ErasedLearner(UserId),
    /// The learner has no progress in this content.
    #[error("learner {user_id} has no course progress in {content_id}")]
    UnknownCourse {
        /// Whose.
        user_id: UserId,
        /// In what.
        content_id: ContentId,
    },
    /// A rule of the database's own tables refuses the row: a needed column without a value, a check, a reference.
    #[error("the database refuses the row: {reason}")]
    Rule {
        /// The column or the rule, as the database names it; empty where it does not.
        name: String,
        /// What the database says.
        reason: String,
        /// Whether the row conflicts with another one.
        is_conflict: bool,
    },
}

/// A request that may be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The client's key: 1 to 255 visible ASCII characters.
    pub key: String,
    /// A digest of what is asked: method, path and body.
    pub request: [u8; 32],
}

/// Makes the answer that is kept with a key from what became of the orders.
pub type Respond = Arc<dyn Fn(&[Outcome]) -> Vec<u8> + Send + Sync>;

/// Orders that are carried out in one transaction, in order; an order that is refused does not stop the others.
#[derive(Clone)]
pub struct WriteRequest {
    /// At most [`MAX_ORDERS`].
    pub orders: Vec<Order>,
    /// The present instant.
    pub now: Timestamp,
    /// The key of a request that may be sent again.
    pub idempotency: Option<IdempotencyKey>,
    /// What is kept with the key.
    pub respond: Respond,
}

impl fmt::Debug for WriteRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteRequest").field("orders", &self.orders).finish_non_exhaustive()
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It was carried out: what became of each order, and the answer made of that.
    Done(Vec<Outcome>, Vec<u8>),
    /// It had been carried out before; this was the answer.
    Repeated(Vec<u8>),
    /// The key belongs to another request.
    KeyTaken,
    /// A request with this key was carried out, and its answer spoke of a learner who was erased since. What was asked is not
    /// known any more, either.
    AnswerErased,
}

impl Reply {
    /// The learners whose rows were written, each once.
    #[must_use]
    pub fn touched(&self) -> Vec<UserId> {
        let Self::Done(outcomes, _) = self else { return Vec::new() };
        let mut users: Vec<UserId> = outcomes.iter().filter_map(Outcome::touched).collect();
        users.sort_unstable();
        users.dedup();
        users
    }
}

/// Writing for the API, on own tables and on a platform's.
#[async_trait]
pub trait Writes {
    /// Carries a request out in one transaction: all that was accepted, and the answer under its key, or nothing at all.
    ///
    /// Rows are locked one by one, in the order given. Of requests with one key one is carried out; the others wait for
    /// it and get its answer. A request of which nothing was accepted leaves its key free.
    ///
    /// Nothing is written about a learner who was erased, whether or not a platform keeps their row ([`Refusal::ErasedLearner`]);
    /// what is stored of them may be deleted. An erasure under way is waited for, and waits for a request under way.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was written, unless the connection was lost while the transaction ended.
    async fn write(&self, request: WriteRequest) -> Result<Reply, StoreError>;

    /// The session with this id, the live one before an archived one.
    async fn session(&self, id: SessionId) -> Result<Option<ListedSession>, StoreError>;

    /// Forgets keys of requests older than `before`, at most 1,000; returns how many. Call again while it is not 0.
    async fn forget_idempotency_keys(&self, before: Timestamp) -> Result<u64, StoreError>;
}

/// A row of a session as its id names it.
pub(super) fn live(row: SessionRow) -> ListedSession {
    ListedSession { row, archived: false }
}

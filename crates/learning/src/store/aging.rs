//! Deleting archived sessions because of their age, without changing a number.
//!
//! What the sessions counted for is added to the *bases* of their days in the transaction that deletes them. A base cannot be
//! computed again, so nothing but an erasure, or the deletion of all of a learner's data, removes it: summaries are dropped
//! and built anew around it, and of a learner whose own row goes it stays, unread, until they are back or erased.
//!
//! # Locks
//! The deleting transaction holds locks of archived rows when it asks for those of the learners, and a fold that holds
//! learners reads rows. Neither waits for the other in a circle: a fold locks no row of sessions, two that lock learners do
//! so in the order of the ids, and whoever waits for an archived row (a write, an import) holds no learner. An erasure does
//! hold both, so it is held off before the first row is locked.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::StoreError;
use crate::key::{SessionId, UserId};
use crate::session::SessionFacts;

/// What becomes of the numbers that deleted sessions were in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// They stay what they were.
    Summaries,
    /// They become those of the rows that are left.
    Nothing,
}

/// Deleting rows because of their age. All of a call is one transaction: callers bound the number of ids.
#[async_trait]
pub trait Aging {
    /// Deletes archived sessions; how many. Ids that are not archived, or whose row somebody has locked, are passed over.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::Corrupt`] if a base to be added to cannot be read.
    async fn delete_archived(&self, ids: &[SessionId], keep: Keep) -> Result<u64, StoreError>;

    /// Deletes sessions, course progress and bases of learners; how many rows. Unlike an erasure it leaves the learners' own
    /// rows, what is in quarantine, and no tombstone: they are learners without sessions, and may begin anew.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`].
    async fn delete_data(&self, users: &[UserId]) -> Result<u64, StoreError>;
}

/// What deleted sessions counted for, by learner. Of an archived session whose id is live, or that starts at no accepted
/// instant, nothing.
pub(super) type Deleted = BTreeMap<UserId, Vec<SessionFacts>>;

/// What a fold takes learners for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Presence<'a> {
    /// There if their own row is.
    AsFound,
    /// The same, and nothing that is stored counts.
    Anew,
    /// There if their own row is; what deleted sessions of those who are there counted for is to be added to their bases.
    Aged(&'a Deleted),
    /// Gone, with all that was derived of them, whatever row there is.
    Gone,
}

/// The tables, by their names in a receipt, from which the deletion of all of a learner's data removes rows of the platform's.
pub(super) const DATA: [&str; 3] = ["study_sessions", "study_sessions_archive", "course_progress"];
/// The tables of ours from which it does. Not the quarantine: its rows are no data that counts, and go, exported like all that
/// is deleted, when their own time is over.
pub(super) const KEPT_BESIDE: [&str; 2] = ["tierkeep_base", "tierkeep_departed"];
/// Derived of a learner and removed after the fold, which holds the learner: whoever writes it locks in this order.
pub(super) const DERIVED: [&str; 1] = ["tierkeep_learning_analytics"];

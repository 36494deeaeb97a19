//! Decisions that both stores make alike: pure, from what they read.

use std::collections::BTreeSet;

use super::{Expected, Order, Outcome, Refusal, SessionVersion};
use crate::key::{KeyType, SessionId, UserId};
use crate::rows::SessionRow;
use crate::session_change::{Completion, FieldFault, SessionChange, same_content};
use crate::store::ListedSession;

use jiff::Timestamp;

/// What a create finds under its id: the same session is a retry, anything else is in the way.
pub(in crate::store) fn known_as(
    wanted: &SessionRow,
    found: Option<ListedSession>,
    is_deleted: bool,
) -> Option<Result<ListedSession, Refusal>> {
    match found {
        Some(found) if same_content(wanted, &found.row) => Some(Ok(found)),
        Some(_) => Some(Err(Refusal::OtherContent(wanted.id))),
        None if is_deleted => Some(Err(Refusal::Deleted(wanted.id))),
        None => None,
    }
}

/// Why a session that is not live cannot be changed.
pub(in crate::store) fn absent(id: SessionId, is_archived: bool, is_deleted: bool) -> Refusal {
    match (is_archived, is_deleted) {
        (true, _) => Refusal::Archived(id),
        (false, true) => Refusal::Deleted(id),
        (false, false) => Refusal::UnknownSession(id),
    }
}

/// Whether the session has a version that the client has seen.
pub(in crate::store) fn before_change(found: &ListedSession, expected: &Expected) -> Result<(), Refusal> {
    let version = SessionVersion::of(found);
    if expected.holds(&version) {
        return Ok(());
    }
    Err(Refusal::OtherVersion { id: found.row.id, found: version })
}

/// What completing changes; `None` = the session ended just so.
pub(in crate::store) fn to_complete(
    row: &SessionRow,
    completion: &Completion,
    now: Timestamp,
) -> Result<Option<SessionChange>, Refusal> {
    if row.end_time.is_none() {
        Ok(Some(completion.change(now)))
    } else if completion.is_of(row) {
        Ok(None)
    } else {
        Err(Refusal::EndedOtherwise(row.id))
    }
}

pub(in crate::store) fn unknown_learner(row: &SessionRow) -> FieldFault {
    FieldFault::new("user_id", &row.user_id.to_string(), "the id of a learner of this database")
}

pub(in crate::store) fn foreign_course(row: &SessionRow) -> Option<FieldFault> {
    let given = row.course_progress_id?.to_string();
    Some(FieldFault::new("course_progress_id", &given, "the id of course progress of this learner, or null"))
}

/// What a store knows of a learner of whom something is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Standing {
    Known,
    Unknown,
    Erased,
}

impl Standing {
    pub(in crate::store) fn of(is_there: bool, is_erased: bool) -> Self {
        match (is_there, is_erased) {
            (_, true) => Self::Erased,
            (true, false) => Self::Known,
            (false, false) => Self::Unknown,
        }
    }

    /// Why nothing can be written about a learner.
    pub(in crate::store) fn refusal(self, user: UserId) -> Option<Refusal> {
        match self {
            Self::Known => None,
            Self::Unknown => Some(Refusal::UnknownLearner(user)),
            Self::Erased => Some(Refusal::ErasedLearner(user)),
        }
    }
}

/// Of whom an answer speaks: whose rows were written, and who is named by an order that was refused, whose fields the
/// answer repeats.
pub(in crate::store) fn spoken_of(orders: &[Order], outcomes: &[Outcome], keys: KeyType) -> Vec<UserId> {
    let named = orders.iter().filter_map(|order| match order {
        Order::Create { session, .. } => Some(session.user_id),
        Order::PutCourse(course) => Some(course.user_id),
        Order::DeleteCourse { user_id, .. } => Some(*user_id),
        Order::Change { .. } | Order::Complete { .. } | Order::Delete { .. } => None,
    });
    let written = outcomes.iter().filter_map(Outcome::touched);
    let users: BTreeSet<UserId> = named.chain(written).filter(|user| user.key().key_type() == keys).collect();
    users.into_iter().collect()
}

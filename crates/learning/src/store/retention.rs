//! Retention of a store's rows: the rules for its database, carried out by the engine.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use tierkeep_db::CatalogColumn;
use tierkeep_retention::{
    Broken, Order, Outcome, Plan, PlanLimits, RestoreOrder, RestoreReport, Restored, RetentionError, RunEntry, RunId,
    Scope,
};

use super::StoreError;
use super::aging::Keep;
use crate::key::{KeyType, UserId};
use crate::retention::{Cutoffs, PHASES};

/// What is to be cleaned up.
#[derive(Debug, Clone)]
pub struct Cleanup {
    /// The phases, by their names in [`crate::retention`].
    pub phases: Vec<&'static str>,
    /// When rows are too old.
    pub cutoffs: Cutoffs,
    /// What becomes of the numbers of sessions that are deleted by age.
    pub keep: Keep,
}

/// Looking after rows that are invalid or old.
#[async_trait]
pub trait Retention {
    /// What a clean-up would do now. Writes nothing and needs SELECT only; works on a platform's tables as well.
    ///
    /// Reads each table once.
    ///
    /// # Errors
    /// [`StoreError::Retention`] if the tables are not fit for it.
    async fn plan_cleanup(
        self: Arc<Self>,
        cleanup: &Cleanup,
        limits: PlanLimits,
        is_forced: bool,
    ) -> Result<Plan, StoreError>;

    /// Cleans up, batch by batch. If the future is dropped, it ends between two batches.
    ///
    /// # Errors
    /// [`StoreError::Retention`] if it was refused before it began, or cannot be recorded; errors of its batches are in the
    /// outcome.
    async fn clean_up(self: Arc<Self>, cleanup: &Cleanup, order: &Order) -> Result<Outcome, StoreError>;

    /// What [`restore`](Self::restore) would bring back now. Writes nothing and needs SELECT only.
    ///
    /// # Errors
    /// As there.
    async fn plan_restore(self: Arc<Self>, order: &RestoreOrder) -> Result<RestoreReport, StoreError>;

    /// Brings back what a run archived or quarantined, or all that was of one learner, batch by batch. If the future is
    /// dropped, it ends between two batches.
    ///
    /// An [`Owner`](tierkeep_retention::Scope::Owner) is the learner's id as text.
    ///
    /// # Errors
    /// [`StoreError::Retention`] if there is no such run, if it was itself a restore, or if another run works; errors of its
    /// batches are in what is returned.
    async fn restore(self: Arc<Self>, order: &RestoreOrder) -> Result<Restored, StoreError>;

    /// Up to `limit` clean-ups (1 to 1000), newest first; those before `before`, if that is given.
    ///
    /// # Errors
    /// As [`Ledger::cleanups`](tierkeep_retention::Ledger::cleanups).
    async fn retention_runs(&self, before: Option<RunId>, limit: u32) -> Result<Vec<RunEntry>, StoreError>;

    /// Where the record of the runs was altered, if anywhere.
    ///
    /// # Errors
    /// As [`Ledger::audit`](tierkeep_retention::Ledger::audit).
    async fn audit_runs(&self) -> Result<Vec<Broken>, StoreError>;
}

/// Where the tables of a store are, and which columns they have.
pub(super) struct Catalog {
    /// Of learners, course progress and sessions.
    pub(super) tables: [Vec<CatalogColumn>; 3],
    /// Of the archive; `None` where Tierkeep's tables are not.
    pub(super) archive: Option<Vec<CatalogColumn>>,
    /// Whether rows were restored that are still left alone.
    pub(super) has_exempt: bool,
}

/// The rules that a restore goes by: where rows of which table are kept. When they are too old is of no concern.
pub(super) fn all_rules(order: &RestoreOrder) -> Cleanup {
    let now: Timestamp = (order.order.clock)();
    Cleanup {
        phases: PHASES.to_vec(),
        cutoffs: Cutoffs { now, archive: now, delete: now, purge: now },
        keep: Keep::Summaries,
    }
}

/// Where Tierkeep only reads a platform's tables there is no archive and no quarantine.
pub(super) const NOTHING_KEPT: &str =
    "tierkeep has no tables in this database, so nothing was ever archived or quarantined here that could come back";

/// Refuses learners whose id is not of the store's type: nothing can be theirs.
pub(super) fn check_owner(order: &RestoreOrder, keys: KeyType) -> Result<(), StoreError> {
    let Scope::Owner(owner) = &order.scope else { return Ok(()) };
    if owner.parse::<UserId>().is_ok_and(|user| user.key().key_type() == keys) {
        return Ok(());
    }
    Err(RetentionError::Refused(format!("{owner:?} is no id of a learner here; ids are of the type {keys}")).into())
}

/// Whether any row was restored whose grace is not over. The one parameter is the present, microseconds since 1970.
pub(super) const HAS_EXEMPT_POSTGRES: &str = "select exists (select from tierkeep_exempt where until > \
     timestamptz 'epoch' + $1 * interval '1 microsecond')";
/// The same on SQLite.
pub(super) const HAS_EXEMPT_SQLITE: &str = "select exists (select 1 from tierkeep_exempt where until > ?1)";

//! Retention of a store's rows: the rules for its database, carried out by the engine.

use std::sync::Arc;

use async_trait::async_trait;
use tierkeep_db::CatalogColumn;
use tierkeep_retention::{Broken, Database, Engine, Order, Outcome, Plan, PlanLimits, Policy, RunEntry, RunId};

use super::StoreError;
use super::aging::Keep;
use crate::retention::{Cutoffs, OPTIMIZE};

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

    /// Up to `limit` runs (1 to 1000), newest first; those before `before`, if that is given.
    ///
    /// # Errors
    /// As [`Ledger::runs`](tierkeep_retention::Ledger::runs).
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

/// An engine with the rules of some phases.
pub(super) fn engine(
    db: Database,
    policy: &Policy,
    phases: &[&str],
    companion: Arc<dyn tierkeep_retention::Companion>,
) -> Engine {
    Engine::new(db, policy.only(phases), companion).optimizing(phases.contains(&OPTIMIZE))
}

/// Whether any row was restored whose grace is not over. The one parameter is the present, microseconds since 1970.
pub(super) const HAS_EXEMPT_POSTGRES: &str = "select exists (select from tierkeep_exempt where until > \
     timestamptz 'epoch' + $1 * interval '1 microsecond')";
/// The same on SQLite.
pub(super) const HAS_EXEMPT_SQLITE: &str = "select exists (select 1 from tierkeep_exempt where until > ?1)";

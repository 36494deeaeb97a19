//! Bringing back what a run moved, or all that was moved of one owner.
//!
//! The inverse of a move by the same means: a batch is one transaction in which rows leave where they were kept and arrive where
//! they came from, with the proof that they are the same, the record of the batch, what exempts them from the next runs, and
//! the references that were turned away from them. A row that cannot come back stays where it is and is listed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tierkeep_db::Database;

use crate::engine::{Engine, Order, over};
use crate::error::RetentionError;
use crate::lease::Hold;
use crate::ledger::{Ended, Ledger, RESTORE, RunId};
use crate::plan::Plan;
use crate::preflight::Intent;
use crate::running::{Running, Session};
use crate::survey::Survey;
use lot::lots;
use working::{Hand, Restoring};

mod lot;
mod postgres;
mod reasons;
mod sqlite;
mod working;

pub(crate) use sqlite::Cell;

/// Rows that stay and are named in a report; the others are only counted.
pub const NAMED: usize = 100;

/// What is to come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All that a run archived or put into quarantine.
    Run(RunId),
    /// All of one owner that any run archived or put into quarantine; the owner's id as the database writes it.
    Owner(String),
}

/// An order to bring rows back.
#[derive(Clone)]
pub struct RestoreOrder {
    /// What is to come back.
    pub scope: Scope,
    /// For how long no rule applies to rows that came back.
    pub grace: Duration,
    /// How: its name, its limits of a plan, and what it says of deletions are of no concern here.
    pub order: Order,
}

/// What came back, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreReport {
    /// Rows that came back, by the subject they are in now.
    pub rows: BTreeMap<String, u64>,
    /// References that were turned back to them.
    pub repointed: u64,
    /// Rows that cannot come back and stay where they are.
    pub stayed: u64,
    /// The first [`NAMED`] of these.
    pub stays: Vec<Stay>,
    /// Rows that others held locks on, at every attempt. A later restore brings them back.
    pub left: u64,
    /// Batches that were committed.
    pub batches: u64,
}

/// A row that cannot come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stay {
    /// The subject it would go to.
    pub source: String,
    /// Its id.
    pub key: String,
    /// Why it cannot.
    pub why: String,
}

/// What became of a restore.
#[derive(Debug, Clone)]
pub struct Restored {
    /// Its own number in the record.
    pub run: RunId,
    /// What it did.
    pub report: RestoreReport,
    /// How it ended; `failed` is one that met an error between two batches.
    pub ended: Ended,
    /// Why, in words, unless it is done.
    pub reason: Option<String>,
    /// How long it took.
    pub took: Duration,
}

impl RestoreReport {
    /// Rows that came back.
    #[must_use]
    pub fn restored(&self) -> u64 {
        self.rows.values().sum()
    }

    pub(super) fn stays(&mut self, stay: Stay) {
        self.stayed += 1;
        if self.stays.len() < NAMED {
            self.stays.push(stay);
        }
    }
}

impl Engine {
    /// What a restore would bring back now. Writes nothing, and needs SELECT only.
    ///
    /// A row that a table refuses for what can only be found by writing it (a trigger of the platform, an exclusion) counts as
    /// one that comes back.
    ///
    /// # Errors
    /// [`RetentionError::UnknownRun`]; [`RetentionError::Refused`] if the run is itself a restore.
    pub async fn plan_restore(&self, order: &RestoreOrder) -> Result<RestoreReport, RetentionError> {
        self.check_scope(&order.scope).await?;
        let survey = Survey::bare(&self.db, &self.policy, Intent::Preview).await?;
        let session = match &self.db {
            Database::Postgres(pool) => Session::Postgres(Box::new(pool.get().await?)),
            Database::Sqlite(file) => Session::Sqlite(file.clone()),
        };
        let lots = lots(&self.policy, &survey)?;
        let mut restoring = Restoring::new(self, order, Hand::Looking(session));
        match restoring.work(&lots).await {
            Ok(()) => Ok(restoring.into_report()),
            Err(stop) => Err(stop.into_error()),
        }
    }

    /// Brings rows back, batch by batch, each with its record.
    ///
    /// Whatever ends this, also a dropped future, ends it between two batches, and the next restore goes on. Rows whose id is
    /// taken, whose parent is gone or which their table refuses are listed and stay.
    ///
    /// # Errors
    /// As [`plan_restore`](Self::plan_restore); [`RetentionError::Busy`] if another run works; [`RetentionError::Fenced`] if
    /// another one has taken over. Any other error after the first batch is in what is returned.
    pub async fn restore(&self, order: &RestoreOrder) -> Result<Restored, RetentionError> {
        let begun = Instant::now();
        self.check_scope(&order.scope).await?;
        let hold = Hold::take(&self.db, order.order.wait, &order.order.stop.signal()).await?;
        let done = self.restore_held(order, &hold, begun).await;
        match hold.release().await {
            // the lease had passed on: whoever has it looks after what is left
            Err(RetentionError::Fenced) | Ok(()) => {}
            Err(error) => tracing::warn!(%error, "the lease of the restore could not be given back"),
        }
        done
    }

    async fn restore_held(
        &self,
        order: &RestoreOrder,
        hold: &Hold,
        begun: Instant,
    ) -> Result<Restored, RetentionError> {
        let survey = Survey::bare(&self.db, &self.policy, Intent::Run).await?;
        let lots = lots(&self.policy, &survey)?;
        let ledger = Ledger::new(&self.db);
        // whose rows they are is not written down: the record outlives an erasure
        let plan = match &order.scope {
            Scope::Run(run) => json!({ "restore": { "run": run } }),
            Scope::Owner(_) => json!({ "restore": "owner" }),
        };
        let run = ledger.begin(hold, RESTORE, &plan).await?;
        let running = Running::new(self, &order.order, hold, &survey, run, Plan::default()).await?;
        let mut restoring = Restoring::new(self, order, Hand::Working(Box::new(running)));
        let stop = restoring.work(&lots).await;
        let took = begun.elapsed();
        let (ended, reason) = over(stop, "what is back stays, and another restore goes on")?;
        let report = restoring.into_report();
        let written = serde_json::to_value(&report).map_err(|error| RetentionError::Mismatch(error.to_string()))?;
        ledger.finish(hold, run, ended, reason.as_deref(), &written).await?;
        Ok(Restored { run, report, ended, reason, took })
    }

    /// Refuses runs that there never were, and those that moved nothing away.
    async fn check_scope(&self, scope: &Scope) -> Result<(), RetentionError> {
        let Scope::Run(run) = scope else { return Ok(()) };
        if Ledger::new(&self.db).run(*run).await?.command == RESTORE {
            return Err(RetentionError::Refused(format!(
                "run {run} is itself a restore and moved nothing away; `runs` lists those that can be restored"
            )));
        }
        Ok(())
    }
}

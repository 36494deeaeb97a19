//! Batches as they must not be done: what the tests of crashes must find.

use super::{Mover, Running, record_of};
use crate::batch::{Batch, Place, postgres, sqlite};
use crate::crash_points::{Fault, TORN, reach};
use crate::error::RetentionError;
use crate::ledger::Ledger;
use crate::report::Report;
use crate::rule::Sweep;
use crate::running::Session;

impl Running<'_> {
    /// A batch in two transactions.
    pub(super) async fn faulty_batch(
        &mut self,
        fault: Fault,
        sweep: &Sweep<'_>,
        mover: &Mover,
        (rows, place, span): (i64, Option<&Place>, i64),
    ) -> Result<(Batch, Option<Report>), RetentionError> {
        match mover {
            Mover::Postgres(mover) => self.faulty_postgres(fault, sweep, mover, (rows, place, span)).await,
            Mover::Sqlite(mover) => self.faulty_sqlite(fault, sweep, mover, (rows, place, span)).await,
        }
    }

    async fn faulty_postgres(
        &mut self,
        fault: Fault,
        sweep: &Sweep<'_>,
        mover: &postgres::Mover,
        (rows, place, span): (i64, Option<&Place>, i64),
    ) -> Result<(Batch, Option<Report>), RetentionError> {
        let is_torn_move = fault == Fault::MoveInTwo && mover.goes_by_age();
        let copying = is_torn_move.then(|| mover.copying());
        let run = self.run.get();
        let (settings, keeper) = (postgres::settings(self.order.lock_timeout.as_millis()), self.hold.keeper());
        let companion = self.engine.companion.clone();
        let Session::Postgres(db) = &mut self.session else {
            return Err(RetentionError::Mismatch("a statement of another database".to_owned()));
        };
        let first = copying.as_ref().unwrap_or(mover);
        let statements = first.prepare(db).await?;
        let tx = db.transaction().await?;
        tx.batch_execute(&settings).await?;
        keeper.keep_postgres(&tx).await?;
        if mover.goes_by_age() {
            companion.moving_postgres(&tx).await?;
        }
        let batch = first.run(&statements, &tx, run, rows, place, span).await?;
        if batch.rows() == 0 {
            tx.rollback().await?;
            return Ok((batch, None));
        }
        reach("rows-moved");
        let report = self.report.with(&batch, sweep.name());
        let written = report.to_json()?;
        let record = record_of(self.run, sweep.name(), &batch, &written);
        if is_torn_move {
            Ledger::record_postgres(&tx, &record).await?;
        }
        tx.commit().await?;
        reach(TORN);
        let tx = db.transaction().await?;
        tx.batch_execute(&settings).await?;
        if is_torn_move {
            companion.moving_postgres(&tx).await?;
            tx.batch_execute(&mover.removing(run)).await?;
        } else {
            Ledger::record_postgres(&tx, &record).await?;
        }
        tx.commit().await?;
        Ok((batch, Some(report)))
    }

    async fn faulty_sqlite(
        &mut self,
        fault: Fault,
        sweep: &Sweep<'_>,
        mover: &sqlite::Mover,
        (rows, place, span): (i64, Option<&Place>, i64),
    ) -> Result<(Batch, Option<Report>), RetentionError> {
        let is_torn_move = fault == Fault::MoveInTwo && mover.goes_by_age();
        let moves = mover.goes_by_age();
        let (first, removing) = if is_torn_move { mover.copying() } else { (mover.clone(), String::new()) };
        let (keeper, companion, run) = (self.hold.keeper(), self.engine.companion.clone(), self.run);
        let (place, before, name) = (place.cloned(), self.report.clone(), sweep.name());
        let Session::Sqlite(file) = &self.session else {
            return Err(RetentionError::Mismatch("a statement of another database".to_owned()));
        };
        let both = companion.clone();
        let done = file.write(move |tx| {
            keeper.keep_sqlite(tx)?;
            let mut batch = Batch::default();
            let mut move_rows = || -> Result<(), RetentionError> {
                batch = first.run(tx, run.get(), rows, place.as_ref(), span)?;
                Ok(())
            };
            if moves {
                both.moving_sqlite(tx, &mut move_rows)?;
            } else {
                move_rows()?;
            }
            if batch.rows() == 0 {
                return Ok((batch, None));
            }
            reach("rows-moved");
            let report = before.with(&batch, name);
            if is_torn_move {
                Ledger::record_sqlite(tx, &record_of(run, name, &batch, &report.to_json()?))?;
            }
            Ok::<_, RetentionError>((batch, Some(report)))
        });
        let (batch, report) = done.await?;
        let Some(report) = report else { return Ok((batch, None)) };
        reach(TORN);
        let (of_batch, of_report) = (batch.clone(), report.clone());
        file.write(move |tx| {
            if !is_torn_move {
                Ledger::record_sqlite(tx, &record_of(run, name, &of_batch, &of_report.to_json()?))?;
                return Ok(());
            }
            companion.moving_sqlite(tx, &mut || {
                tx.execute(&removing, [])?;
                Ok(())
            })
        })
        .await?;
        Ok((batch, Some(report)))
    }
}

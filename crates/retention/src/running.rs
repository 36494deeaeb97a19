//! A run at work: sweep by sweep, batch by batch.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tierkeep_db::{Connection, Database, SqliteDatabase};
use tokio_postgres::types::Type;

use crate::batch::{Batch, Place, postgres, sqlite};
use crate::companion::Preparation;
use crate::crash_points::reach;

use crate::deletion::Files;
use crate::engine::{Engine, Order};
use crate::error::RetentionError;
use crate::gate::Gate;
use crate::lease::Hold;
use crate::ledger::{self, Ledger, RunId};
use crate::pace::Pace;
use crate::plan::Plan;
use crate::report::Report;
use crate::rule::{Action, Sweep};
use crate::statements::{fill, literal, statement};
use crate::stop_sign::Ending;
use crate::survey::Survey;

#[cfg(feature = "crash-points")]
mod faulty;
mod hindrance;

pub(crate) use hindrance::is_hindered;

/// How often a table is gone through for rows that were locked before.
pub(crate) const PASSES: u32 = 3;
/// Time between two of them.
pub(crate) const PASS_PAUSE: Duration = Duration::from_millis(500);
/// Batches that may fail in a row for what others hold, before the run gives up: about half a minute.
const HINDERED: u32 = 12;
/// Pages (PostgreSQL, 8 KiB) or row numbers (SQLite) that a first look at a table covers.
const FIRST_SPAN: i64 = 1024;
/// Most of them that one statement looks at.
const LAST_SPAN: i64 = 128 * 1024;

/// Why work ends before everything is done.
#[derive(Debug)]
pub(crate) enum Stop {
    Ending(Ending),
    Error(RetentionError),
}

impl Stop {
    /// What it is where nothing is under way that could have an ending.
    pub(crate) fn into_error(self) -> RetentionError {
        match self {
            Self::Ending(ending) => RetentionError::Refused(ending.to_string()),
            Self::Error(error) => error,
        }
    }
}

/// A run between its record and its end.
pub(crate) struct Running<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) order: &'a Order,
    pub(crate) hold: &'a Hold,
    pub(crate) survey: &'a Survey,
    pub(crate) run: RunId,
    pub(crate) plan: Plan,
    pub(crate) report: Report,
    pub(crate) pace: Pace,
    /// Time that a batch is to take.
    batch_time: Duration,
    pub(crate) gate: Gate,
    pub(crate) session: Session,
    hindered: u32,
    /// The sweeps whose statements are prepared.
    prepared: BTreeSet<&'static str>,
    /// The files that rows were exported to.
    pub(crate) files: Option<Files>,
    /// Whether the command before deletions has succeeded.
    pub(crate) has_asked: bool,
    /// Rows whose dependants are to be deleted, by rule.
    pub(crate) parents: BTreeMap<&'static str, Vec<String>>,
}

/// What a run talks to the database by.
pub(crate) enum Session {
    Postgres(Box<Connection>),
    Sqlite(SqliteDatabase),
}

/// A batch that was not hindered.
struct Attempt {
    batch: Batch,
    /// Rows that it could have had; fewer mean that there are no more.
    asked: u64,
    took: Duration,
}

/// The statements of a sweep for the database at hand.
enum Mover {
    Postgres(postgres::Mover),
    Sqlite(sqlite::Mover),
}

impl Mover {
    fn goes_by_age(&self) -> bool {
        match self {
            Self::Postgres(mover) => mover.goes_by_age(),
            Self::Sqlite(mover) => mover.goes_by_age(),
        }
    }
}

impl<'a> Running<'a> {
    pub(crate) async fn new(
        engine: &'a Engine,
        order: &'a Order,
        hold: &'a Hold,
        survey: &'a Survey,
        run: RunId,
        plan: Plan,
    ) -> Result<Self, RetentionError> {
        let session = match &engine.db {
            Database::Postgres(pool) => Session::Postgres(Box::new(pool.get().await?)),
            Database::Sqlite(file) => Session::Sqlite(file.clone()),
        };
        let batch_time = order.batch_time.unwrap_or_else(|| Pace::target(&engine.db));
        let tables = engine.policy.subjects.iter().map(|subject| subject.relation.table().quoted()).collect();
        let gate = Gate::open(&engine.db, &session, order, tables).await?;
        Ok(Self {
            engine,
            order,
            hold,
            survey,
            run,
            plan,
            report: Report::default(),
            pace: Pace::new(order.batch, batch_time),
            batch_time,
            gate,
            session,
            hindered: 0,
            prepared: BTreeSet::new(),
            files: None,
            has_asked: false,
            parents: BTreeMap::new(),
        })
    }

    /// Why the plan is not carried out, unless somebody insists.
    pub(crate) fn objection(&self) -> Option<String> {
        let objections = &self.plan.objections;
        let stands = !objections.is_empty() && !self.order.is_forced;
        stands.then(|| {
            format!("{}; nothing was changed. Look at the plan, and force it if that is meant", objections.join("; "))
        })
    }

    pub(crate) fn into_parts(self) -> (Plan, Report) {
        (self.plan, self.report)
    }

    /// Does all sweeps, phase by phase, and what comes after them.
    pub(crate) async fn work(&mut self) -> Result<(), Stop> {
        let policy = &self.engine.policy;
        self.candidates().await?;
        for sweep in policy.sweeps() {
            let planned: u64 = sweep.rules.iter().map(|rule| self.plan.rows(rule.name)).sum();
            if planned == 0 {
                continue;
            }
            self.order.observer.begun(sweep.name(), planned);
            match sweep.action() {
                Action::Delete | Action::DeleteDependants { .. } => self.delete(&sweep).await?,
                _ => self.sweep(&sweep, planned).await?,
            }
            reach("sweep-ended");
        }
        self.prune_exempt().await?;
        if self.engine.is_optimizing {
            self.keep_up().await?;
        }
        Ok(())
    }

    /// Moves the rows of a sweep, and comes back for those that were locked.
    async fn sweep(&mut self, sweep: &Sweep<'_>, planned: u64) -> Result<(), Stop> {
        let found = self.survey.found(&self.engine.policy, sweep.subject.name)?;
        let mover = match &self.session {
            Session::Postgres(_) => Mover::Postgres(postgres::Mover::new(&self.engine.policy, sweep, &found)?),
            Session::Sqlite(_) => Mover::Sqlite(sqlite::Mover::new(&self.engine.policy, sweep, &found)?),
        };
        let mut moved = self.pass_partitions(sweep).await?;
        if moved >= planned {
            return Ok(());
        }
        for pass in 0..PASSES {
            if pass > 0 {
                self.order.observer.waiting("some rows are locked by others");
                self.rest(PASS_PAUSE).await?;
            }
            moved += if mover.goes_by_age() {
                self.pass_by_age(sweep, &mover).await?
            } else {
                self.pass_by_place(sweep, &mover).await?
            };
            if moved >= planned {
                return Ok(());
            }
        }
        self.report.left.insert(sweep.name().to_owned(), planned - moved);
        Ok(())
    }

    async fn pass_by_age(&mut self, sweep: &Sweep<'_>, mover: &Mover) -> Result<u64, Stop> {
        let (mut place, mut moved) = (None, 0);
        loop {
            let Some(Attempt { batch, asked, .. }) = self.batch(sweep, mover, place.as_ref(), 0).await? else {
                continue;
            };
            moved += batch.rows();
            let is_last = batch.picked < asked;
            match batch.last {
                Some((age, key)) if !is_last => place = Some(Place::Behind { age, key }),
                _ => return Ok(moved),
            }
        }
    }

    /// Goes through the table by where rows lie, a span at a time, so that no statement reads the whole of it.
    async fn pass_by_place(&mut self, sweep: &Sweep<'_>, mover: &Mover) -> Result<u64, Stop> {
        let (mut first, mut end) = self.places(sweep, i64::MIN).await?;
        let (mut span, mut moved) = (FIRST_SPAN, 0);
        while first < end {
            let place = Place::From(first);
            let Some(Attempt { batch, asked, took }) = self.batch(sweep, mover, Some(&place), span).await? else {
                continue;
            };
            moved += batch.rows();
            // there may be more in these places; if none of those that were found could go, that is for the next pass
            if batch.picked >= asked && batch.rows() > 0 {
                continue;
            }
            (first, end) = self.places(sweep, first.saturating_add(span)).await?;
            if took < self.batch_time / 4 {
                span = (span * 2).min(LAST_SPAN);
            } else if took > self.batch_time {
                span = (span / 2).max(1);
            }
        }
        Ok(moved)
    }

    /// The first place of a table from one on that holds anything, and the one behind its last. Numbers of rows have gaps.
    async fn places(&self, sweep: &Sweep<'_>, from: i64) -> Result<(i64, i64), RetentionError> {
        let found = self.survey.found(&self.engine.policy, sweep.subject.name)?;
        let (table, name) = (found.table(), literal(&found.table()));
        let places = [("table", table.as_str()), ("name", &name), ("rowid", found.row_name())];
        let text = fill(statement!(found.dialect, "pages"), &places);
        match &self.session {
            Session::Postgres(db) => {
                let row = db.query_typed_one(&text, &[(&from, Type::INT8)]).await?;
                Ok((row.try_get(0)?, row.try_get(1)?))
            }
            Session::Sqlite(file) => {
                file.read(move |db| Ok(db.query_row(&text, [from], |row| Ok((row.get(0)?, row.get(1)?)))?)).await
            }
        }
    }

    /// One batch; `None`: others were in the way, and it is to be tried again.
    async fn batch(
        &mut self,
        sweep: &Sweep<'_>,
        mover: &Mover,
        place: Option<&Place>,
        span: i64,
    ) -> Result<Option<Attempt>, Stop> {
        self.pass_gate().await?;
        let asked = self.rows();
        let rows = i64::try_from(asked).unwrap_or(i64::MAX);
        let begun = Instant::now();
        let done = match mover {
            #[cfg(feature = "crash-points")]
            mover
                if let Some(fault) =
                    crate::crash_points::fault().filter(|fault| fault.concerns(mover.goes_by_age())) =>
            {
                self.faulty_batch(fault, sweep, mover, (rows, place, span)).await
            }
            Mover::Postgres(mover) => self.batch_postgres(sweep, mover, rows, place, span).await,
            Mover::Sqlite(mover) => self.batch_sqlite(sweep, mover, rows, place, span).await,
        };
        let took = begun.elapsed();
        match done {
            Ok((batch, report)) => {
                self.hindered = 0;
                if report.is_some() {
                    reach("batch-committed");
                    self.take_report(sweep, report);
                    self.pace.done(u32::try_from(batch.picked).unwrap_or(u32::MAX), took);
                    self.rest(self.order.share.rest_after(took)).await?;
                }
                Ok(Some(Attempt { batch, asked, took }))
            }
            Err(error) => self.wait_out(error).await.map(|()| None),
        }
    }

    /// What the companion deletes by, prepared; nothing on SQLite.
    pub(crate) async fn companion_statements(&mut self, name: &'static str) -> Result<Preparation, RetentionError> {
        let Session::Postgres(db) = &self.session else { return Ok(Box::new(())) };
        let prepare = async { Ok(self.engine.companion.prepare_postgres(db).await?) };
        let prepared = if self.prepared.contains(name) {
            prepare.await?
        } else {
            postgres::impatiently(db, self.order.lock_timeout.as_millis(), prepare).await?
        };
        self.prepared.insert(name);
        Ok(prepared)
    }

    /// Rows of the next batch.
    pub(crate) fn rows(&self) -> u64 {
        u64::from(self.gate.rows(self.pace.next_rows()).get())
    }

    /// Takes over what a committed batch has added up to.
    pub(crate) fn take_report(&mut self, sweep: &Sweep<'_>, report: Option<Report>) {
        if let Some(report) = report {
            self.report = report;
            self.order.observer.moved(sweep.name(), self.done_of(sweep));
        }
    }

    /// Rows that went by a sweep so far.
    fn done_of(&self, sweep: &Sweep<'_>) -> u64 {
        sweep.rules.iter().map(|rule| self.report.rows(rule.name)).sum()
    }

    async fn batch_postgres(
        &mut self,
        sweep: &Sweep<'_>,
        mover: &postgres::Mover,
        rows: i64,
        place: Option<&Place>,
        span: i64,
    ) -> Result<(Batch, Option<Report>), RetentionError> {
        let Session::Postgres(db) = &mut self.session else {
            return Err(RetentionError::Mismatch("a statement of another database".to_owned()));
        };
        let lock_timeout = self.order.lock_timeout.as_millis();
        let statements = if self.prepared.contains(sweep.name()) {
            mover.prepare(db).await?
        } else {
            postgres::impatiently(db, lock_timeout, mover.prepare(db)).await?
        };
        self.prepared.insert(sweep.name());
        let transaction = db.transaction().await?;
        transaction.batch_execute(&postgres::settings(lock_timeout)).await?;
        self.hold.keeper().keep_postgres(&transaction).await?;
        reach("batch-begun");
        if matches!(sweep.action(), Action::Archive { .. }) {
            self.engine.companion.moving_postgres(&transaction).await?;
        } else {
            // a plan for any number of rows would read whole tables; these batches are rare
            transaction.batch_execute("set local plan_cache_mode = force_custom_plan").await?;
        }
        let batch = mover.run(&statements, &transaction, self.run.get(), rows, place, span).await?;
        if batch.rows() == 0 {
            // nothing happened; not even the lease needs to be written
            transaction.rollback().await?;
            return Ok((batch, None));
        }
        reach("rows-moved");
        let report = self.report.with(&batch, sweep.name());
        let written = report.to_json()?;
        Ledger::record_postgres(&transaction, &record_of(self.run, sweep.name(), &batch, &written)).await?;
        reach("batch-recorded");
        transaction.commit().await?;
        Ok((batch, Some(report)))
    }

    async fn batch_sqlite(
        &mut self,
        sweep: &Sweep<'_>,
        mover: &sqlite::Mover,
        rows: i64,
        place: Option<&Place>,
        span: i64,
    ) -> Result<(Batch, Option<Report>), RetentionError> {
        let Session::Sqlite(file) = &self.session else {
            return Err(RetentionError::Mismatch("a statement of another database".to_owned()));
        };
        let (keeper, companion, run) = (self.hold.keeper(), self.engine.companion.clone(), self.run);
        let (mover, place, before, name) = (mover.clone(), place.cloned(), self.report.clone(), sweep.name());
        let moves = matches!(sweep.action(), Action::Archive { .. });
        let (asked, lock_wait) = (Instant::now(), self.gate.lock_wait());
        file.write(move |tx| {
            lock_wait.note(asked.elapsed());
            keeper.keep_sqlite(tx)?;
            reach("batch-begun");
            let mut batch = Batch::default();
            let mut move_rows = || -> Result<(), RetentionError> {
                batch = mover.run(tx, run.get(), rows, place.as_ref(), span)?;
                Ok(())
            };
            if moves {
                companion.moving_sqlite(tx, &mut move_rows)?;
            } else {
                move_rows()?;
            }
            if batch.rows() == 0 {
                return Ok((batch, None));
            }
            reach("rows-moved");
            let report = before.with(&batch, name);
            let written = report.to_json()?;
            Ledger::record_sqlite(tx, &record_of(run, name, &batch, &written))?;
            reach("batch-recorded");
            Ok((batch, Some(report)))
        })
        .await
    }

    /// Waits if others were in the way, for longer each time; any other error ends the run.
    pub(crate) async fn wait_out(&mut self, error: RetentionError) -> Result<(), Stop> {
        if !is_hindered(&error) || self.hindered >= HINDERED {
            return Err(error.into());
        }
        self.hindered += 1;
        let pause = self.pace.hindered();
        self.order.observer.waiting("others hold locks");
        self.hold.renew().await?;
        self.rest(pause).await
    }

    /// A batch was committed: others are not in the way any more.
    pub(crate) fn unhindered(&mut self) {
        self.hindered = 0;
    }

    /// Waits for this long, or ends.
    pub(crate) async fn rest(&self, pause: Duration) -> Result<(), Stop> {
        if pause.is_zero() {
            return Ok(());
        }
        match self.order.stop.rest(self.order.now(), pause).await {
            Some(ending) => Err(Stop::Ending(ending)),
            None => Ok(()),
        }
    }

    /// Waits until a batch may begin, or ends.
    pub(crate) async fn pass_gate(&mut self) -> Result<(), Stop> {
        if let Some(ending) = self.order.stop.asked(self.order.now()) {
            return Err(Stop::Ending(ending));
        }
        self.gate.pass(self.order, self.hold).await
    }
}

pub(crate) fn record_of<'a>(
    run: RunId,
    name: &'a str,
    batch: &'a Batch,
    report: &'a serde_json::Value,
) -> ledger::Batch<'a> {
    ledger::Batch {
        run,
        rule: name,
        rows: batch.rows(),
        digest_left: batch.digest_left.as_deref(),
        digest_arrived: batch.digest_arrived.as_deref(),
        first_age: batch.first_age.as_deref(),
        last_age: batch.last_age.as_deref(),
        report,
    }
}

impl From<RetentionError> for Stop {
    fn from(error: RetentionError) -> Self {
        Self::Error(error)
    }
}

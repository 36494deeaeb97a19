//! A restore at work, or looking: lot by lot, page by page.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use super::lot::Lot;
use super::{RestoreOrder, RestoreReport, Stay, postgres, sqlite};
use crate::batch::postgres::settings;
use crate::engine::Engine;
use crate::error::RetentionError;
use crate::ledger::{Batch, Ledger};
use crate::running::{PASS_PAUSE, PASSES, Running, Session, Stop};

/// Rows that are looked at together in a dry run.
const LOOKED: i64 = 1000;

/// A kept row.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// What tells it apart where it is kept.
    pub(super) place: String,
    /// How old it is, if pages go by that.
    pub(super) age: Option<String>,
    /// Its id.
    pub(super) key: String,
    /// The names of its columns, where rows differ in them.
    pub(super) shape: Option<String>,
}

/// What became of some rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Done {
    pub(super) moved: u64,
    /// Rows that others held.
    pub(super) left: u64,
    /// Where rows are kept that cannot come back, and why.
    pub(super) stays: Vec<(String, String)>,
    /// References that were turned back.
    pub(super) turned: u64,
    pub(super) digest_left: Option<String>,
    pub(super) digest_arrived: Option<String>,
}

/// What a restore has the database by.
pub(super) enum Hand<'a> {
    Working(Box<Running<'a>>),
    Looking(Session),
}

pub(super) struct Restoring<'a> {
    engine: &'a Engine,
    order: &'a RestoreOrder,
    hand: Hand<'a>,
    report: RestoreReport,
    /// What the present pass over a lot has found; it becomes part of the report when the lot is done.
    pass: Pass,
}

#[derive(Debug, Clone, Default)]
struct Pass {
    moved: u64,
    left: u64,
    stays: RestoreReport,
}

/// The statements of a lot.
enum Texts {
    Postgres { known: postgres::Expressions, shapes: BTreeMap<Option<String>, postgres::Texts> },
    Sqlite,
}

impl Hand<'_> {
    fn session(&mut self) -> &mut Session {
        match self {
            Self::Working(running) => &mut running.session,
            Self::Looking(session) => session,
        }
    }

    fn is_working(&self) -> bool {
        matches!(self, Self::Working(_))
    }
}

impl<'a> Restoring<'a> {
    pub(super) fn new(engine: &'a Engine, order: &'a RestoreOrder, hand: Hand<'a>) -> Self {
        Self { engine, order, hand, report: RestoreReport::default(), pass: Pass::default() }
    }

    pub(super) fn into_report(self) -> RestoreReport {
        self.with_pass()
    }

    /// The report with what the present pass has found.
    fn with_pass(&self) -> RestoreReport {
        let mut report = self.report.clone();
        for stay in &self.pass.stays.stays {
            report.stays(stay.clone());
        }
        report.stayed += self.pass.stays.stayed - self.pass.stays.stays.len() as u64;
        report.left += self.pass.left;
        report
    }

    pub(super) async fn work(&mut self, lots: &[Lot<'_>]) -> Result<(), Stop> {
        for lot in lots {
            let mut texts = self.texts(lot).await?;
            if lot.is_move() && matches!(self.order.scope, super::Scope::Run(_)) {
                let before = self.report.clone();
                let moved = self.lot(lot, &mut texts, true).await?;
                // somebody may have changed how old an archived row is
                let there = self.count(lot).await?;
                let here = if self.hand.is_working() { 0 } else { moved };
                if there > here + self.pass.stays.stayed + self.pass.left {
                    if !self.hand.is_working() {
                        self.report = before;
                    }
                    self.pass = Pass::default();
                    self.lot(lot, &mut texts, false).await?;
                }
            } else {
                self.lot(lot, &mut texts, false).await?;
            }
            self.report = self.with_pass();
            self.pass = Pass::default();
        }
        Ok(())
    }

    /// Goes through a lot until nothing changes any more; how many rows came back.
    async fn lot(&mut self, lot: &Lot<'_>, texts: &mut Texts, is_spanned: bool) -> Result<u64, Stop> {
        let (mut all, mut waited) = (0, 1);
        loop {
            self.pass = Pass::default();
            self.pass_over(lot, texts, is_spanned).await?;
            all += self.pass.moved;
            let has_new_parents = self.pass.moved > 0 && self.pass.stays.stayed > 0 && lot.points_to_itself();
            if !self.hand.is_working() {
                return Ok(all);
            }
            if self.pass.left > 0 && waited < PASSES {
                waited += 1;
                self.order.order.observer.waiting("some rows are locked by others");
                self.rest(PASS_PAUSE).await?;
            } else if !has_new_parents {
                return Ok(all);
            }
        }
    }

    async fn pass_over(&mut self, lot: &Lot<'_>, texts: &mut Texts, is_spanned: bool) -> Result<(), Stop> {
        let mut last: Option<Candidate> = None;
        loop {
            self.pass_gate().await?;
            let page = self.page(lot, last.as_ref(), is_spanned).await?;
            let Some(end) = page.last() else { return Ok(()) };
            last = Some(end.clone());
            let mut waiting: Vec<Vec<Candidate>> = Vec::new();
            for candidate in page {
                match waiting.last_mut() {
                    Some(some) if some[0].shape == candidate.shape => some.push(candidate),
                    _ => waiting.push(vec![candidate]),
                }
            }
            waiting.reverse();
            while let Some(some) = waiting.pop() {
                self.prepare(lot, texts, &some)?;
                match self.bring(lot, texts, &some).await {
                    Ok(done) => self.take(lot, &some, done).await?,
                    Err(error) => match (refused(&error), some.as_slice()) {
                        (Some(why), [only]) => self.pass.stays.stays(stay(lot, only, why)),
                        (Some(_), several) => {
                            let (first, second) = several.split_at(several.len() / 2);
                            waiting.push(second.to_vec());
                            waiting.push(first.to_vec());
                        }
                        (None, _) => {
                            self.wait_out(error).await?;
                            waiting.push(some);
                        }
                    },
                }
                self.pass_gate().await?;
            }
        }
    }

    async fn take(&mut self, lot: &Lot<'_>, some: &[Candidate], (done, took): (Done, Duration)) -> Result<(), Stop> {
        let mut stays: BTreeMap<String, String> = done.stays.into_iter().collect();
        for candidate in some {
            if let Some(why) = stays.remove(&candidate.place) {
                self.pass.stays.stays(stay(lot, candidate, why));
            }
        }
        self.pass.left += done.left;
        if done.moved == 0 {
            return Ok(());
        }
        self.pass.moved += done.moved;
        self.count_moved(lot, done.moved, done.turned);
        if let Hand::Working(running) = &mut self.hand {
            self.report.batches += 1;
            running.unhindered();
            running.pace.done(u32::try_from(some.len()).unwrap_or(u32::MAX), took);
            self.order.order.observer.moved(lot.name(), self.pass.moved);
            running.rest(self.order.order.share.rest_after(took)).await?;
        }
        Ok(())
    }

    fn count_moved(&mut self, lot: &Lot<'_>, moved: u64, turned: u64) {
        *self.report.rows.entry(lot.name().to_owned()).or_default() += moved;
        self.report.repointed += turned;
    }

    async fn texts(&mut self, lot: &Lot<'_>) -> Result<Texts, Stop> {
        Ok(match self.hand.session() {
            Session::Postgres(db) => {
                Texts::Postgres { known: postgres::Expressions::read(db, lot).await?, shapes: BTreeMap::new() }
            }
            Session::Sqlite(_) => Texts::Sqlite,
        })
    }

    fn prepare(&self, lot: &Lot<'_>, texts: &mut Texts, some: &[Candidate]) -> Result<(), RetentionError> {
        let shape = &some[0].shape;
        if let Texts::Postgres { known, shapes } = texts
            && !shapes.contains_key(shape)
        {
            let made = postgres::texts(lot, &self.order.scope, known, shape.as_deref())?;
            shapes.insert(shape.clone(), made);
        }
        Ok(())
    }

    async fn page(
        &mut self,
        lot: &Lot<'_>,
        last: Option<&Candidate>,
        is_spanned: bool,
    ) -> Result<Vec<Candidate>, RetentionError> {
        let text = lot.page(&self.order.scope, last.is_some(), is_spanned)?;
        let scope = &self.order.scope;
        match &mut self.hand {
            Hand::Looking(session) => page_of(session, &text, scope, LOOKED, last).await,
            Hand::Working(running) => {
                let rows = i64::try_from(running.rows()).unwrap_or(i64::MAX);
                // rows of a run may be far apart
                let hold = running.hold;
                hold.while_renewing(page_of(&mut running.session, &text, scope, rows, last)).await
            }
        }
    }

    async fn count(&mut self, lot: &Lot<'_>) -> Result<u64, RetentionError> {
        let (text, scope) = (lot.count(&self.order.scope)?, &self.order.scope);
        match &mut self.hand {
            Hand::Looking(session) => count_of(session, &text, scope).await,
            Hand::Working(running) => {
                let hold = running.hold;
                hold.while_renewing(count_of(&mut running.session, &text, scope)).await
            }
        }
    }

    /// Brings some rows back that have the same columns, in one transaction, or looks at them.
    async fn bring(
        &mut self,
        lot: &Lot<'_>,
        texts: &Texts,
        some: &[Candidate],
    ) -> Result<(Done, Duration), RetentionError> {
        let begun = Instant::now();
        let done = match texts {
            Texts::Postgres { shapes, .. } => self.bring_postgres(lot, &shapes[&some[0].shape], some).await?,
            Texts::Sqlite => self.bring_sqlite(lot, some).await?,
        };
        Ok((done, begun.elapsed()))
    }

    async fn bring_postgres(
        &mut self,
        lot: &Lot<'_>,
        texts: &postgres::Texts,
        some: &[Candidate],
    ) -> Result<Done, RetentionError> {
        let scope = &self.order.scope;
        let before = self.with_pass();
        let until = self.until();
        let running = match &mut self.hand {
            Hand::Looking(Session::Postgres(db)) => return postgres::look(db, texts, scope, some).await,
            Hand::Working(running) => running,
            Hand::Looking(Session::Sqlite(_)) => return Err(other_database()),
        };
        let (keeper, companion, run) = (running.hold.keeper(), &self.engine.companion, running.run);
        let Session::Postgres(db) = &mut running.session else { return Err(other_database()) };
        let prepared = postgres::Prepared::new(db, texts).await?;
        let tx = db.transaction().await?;
        tx.batch_execute(&settings(self.order.order.lock_timeout.as_millis())).await?;
        keeper.keep_postgres(&tx).await?;
        companion.deleting_postgres(&tx).await?;
        if lot.is_move() {
            companion.moving_postgres(&tx).await?;
        }
        let turns = !lot.is_move() && !lot.target.subject.dependants.is_empty();
        let done = postgres::bring(&tx, &prepared, scope, some, until, turns).await?;
        if done.moved == 0 {
            tx.rollback().await?;
            return Ok(done);
        }
        let report = json_with(before, lot.name(), &done)?;
        Ledger::record_postgres(&tx, &record(run, lot.name(), some, &done, &report)).await?;
        tx.commit().await?;
        Ok(done)
    }

    async fn bring_sqlite(&mut self, lot: &Lot<'_>, some: &[Candidate]) -> Result<Done, RetentionError> {
        let (until, before, is_dry) = (self.until(), self.with_pass(), !self.hand.is_working());
        let Session::Sqlite(file) = self.hand.session() else { return Err(other_database()) };
        let file = file.clone();
        let rows = some.to_vec();
        let shapes = if lot.is_move() { Vec::new() } else { file.read(move |db| sqlite::shapes(db, &rows)).await? };
        let texts = sqlite::texts(lot, &self.order.scope, shapes, is_dry)?;
        let rows = some.to_vec();
        let Hand::Working(running) = &self.hand else {
            return file.read(move |db| sqlite::bring(db, &texts, &rows, until)).await;
        };
        let (keeper, companion, run) = (running.hold.keeper(), self.engine.companion.clone(), running.run);
        let (is_move, name) = (lot.is_move(), lot.name());
        let (asked, lock_wait) = (Instant::now(), running.gate.lock_wait());
        file.write(move |tx| {
            lock_wait.note(asked.elapsed());
            keeper.keep_sqlite(tx)?;
            let mut done = Done::default();
            let mut bring = || -> Result<(), RetentionError> {
                done = sqlite::bring(tx, &texts, &rows, until)?;
                Ok(())
            };
            if is_move {
                companion.moving_sqlite(tx, &mut bring)?;
            } else {
                bring()?;
            }
            if done.moved > 0 {
                let report = json_with(before, name, &done)?;
                Ledger::record_sqlite(tx, &record(run, name, &rows, &done, &report))?;
            }
            Ok(done)
        })
        .await
    }

    /// The end of the grace of rows that come back now, microseconds since 1970.
    fn until(&self) -> i64 {
        let grace = i64::try_from(self.order.grace.as_micros()).unwrap_or(i64::MAX);
        self.order.order.now().as_microsecond().saturating_add(grace)
    }

    async fn pass_gate(&mut self) -> Result<(), Stop> {
        match &mut self.hand {
            Hand::Working(running) => running.pass_gate().await,
            Hand::Looking(_) => Ok(()),
        }
    }

    async fn wait_out(&mut self, error: RetentionError) -> Result<(), Stop> {
        match &mut self.hand {
            Hand::Working(running) => running.wait_out(error).await,
            Hand::Looking(_) => Err(error.into()),
        }
    }

    async fn rest(&self, pause: Duration) -> Result<(), Stop> {
        match &self.hand {
            Hand::Working(running) => running.rest(pause).await,
            Hand::Looking(_) => Ok(()),
        }
    }
}

async fn page_of(
    session: &mut Session,
    text: &str,
    scope: &super::Scope,
    rows: i64,
    last: Option<&Candidate>,
) -> Result<Vec<Candidate>, RetentionError> {
    match session {
        Session::Postgres(db) => postgres::page(db, text, scope, rows, last).await,
        Session::Sqlite(file) => {
            let (text, scope, last) = (text.to_owned(), scope.clone(), last.cloned());
            file.read(move |db| sqlite::page(db, &text, &scope, rows, last.as_ref())).await
        }
    }
}

async fn count_of(session: &mut Session, text: &str, scope: &super::Scope) -> Result<u64, RetentionError> {
    let rows = match session {
        Session::Postgres(db) => postgres::count(db, text, scope).await?,
        Session::Sqlite(file) => {
            let (text, scope) = (text.to_owned(), scope.clone());
            file.read(move |db| sqlite::count(db, &text, &scope)).await?
        }
    };
    Ok(rows.unsigned_abs())
}

/// A report with a batch that is about to be committed.
fn json_with(mut report: RestoreReport, name: &str, done: &Done) -> Result<serde_json::Value, RetentionError> {
    *report.rows.entry(name.to_owned()).or_default() += done.moved;
    report.repointed += done.turned;
    report.batches += 1;
    serde_json::to_value(&report).map_err(|error| RetentionError::Mismatch(error.to_string()))
}

fn record<'b>(
    run: crate::RunId,
    name: &'b str,
    some: &'b [Candidate],
    done: &'b Done,
    report: &'b serde_json::Value,
) -> Batch<'b> {
    Batch {
        run,
        rule: name,
        rows: done.moved,
        digest_left: done.digest_left.as_deref(),
        digest_arrived: done.digest_arrived.as_deref(),
        first_age: some.first().and_then(|candidate| candidate.age.as_deref()),
        last_age: some.last().and_then(|candidate| candidate.age.as_deref()),
        report,
    }
}

fn stay(lot: &Lot<'_>, candidate: &Candidate, why: String) -> Stay {
    Stay { source: lot.name().to_owned(), key: candidate.key.clone(), why }
}

fn other_database() -> RetentionError {
    RetentionError::Mismatch("a statement of another database".to_owned())
}

/// What a table says of rows that it does not take, without their values; `None`: the error is about something else.
fn refused(error: &RetentionError) -> Option<String> {
    let (RetentionError::Postgres(error) | RetentionError::Database(tierkeep_db::Error::Postgres(error))) = error
    else {
        return None;
    };
    let db = error.as_db_error()?;
    let class = db.code().code().get(..2)?;
    match (class, db.constraint()) {
        ("23", Some(constraint)) => Some(format!("the constraint \"{constraint}\" forbids it")),
        ("23", None) => Some(match db.column() {
            Some(column) => format!("it has no value in \"{column}\", which needs one"),
            None => "the table does not take it".to_owned(),
        }),
        ("22", _) => Some("a value of it does not fit its column as it is now".to_owned()),
        // a trigger of the platform's
        _ if *db.code() == SqlState::RAISE_EXCEPTION => Some("a trigger of the table forbids it".to_owned()),
        _ => None,
    }
}

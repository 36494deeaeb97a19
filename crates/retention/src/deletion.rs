//! Deleting: first into a file that was read back, then, row by row as exported, out of the database.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Transaction};

use crate::batch::{Batch, postgres};
use crate::companion::Removed;
use crate::crash_points::reach;
use crate::error::RetentionError;
use crate::export::{Ages, ExportDirectory, ExportError, ExportWriter, FileName, Manifest, row_digest, verify};
use crate::ledger::Ledger;
use crate::report::Report;
use crate::rule::{Action, Sweep};
use crate::running::{PASSES, Running, Session, Stop, record_of};
use crate::stop_sign::Ending;

/// Rows of one export file; its digests are kept in memory while they are deleted.
const FILE_ROWS: i64 = 50_000;

/// A row as it is exported: its key, its age, its fields.
#[derive(Debug)]
struct Listed {
    key: String,
    age: Option<String>,
    fields: Vec<Option<String>>,
}

/// What was exported, and up to where.
#[derive(Debug, Default)]
struct Exported {
    digests: BTreeSet<u64>,
    last: Option<(String, String)>,
}

/// The files of a run.
pub(crate) struct Files {
    directory: ExportDirectory,
    manifest: Manifest,
    number: u32,
}

impl Files {
    /// The files of a run, in a directory of the database's own, since runs of all databases are numbered from 1.
    fn open(directory: &Path, run: i64, installation: Option<&str>) -> Result<Self, ExportError> {
        let own = installation.map_or_else(|| directory.to_owned(), |name| directory.join(name));
        let directory = ExportDirectory::open(own)?;
        if installation.is_some() {
            directory.remove_leftovers_before(run)?;
        }
        let manifest = Manifest::create(&directory, run, installation)?;
        Ok(Self { directory, manifest, number: 0 })
    }
}

/// A guard that ends the run.
fn refused(why: &str) -> Stop {
    Stop::Ending(Ending::Refused(why.to_owned()))
}

/// The statements of one rule.
struct Texts {
    /// From the beginning, and from behind a place.
    export: [String; 2],
    /// The same, up to a place.
    pick: [String; 2],
    /// Without an end, where nothing is exported.
    pick_all: [String; 2],
}

impl Running<'_> {
    /// Deletes what a sweep is about.
    pub(crate) async fn delete(&mut self, sweep: &Sweep<'_>) -> Result<(), Stop> {
        self.ask_before_deleting().await?;
        match sweep.action() {
            Action::DeleteDependants { .. } => self.delete_dependants(sweep).await,
            _ => self.delete_rows(sweep).await,
        }
    }

    /// Runs the command that must succeed before anything is deleted, once in a run.
    async fn ask_before_deleting(&mut self) -> Result<(), Stop> {
        let Some(command) = self.order.before_delete.as_ref().filter(|_| !self.has_asked) else { return Ok(()) };
        let mut child = tokio::process::Command::new("sh");
        child.arg("-c").arg(command).stdin(std::process::Stdio::null()).kill_on_drop(true);
        let ran = self.hold.while_renewing(async {
            tokio::select! {
                // whatever ends the run ends the command: it is killed when it is dropped
                ending = self.stopped() => Ok(Err(ending)),
                output = child.output() => Ok(Ok(output)),
            }
        });
        let output = ran
            .await?
            .map_err(Stop::Ending)?
            .map_err(|error| refused(&format!("before_delete cannot be run: {error}")))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().last().unwrap_or_default().trim().to_owned();
            return Err(refused(&format!("before_delete ended with {}, so nothing is deleted. {said}", output.status)));
        }
        self.has_asked = true;
        Ok(())
    }

    /// Waits until something ends the run.
    async fn stopped(&self) -> Ending {
        loop {
            if let Some(ending) = self.order.stop.rest(self.order.now(), Duration::from_secs(60)).await {
                return ending;
            }
        }
    }

    async fn delete_rows(&mut self, sweep: &Sweep<'_>) -> Result<(), Stop> {
        let rule = sweep.rules[0];
        let planned = self.plan.rows(rule.name);
        let found = self.survey.found(&self.engine.policy, sweep.subject.name)?;
        let condition = found.condition(&sweep.condition()).map_err(RetentionError::from)?;
        let both = |text: &dyn Fn(bool) -> Result<String, tierkeep_db::UnknownColumn>| -> Result<[String; 2], Stop> {
            Ok([text(false).map_err(RetentionError::from)?, text(true).map_err(RetentionError::from)?])
        };
        let texts = Texts {
            export: both(&|is_begun| found.export(&condition, is_begun))?,
            pick: both(&|is_begun| found.pick(&condition, is_begun, true))?,
            pick_all: both(&|is_begun| found.pick(&condition, is_begun, false))?,
        };
        let columns: Vec<String> =
            found.exported().map_err(RetentionError::from)?.into_iter().map(|(name, _)| name).collect();
        for _ in 0..PASSES {
            self.delete_pass(sweep, &texts, &columns).await?;
            self.drop_empty_parts(sweep).await?;
            if self.report.rows(rule.name) >= planned {
                return Ok(());
            }
        }
        self.report.left.insert(rule.name.to_owned(), planned.saturating_sub(self.report.rows(rule.name)));
        Ok(())
    }

    async fn delete_pass(&mut self, sweep: &Sweep<'_>, texts: &Texts, columns: &[String]) -> Result<(), Stop> {
        let mut place: Option<(String, String)> = None;
        loop {
            self.pass_gate().await?;
            let exported = if self.order.export.is_some() {
                let exported = self.export(sweep, texts, columns, place.as_ref()).await?;
                if exported.last.is_none() {
                    return Ok(());
                }
                Some(exported)
            } else {
                None
            };
            self.delete_file(sweep, texts, place.clone(), exported.as_ref()).await?;
            match exported {
                Some(exported) => place.clone_from(&exported.last),
                None => return Ok(()),
            }
        }
    }

    /// Writes the next rows into a file, seals it and reads it back.
    async fn export(
        &mut self,
        sweep: &Sweep<'_>,
        texts: &Texts,
        columns: &[String],
        place: Option<&(String, String)>,
    ) -> Result<Arc<Exported>, Stop> {
        let text = &texts.export[usize::from(place.is_some())];
        let hold = self.hold;
        let rows = hold.while_renewing(self.list(text, FILE_ROWS, place)).await?;
        if rows.is_empty() {
            return Ok(Arc::default());
        }
        let last = rows.last().map(|row| (row.age.clone().unwrap_or_default(), row.key.clone()));
        let ages = Ages {
            first: rows.first().and_then(|row| row.age.clone()),
            last: last.as_ref().map(|(age, _)| age.clone()),
        };
        let fields = rows.into_iter().map(|row| row.fields).collect();
        let digests = self.write_file(sweep.subject.name, columns, fields, ages).await?;
        Ok(Arc::new(Exported { digests, last }))
    }

    /// Writes one file, and gives the digests of its rows. Nothing may be deleted unless this succeeds.
    pub(crate) async fn write_file(
        &mut self,
        table: &str,
        columns: &[String],
        rows: Vec<Vec<Option<String>>>,
        ages: Ages,
    ) -> Result<BTreeSet<u64>, Stop> {
        #[cfg(feature = "crash-points")]
        if crate::crash_points::fault() == Some(crate::crash_points::Fault::DeleteUnexported) {
            return Ok(rows.iter().map(|row| digest(row)).collect());
        }
        let directory = self.order.export.clone().unwrap_or_default();
        let run = self.run.get();
        let mut files = match self.files.take() {
            Some(files) => files,
            None => Files::open(&directory, run, self.order.installation.as_deref()).map_err(RetentionError::from)?,
        };
        files.number += 1;
        let (table, columns) = (table.to_owned(), columns.to_vec());
        let written = tokio::task::spawn_blocking(move || -> Result<_, RetentionError> {
            let name =
                FileName::new(&table, run, files.number).map_err(|error| RetentionError::Refused(error.to_string()))?;
            let mut writer = ExportWriter::create(&files.directory, &name, &columns)?;
            reach("file-begun");
            let mut digests = BTreeSet::new();
            for row in &rows {
                let fields: Vec<Option<&str>> = row.iter().map(Option::as_deref).collect();
                digests.insert(writer.write(&fields)?);
            }
            reach("file-written");
            let sealed = writer.finish()?;
            reach("file-sealed");
            verify(&sealed)?;
            reach("file-verified");
            files.manifest.add(&files.directory, &sealed, ages)?;
            reach("file-listed");
            Ok((files, digests, sealed.path.display().to_string()))
        });
        let written = self.hold.while_renewing(async { Ok(written.await) }).await?;
        let (files, digests, path) =
            written.map_err(|error| RetentionError::Mismatch(format!("an export panicked: {error}")))??;
        self.files = Some(files);
        self.report.files.push(path);
        Ok(digests)
    }

    /// Deletes rows that were exported and are still what they were, batch by batch.
    async fn delete_file(
        &mut self,
        sweep: &Sweep<'_>,
        texts: &Texts,
        mut place: Option<(String, String)>,
        exported: Option<&Arc<Exported>>,
    ) -> Result<(), Stop> {
        let pick = if exported.is_some() { &texts.pick } else { &texts.pick_all };
        let until = exported.and_then(|exported| exported.last.clone());
        loop {
            self.pass_gate().await?;
            let rows = self.rows();
            let text = &pick[usize::from(place.is_some())];
            let begun = Instant::now();
            let places = [place.as_ref(), until.as_ref()];
            let done = self.delete_batch(sweep, text, i64::try_from(rows).unwrap_or(i64::MAX), places, exported).await;
            match done {
                Ok((picked, last, report)) => {
                    if report.is_some() {
                        reach("deletion-committed");
                    }
                    self.unhindered();
                    self.take_report(sweep, report);
                    let took = begun.elapsed();
                    self.pace.done(u32::try_from(picked).unwrap_or(u32::MAX), took);
                    match last {
                        Some(last) if picked >= rows => place = Some(last),
                        _ => return Ok(()),
                    }
                    self.rest(self.order.share.rest_after(took)).await?;
                }
                Err(error) => self.wait_out(error).await?,
            }
        }
    }

    async fn delete_batch(
        &mut self,
        sweep: &Sweep<'_>,
        text: &str,
        rows: i64,
        [place, until]: [Option<&(String, String)>; 2],
        exported: Option<&Arc<Exported>>,
    ) -> Result<(u64, Option<(String, String)>, Option<Report>), RetentionError> {
        let name = sweep.rules[0].name;
        let (keeper, companion, run) = (self.hold.keeper(), self.engine.companion.clone(), self.run);
        let settings = postgres::settings(self.order.lock_timeout.as_millis());
        let prepared = self.companion_statements(name).await?;
        match &mut self.session {
            Session::Postgres(db) => {
                let tx = db.transaction().await?;
                tx.batch_execute(&settings).await?;
                keeper.keep_postgres(&tx).await?;
                companion.deleting_postgres(&tx).await?;
                let listed = list_postgres(&tx, text, rows, place, until).await?;
                let (picked, last, keys) = agreed(&listed, exported.map(Arc::as_ref));
                if keys.is_empty() {
                    tx.rollback().await?;
                    return Ok((picked, last, None));
                }
                reach("deletion-begun");
                let removed = companion.delete_postgres(&tx, &prepared, name, &keys).await?;
                reach("rows-deleted");
                let (batch, report) = counted(&self.report, name, keys.len() as u64, &removed, ages(&listed));
                Ledger::record_postgres(&tx, &record_of(run, name, &batch, &report.to_json()?)).await?;
                reach("deletion-recorded");
                tx.commit().await?;
                Ok((picked, last, Some(report)))
            }
            Session::Sqlite(file) => {
                let (text, place, until) = (text.to_owned(), place.cloned(), until.cloned());
                let exported = exported.cloned();
                let before = self.report.clone();
                file.write(move |tx| {
                    keeper.keep_sqlite(tx)?;
                    let listed = list_sqlite(tx, &text, rows, place.as_ref(), until.as_ref())?;
                    let (picked, last, keys) = agreed(&listed, exported.as_deref());
                    if keys.is_empty() {
                        return Ok((picked, last, None));
                    }
                    reach("deletion-begun");
                    let removed = companion.delete_sqlite(tx, name, &keys)?;
                    reach("rows-deleted");
                    let (batch, report) = counted(&before, name, keys.len() as u64, &removed, ages(&listed));
                    Ledger::record_sqlite(tx, &record_of(run, name, &batch, &report.to_json()?))?;
                    reach("deletion-recorded");
                    Ok((picked, last, Some(report)))
                })
                .await
            }
        }
    }

    /// Rows as they are exported, outside of any batch.
    async fn list(
        &mut self,
        text: &str,
        rows: i64,
        place: Option<&(String, String)>,
    ) -> Result<Vec<Listed>, RetentionError> {
        match &mut self.session {
            Session::Postgres(db) => {
                let tx = db.transaction().await?;
                // values become text here as they will when they are compared
                tx.batch_execute(&postgres::settings(self.order.lock_timeout.as_millis())).await?;
                list_postgres(&tx, text, rows, place, None).await
            }
            Session::Sqlite(file) => {
                let (text, place) = (text.to_owned(), place.cloned());
                file.read(move |db| list_sqlite(db, &text, rows, place.as_ref(), None)).await
            }
        }
    }
}

/// How old the first and the last of some rows are.
fn ages(listed: &[Listed]) -> (Option<String>, Option<String>) {
    let age = |row: Option<&Listed>| row.and_then(|row| row.age.clone());
    (age(listed.first()), age(listed.last()))
}

/// What a deletion is recorded as.
pub(crate) fn counted(
    before: &Report,
    name: &'static str,
    rows: u64,
    removed: &Removed,
    ages: (Option<String>, Option<String>),
) -> (Batch, Report) {
    let (first_age, last_age) = ages;
    let batch = Batch {
        picked: rows,
        kinds: BTreeMap::from([(name.to_owned(), rows)]),
        first_age,
        last_age,
        ..Batch::default()
    };
    let mut report = before.with(&batch, name);
    let dependants = report.dependants.entry(name.to_owned()).or_default();
    for (subject, rows) in removed {
        *dependants.entry((*subject).to_owned()).or_default() += rows;
    }
    (batch, report)
}

/// How many rows were looked at, the last of them, and the keys of those that are as they were exported.
fn agreed(listed: &[Listed], exported: Option<&Exported>) -> (u64, Option<(String, String)>, Vec<String>) {
    let last = listed.last().map(|row| (row.age.clone().unwrap_or_default(), row.key.clone()));
    let is_kept = |row: &&Listed| exported.is_none_or(|exported| exported.digests.contains(&digest(&row.fields)));
    (listed.len() as u64, last, listed.iter().filter(is_kept).map(|row| row.key.clone()).collect())
}

pub(crate) fn digest(fields: &[Option<String>]) -> u64 {
    let fields: Vec<Option<&str>> = fields.iter().map(Option::as_deref).collect();
    row_digest(&fields)
}

async fn list_postgres(
    tx: &Transaction<'_>,
    text: &str,
    rows: i64,
    place: Option<&(String, String)>,
    until: Option<&(String, String)>,
) -> Result<Vec<Listed>, RetentionError> {
    let mut values: Vec<&(dyn ToSql + Sync)> = vec![&rows];
    // the places of a text are numbered, so those that it has not are not bound
    for (age, key) in [place, until].into_iter().flatten() {
        values.push(age);
        values.push(key);
    }
    let listed = |row: &Row| -> Result<Listed, RetentionError> {
        Ok(Listed { key: row.try_get(0)?, age: row.try_get(1)?, fields: fields_postgres(row, 2)? })
    };
    tx.query(text, &values).await?.iter().map(listed).collect()
}

/// The fields of a row from a column on.
pub(crate) fn fields_postgres(row: &Row, first: usize) -> Result<Vec<Option<String>>, RetentionError> {
    Ok((first..row.len()).map(|place| row.try_get(place)).collect::<Result<_, _>>()?)
}

fn list_sqlite(
    db: &rusqlite::Connection,
    text: &str,
    rows: i64,
    place: Option<&(String, String)>,
    until: Option<&(String, String)>,
) -> Result<Vec<Listed>, RetentionError> {
    let mut statement = db.prepare_cached(text)?;
    let mut values: Vec<&dyn rusqlite::ToSql> = vec![&rows];
    for (age, key) in [place, until].into_iter().flatten() {
        values.push(age);
        values.push(key);
    }
    let listed = statement.query_map(values.as_slice(), |row| {
        Ok(Listed { key: row.get(0)?, age: row.get(1)?, fields: fields_sqlite(row, 2)? })
    })?;
    Ok(listed.collect::<Result<_, _>>()?)
}

/// The fields of a row from a column on.
pub(crate) fn fields_sqlite(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Vec<Option<String>>> {
    (first..row.as_ref().column_count()).map(|place| row.get(place)).collect()
}

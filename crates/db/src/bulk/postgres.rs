//! Many rows into PostgreSQL.

use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use super::copy::CopyStream;
use super::{Bulk, BulkError, BulkReport, Duplicates, Failures, Operation, Path, RowFailure};
use crate::statement::{Given, ManyShape, typed_parameters};
use crate::{Dialect, Error, Value, ValueError};

/// Most rows of a statement in which each value is a parameter; beyond that, arrays are faster.
const VALUES_MAX: usize = 500;
/// Most parameters of a statement: the protocol counts them in 16 bits.
const PARAMETERS_MAX: usize = 65_535;
/// Most rows of a statement with one array per column; beyond that, `COPY` is faster.
const ARRAYS_MAX: usize = 10_000;

/// What the catalog says of the columns.
struct Target {
    types: Vec<Type>,
    type_names: Vec<String>,
    by_text: Vec<bool>,
    /// Whether `COPY` into the table does what an insert does.
    can_copy: bool,
    /// Whether a row that was written says if it is new.
    has_versions: bool,
}

/// What the catalog says of one column.
struct ColumnFacts {
    type_name: String,
    is_generated: bool,
    has_no_equality: bool,
    can_copy: bool,
    has_versions: bool,
}

/// What an attempt has done.
#[derive(Default)]
struct Counts {
    inserted: u64,
    updated: u64,
    deleted: u64,
    unchanged: u64,
    missing: u64,
}

/// The path of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Values,
    Arrays,
    CopyHere,
    CopyAside,
}

impl Bulk {
    /// Writes the rows in the caller's transaction, which is as it was if this fails.
    ///
    /// # Errors
    ///
    /// [`Error::Bulk`] and [`Error::Postgres`].
    pub async fn run_postgres(&self, tx: &mut Transaction<'_>, rows: &[Vec<Value>]) -> Result<BulkReport, Error> {
        if rows.is_empty() {
            return Ok(BulkReport::default());
        }
        let mut whole = tx.transaction().await?;
        let target = self.target(&whole).await?;
        let mut report = BulkReport::default();
        let mut admitted = self.admitted(rows, &mut report)?;
        match self.failures {
            Failures::AllOrNothing => {
                let mut rest = admitted.as_slice();
                while !rest.is_empty() {
                    let (chunk, after) = rest.split_at(self.chunk_length(rest.len()));
                    self.attempt(&mut whole, &target, rows, chunk).await?.add_to(&mut report);
                    rest = after;
                }
            }
            Failures::PerRow => {
                whole.batch_execute("set constraints all immediate").await?;
                admitted.retain(|index| match check(&target.types, &rows[*index]) {
                    Ok(()) => true,
                    Err(error) => {
                        report.failures.push(RowFailure { index: *index, error: error.into() });
                        false
                    }
                });
                self.keep_good(&mut whole, &target, rows, &admitted, &mut report).await?;
            }
        }
        whole.commit().await?;
        Ok(report.sorted())
    }

    /// Writes what can be written: halves what fails until single rows are left, the first half first, so that rows meet
    /// each other in their order.
    async fn keep_good(
        &self,
        tx: &mut Transaction<'_>,
        target: &Target,
        rows: &[Vec<Value>],
        admitted: &[usize],
        report: &mut BulkReport,
    ) -> Result<(), Error> {
        let mut waiting = vec![admitted];
        while let Some(part) = waiting.pop() {
            if part.is_empty() {
                continue;
            }
            let (chunk, after) = part.split_at(self.chunk_length(part.len()));
            waiting.push(after);
            match self.attempt(tx, target, rows, chunk).await {
                Ok(counts) => counts.add_to(report),
                Err(error) if !is_of_rows(&error) => return Err(error),
                Err(error) => match chunk {
                    [index] => report.failures.push(RowFailure { index: *index, error }),
                    several => {
                        let (first, second) = several.split_at(several.len() / 2);
                        waiting.push(second);
                        waiting.push(first);
                    }
                },
            }
        }
        Ok(())
    }

    /// Writes a chunk, all or nothing.
    async fn attempt(
        &self,
        tx: &mut Transaction<'_>,
        target: &Target,
        rows: &[Vec<Value>],
        chunk: &[usize],
    ) -> Result<Counts, Error> {
        let savepoint = tx.transaction().await?;
        match self.write(&savepoint, target, rows, chunk).await {
            Ok(counts) => {
                savepoint.commit().await?;
                Ok(counts)
            }
            Err(error) if is_equal_keys(&error) && chunk.len() > 1 => {
                savepoint.rollback().await?;
                if self.duplicates == Duplicates::Refused {
                    return Err(BulkError::EqualKeys.into());
                }
                // one after the other, so that the last one has the last word
                let mut sum = Counts::default();
                let savepoint = tx.transaction().await?;
                for index in chunk {
                    sum.add(&self.write(&savepoint, target, rows, &[*index]).await?);
                }
                savepoint.commit().await?;
                Ok(sum)
            }
            Err(error) => {
                savepoint.rollback().await?;
                Err(error)
            }
        }
    }

    async fn write(
        &self,
        tx: &Transaction<'_>,
        target: &Target,
        rows: &[Vec<Value>],
        chunk: &[usize],
    ) -> Result<Counts, Error> {
        let shape = ManyShape {
            table: &self.table,
            columns: &self.columns,
            types: &target.type_names,
            by_text: &target.by_text,
            has_versions: target.has_versions,
            operation: &self.operation,
        };
        let way = self.way(chunk.len(), target);
        if matches!(way, Way::Values | Way::Arrays) {
            for index in chunk {
                check(&target.types, &rows[*index])
                    .map_err(|source| BulkError::Row { index: *index, source: Box::new(source.into()) })?;
            }
        }
        let (given, columns, params): (Given, Vec<Vec<&Value>>, Vec<&(dyn ToSql + Sync)>);
        match way {
            Way::CopyHere => {
                let copied = self.copy(tx, &shape.copy(Given::Values(0)), target, rows, chunk).await?;
                let left_out = (chunk.len() as u64).saturating_sub(copied);
                return Ok(Counts { inserted: copied, unchanged: left_out, ..Counts::default() });
            }
            Way::CopyAside => {
                tx.batch_execute(&shape.make_stage()).await?;
                self.copy(tx, &shape.copy(Given::Table), target, rows, chunk).await?;
                given = Given::Table;
                params = Vec::new();
            }
            Way::Values => {
                given = Given::Values(chunk.len());
                params = chunk.iter().flat_map(|index| &rows[*index]).map(|value| value as _).collect();
            }
            Way::Arrays => {
                given = Given::Arrays;
                columns = (0..self.columns.len())
                    .map(|place| chunk.iter().map(|index| &rows[*index][place]).collect())
                    .collect();
                params = columns.iter().map(|column| column as _).collect();
            }
        }
        let counts = self.counted(tx, &shape.statement(given), &params, rows, chunk).await?;
        if way == Way::CopyAside {
            tx.batch_execute(&shape.drop_stage()).await?;
        }
        Ok(counts)
    }

    /// Runs the statement and says what became of the rows.
    async fn counted(
        &self,
        tx: &Transaction<'_>,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        rows: &[Vec<Value>],
        chunk: &[usize],
    ) -> Result<Counts, Error> {
        let given = chunk.len() as u64;
        let statement = tx.prepare(sql).await?;
        if statement.columns().is_empty() {
            let inserted = tx.execute(&statement, params).await?;
            return Ok(Counts { inserted, unchanged: given.saturating_sub(inserted), ..Counts::default() });
        }
        let row = tx.query_one(&statement, params).await?;
        let count = |name: &str| row.try_get::<_, i64>(name).map(i64::unsigned_abs);
        let (inserted, updated, deleted) = (count("inserted")?, count("updated")?, count("deleted")?);
        let (found, keys) = (count("found")?, count("keys")?);
        let counts = Counts { inserted, updated, deleted, ..Counts::default() };
        match &self.operation {
            Operation::Update { keys: names } | Operation::Delete { keys: names } => {
                let is_whole = |index: &&usize| {
                    self.columns
                        .iter()
                        .zip(&rows[**index])
                        .all(|(column, value)| !names.contains(column) || !value.is_null())
                };
                if keys != chunk.iter().filter(is_whole).count() as u64 {
                    return Err(BulkError::EqualKeys.into());
                }
                let is_update = matches!(self.operation, Operation::Update { .. });
                let unchanged = if is_update { found.saturating_sub(updated) } else { 0 };
                Ok(Counts { unchanged, missing: given - found, ..counts })
            }
            _ => Ok(Counts { unchanged: given.saturating_sub(inserted + updated), ..counts }),
        }
    }

    async fn copy(
        &self,
        tx: &Transaction<'_>,
        sql: &str,
        target: &Target,
        rows: &[Vec<Value>],
        chunk: &[usize],
    ) -> Result<u64, Error> {
        let sink = tx.copy_in::<_, Bytes>(sql).await?;
        let mut sink = std::pin::pin!(sink);
        let mut stream = CopyStream::new(&target.types);
        for index in chunk {
            let piece = stream
                .push(&rows[*index])
                .map_err(|source| BulkError::Row { index: *index, source: Box::new(source.into()) })?;
            if let Some(piece) = piece {
                sink.send(piece).await?;
            }
        }
        sink.send(stream.finish()).await?;
        Ok(sink.finish().await?)
    }

    fn way(&self, count: usize, target: &Target) -> Way {
        let copy = if self.operation == Operation::Insert && target.can_copy { Way::CopyHere } else { Way::CopyAside };
        match self.path {
            Path::Values => Way::Values,
            Path::Arrays => Way::Arrays,
            Path::Copy => copy,
            Path::BySize if count <= VALUES_MAX.min(PARAMETERS_MAX / self.columns.len()) => Way::Values,
            Path::BySize if count <= ARRAYS_MAX => Way::Arrays,
            Path::BySize => copy,
        }
    }

    /// How many of so many rows one statement takes.
    fn chunk_length(&self, count: usize) -> usize {
        match self.path {
            Path::Values => count.min((PARAMETERS_MAX / self.columns.len()).max(1)),
            Path::Arrays => count.min(ARRAYS_MAX),
            Path::Copy | Path::BySize => count,
        }
    }

    async fn target(&self, tx: &Transaction<'_>) -> Result<Target, Error> {
        let sql = include_str!("sql/postgres/columns.sql");
        let rows = tx.query_typed(sql, &[(&self.table.quoted(), Type::TEXT)]).await?;
        let mut known = Vec::with_capacity(rows.len());
        for row in rows {
            let facts = ColumnFacts {
                type_name: row.try_get("type_name")?,
                is_generated: row.try_get("is_generated")?,
                has_no_equality: row.try_get("has_no_equality")?,
                can_copy: row.try_get("can_copy")?,
                has_versions: row.try_get("has_versions")?,
            };
            known.push((row.try_get::<_, String>("name")?, facts));
        }
        let (mut type_names, mut by_text, mut can_copy, mut has_versions) = (Vec::new(), Vec::new(), true, true);
        for column in &self.columns {
            let facts = self.located(&known, column, Dialect::Postgres)?;
            if facts.is_generated {
                return Err(BulkError::Generated { column: column.to_string() }.into());
            }
            type_names.push(facts.type_name.clone());
            by_text.push(facts.has_no_equality);
            can_copy &= facts.can_copy;
            has_versions &= facts.has_versions;
        }
        let types = tx.prepare(&typed_parameters(&type_names)).await?.params().to_vec();
        Ok(Target { types, type_names, by_text, can_copy, has_versions })
    }
}

/// Whether every value fits its column.
fn check(types: &[Type], row: &[Value]) -> Result<(), ValueError> {
    let mut scratch = BytesMut::new();
    for (value, ty) in row.iter().zip(types) {
        scratch.clear();
        value.encode_postgres(ty, &mut scratch)?;
    }
    Ok(())
}

/// Whether values of rows are to blame, and not the table, a right or the connection.
fn is_of_rows(error: &Error) -> bool {
    /// Data, integrity, what a view does not show, and what a trigger refuses.
    const CLASSES: [&str; 4] = ["22", "23", "44", "P0"];
    match error {
        Error::Value(_) | Error::Bulk(BulkError::Row { .. } | BulkError::EqualKeys) => true,
        Error::Postgres(error) => {
            error.code().is_some_and(|code| CLASSES.iter().any(|class| code.code().starts_with(class)))
        }
        _ => false,
    }
}

fn is_equal_keys(error: &Error) -> bool {
    match error {
        Error::Postgres(error) => error.code() == Some(&SqlState::CARDINALITY_VIOLATION),
        Error::Bulk(BulkError::EqualKeys) => true,
        _ => false,
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.unchanged += other.unchanged;
        self.missing += other.missing;
    }

    fn add_to(&self, report: &mut BulkReport) {
        report.inserted += self.inserted;
        report.updated += self.updated;
        report.deleted += self.deleted;
        report.unchanged += self.unchanged;
        report.missing += self.missing;
    }
}

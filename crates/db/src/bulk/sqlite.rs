//! Many rows into SQLite: one transaction, and a statement for each row that is prepared once.

use rusqlite::types::Value as Stored;
use rusqlite::{ErrorCode, Transaction, params_from_iter};

use super::{Bulk, BulkError, BulkReport, Failures, Operation, RowFailure};
use crate::statement::one_row_sqlite;
use crate::{Dialect, Error, Ident, Value};

impl Bulk {
    /// Writes the rows in the caller's transaction, which is as it was if this fails.
    ///
    /// # Errors
    ///
    /// [`Error::Bulk`] and [`Error::Sqlite`].
    pub fn run_sqlite(&self, tx: &Transaction<'_>, rows: &[Vec<Value>]) -> Result<BulkReport, Error> {
        if rows.is_empty() {
            return Ok(BulkReport::default());
        }
        tx.execute_batch("savepoint tierkeep_bulk")?;
        let report = self.write_rows(tx, rows);
        // a trigger may have ended the transaction, and the savepoint with it
        if report.is_err() && !tx.is_autocommit() {
            tx.execute_batch("rollback to tierkeep_bulk")?;
        }
        if !tx.is_autocommit() {
            tx.execute_batch("release tierkeep_bulk")?;
        }
        report
    }

    fn write_rows(&self, tx: &Transaction<'_>, rows: &[Vec<Value>]) -> Result<BulkReport, Error> {
        self.check_sqlite(tx)?;
        let mut report = BulkReport::default();
        let admitted = self.admitted(rows, &mut report)?;
        let (first, second) = one_row_sqlite(&self.operation, &self.table, &self.columns);
        let mut first = tx.prepare_cached(&first)?;
        let mut second = second.map(|sql| tx.prepare_cached(&sql)).transpose()?;
        // some columns are not bound in a second statement that only looks for the key, others not in a deletion
        let used = first.parameter_count();
        let used_later = second.as_ref().map_or(0, |statement| statement.parameter_count());
        for index in admitted {
            let outcome = (|| {
                let row = rows[index].iter().map(Value::encode_sqlite).collect::<Result<Vec<Stored>, _>>()?;
                let bound = |count: usize| params_from_iter(row[..count].to_vec());
                let touched = first.execute(bound(used))? as u64;
                let mut follow_up = || -> Result<u64, Error> {
                    let Some(second) = second.as_mut() else { return Ok(0) };
                    match self.operation {
                        Operation::Update { .. } => Ok(u64::from(second.exists(bound(used_later))?)),
                        _ => Ok(second.execute(bound(used_later))? as u64),
                    }
                };
                match self.operation {
                    Operation::Insert => report.inserted += touched,
                    Operation::InsertMissing { .. } => {
                        report.inserted += touched;
                        report.unchanged += 1 - touched.min(1);
                    }
                    Operation::Upsert { .. } if touched > 0 => report.inserted += 1,
                    Operation::Upsert { .. } => match follow_up()? {
                        0 => report.unchanged += 1,
                        updated => report.updated += updated,
                    },
                    Operation::Update { .. } if touched > 0 => report.updated += touched,
                    Operation::Update { .. } => match follow_up()? {
                        0 => report.missing += 1,
                        _ => report.unchanged += 1,
                    },
                    Operation::Delete { .. } if touched > 0 => report.deleted += touched,
                    Operation::Delete { .. } => report.missing += 1,
                }
                Ok::<_, Error>(())
            })();
            match outcome {
                Ok(()) => {}
                Err(error) if self.failures == Failures::PerRow && is_of_row(&error) && !tx.is_autocommit() => {
                    report.failures.push(RowFailure { index, error });
                }
                Err(error) if is_of_row(&error) => {
                    return Err(BulkError::Row { index, source: Box::new(error) }.into());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(report.sorted())
    }

    fn check_sqlite(&self, tx: &Transaction<'_>) -> Result<(), Error> {
        let mut statement = tx.prepare_cached(include_str!("sql/sqlite/columns.sql"))?;
        let schema = self.table.schema().map(Ident::as_str);
        let known: Vec<(String, bool)> = statement
            .query_map((self.table.name().as_str(), schema), |row| Ok((row.get("name")?, row.get("is_generated")?)))?
            .collect::<Result<_, _>>()?;
        for column in &self.columns {
            if *self.located(&known, column, Dialect::Sqlite)? {
                return Err(BulkError::Generated { column: column.to_string() }.into());
            }
        }
        Ok(())
    }
}

/// Whether the values of the row are to blame, and not the table, the file or the program.
fn is_of_row(error: &Error) -> bool {
    match error {
        Error::Value(_) => true,
        Error::Sqlite(error) => matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
        ),
        _ => false,
    }
}

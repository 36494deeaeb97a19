//! How tables grow: samples of their sizes, kept in a table of the same database.

use rusqlite::params;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::{Bytes, TableStatistics, count};
use crate::{Error, TableName};

/// Makes the table of samples on PostgreSQL, in the first schema of the search path; does nothing if it is there.
pub const SAMPLES_POSTGRES: &str = include_str!("sql/postgres/samples_table.sql");
/// Makes the table of samples on SQLite; does nothing if it is there.
pub const SAMPLES_SQLITE: &str = include_str!("sql/sqlite/samples_table.sql");

/// Microseconds of a day of 24 hours.
const DAY_US: f64 = 24.0 * 3600.0 * 1e6;

/// How large a table was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSample {
    /// The table.
    pub table: TableName,
    /// When, in microseconds since 1970.
    pub at_us: i64,
    /// Rows alive, by estimate.
    pub rows: u64,
    /// The table with its indexes.
    pub size: Bytes,
}

/// How a table grew.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    /// The first sample, in microseconds since 1970.
    pub from_us: i64,
    /// The last.
    pub until_us: i64,
    /// Rows that came in a day; negative if they went.
    pub rows_per_day: f64,
    /// Bytes that came in a day; negative if they went.
    pub bytes_per_day: f64,
}

/// The straight line through the samples of one table, by least squares; `None` unless there are two moments.
///
/// Their order does not matter. Whose samples they are is not looked at.
///
/// # Examples
///
/// ```
/// use tierkeep_db::statistics::{Bytes, TableSample, growth};
///
/// let day = 86_400_000_000;
/// let sample = |n: i64| TableSample {
///     table: "t".parse().unwrap(),
///     at_us: n * day,
///     rows: 100 + 10 * n.unsigned_abs(),
///     size: Bytes(8192),
/// };
/// let growth = growth(&[sample(0), sample(1), sample(2)]).unwrap();
/// assert_eq!((growth.rows_per_day, growth.bytes_per_day), (10.0, 0.0));
/// ```
#[must_use]
pub fn growth(samples: &[TableSample]) -> Option<Growth> {
    let from_us = samples.iter().map(|sample| sample.at_us).min()?;
    let until_us = samples.iter().map(|sample| sample.at_us).max()?;
    if from_us == until_us {
        return None;
    }
    // Days from the middle: no large numbers are subtracted below.
    let days: Vec<f64> = samples.iter().map(|sample| (sample.at_us - from_us) as f64 / DAY_US).collect();
    let middle = days.iter().sum::<f64>() / days.len() as f64;
    let spread: f64 = days.iter().map(|day| (day - middle).powi(2)).sum();
    let slope = |value: fn(&TableSample) -> u64| {
        let lowest = samples.iter().map(value).min().unwrap_or(0);
        let sum: f64 = samples.iter().zip(&days).map(|(s, day)| (day - middle) * (value(s) - lowest) as f64).sum();
        sum / spread
    };
    Some(Growth { from_us, until_us, rows_per_day: slope(|s| s.rows), bytes_per_day: slope(|s| s.size.0) })
}

impl TableStatistics {
    /// What is to be stored of this moment; `None` if the number of rows is not known.
    #[must_use]
    pub fn sample(&self, at_us: i64) -> Option<TableSample> {
        let rows = self.live.found()?.0;
        Some(TableSample { table: self.table.clone(), at_us, rows, size: self.total_size() })
    }
}

/// Stores samples in the table that [`SAMPLES_POSTGRES`] makes; one of the same table and moment is replaced.
///
/// # Errors
///
/// [`Error::Postgres`].
pub async fn store_samples_postgres(client: &Client, samples: &[TableSample]) -> Result<(), Error> {
    let mut seen = std::collections::BTreeMap::new();
    for sample in samples {
        seen.insert((sample.table.to_string(), sample.at_us), (signed(sample.rows), signed(sample.size.0)));
    }
    let (tables, moments): (Vec<String>, Vec<i64>) = seen.keys().cloned().unzip();
    let (rows, bytes): (Vec<i64>, Vec<i64>) = seen.values().copied().unzip();
    client
        .query_typed(
            include_str!("sql/postgres/samples_store.sql"),
            &[
                (&tables, Type::TEXT_ARRAY),
                (&moments, Type::INT8_ARRAY),
                (&rows, Type::INT8_ARRAY),
                (&bytes, Type::INT8_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// Reads the samples of one table from a moment on, in microseconds since 1970, in the order of time.
///
/// # Errors
///
/// [`Error::Postgres`].
pub async fn samples_postgres(client: &Client, table: &TableName, from_us: i64) -> Result<Vec<TableSample>, Error> {
    let rows = client
        .query_typed(
            include_str!("sql/postgres/samples.sql"),
            &[(&table.to_string(), Type::TEXT), (&from_us, Type::INT8)],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(TableSample {
                table: table.clone(),
                at_us: row.try_get("at_us")?,
                rows: count(row.try_get("row_count")?),
                size: Bytes(count(row.try_get("byte_count")?)),
            })
        })
        .collect()
}

/// Stores samples in the table that [`SAMPLES_SQLITE`] makes; one of the same table and moment is replaced.
///
/// # Errors
///
/// [`Error::Sqlite`].
pub fn store_samples_sqlite(connection: &rusqlite::Connection, samples: &[TableSample]) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(include_str!("sql/sqlite/samples_store.sql"))?;
    for sample in samples {
        let (rows, bytes) = (signed(sample.rows), signed(sample.size.0));
        statement.execute(params![sample.table.to_string(), sample.at_us, rows, bytes])?;
    }
    Ok(())
}

/// Reads the samples of one table from a moment on, in microseconds since 1970, in the order of time.
///
/// # Errors
///
/// [`Error::Sqlite`].
pub fn samples_sqlite(
    connection: &rusqlite::Connection,
    table: &TableName,
    from_us: i64,
) -> Result<Vec<TableSample>, Error> {
    let mut statement = connection.prepare_cached(include_str!("sql/sqlite/samples.sql"))?;
    let samples = statement.query_map(params![table.to_string(), from_us], |row| {
        Ok(TableSample {
            table: table.clone(),
            at_us: row.get("at_us")?,
            rows: count(row.get("row_count")?),
            size: Bytes(count(row.get("byte_count")?)),
        })
    })?;
    Ok(samples.collect::<Result<_, _>>()?)
}

/// No database is larger than that.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(at_us: i64, rows: u64, bytes: u64) -> TableSample {
        TableSample { table: "t".parse().unwrap(), at_us, rows, size: Bytes(bytes) }
    }

    #[test]
    fn one_moment_tells_nothing_about_growth() {
        assert_eq!(growth(&[]), None);
        assert_eq!(growth(&[sample(5, 1, 1), sample(5, 9, 9)]), None);
    }

    proptest! {
        /// On a line the slope is the line's; noise of one unit moves it by no more than noise can.
        #[test]
        fn slope_of_a_line_is_found_wherever_it_is_sampled(
            days in prop::collection::btree_set(0_i64..400, 2..20),
            per_day in 0_u64..100_000,
            start in 0_u64..1_000_000_000_000,
        ) {
            let samples: Vec<TableSample> = days
                .iter()
                .map(|day| sample(1_700_000_000_000_000 + day * 86_400_000_000, start + per_day * day.unsigned_abs(), 7))
                .collect();

            let growth = growth(&samples).unwrap();

            prop_assert!((growth.rows_per_day - per_day as f64).abs() <= 1e-6 * (1.0 + per_day as f64));
            prop_assert_eq!(growth.bytes_per_day, 0.0);
        }
    }
}

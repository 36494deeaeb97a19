//! What an index costs the writes of a workload.

use std::collections::BTreeSet;

use super::Problem;
use crate::advice::facts::{RANGE_PAGES, TRIGRAMS_PER_BYTE};
use crate::advice::whatif::statistics::written_rows;
use crate::query::Written;
use crate::statement::{IndexDefinition, IndexMethod};
use crate::{Dialect, Ident};

impl Problem {
    /// Entries that the writes of the workload add to an index, and rows that they write to its table.
    pub(super) fn entries(&self, index: &IndexDefinition) -> (f64, f64) {
        let (mut entries, mut written) = (0.0, 0.0);
        for statement in &self.statements {
            let Some(write) = statement.reading.written.as_ref().filter(|write| *write.table() == index.table) else {
                continue;
            };
            let rows = statement.calls * written_rows(&statement.reading, &self.facts);
            written += rows;
            entries += rows
                * self.entries_of_row(index)
                * match write {
                    Written::Insert(_) | Written::Delete(_) => 1.0,
                    Written::Update(_, columns) => self.entries_of_update(index, columns),
                };
        }
        (entries, written)
    }

    /// Entries that an index has of a row.
    fn entries_of_row(&self, index: &IndexDefinition) -> f64 {
        let table = self.facts.tables.get(&index.table);
        let rows_of_range = table.map_or(1.0, |table| table.row_count() / table.pages.max(1.0) * RANGE_PAGES);
        match index.method {
            IndexMethod::Tree => 1.0,
            IndexMethod::Blocks => 1.0 / rows_of_range.max(1.0),
            IndexMethod::Trigrams => {
                let width = |column| table.and_then(|table| table.columns.get(column)).map_or(8.0, |own| own.width);
                index.columns().map(|column| width(column) * TRIGRAMS_PER_BYTE).sum::<f64>().max(1.0)
            }
        }
    }

    /// Entries for each updated row. PostgreSQL spares the indexes of a row none of whose indexed columns changes; an index
    /// on a changed column ends that for all of them.
    fn entries_of_update(&self, index: &IndexDefinition, changed: &BTreeSet<Ident>) -> f64 {
        let is_touched = index.columns().any(|column| changed.contains(column))
            || index.predicate.as_ref().is_some_and(|predicate| changed.contains(predicate.column()));
        let others = self.facts.tables.get(&index.table).map(|table| table.indexes.as_slice()).unwrap_or_default();
        let was_spared = !others.iter().any(|other| {
            let keys = other.keys.iter().filter_map(|key| key.column.as_ref());
            keys.chain(&other.include).any(|column| changed.contains(column))
        });
        match self.dialect {
            Dialect::Postgres if is_touched && was_spared => 1.0 + others.len() as f64,
            Dialect::Postgres if !is_touched && was_spared => 0.0,
            Dialect::Postgres => 1.0,
            // There an entry changes only with its columns: one goes, one comes.
            Dialect::Sqlite if is_touched => 2.0,
            Dialect::Sqlite => 0.0,
        }
    }
}

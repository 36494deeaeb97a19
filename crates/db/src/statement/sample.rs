//! Statements that look at a few rows of a table.

use super::{Ident, TableName};

/// Reads these columns of the first row whose number is not below `?1`.
pub(crate) fn row_from(table: &TableName, columns: &[Ident]) -> String {
    format!("select {} from {} where rowid >= ?1 order by rowid limit 1", listed(columns), table.quoted())
}

/// Reads these columns of the first `?1` rows, of a table without row numbers.
pub(crate) fn first_rows(table: &TableName, columns: &[Ident]) -> String {
    format!("select {} from {} limit ?1", listed(columns), table.quoted())
}

fn listed(columns: &[Ident]) -> String {
    columns.iter().map(Ident::quoted).collect::<Vec<_>>().join(", ")
}

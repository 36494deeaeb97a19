//! Statements that help, ready to be run by whoever may.

use tierkeep_db::Dialect;

use super::facts::{ColumnFacts, Index, TableFacts, TableKind, quoted};

/// Longest name of an index that PostgreSQL keeps.
const MAX_NAME_BYTES: usize = 63;

/// The statement that makes an index over the columns, or brings one back that an interruption left unusable.
pub(super) fn create_index(table: &TableFacts, columns: &[String]) -> String {
    let unusable =
        |index: &&Index| !index.is_valid && index.predicate.is_none() && index.leads_with(table.dialect, columns);
    if let Some(index) = table.indexes.iter().find(unusable) {
        return format!("reindex index concurrently {}.{}", quoted(&table.schema), quoted(&index.name));
    }
    let name = index_name(&table.name, columns, &table.indexes);
    index_statement(table.dialect, table.kind, &table.schema, &table.name, &name, columns)
}

/// The statement of an index over `columns` of a table that is known by its name only.
pub(super) fn index_statement(
    dialect: Dialect,
    kind: TableKind,
    schema: &str,
    table: &str,
    name: &str,
    columns: &[String],
) -> String {
    let columns = columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
    let (schema, table, name) = (quoted(schema), quoted(table), quoted(name));
    match dialect {
        // A partitioned table takes no index concurrently.
        Dialect::Postgres if kind == TableKind::Partitioned => {
            format!("create index {name} on {schema}.{table} ({columns})")
        }
        Dialect::Postgres => format!("create index concurrently {name} on {schema}.{table} ({columns})"),
        Dialect::Sqlite => format!("create index {schema}.{name} on {table} ({columns})"),
    }
}

/// `table_column_idx`, cut to what PostgreSQL keeps, and with a number if the table has an index of that name.
fn index_name(table: &str, columns: &[String], taken: &[Index]) -> String {
    let start = format!("{table}_{}", columns.join("_"));
    let named = |end: &str| {
        let mut room = MAX_NAME_BYTES - end.len();
        while !start.is_char_boundary(room.min(start.len())) {
            room -= 1;
        }
        format!("{}{end}", &start[..room.min(start.len())])
    };
    let mut name = named("_idx");
    for number in 2.. {
        if taken.iter().all(|index| index.name != name) {
            break;
        }
        name = named(&format!("_idx{number}"));
    }
    name
}

/// The statement that gives the archive a column of the live table: its values, none of its rules.
pub(super) fn add_column(archive: &TableFacts, column: &ColumnFacts) -> String {
    add_declared(archive, &column.name, &column.base_type_name)
}

/// The same of a column that is declared here.
pub(super) fn add_declared(archive: &TableFacts, column: &str, declared: &str) -> String {
    const STRICT: [&str; 6] = ["INT", "INTEGER", "REAL", "TEXT", "BLOB", "ANY"];
    let is_of_strict = STRICT.iter().any(|known| known.eq_ignore_ascii_case(declared));
    let declared = match archive.kind {
        TableKind::Strict if !is_of_strict => "any",
        // Without a type values stay as they are; `any` would make numbers of texts.
        _ if archive.dialect == Dialect::Sqlite
            && archive.kind != TableKind::Strict
            && declared.eq_ignore_ascii_case("any") =>
        {
            ""
        }
        _ => declared,
    };
    format!("alter table {} add column {} {declared}", archive.full_name(), quoted(column)).trim_end().to_owned()
}

/// The statement that grants rights on a table.
pub(super) fn grant(table: &TableFacts, rights: &[&str]) -> String {
    let role = quoted(&table.privileges.role);
    let mut statements = Vec::new();
    if !table.privileges.schema_usage {
        statements.push(format!("grant usage on schema {} to {role}", quoted(&table.schema)));
    }
    if !rights.is_empty() {
        statements.push(format!("grant {} on {} to {role}", rights.join(", "), table.full_name()));
    }
    statements.join("; ")
}

/// The statement that alters a column of the archive; `None` on SQLite, which can only make a table anew.
pub(super) fn alter_column(archive: &TableFacts, column: &str, change: &str) -> String {
    match archive.dialect {
        Dialect::Postgres => format!("alter table {} alter column {} {change}", archive.full_name(), quoted(column)),
        Dialect::Sqlite => {
            format!("make {} anew with the columns of the live table, and copy its rows there", archive.full_name())
        }
    }
}

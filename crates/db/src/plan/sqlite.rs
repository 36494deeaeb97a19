//! Asking SQLite for a plan.

use std::collections::{BTreeMap, HashMap};

use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, Statement};
use serde_json::Map;

use super::{Hints, Node, Plan, PlanError, keyset};
use crate::query::{Query, Schema};
use crate::statement::explain::{explain_query_plan, highest_rowid};
use crate::{Dialect, Error, SqliteDatabase};

pub(super) async fn explain(db: &SqliteDatabase, query: Query) -> Result<Plan, PlanError> {
    db.read(move |connection| {
        let schema = Schema::load_sqlite(connection)?;
        let mut plan = query_plan(connection, &query)?;
        plan.hints.filtered = query
            .read(&schema)
            .map(|reading| reading.scans)
            .unwrap_or_default()
            .into_iter()
            .filter(|scan| !scan.filters.is_empty() || !scan.alternatives.is_empty())
            .map(|scan| scan.table.name().as_str().to_lowercase())
            .collect();
        plan.table_rows = table_rows(connection, &schema)?;
        name_tables(&mut plan, &query);
        Ok(plan)
    })
    .await
}

/// The plan of a statement, without the numbers of rows.
///
/// # Errors
///
/// [`PlanError::Database`] if SQLite refuses the statement.
pub(crate) fn query_plan(connection: &Connection, query: &Query) -> Result<Plan, PlanError> {
    plan_with(connection, query, &[])
}

/// The same for certain values of the parameters, by which SQLite chooses where it may.
pub(crate) fn plan_of_values(
    connection: &Connection,
    query: &Query,
    values: &[Option<String>],
) -> Result<Plan, PlanError> {
    // On: plans are those for all values, whatever is bound.
    let is_stable = connection.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG).map_err(Error::from)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, false).map_err(Error::from)?;
    let plan = plan_with(connection, query, values);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, is_stable).map_err(Error::from)?;
    plan
}

/// Parameters without a value stay without one.
fn plan_with(connection: &Connection, query: &Query, values: &[Option<String>]) -> Result<Plan, PlanError> {
    let mut statement = connection.prepare(&explain_query_plan(query.sql())).map_err(Error::from)?;
    bind(&mut statement, values).map_err(Error::from)?;
    let mut rows = statement.raw_query();
    let mut below: HashMap<i64, Vec<(i64, String)>> = HashMap::new();
    while let Some(row) = rows.next().map_err(Error::from)? {
        let read = || Ok::<_, rusqlite::Error>((row.get(0)?, row.get(1)?, row.get(3)?));
        let (id, parent, line) = read().map_err(Error::from)?;
        below.entry(parent).or_default().push((id, line));
    }
    let hints = Hints {
        filtered: Vec::new(),
        offset: keyset::offset(query.statement()),
        keyset: keyset::in_statement(query.statement()),
    };
    let root = node("QUERY PLAN".to_owned(), 0, &mut below);
    Ok(Plan {
        dialect: Dialect::Sqlite,
        root,
        planning_ms: None,
        execution_ms: None,
        jit_ms: None,
        triggers: Vec::new(),
        table_rows: BTreeMap::new(),
        hints,
    })
}

/// Binds values that are there as text, those that are numbers as such.
pub(crate) fn bind(statement: &mut Statement<'_>, values: &[Option<String>]) -> rusqlite::Result<()> {
    for (place, text) in values.iter().enumerate() {
        let Some(text) = text else { continue };
        let value = match (text.parse(), text.parse()) {
            (Ok(number), _) => Value::Integer(number),
            (_, Ok(number)) => Value::Real(number),
            _ => Value::Text(text.clone()),
        };
        statement.raw_bind_parameter(place + 1, value)?;
    }
    Ok(())
}

fn node(kind: String, id: i64, below: &mut HashMap<i64, Vec<(i64, String)>>) -> Node {
    let children = below.remove(&id).unwrap_or_default();
    let children = children.into_iter().map(|(id, line)| node(line, id, below)).collect();
    Node { kind, estimate: None, measured: None, details: Map::new(), children }
}

/// Rows by what `analyze` found, or else by the highest row number, which no table has more rows than.
fn table_rows(connection: &Connection, schema: &Schema) -> Result<BTreeMap<String, f64>, Error> {
    let mut rows = BTreeMap::new();
    for table in schema.tables() {
        // A table without row numbers says nothing.
        let highest = connection.query_row(&highest_rowid(table.name()), [], |row| row.get::<_, Option<i64>>(0));
        if let Ok(highest) = highest {
            rows.insert(table.name().as_str().to_owned(), highest.unwrap_or(0) as f64);
        }
    }
    let is_analyzed =
        connection.query_row("select count(*) from sqlite_schema where name = 'sqlite_stat1'", [], |row| row.get(0))?;
    if is_analyzed {
        let mut statement = connection.prepare(include_str!("sql/sqlite/table_rows.sql"))?;
        let counted = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for row in counted {
            let (name, count): (String, f64) = row?;
            rows.insert(name, count);
        }
    }
    Ok(rows)
}

/// SQLite names a table by its alias: the rows and conditions are made known under that name, too.
fn name_tables(plan: &mut Plan, query: &Query) {
    for (alias, table) in keyset::aliases(query.statement()) {
        if let Some((_, rows)) = plan.table_rows.iter().find(|(name, _)| name.eq_ignore_ascii_case(&table)) {
            plan.table_rows.insert(alias.clone(), *rows);
        }
        if plan.hints.filtered.contains(&table.to_lowercase()) {
            plan.hints.filtered.push(alias.to_lowercase());
        }
    }
}

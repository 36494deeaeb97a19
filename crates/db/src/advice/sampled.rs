//! Values for the parameters of a statement, out of the tables that it reads.
//!
//! A plan for all values is an average, and averages hide what the common value does, or the rare one. So values are taken
//! from the statistics, always the same ones: three of each parameter, from the middle, from the end and from the beginning of
//! what is there.

use std::ops::ControlFlow;

use serde::Serialize;
use sqlparser::ast::{self, Expr, LimitClause, Visit, Visitor};

use super::facts::{self, ColumnFacts, Facts};
use crate::plan::{Options, Plan, PlanError, Private, begin, explain_values_on, plan_of_values};
use crate::query::{Filter, Kind, Query, Reading, Role, Schema, numbered};
use crate::statement::{KeyFunction, Keyed};
use crate::statistics::Examined;
use crate::{Database, Error, Ident, TableName};

/// Rows that a parameter of `limit` is taken to ask for.
const LIMIT: &str = "20";
/// Values in an array that is a parameter.
const ARRAY_VALUES: usize = 3;
/// Letters of a value that a pattern looks for.
const PATTERN_CHARS: usize = 4;
/// Where among the values the sets have theirs, from 0 to 1: a value, a lower bound, an upper bound.
const PLACES: [(f64, f64, f64); 3] = [(0.5, 0.5, 0.75), (0.9, 0.9, 1.0), (0.1, 0.1, 0.2)];

/// A plan for values that are in the tables.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SampledPlan {
    /// The values, in the order of the parameters.
    pub values: Vec<SampledValue>,
    /// The plan for them.
    pub plan: Plan,
}

/// A value of a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SampledValue {
    /// The number of the parameter, from 1.
    pub parameter: u16,
    /// The column that it is compared with; `None` for a limit or an offset.
    pub column: Option<Ident>,
    /// The value as text.
    pub value: String,
}

/// Asks for the plans of one `select` with parameters for up to three sets of values, which are those of PostgreSQL's
/// statistics, or of up to 1,000 rows of each table on SQLite. The same statistics give the same values. Found and empty for a
/// statement without parameters.
///
/// [`explain`](crate::plan::explain) gives the plan for all values, and says what is refused. Cost: that of three plans, and of
/// reading the catalog. The values are somebody's data: show them only to those who may read the tables.
///
/// # Errors
///
/// [`PlanError`], as `explain` does.
pub async fn sampled_plans(
    db: &Database,
    sql: &str,
    options: &Options,
) -> Result<Examined<Vec<SampledPlan>>, PlanError> {
    let query = Query::parse(db.dialect(), sql)?;
    if query.kind() != Kind::Select {
        return Err(PlanError::NotASelect { found: "statement that writes, locks, or does neither" });
    }
    if query.parameters() == 0 {
        return Ok(Examined::Found(Vec::new()));
    }
    match db {
        Database::Postgres(pool) => {
            let connection = Private::get(pool).await?;
            let schema = Schema::load_postgres(&connection).await?;
            let reading = match query.read(&schema) {
                Ok(reading) => reading,
                Err(error) => return Ok(not_examined(error)),
            };
            let facts = facts::postgres::load(&connection, &tables(&reading)).await?;
            let sets = match value_sets(&query, &reading, &facts) {
                Ok(sets) => sets,
                Err(missing) => return Ok(not_examined(missing)),
            };
            begin(&connection, options).await?;
            let mut plans = Vec::with_capacity(sets.len());
            for values in sets {
                let plan = explain_values_on(&connection, &query, options, &texts(&query, &values)).await?;
                plans.push(SampledPlan { values, plan });
            }
            connection.batch_execute("rollback").await.map_err(Error::from)?;
            connection.give_back();
            Ok(Examined::Found(plans))
        }
        Database::Sqlite(db) => {
            db.read(move |connection| {
                let schema = Schema::load_sqlite(connection)?;
                let reading = match query.read(&schema) {
                    Ok(reading) => reading,
                    Err(error) => return Ok(not_examined(error)),
                };
                let facts = facts::sqlite::load(connection, &schema, &tables(&reading))?;
                let sets = match value_sets(&query, &reading, &facts) {
                    Ok(sets) => sets,
                    Err(missing) => return Ok(not_examined(missing)),
                };
                let mut plans = Vec::with_capacity(sets.len());
                for values in sets {
                    let plan = plan_of_values(connection, &query, &texts(&query, &values))?;
                    plans.push(SampledPlan { values, plan });
                }
                Ok(Examined::Found(plans))
            })
            .await
        }
    }
}

/// The values alone: up to three sets for a statement with parameters, one set without a value for one that has none.
///
/// # Errors
///
/// [`PlanError`], as [`sampled_plans`] does.
pub(super) async fn sampled_values(
    db: &Database,
    query: &Query,
) -> Result<Examined<Vec<Vec<SampledValue>>>, PlanError> {
    if query.parameters() == 0 {
        return Ok(Examined::Found(vec![Vec::new()]));
    }
    let sets = match db {
        Database::Postgres(pool) => {
            let connection = Private::get(pool).await?;
            let schema = Schema::load_postgres(&connection).await?;
            let sets = match query.read(&schema) {
                Ok(reading) => {
                    let facts = facts::postgres::load(&connection, &tables(&reading)).await?;
                    value_sets(query, &reading, &facts).map_err(|missing| missing.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            connection.give_back();
            sets
        }
        Database::Sqlite(db) => {
            let query = query.clone();
            db.read(move |connection| {
                let schema = Schema::load_sqlite(connection)?;
                let reading = match query.read(&schema) {
                    Ok(reading) => reading,
                    Err(error) => return Ok::<_, Error>(Err(error.to_string())),
                };
                let facts = facts::sqlite::load(connection, &schema, &tables(&reading))?;
                Ok(value_sets(&query, &reading, &facts).map_err(|missing| missing.to_string()))
            })
            .await?
        }
    };
    Ok(sets.map_or_else(not_examined, Examined::Found))
}

fn tables(reading: &Reading) -> Vec<TableName> {
    let mut tables: Vec<TableName> = reading.scans.iter().map(|scan| scan.table.clone()).collect();
    tables.sort();
    tables.dedup();
    tables
}

fn not_examined<T>(why: impl std::fmt::Display) -> Examined<T> {
    Examined::NotExamined { why: why.to_string(), command: None }
}

/// The values by the numbers of their parameters, from the first on.
pub(super) fn texts(query: &Query, values: &[SampledValue]) -> Vec<Option<String>> {
    let of = |number: u16| values.iter().find(|value| value.parameter == number).map(|value| value.value.clone());
    (1..=query.parameters()).map(of).collect()
}

/// Why there are no values for a statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotSampled {
    #[error("parameter {0} is compared with no column, so that nothing says which values it has")]
    Unplaced(u16),
    #[error("nothing is known of the values of {0}: analyze its table")]
    NoStatistics(Ident),
}

/// Up to three different sets of values for the parameters of a statement.
pub(super) fn value_sets(
    query: &Query,
    reading: &Reading,
    facts: &Facts,
) -> Result<Vec<Vec<SampledValue>>, NotSampled> {
    let mut sets: Vec<Vec<SampledValue>> = Vec::new();
    let windows = Windows::of(query);
    for set in 0..PLACES.len() {
        let mut values = Vec::new();
        for number in 1..=query.parameters() {
            if let Some(value) = windows.value(number) {
                values.push(SampledValue { parameter: number, column: None, value });
                continue;
            }
            let (table, filter, role, nth) = place(reading, number).ok_or(NotSampled::Unplaced(number))?;
            let column = filter.on.column();
            let known = facts.tables.get(table).and_then(|table| table.columns.get(column));
            let missing = || NotSampled::NoStatistics(column.clone());
            let value = value(known.ok_or_else(missing)?, &filter.on, role, set, nth).ok_or_else(missing)?;
            values.push(SampledValue { parameter: number, column: Some(column.clone()), value });
        }
        if !values.is_empty() && !sets.contains(&values) {
            sets.push(values);
        }
    }
    Ok(sets)
}

/// The first condition that has a parameter, what it is there, and how many values of the same column come before it.
fn place(reading: &Reading, number: u16) -> Option<(&TableName, &Filter, Role, usize)> {
    for scan in &reading.scans {
        for filter in scan.filters.iter().chain(scan.alternatives.iter().flatten()) {
            let is_it = |parameter: &&crate::query::Parameter| parameter.number == number;
            if let Some(parameter) = filter.parameters.iter().find(is_it) {
                let nth = filter.parameters.iter().take_while(|other| other.number != number).count();
                return Some((&scan.table, filter, parameter.role, nth));
            }
        }
    }
    None
}

fn value(column: &ColumnFacts, on: &Keyed, role: Role, set: usize, nth: usize) -> Option<String> {
    let (middle, lower, upper) = PLACES[set];
    let single = |nth: usize| -> Option<String> {
        // The first set has the most common values, the others what lies between.
        let mut common: Vec<&(String, f64)> = column.common.iter().collect();
        common.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let is_first = set == 0 && nth < common.len();
        let found = if is_first || column.bounds.is_empty() {
            let last = common.len().checked_sub(1)?;
            common
                .get(if set == 0 { nth } else { last.saturating_sub(set - 1 + nth) }.min(last))
                .map(|common| &common.0)
        } else {
            at(&column.bounds, middle, nth)
        };
        found.map(|value| applied(on, value))
    };
    match role {
        Role::Value => single(nth),
        Role::Values => {
            let values: Vec<String> = (0..ARRAY_VALUES).map_while(&single).map(|value| array_element(&value)).collect();
            (!values.is_empty()).then(|| format!("{{{}}}", values.join(",")))
        }
        Role::Lower => at(&sorted(column), lower, 0).map(|value| applied(on, value)),
        Role::Upper => at(&sorted(column), upper, 0).map(|value| applied(on, value)),
        Role::Pattern => {
            let value = single(0)?;
            let letters: String =
                value.chars().filter(|c| !matches!(c, '%' | '_' | '\\')).take(PATTERN_CHARS).collect();
            Some(format!("%{letters}%"))
        }
    }
}

/// Values in their order: those between which the rows are divided, or where all values are common, those.
fn sorted(column: &ColumnFacts) -> Vec<String> {
    if !column.bounds.is_empty() {
        return column.bounds.clone();
    }
    let mut values: Vec<String> = column.common.iter().map(|(value, _)| value.clone()).collect();
    values.sort_by(|a, b| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => a.total_cmp(&b),
        _ => a.cmp(b),
    });
    values
}

/// The value at a place from 0 to 1, or so many behind it.
fn at(values: &[String], place: f64, further: usize) -> Option<&String> {
    let last = values.len().checked_sub(1)?;
    values.get(((last as f64 * place).round() as usize + further) % values.len())
}

/// What a function makes of a value, if it is that which is compared.
fn applied(on: &Keyed, value: &str) -> String {
    match on {
        Keyed::Column(_) => value.to_owned(),
        Keyed::Function(KeyFunction::Lower, _) => value.to_lowercase(),
        Keyed::Function(KeyFunction::Upper, _) => value.to_uppercase(),
        Keyed::Function(KeyFunction::Length, _) => value.chars().count().to_string(),
        Keyed::Function(KeyFunction::Abs, _) => value.trim_start_matches('-').to_owned(),
    }
}

fn array_element(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Parameters of `limit` and `offset`.
#[derive(Default)]
struct Windows {
    limits: Vec<u16>,
    offsets: Vec<u16>,
}

impl Windows {
    fn of(query: &Query) -> Self {
        let mut windows = Self::default();
        let _ = query.statement().visit(&mut windows);
        windows
    }

    fn value(&self, number: u16) -> Option<String> {
        if self.limits.contains(&number) {
            Some(LIMIT.to_owned())
        } else {
            self.offsets.contains(&number).then(|| "0".to_owned())
        }
    }
}

impl Visitor for Windows {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        let (limit, offset) = match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
            None => (None, None),
        };
        let fetched = query.fetch.as_ref().and_then(|fetch| fetch.quantity.as_ref());
        self.limits.extend(limit.into_iter().chain(fetched).filter_map(parameter));
        self.offsets.extend(offset.into_iter().filter_map(parameter));
        ControlFlow::Continue(())
    }
}

fn parameter(expr: &Expr) -> Option<u16> {
    match expr {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => parameter(inner),
        Expr::Value(value) => match &value.value {
            ast::Value::Placeholder(name) => numbered(name),
            _ => None,
        },
        _ => None,
    }
}

//! The rows that belong to each of many keys, by one statement.

use super::selection::{SelectionError, SortColumn, quoted};
use super::{Dialect, Ident, Relation, TableName};
use crate::asking::{BoundSql, Param};
use crate::value::sqlite::json_list;
use crate::{Selection, Value, ValueError};

/// Which rows belong to a key, and in which order.
pub(crate) struct ChildrenShape<'a> {
    pub(crate) relation: &'a Relation,
    /// Columns that have the values of a key: of the relation, or of the table between if there is one.
    pub(crate) columns: &'a [String],
    pub(crate) through: Option<Through<'a>>,
    pub(crate) order: &'a [SortColumn],
    /// Most rows for a key.
    pub(crate) limit: Option<u32>,
}

/// A table between parents and children.
pub(crate) struct Through<'a> {
    pub(crate) table: &'a TableName,
    /// Its columns and those of the relation they are equal to.
    pub(crate) on: &'a [(Ident, String)],
}

impl ChildrenShape<'_> {
    /// Selects all rows with the place of their key, from 0, as the last column.
    pub(crate) fn children(
        &self,
        dialect: Dialect,
        keys: &[Vec<Value>],
    ) -> Result<Result<BoundSql, ValueError>, SelectionError> {
        let selection = Selection::of(self.relation.clone());
        let column = |name: &str| {
            selection.check_column(name)?;
            // checked above
            Ok(self.relation.column(dialect, "t", name).unwrap_or_default())
        };
        let names: Vec<&str> = self.relation.columns().map(|(name, _)| name).collect();
        let columns: Vec<String> = names
            .iter()
            .map(|name| Ok(format!("{} as {}", column(name)?, quoted(name))))
            .collect::<Result<_, SelectionError>>()?;
        let columns = columns.join(", ");
        let order = |alias: Option<&str>| -> Result<String, SelectionError> {
            let parts = self.order.iter().map(|sort| {
                let name = match alias {
                    Some(alias) => format!("{alias}.{}", quoted(&sort.column)),
                    None => column(&sort.column)?,
                };
                Ok(format!(", {} {}{}", name, sort.direction.word(), sort.nulls.words()))
            });
            Ok(parts.collect::<Result<Vec<_>, SelectionError>>()?.concat())
        };
        let table = format!("{} as t", self.relation.table().quoted());
        let (source, owners) = match &self.through {
            None => (table, self.columns.iter().map(|name| column(name)).collect::<Result<Vec<_>, _>>()?),
            Some(through) => {
                let on: Vec<String> = through
                    .on
                    .iter()
                    .map(|(between, name)| Ok(format!("j.{} = {}", between.quoted(), column(name)?)))
                    .collect::<Result<_, SelectionError>>()?;
                let source = format!("{} as j join {table} on {}", through.table.quoted(), on.join(" and "));
                (source, self.columns.iter().map(|name| format!("j.{}", quoted(name))).collect())
            }
        };
        let first_order = order(None)?;
        let matches: Vec<String> = owners
            .iter()
            .enumerate()
            .map(|(place, owner)| format!("{owner} = {}", key_part(dialect, place, owners.len())))
            .collect();
        let (matches, given) = (matches.join(" and "), given(dialect, keys, owners.len()));
        let sql = match (dialect, self.limit) {
            (Dialect::Postgres, None) => format!(
                "select {columns}, g.place - 1 from {given} join {source} on {matches} order by g.place{first_order}"
            ),
            (Dialect::Postgres, Some(limit)) => format!(
                "select c.*, g.place - 1 from {given} cross join lateral (select {columns} from {source} where {matches} \
                 {inner}limit {limit}) as c order by g.place{}",
                order(Some("c"))?,
                inner = first_order.strip_prefix(", ").map_or_else(String::new, |order| format!("order by {order} "))
            ),
            // the keys are the outer side; SQLite keeps that order of a cross join
            (Dialect::Sqlite, None) => format!(
                "select {columns}, g.key from {given} cross join {source} where {matches} order by g.key{first_order}"
            ),
            (Dialect::Sqlite, Some(limit)) => format!(
                "select {names}, c.\"tierkeep_key\" from (select {columns}, g.key as \"tierkeep_key\", row_number() over \
                 (partition by g.key order by g.key{first_order}) as \"tierkeep_place\" from {given} cross join {source} \
                 where {matches}) as c where c.\"tierkeep_place\" <= {limit} order by c.\"tierkeep_key\", \
                 c.\"tierkeep_place\"",
                names = names.iter().map(|name| format!("c.{}", quoted(name))).collect::<Vec<_>>().join(", ")
            ),
        };
        Ok(params(dialect, keys, owners.len()).map(|params| BoundSql::new(dialect, sql, params)))
    }
}

/// The keys as rows with their place.
fn given(dialect: Dialect, keys: &[Vec<Value>], width: usize) -> String {
    match dialect {
        Dialect::Postgres => {
            let arrays: Vec<String> = (0..width)
                .map(|part| {
                    let name = keys.first().and_then(|key| key.get(part)).map_or("text", Value::type_name_postgres);
                    format!("${}::{name}[]", part + 1)
                })
                .collect();
            let names: Vec<String> = (0..width).map(|part| format!("k{part}")).collect();
            format!("unnest({}) with ordinality as g ({}, place)", arrays.join(", "), names.join(", "))
        }
        Dialect::Sqlite => "json_each(?1) as g".to_owned(),
    }
}

fn key_part(dialect: Dialect, part: usize, width: usize) -> String {
    match dialect {
        Dialect::Postgres => format!("g.k{part}"),
        Dialect::Sqlite if width == 1 => "g.value".to_owned(),
        Dialect::Sqlite => format!("json_extract(g.value, '$[{part}]')"),
    }
}

fn params(dialect: Dialect, keys: &[Vec<Value>], width: usize) -> Result<Vec<Param>, ValueError> {
    match dialect {
        Dialect::Postgres => {
            let column = |part: usize| keys.iter().filter_map(|key| key.get(part).cloned()).collect();
            Ok((0..width).map(|part| Param::List(column(part))).collect())
        }
        Dialect::Sqlite if width == 1 => Ok(vec![Param::List(keys.concat())]),
        Dialect::Sqlite => {
            let lists: Vec<String> = keys.iter().map(|key| json_list(key)).collect::<Result<_, _>>()?;
            Ok(vec![Param::One(Value::Text(format!("[{}]", lists.join(","))))])
        }
    }
}

//! What the catalog says of an order: which columns are never null, and which ones tell rows apart.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;

use super::KeysetError;
use crate::{ColumnExpr, Database, Error, Ident, Nulls, Relation, SortColumn, columns_postgres, columns_sqlite};

/// The facts about a table.
pub(super) struct Facts {
    /// Columns that are never null.
    present: Vec<String>,
    /// Sets of columns of which no two rows have the same values, unless one is null.
    unique: Vec<Vec<String>>,
}

pub(super) async fn facts(db: &Database, relation: &Relation) -> Result<Facts, Error> {
    let table = relation.table().clone();
    let no_table = || KeysetError::NoTable { table: relation.table().quoted() };
    let (columns, unique) = match db {
        Database::Postgres(pool) => {
            let connection = pool.get().await?;
            let columns = columns_postgres(&connection, &table).await?;
            let sql = include_str!("sql/postgres/unique.sql");
            let rows = connection.query_typed(sql, &[(&table.quoted(), Type::TEXT)]).await?;
            let unique = rows.iter().map(|row| row.try_get("columns")).collect::<Result<Vec<Vec<String>>, _>>()?;
            (columns, unique)
        }
        Database::Sqlite(db) => {
            db.read(move |connection| {
                let columns = columns_sqlite(connection, &table)?;
                let mut statement = connection.prepare_cached(include_str!("sql/sqlite/unique.sql"))?;
                let schema = table.schema().map(Ident::as_str);
                // an index of an expression has a column without a name
                let mut indexes: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
                let mut rows = statement.query((table.name().as_str(), schema))?;
                while let Some(row) = rows.next()? {
                    indexes.entry(row.get("index_name")?).or_default().push(row.get("column_name")?);
                }
                let unique = indexes.into_values().filter_map(|columns| columns.into_iter().collect()).collect();
                Ok::<_, Error>((columns, unique))
            })
            .await?
        }
    };
    let present =
        columns.ok_or_else(no_table)?.into_iter().filter(|column| !column.nullable).map(|column| column.name).collect();
    Ok(Facts { present, unique })
}

impl Facts {
    /// The order with what is known of nulls; refuses one that is not total.
    pub(super) fn apply(&self, relation: &Relation, order: &[SortColumn]) -> Result<Vec<SortColumn>, KeysetError> {
        let column_of = |name: &str| {
            relation.columns().find(|(logical, _)| *logical == name).and_then(|(_, expression)| match expression {
                ColumnExpr::Column(column) => Some(column.as_str()),
                _ => None,
            })
        };
        let is_present = |column: &str| self.present.iter().any(|present| present == column);
        let sorted: Vec<&str> = order.iter().filter_map(|sort| column_of(&sort.column)).collect();
        let would_do = |unique: &&Vec<String>| unique.iter().all(|column| is_present(column));
        let is_total = self
            .unique
            .iter()
            .filter(would_do)
            .any(|unique| unique.iter().all(|column| sorted.contains(&column.as_str())));
        if !is_total {
            return Err(KeysetError::NotUnique {
                table: relation.table().quoted(),
                order: order.iter().map(|sort| sort.column.as_str()).collect::<Vec<_>>().join(", "),
                unique: self.unique.iter().filter(would_do).map(|unique| unique.join(", ")).collect(),
            });
        }
        Ok(order
            .iter()
            .map(|sort| match column_of(&sort.column) {
                Some(column) if is_present(column) => sort.clone().nulls(Nulls::Never),
                _ => sort.clone(),
            })
            .collect())
    }
}

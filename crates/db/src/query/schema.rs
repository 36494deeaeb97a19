//! Which tables and views there are, and what their columns are called.

use std::collections::BTreeMap;

use sqlparser::ast::Ident as Name;

use crate::{Database, Dialect, Error, Ident, TableName};

/// The names that statements may use, as they were at one moment.
#[derive(Debug, Clone)]
pub struct Schema {
    dialect: Dialect,
    /// Schemas in which a name without one is looked up, in order.
    path: Vec<String>,
    relations: BTreeMap<(String, String), SchemaRelation>,
}

/// A table or a view.
#[derive(Debug, Clone)]
pub(crate) struct SchemaRelation {
    pub(crate) name: TableName,
    pub(crate) columns: Vec<Ident>,
    /// The text of its query, if it is a view.
    pub(crate) view: Option<String>,
}

impl Schema {
    /// Makes one without relations. `path` names the schemas in which a name without one is looked up, in order; on
    /// SQLite that is `main`.
    pub fn new(dialect: Dialect, path: &[Ident]) -> Self {
        Self {
            dialect,
            path: path.iter().map(|schema| schema.as_str().to_owned()).collect(),
            relations: BTreeMap::new(),
        }
    }

    /// Adds a table.
    #[must_use]
    pub fn table(self, schema: &Ident, name: &Ident, columns: &[Ident]) -> Self {
        self.relation(schema, name, columns, None)
    }

    /// Adds a view with the text of its query.
    #[must_use]
    pub fn view(self, schema: &Ident, name: &Ident, columns: &[Ident], query: &str) -> Self {
        self.relation(schema, name, columns, Some(query.to_owned()))
    }

    fn relation(mut self, schema: &Ident, name: &Ident, columns: &[Ident], view: Option<String>) -> Self {
        let key = (self.folded(schema.as_str()), self.folded(name.as_str()));
        let name = TableName::new(Some(schema.clone()), name.clone());
        self.relations.insert(key, SchemaRelation { name, columns: columns.to_vec(), view });
        self
    }

    /// Reads the catalog: every table and view that is not the system's. One round trip.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::get`](crate::Pool::get); [`Error::Postgres`] or [`Error::Sqlite`].
    pub async fn load(db: &Database) -> Result<Self, Error> {
        match db {
            Database::Postgres(pool) => Self::load_postgres(&*pool.get().await?).await,
            Database::Sqlite(db) => db.read(|connection| Self::load_sqlite(connection)).await,
        }
    }

    /// As [`load`](Self::load), on a connection.
    ///
    /// # Errors
    ///
    /// [`Error::Postgres`].
    pub(crate) async fn load_postgres(client: &tokio_postgres::Client) -> Result<Self, Error> {
        let path: Vec<String> =
            client.query_typed("select current_schemas(false)::text[] as path", &[]).await?[0].try_get("path")?;
        let mut schema = Self { dialect: Dialect::Postgres, path, relations: BTreeMap::new() };
        for row in client.query_typed(include_str!("sql/postgres/relations.sql"), &[]).await? {
            let columns: Vec<String> = row.try_get("columns")?;
            schema.add(row.try_get("schema")?, row.try_get("name")?, columns, row.try_get("view")?);
        }
        Ok(schema)
    }

    /// As [`load`](Self::load), on a connection. `attach`ed files are not looked at.
    ///
    /// # Errors
    ///
    /// [`Error::Sqlite`].
    pub(crate) fn load_sqlite(connection: &rusqlite::Connection) -> Result<Self, Error> {
        let mut schema = Self { dialect: Dialect::Sqlite, path: vec!["main".to_owned()], relations: BTreeMap::new() };
        let mut statement = connection.prepare_cached(include_str!("sql/sqlite/relations.sql"))?;
        let mut rows = statement.query([])?;
        let mut columns: Vec<String> = Vec::new();
        // One row per column, those of a relation together, the last one marked.
        while let Some(row) = rows.next()? {
            columns.push(row.get("column")?);
            if row.get("is_last")? {
                let view: Option<String> = row.get("view")?;
                schema.add("main".to_owned(), row.get("name")?, std::mem::take(&mut columns), view);
            }
        }
        Ok(schema)
    }

    /// A name that this crate would not accept cannot be written in a statement of its own either, so it is left out.
    fn add(&mut self, schema: String, name: String, columns: Vec<String>, view: Option<String>) {
        let key = (self.folded(&schema), self.folded(&name));
        let (Ok(schema), Ok(name)) = (Ident::try_from(schema), Ident::try_from(name)) else { return };
        let columns = columns.into_iter().filter_map(|column| Ident::try_from(column).ok()).collect();
        self.relations.insert(key, SchemaRelation { name: TableName::new(Some(schema), name), columns, view });
    }

    /// Looks a relation up by the parts of its name, as the database would.
    pub(crate) fn find(&self, parts: &[Name]) -> Option<&SchemaRelation> {
        match parts {
            [name] => self.path.iter().find_map(|schema| self.get(&self.folded(schema), &self.key(name))),
            [.., schema, name] => self.get(&self.key(schema), &self.key(name)),
            [] => None,
        }
    }

    /// The tables, without views.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &TableName> {
        self.relations.values().filter(|relation| relation.view.is_none()).map(|relation| &relation.name)
    }

    /// The columns of a table, by the name that the catalog gives it.
    pub(crate) fn columns(&self, table: &TableName) -> &[Ident] {
        self.relations.values().find(|relation| relation.name == *table).map_or(&[], |relation| &relation.columns)
    }

    fn get(&self, schema: &str, name: &str) -> Option<&SchemaRelation> {
        self.relations.get(&(schema.to_owned(), name.to_owned()))
    }

    /// The key of a name as it was written: PostgreSQL folds it unless it is quoted, SQLite ignores case in any case.
    pub(crate) fn key(&self, name: &Name) -> String {
        match (self.dialect, name.quote_style) {
            (Dialect::Postgres, Some(_)) => name.value.clone(),
            (Dialect::Postgres | Dialect::Sqlite, _) => name.value.to_lowercase(),
        }
    }

    /// The key of a name as the catalog spells it.
    pub(crate) fn folded(&self, name: &str) -> String {
        match self.dialect {
            Dialect::Postgres => name.to_owned(),
            Dialect::Sqlite => name.to_lowercase(),
        }
    }
}

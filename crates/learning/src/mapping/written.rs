//! The columns of a platform's table that are written, one for each canonical column that the table has.

use tierkeep_db::{CatalogColumn, Conversion, Dialect, Ident, SqlType, TableName, WrittenColumn};

use super::{Canonical, Kind, Mapping, Source, key_type, no_column};
use crate::key::KeyType;
use crate::store::StoreError;

/// A table as it is written.
#[derive(Debug, Clone)]
pub(crate) struct WrittenTable {
    pub(crate) table: TableName,
    columns: Vec<(&'static str, WrittenColumn)>,
}

impl WrittenTable {
    /// The column that stands for a canonical one; `None` = the table has none.
    pub(crate) fn column(&self, canonical: &str) -> Option<&WrittenColumn> {
        self.columns.iter().find(|(name, _)| *name == canonical).map(|(_, column)| column)
    }
}

impl Mapping {
    /// What is written to one table, made from the columns it has.
    ///
    /// # Errors
    /// [`StoreError::Mapping`] for a named column that the table does not have.
    pub(crate) fn written(
        &self,
        source: Source,
        dialect: Dialect,
        keys: KeyType,
        found: &[CatalogColumn],
    ) -> Result<WrittenTable, StoreError> {
        let table = self.table(source);
        let mut columns = Vec::new();
        for canonical in source.columns() {
            let (name, negated) = match self.platform_name(source, canonical.name) {
                Some((name, _)) if name.is_empty() => continue,
                Some(named) => named,
                None => (canonical.name.to_owned(), false),
            };
            let is_named = self.platform_name(source, canonical.name).is_some();
            let column = match found.iter().find(|column| column.name == name) {
                Some(column) => column,
                None if is_named => return Err(no_column(&table, &name, found)),
                None => continue,
            };
            let name = Ident::new(&name).map_err(|error| StoreError::Mapping(error.to_string()))?;
            let conversion =
                if negated { Conversion::Negated } else { canonical.conversion(dialect, &column.type_name) };
            let bound = canonical.bound(dialect, keys, &column.type_name);
            columns.push((canonical.name, WrittenColumn { column: name, bound, conversion }));
        }
        Ok(WrittenTable { table, columns })
    }
}

impl Canonical {
    fn bound(&self, dialect: Dialect, keys: KeyType, type_name: &str) -> SqlType {
        match self.kind {
            Kind::Key => match if dialect == Dialect::Postgres { key_type(dialect, type_name) } else { None } {
                Some(KeyType::Uuid) => SqlType::Uuid,
                Some(KeyType::Int) => SqlType::Bigint,
                None if keys == KeyType::Uuid => SqlType::Uuid,
                None => SqlType::Bigint,
            },
            Kind::Text => SqlType::Text,
            Kind::Integer => SqlType::Integer,
            Kind::Smallint => SqlType::Smallint,
            Kind::Boolean => SqlType::Boolean,
            Kind::Instant => SqlType::Timestamptz,
            Kind::Decimal => SqlType::Numeric,
        }
    }

    /// The twin of how the column is read.
    fn conversion(&self, dialect: Dialect, type_name: &str) -> Conversion {
        if dialect == Dialect::Sqlite {
            return Conversion::Assigned;
        }
        let base = type_name.split('(').next().unwrap_or(type_name).trim();
        match (self.kind, base) {
            (Kind::Instant, _) if type_name.starts_with("timestamp") && !type_name.ends_with("with time zone") => {
                Conversion::WallTime
            }
            (Kind::Boolean, "smallint" | "integer" | "bigint") => Conversion::Cast(SqlType::Integer),
            _ => Conversion::Assigned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(columns: &[(&str, &str)]) -> Vec<CatalogColumn> {
        let column = |(name, type_name): &(&str, &str)| CatalogColumn {
            name: (*name).to_owned(),
            type_name: (*type_name).to_owned(),
            nullable: true,
        };
        columns.iter().map(column).collect()
    }

    #[test]
    fn columns_that_the_platform_lacks_are_not_written() {
        let mapping: Mapping = serde_json::from_value(serde_json::json!({
            "preset": "none",
            "study_sessions": { "table": "s", "user_id": "student_id", "is_active": "not finished", "notes": "" },
        }))
        .unwrap();
        let columns = found(&[
            ("id", "bigint"),
            ("student_id", "bigint"),
            ("start_time", "timestamp without time zone"),
            ("finished", "boolean"),
            ("notes", "text"),
        ]);

        let written = mapping.written(Source::StudySessions, Dialect::Postgres, KeyType::Int, &columns).unwrap();

        let conversion = |name| written.column(name).map(|column| (column.column.as_str(), column.conversion));
        assert_eq!(conversion("user_id"), Some(("student_id", Conversion::Assigned)));
        assert_eq!(conversion("is_active"), Some(("finished", Conversion::Negated)));
        assert_eq!(conversion("start_time"), Some(("start_time", Conversion::WallTime)));
        assert_eq!((conversion("notes"), conversion("focus_score")), (None, None));
    }

    #[test]
    fn a_named_column_must_be_there() {
        let mapping: Mapping =
            serde_json::from_value(serde_json::json!({ "study_sessions": { "notes": "remarks" } })).unwrap();
        let columns = found(&[("id", "uuid"), ("notes", "text")]);

        let error = mapping.written(Source::StudySessions, Dialect::Postgres, KeyType::Uuid, &columns).unwrap_err();

        assert!(error.to_string().contains("remarks"), "{error}");
    }
}

//! Whether a platform's columns still are what this store's statements were made from.

use tierkeep_db::{CatalogColumn, ColumnExpr, Connection, Dialect, Ident, columns_postgres};
use tokio_postgres::error::SqlState;

use super::super::StoreError;
use crate::key::KeyType;
use crate::mapping::{Mapping, Source};

/// The platform's columns as they were when the store was opened.
#[derive(Debug)]
pub(in crate::store) struct Platform {
    mapping: Mapping,
    keys: KeyType,
    expected: Vec<(Source, Vec<(Ident, ColumnExpr)>)>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Whether the database is attached with another mapping.
    pub(super) is_misfit: bool,
    /// What is not as it was, in words for the operator.
    pub(super) problems: Vec<String>,
}

impl Platform {
    pub(in crate::store) fn new(
        mapping: &Mapping,
        keys: KeyType,
        found: &[(Source, Vec<CatalogColumn>)],
    ) -> Result<Self, StoreError> {
        let columns = |(source, found): &(Source, Vec<CatalogColumn>)| {
            Ok::<_, StoreError>((*source, mapping.columns(*source, Dialect::Postgres, keys, found)?))
        };
        let expected = found.iter().map(columns).collect::<Result<_, _>>()?;
        Ok(Self { mapping: mapping.clone(), keys, expected })
    }

    /// Compares. A few small statements.
    pub(super) async fn look(&self, db: &Connection) -> Result<Look, StoreError> {
        let state = db.query_opt("select mapping from tierkeep_state", &[]).await;
        let mapping = match state {
            Ok(row) => row.map(|row| row.try_get::<_, Option<String>>(0)).transpose()?.flatten(),
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => {
                let problems = vec!["tierkeep was detached from this database".to_owned()];
                return Ok(Look { is_misfit: false, problems });
            }
            Err(error) => return Err(error.into()),
        };
        if mapping.as_deref() != Some(self.mapping.to_string().as_str()) {
            return Ok(Look { is_misfit: true, problems: vec![StoreError::MappingChanged.to_string()] });
        }
        let mut problems = Vec::new();
        for (source, expected) in &self.expected {
            if let Some(problem) = self.compare(db, *source, expected).await? {
                problems.push(format!(
                    "{problem}: correct [mapping] where it names it, run `tierkeep attach`, and start this node again"
                ));
            }
        }
        Ok(Look { is_misfit: false, problems })
    }

    async fn compare(
        &self,
        db: &Connection,
        source: Source,
        expected: &[(Ident, ColumnExpr)],
    ) -> Result<Option<String>, StoreError> {
        let table = self.mapping.table(source);
        let Some(found) = columns_postgres(db, &table).await? else {
            return Ok(Some(format!("there is no table {} any more", table.quoted())));
        };
        let now = match self.mapping.columns(source, Dialect::Postgres, self.keys, &found) {
            Ok(now) => now,
            Err(StoreError::Mapping(why)) => return Ok(Some(why)),
            Err(other) => return Err(other),
        };
        let changed = expected.iter().zip(&now).find_map(|((canonical, expected), (_, now))| match expected {
            // what was missing stays missing for this store
            ColumnExpr::Null(_) | ColumnExpr::EmptyText | ColumnExpr::Zero | ColumnExpr::False => None,
            _ => (expected != now).then_some(canonical),
        });
        Ok(changed.map(|canonical| {
            format!("the column of {} for {:?} was dropped or has another type", table.quoted(), canonical.as_str())
        }))
    }
}

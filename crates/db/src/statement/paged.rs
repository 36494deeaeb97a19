//! Pages by number, and how many rows there are.

use super::Dialect;
use super::selection::{Composer, Selection, SelectionError, SortColumn};
use crate::Value;
use crate::asking::{BoundSql, Param};

/// One page by number.
pub(crate) struct OffsetShape<'a> {
    pub(crate) selection: &'a Selection,
    pub(crate) order: &'a [SortColumn],
}

impl OffsetShape<'_> {
    /// The rows of one page.
    pub(crate) fn page(&self, dialect: Dialect, skipped: u64, limit: u32) -> Result<BoundSql, SelectionError> {
        let mut composer = Composer::new(dialect, self.selection)?;
        let filter = composer.filter()?;
        let order = self
            .order
            .iter()
            .map(|sort| {
                Ok(format!("{} {}{}", composer.column(&sort.column)?, sort.direction.word(), sort.nulls.words()))
            })
            .collect::<Result<Vec<_>, SelectionError>>()?
            .join(", ");
        let (columns, source) = (composer.columns()?, composer.source());
        // bound, as each text stays prepared; a limit stays a constant, as the planner goes by it
        let skipped = composer.bind(Param::One(Value::Integer(i64::try_from(skipped).unwrap_or(i64::MAX))));
        let sql =
            format!("select {columns} from {source} where {filter} order by {order} limit {limit} offset {skipped}");
        Ok(composer.finish(sql))
    }

    /// How many rows there are, counted up to `cap`.
    pub(crate) fn count(&self, dialect: Dialect, cap: Option<u64>) -> Result<BoundSql, SelectionError> {
        let mut composer = Composer::new(dialect, self.selection)?;
        let filter = composer.filter()?;
        let source = composer.source();
        let sql = match cap {
            None => format!("select count(*) as n from {source} where {filter}"),
            Some(cap) => {
                format!("select count(*) as n from (select 1 from {source} where {filter} limit {cap}) as counted")
            }
        };
        Ok(composer.finish(sql))
    }

    /// The plan of reading all rows, whose first line says how many the planner expects. PostgreSQL only.
    pub(crate) fn plan(&self) -> Result<BoundSql, SelectionError> {
        let mut composer = Composer::new(Dialect::Postgres, self.selection)?;
        let filter = composer.filter()?;
        let source = composer.source();
        Ok(composer.finish(format!("explain select 1 from {source} where {filter}")))
    }
}

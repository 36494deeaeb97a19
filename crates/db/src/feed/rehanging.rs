//! A partition that passes from one watched table to another, or goes, and changes no number by that.

use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::{Feed, FeedError};

/// What was known of the feed before a table passed on.
#[derive(Debug)]
pub struct Rehanging {
    table: u32,
    mark: String,
    others: String,
    is_known: bool,
}

impl Feed {
    /// Told before `table` (quoted) ceases to be a part of a watched table, in the transaction in which that happens and under
    /// a lock that keeps others from altering it.
    ///
    /// # Errors
    ///
    /// [`FeedError::Postgres`].
    pub async fn begin_rehanging_postgres(&self, tx: &Transaction<'_>, table: &str) -> Result<Rehanging, FeedError> {
        let oid = tx.query_typed_one("select $1::text::regclass::oid", &[(&table, Type::TEXT)]).await?.try_get(0)?;
        let (mark, is_known) = self.mark(tx).await?;
        Ok(Rehanging { table: oid, mark, is_known, others: self.others(tx, oid).await? })
    }

    /// Told when the table has become a part of the watched table of the source `into`, whose triggers it gets, or has been
    /// dropped (`None`). Its rows must be the ones that whoever reads the sources had before, or "everything" would have to be
    /// told.
    ///
    /// From then on the feed takes what it finds for what is to be. If something else was altered meanwhile, or before without
    /// having been told yet, the next poll tells "everything" as ever. Nobody else can number events until the transaction
    /// ends, so it must be short.
    ///
    /// # Errors
    ///
    /// [`FeedError::Postgres`]; [`FeedError::TableMissing`] if no source is called so.
    pub async fn end_rehanging_postgres(
        &self,
        tx: &Transaction<'_>,
        before: Rehanging,
        into: Option<&str>,
    ) -> Result<(), FeedError> {
        if let Some(into) = into {
            let sources = self.definition.sources.iter().zip(&self.definition.functions);
            let function = sources.into_iter().find(|(source, _)| source.name == into).map(|(_, function)| function);
            let function = function.ok_or_else(|| FeedError::TableMissing { table: into.to_owned() })?;
            let table = before.table.to_string();
            let text = include_str!("capture/postgres/rehang.sql");
            tx.batch_execute(&text.replace("{table}", &table).replace("{function}", function)).await?;
        }
        let is_alone = self.others(tx, before.table).await? == before.others;
        if before.is_known && is_alone {
            let (mark, _) = self.mark(tx).await?;
            tx.execute_typed(
                "update tierkeep_feed set mark = $1 where mark = $2",
                &[(&mark, Type::TEXT), (&before.mark, Type::TEXT)],
            )
            .await?;
        }
        Ok(())
    }

    /// What a poll would find, and whether that is what is known.
    async fn mark(&self, tx: &Transaction<'_>) -> Result<(String, bool), FeedError> {
        let definition = &self.definition;
        let row = tx
            .query_typed_one(
                include_str!("sql/postgres/read.sql"),
                &[
                    (&i64::MAX, Type::INT8),
                    (&0_i64, Type::INT8),
                    (&definition.tables, Type::TEXT_ARRAY),
                    (&definition.column_tables, Type::TEXT_ARRAY),
                    (&definition.column_names, Type::TEXT_ARRAY),
                ],
            )
            .await?;
        Ok((row.try_get("mark")?, row.try_get("is_mark_known")?))
    }

    async fn others(&self, tx: &Transaction<'_>, table: u32) -> Result<String, FeedError> {
        let definition = &self.definition;
        let row = tx
            .query_typed_one(
                include_str!("capture/postgres/others.sql"),
                &[
                    (&definition.tables, Type::TEXT_ARRAY),
                    (&definition.column_tables, Type::TEXT_ARRAY),
                    (&definition.column_names, Type::TEXT_ARRAY),
                    (&table, Type::OID),
                ],
            )
            .await?;
        Ok(row.try_get(0)?)
    }
}

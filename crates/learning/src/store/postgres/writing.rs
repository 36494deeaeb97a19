//! Writing many rows: a binary COPY straight into the table, or by way of a staging table when some ids are known.

use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;

use super::super::incoming::{Incoming, Known, accepted};
use super::super::statements::body;
use super::super::{StoreError, Written};
use super::PostgresStore;
use super::copy::{CopyRow, copy};
use crate::rows::{ProgressRow, SessionRow, UserRow};

/// The statements of one table.
struct Target<'a> {
    /// A COPY straight into the table.
    direct: &'static str,
    /// Makes an empty staging table of the same columns, gone with the transaction.
    stage: &'static str,
    /// A COPY into the staging table.
    staged: &'static str,
    insert: &'a str,
    update: &'a str,
    /// Replaces rows that lie in the archive, where there is one.
    archive: Option<&'a str>,
}

impl PostgresStore {
    pub(super) async fn save_users(&self, rows: Vec<UserRow>, known: Known) -> Result<Written, StoreError> {
        let target = Target {
            direct: include_str!("../sql/copy/users_direct.sql"),
            stage: "create temp table tierkeep_stage on commit drop as select * from users limit 0",
            staged: include_str!("../sql/copy/users_stage.sql"),
            insert: &self.sql.import_users_insert,
            update: &self.sql.import_users_update,
            archive: None,
        };
        self.save(&target, &accepted(rows, self.keys)?, known).await
    }

    pub(super) async fn save_progress(&self, rows: Vec<ProgressRow>) -> Result<Written, StoreError> {
        let target = Target {
            direct: include_str!("../sql/copy/progress_direct.sql"),
            stage: "create temp table tierkeep_stage on commit drop as select * from course_progress limit 0",
            staged: include_str!("../sql/copy/progress_stage.sql"),
            insert: &self.sql.import_progress_insert,
            update: &self.sql.import_progress_update,
            archive: None,
        };
        self.save(&target, &accepted(rows, self.keys)?, Known::Replace).await
    }

    pub(super) async fn save_sessions(&self, rows: Vec<SessionRow>) -> Result<Written, StoreError> {
        let target = Target {
            direct: include_str!("../sql/copy/sessions_direct.sql"),
            stage: "create temp table tierkeep_stage on commit drop as select * from study_sessions limit 0",
            staged: include_str!("../sql/copy/sessions_stage.sql"),
            insert: &self.sql.import_sessions_insert,
            update: &self.sql.import_sessions_update,
            archive: Some(&self.sql.import_archive_update),
        };
        self.save(&target, &accepted(rows, self.keys)?, Known::Replace).await
    }

    async fn save<R: CopyRow + Incoming>(
        &self,
        target: &Target<'_>,
        rows: &[R],
        known: Known,
    ) -> Result<Written, StoreError> {
        let mut db = self.connection().await?;
        let mut tx = db.transaction().await?;
        // the triggers then name every learner, however many
        tx.execute("select set_config('tierkeep.origin', 'import', true)", &[]).await?;
        self.refuse_erased(&tx, rows.iter().map(Incoming::learner)).await?;
        let archived = target.archive.is_some()
            && tx.query_one("select exists (select from study_sessions_archive)", &[]).await?.try_get(0)?;
        if !archived && let Some(inserted) = copy_all_new(&mut tx, target, rows).await? {
            tx.commit().await?;
            return Ok(Written { inserted, updated: 0 });
        }
        let written = save_staged(&tx, target, rows, known).await?;
        tx.commit().await?;
        Ok(written)
    }
}

/// Copies straight into the table, which is about twice as fast; `None`, and nothing done, if an id is known.
async fn copy_all_new<R: CopyRow>(
    tx: &mut Transaction<'_>,
    target: &Target<'_>,
    rows: &[R],
) -> Result<Option<u64>, StoreError> {
    let attempt = tx.savepoint("tierkeep_copy").await?;
    match copy(&attempt, &body(target.direct), rows).await {
        Ok(inserted) => {
            attempt.commit().await?;
            Ok(Some(inserted))
        }
        Err(StoreError::Postgres(error)) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            attempt.rollback().await?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Copies into a staging table, then replaces what is known and inserts the rest.
async fn save_staged<R: CopyRow>(
    tx: &Transaction<'_>,
    target: &Target<'_>,
    rows: &[R],
    known: Known,
) -> Result<Written, StoreError> {
    tx.batch_execute(target.stage).await?;
    copy(tx, &body(target.staged), rows).await?;
    tx.batch_execute("create index on tierkeep_stage (id); analyze tierkeep_stage").await?;
    let mut written = Written::default();
    if known == Known::Replace {
        if let Some(archive) = target.archive {
            written.updated += tx.execute(archive, &[]).await?;
        }
        written.updated += tx.execute(target.update, &[]).await?;
    }
    written.inserted = tx.execute(target.insert, &[]).await?;
    Ok(written)
}

//! Where the database stands, for those who keep answers.

use super::super::StoreError;
use super::super::tables::Tables;
use super::PostgresStore;

impl PostgresStore {
    pub(super) async fn read_position(&self) -> Result<Option<u64>, StoreError> {
        if self.tables == Tables::Platform || self.read_only {
            return Ok(None);
        }
        let db = self.connection().await?;
        let (read, advance) = (db.prepared(&self.sql.feed_position).await?, db.prepared(&self.sql.feed_advance).await?);
        // ends: each turn more is one in which another node raised the position
        loop {
            let row = db.query_one(&read, &[]).await?;
            if !row.try_get::<_, bool>(3)? {
                return Ok(None);
            }
            let (position, changed): (i64, bool) = (row.try_get(0)?, row.try_get(1)?);
            if !changed {
                return Ok(Some(number(position)));
            }
            let mark: &str = row.try_get(2)?;
            // a statement of its own: its snapshot is younger than the mark
            if let Some(raised) = db.query_opt(&advance, &[&position, &mark]).await? {
                return Ok(Some(number(raised.try_get(0)?)));
            }
        }
    }
}

fn number(position: i64) -> u64 {
    u64::try_from(position).unwrap_or(0)
}

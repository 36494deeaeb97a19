//! Who studied lately, on PostgreSQL.

use async_trait::async_trait;
use jiff::Timestamp;

use super::super::StoreError;
use super::super::active::{Active, ActiveWithin, Reach, Selection};
use super::super::totals::MovedZones;
use super::super::verification::first_key;
use super::reading::zones;
use super::totals::moved_zones;
use super::wire::{PgInstant, PgKey};
use super::{PostgresStore, instant_at};
use crate::key::UserId;

/// Candidates taken from the server at a time.
const CANDIDATES: i32 = 2_000;

#[async_trait]
impl Active for PostgresStore {
    async fn active_learners(
        &self,
        within: ActiveWithin,
        now: Timestamp,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<UserId>, StoreError> {
        self.healed(|| self.select_active((within, now), (after, limit))).await
    }

    async fn learner_ids(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError> {
        self.healed(|| self.read_ids(after, limit)).await
    }
}

impl PostgresStore {
    async fn select_active(
        &self,
        (within, now): (ActiveWithin, Timestamp),
        (after, limit): (Option<UserId>, u32),
    ) -> Result<Vec<UserId>, StoreError> {
        let from = after.map_or_else(|| first_key(self.keys), UserId::key);
        if limit == 0 || from.key_type() != self.keys {
            return Ok(Vec::new());
        }
        let mut db = self.connection().await?;
        let candidates = db.prepared(&self.sql.active_learners).await?;
        let zone_changes =
            if self.tables.have_summaries() { Some(db.prepared(&self.sql.moved_zones).await?) } else { None };
        // one snapshot: a zone that is folded between two of them would be in neither
        let tx = db
            .build_transaction()
            .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await?;
        let moved = match &zone_changes {
            Some(statement) => moved_zones(&tx, statement).await?,
            None => MovedZones::default(),
        };
        let mut selection = Selection::new((within, now), (after, limit), &self.rules, moved);
        let Reach { possible, certain } = Reach::new(within, now);
        let [first, end, sure, unsure] = [possible.start, possible.end, certain.start, certain.end].map(PgInstant);
        let portal = tx.bind(&candidates, &[&PgKey(from), &first, &end, &sure, &unsure]).await?;
        while !selection.is_full() {
            let rows = tx.query_portal(&portal, CANDIDATES).await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let user = UserId::new(row.try_get::<_, PgKey>(0)?.0);
                let stored = || zones(row.try_get(3)?, user);
                selection.add(user, instant_at(row, 1)?, row.try_get(2)?, stored)?;
            }
        }
        drop(portal);
        tx.commit().await?;
        Ok(selection.into_found())
    }

    async fn read_ids(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError> {
        let from = after.map_or_else(|| first_key(self.keys), UserId::key);
        if from.key_type() != self.keys {
            return Ok(Vec::new());
        }
        let db = self.connection().await?;
        let rows =
            db.query(&db.prepared(&self.sql.learner_ids).await?, &[&PgKey(from), &(i64::from(limit) + 1)]).await?;
        let mut learners = Vec::with_capacity(rows.len());
        for row in &rows {
            learners.push(UserId::new(row.try_get::<_, PgKey>(0)?.0));
        }
        learners.retain(|user| Some(*user) != after);
        learners.truncate(limit as usize);
        Ok(learners)
    }
}

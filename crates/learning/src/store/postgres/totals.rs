//! Totals over all learners.

use std::collections::BTreeMap;

use futures_util::{StreamExt, pin_mut};
use tokio_postgres::{Statement, Transaction};

use super::super::tables::{Tables, zone_of};
use super::super::{Basis, GlobalSnapshot, StoreError};
use super::PostgresStore;
use super::folding::change;
use super::reading::{base_of, zones};
use super::wire::{PgInstant, PgKey};
use crate::fold::{KIND_ALL, KIND_DEVICE, KIND_ENVIRONMENT, KIND_LEARNERS};
use crate::instant;
use crate::key::UserId;
use crate::local_day::LocalDay;
use crate::statistic::GlobalTotals;
use crate::store::totals::{MovedZones, RecentDays, add_base, recent_days, recent_starts};

/// For a statement whose rows come one by one.
const NO_PARAMETERS: [&(dyn tokio_postgres::types::ToSql + Sync); 0] = [];

impl PostgresStore {
    pub(super) async fn read_totals(&self, today: LocalDay) -> Result<GlobalSnapshot, StoreError> {
        if self.trusts_summaries()
            && let Some(stored) = self.stored_totals(today).await?
        {
            return Ok(stored);
        }
        self.pass_over_rows(today).await
    }

    /// The stored sums; `None` while a change is not folded into them.
    async fn stored_totals(&self, today: LocalDay) -> Result<Option<GlobalSnapshot>, StoreError> {
        let db = self.connection().await?;
        let days = recent_days(today);
        let statement = db.prepared(&self.sql.global_stored).await?;
        let rows = db.query(&statement, &[&days.start().number(), &days.end().number()]).await?;
        let mut totals = GlobalTotals::default();
        let mut as_of = None;
        for row in &rows {
            if !row.try_get::<_, bool>(0)? {
                return Ok(None);
            }
            as_of = Some(row.try_get::<_, PgInstant>(1)?.0);
            let Some(kind) = row.try_get::<_, Option<i16>>(2)? else { continue };
            let name: &str = row.try_get(3)?;
            let sessions = count(row.try_get(5)?);
            match (row.try_get::<_, Option<i32>>(4)?.and_then(LocalDay::from_number), kind) {
                (Some(_), _) if sessions == 0 => {}
                (Some(day), _) => {
                    totals.by_day.insert(day, sessions);
                }
                (None, KIND_ALL) => {
                    totals.sessions = sessions;
                    totals.minutes = count(row.try_get(6)?);
                }
                (None, KIND_ENVIRONMENT) => totals.environments.add(name, sessions),
                (None, KIND_DEVICE) => totals.devices.add(name, sessions),
                (None, KIND_LEARNERS) => totals.users = sessions,
                (None, _) => {}
            }
        }
        Ok(as_of.map(|as_of| GlobalSnapshot { as_of, basis: Basis::Summaries, totals }))
    }

    /// One pass over all rows, and the recent ones placed on their learners' days, in one snapshot.
    async fn pass_over_rows(&self, today: LocalDay) -> Result<GlobalSnapshot, StoreError> {
        let mut db = self.connection().await?;
        let pass = db.prepared(&self.sql.global_pass).await?;
        let recent = db.prepared(&self.sql.global_recent).await?;
        let stored = match self.tables {
            Tables::Own | Tables::Attached => {
                Some((db.prepared(&self.sql.moved_zones).await?, db.prepared(&self.sql.base_known).await?))
            }
            Tables::Platform => None,
        };
        let tx = db
            .build_transaction()
            .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await?;
        let as_of = tx.query_one("select now()", &[]).await?.try_get::<_, PgInstant>(0)?.0;
        let accepted = instant::accepted();
        let mut totals = GlobalTotals::default();
        for row in tx.query(&pass, &[&PgInstant(accepted.start), &PgInstant(accepted.end)]).await? {
            let (kind, name, sessions): (i32, &str, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            match kind {
                1 => totals.environments.add(name, count(sessions)),
                2 => totals.devices.add(name, count(sessions)),
                _ => {
                    totals.sessions = count(sessions);
                    totals.minutes = count(row.try_get(3)?);
                    totals.users = count(row.try_get(4)?);
                }
            }
        }
        let moved = match &stored {
            Some((statement, _)) => moved_zones(&tx, statement).await?,
            None => MovedZones::default(),
        };
        let starts = recent_starts(today);
        let parameters = [PgInstant(starts.start), PgInstant(starts.end)];
        let rows = tx
            .query_raw(&recent, parameters.iter().map(|instant| instant as &(dyn tokio_postgres::types::ToSql + Sync)))
            .await?;
        pin_mut!(rows);
        let mut days = RecentDays::new(today, &self.rules, moved);
        while let Some(row) = rows.next().await {
            let row = row?;
            let user = UserId::new(row.try_get::<_, PgKey>(0)?.0);
            let zones = zones(row.try_get(2)?, user)?;
            days.add(user, zone_of(row.try_get(1)?), zones, row.try_get::<_, PgInstant>(3)?.0);
        }
        totals.by_day = BTreeMap::from_iter(days.into_counts());
        if let Some((_, bases)) = &stored {
            let rows = tx.query_raw(bases, NO_PARAMETERS).await?;
            pin_mut!(rows);
            while let Some(row) = rows.next().await {
                let row = row?;
                let user = UserId::new(row.try_get::<_, PgKey>(0)?.0);
                add_base(&mut totals, today, &base_of(row.try_get(1)?, row.try_get(2)?, user)?.1);
            }
        }
        Ok(GlobalSnapshot { as_of, basis: Basis::Rows, totals })
    }
}

/// Zones of learners who came or moved since their last fold.
pub(super) async fn moved_zones(tx: &Transaction<'_>, statement: &Statement) -> Result<MovedZones, StoreError> {
    let mut moved = MovedZones::default();
    for row in tx.query(statement, &[]).await? {
        let user = UserId::new(row.try_get::<_, PgKey>(1)?.0);
        let Some(change) = change(&row)? else { continue };
        moved.add(user, zone_of(row.try_get(7)?), zones(row.try_get(8)?, user)?, change);
    }
    Ok(moved)
}

fn count(sum: i64) -> u64 {
    u64::try_from(sum).unwrap_or(0)
}

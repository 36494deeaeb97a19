//! Comparing what is stored with the rows.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::{StreamExt, pin_mut};
use tierkeep_db::Connection;
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Transaction};

use super::super::StoreError;
use super::super::checks::check_days;
use super::super::tables::Tables;
use super::super::verification::inspection::{Era, StoredLearner, StoredRecord, look};
use super::super::verification::sums::Sums;
use super::super::verification::{Difference, Verification, Verified, first_key};
use super::folding::{add_global, change};
use super::reading::{Prepared, corrupt, place_of};
use super::wire::{PgKey, PgKeys};
use super::{PostgresStore, key};
use crate::calendar::ZoneHistory;
use crate::fold::{GlobalKey, Plan, Standing};
use crate::key::UserId;
use crate::local_day::LocalDay;

/// For a statement whose rows come one by one.
const NO_PARAMETERS: [&(dyn ToSql + Sync); 0] = [];

#[async_trait]
impl Verification for PostgresStore {
    async fn verify(&self, users: &[UserId]) -> Result<Verified, StoreError> {
        let mut verified = Verified { learners: users.len() as u64, ..Verified::default() };
        if self.tables == Tables::Platform {
            return Ok(verified);
        }
        let mut db = self.connection().await?;
        let sql = Prepared::on(&db, self).await?;
        let state = db.prepared(&self.sql.verify_state).await?;
        let tx = snapshot(&mut db).await?;
        let state = tx.query_one(&state, &[]).await?;
        check_days(state.try_get(3)?, state.try_get(4)?, &self.rules)?;
        let era = Era { is_built: state.try_get(1)?, everything_waits: state.try_get(2)? };

        let (mut inspected, mut inspections) = (Vec::new(), Vec::new());
        for (user, stored) in users.iter().zip(self.stored_learners(&tx, &sql, users).await?) {
            let looked = look(*user, stored, era, &self.rules);
            verified.differences.extend(looked.differences);
            match looked.inspection {
                None => verified.unbuilt += 1,
                Some(inspection) => {
                    inspected.push(*user);
                    inspections.push(inspection);
                }
            }
        }
        let plans: Vec<Plan> = inspections.iter().map(|inspection| inspection.plan(&self.rules)).collect();
        let standings: Vec<Standing> = inspections.iter().map(|inspection| inspection.standing.clone()).collect();
        let folds = self.gather(&tx, &sql.session_rows, &inspected, plans, &standings).await?;
        tx.commit().await?;
        for (inspection, fold) in inspections.into_iter().zip(folds) {
            let (days, differences) = inspection.compare(fold);
            verified.days += days;
            verified.differences.extend(differences);
        }
        Ok(verified)
    }

    async fn verify_totals(&self) -> Result<Vec<Difference>, StoreError> {
        if self.tables == Tables::Platform {
            return Ok(Vec::new());
        }
        let mut db = self.connection().await?;
        let stored = db.prepared(&self.sql.verify_totals).await?;
        let statements = SumStatements::prepared(&db, self).await?;
        let tx = snapshot(&mut db).await?;
        let (sums, mut differences) = statements.add_up(&tx).await?;
        let mut totals = Vec::new();
        for row in tx.query(&stored, &[]).await? {
            let key = GlobalKey { day: row.try_get(0)?, kind: row.try_get(1)?, name: row.try_get(2)? };
            totals.push((key, (row.try_get(3)?, row.try_get(4)?)));
        }
        tx.commit().await?;
        differences.extend(sums.compare(totals));
        Ok(differences)
    }

    async fn known_learners(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError> {
        if self.tables == Tables::Platform {
            return Ok(self.users_after(after, limit).await?.into_iter().map(|row| row.id).collect());
        }
        let from = after.map_or_else(|| first_key(self.keys), UserId::key);
        if from.key_type() != self.keys {
            return Ok(Vec::new());
        }
        let db = self.connection().await?;
        let statement = db.prepared(&self.sql.verify_learners).await?;
        let rows = db.query(&statement, &[&PgKey(from), &(i64::from(limit) + 1)]).await?;
        let mut learners = Vec::with_capacity(rows.len());
        for row in &rows {
            learners.extend(key(row, 0)?.map(UserId::new).filter(|user| Some(*user) != after));
        }
        learners.truncate(limit as usize);
        Ok(learners)
    }

    async fn random_learners(&self, limit: u32) -> Result<Vec<UserId>, StoreError> {
        if self.tables == Tables::Platform {
            return self.known_learners(None, limit).await;
        }
        let db = self.connection().await?;
        let rows = db.query(&db.prepared(&self.sql.verify_random).await?, &[&i64::from(limit)]).await?;
        rows.iter().filter_map(|row| key(row, 0).map(|key| key.map(UserId::new)).transpose()).collect()
    }

    async fn forget(&self, users: &[UserId]) -> Result<(), StoreError> {
        self.refuse_read_only()?;
        let mut db = self.connection().await?;
        let pages = db.prepared(&self.sql.repair_pages).await?;
        let learners = db.prepared(&self.sql.repair_learners).await?;
        let note = db.prepared(&self.sql.repair_note).await?;
        let due = db.prepared(&self.sql.nightly_note).await?;
        let clear = db.prepared(&self.sql.repair_totals).await?;
        let global = db.prepared(&self.sql.fold_global).await?;
        let statements = SumStatements::prepared(&db, self).await?;
        let read = db.prepared(&self.sql.fold_read).await?;
        let keys = self.pg_keys(users);
        let tx = db.transaction().await?;
        // a fold takes its first lock on a row of this table: those under way end before, new ones begin after
        tx.batch_execute("lock table tierkeep_learner in exclusive mode").await?;
        let mut unreadable = Vec::new();
        for row in tx.query(&read, &[&keys]).await? {
            if row.try_get::<_, Option<&str>>(2)?.is_some_and(|zones| zones.parse::<ZoneHistory>().is_err()) {
                unreadable.extend(key(&row, 0)?);
            }
        }
        tx.execute(&pages, &[&keys]).await?;
        tx.execute(&learners, &[&keys, &PgKeys::new(self.keys, unreadable)]).await?;
        tx.execute(&note, &[&keys]).await?;
        // the folds to come cannot tell what days there were
        tx.execute(&due, &[&keys, &LocalDay::MIN.number()]).await?;
        let (sums, _) = statements.add_up(&tx).await?;
        tx.execute(&clear, &[]).await?;
        add_global(&tx, &global, &sums.into_delta()).await?;
        Ok(tx.commit().await?)
    }
}

async fn snapshot(db: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    Ok(db.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?)
}

impl PostgresStore {
    /// What is stored of learners, as it lies there.
    async fn stored_learners(
        &self,
        tx: &Transaction<'_>,
        sql: &Prepared,
        users: &[UserId],
    ) -> Result<Vec<StoredLearner>, StoreError> {
        let keys = self.pg_keys(users);
        let facts = self.facts(tx, &sql.facts, users).await?;
        let mut learners: Vec<StoredLearner> = facts
            .into_iter()
            .map(|facts| StoredLearner { exists: facts.exists, zone: facts.zone, ..StoredLearner::default() })
            .collect();
        let places: BTreeMap<UserId, usize> = users.iter().enumerate().map(|(place, user)| (*user, place)).collect();
        let place = |user: Option<crate::key::Key>| user.and_then(|key| places.get(&UserId::new(key)).copied());
        for row in tx.query(&sql.read, &[&keys]).await? {
            if let Some(place) = place(key(&row, 0)?) {
                learners[place].record = Some(StoredRecord {
                    is_built: row.try_get(1)?,
                    zones: row.try_get(2)?,
                    active_days: row.try_get(3)?,
                    sessions: row.try_get(4)?,
                });
            }
        }
        for row in tx.query(&sql.changes, &[&keys]).await? {
            if let Some(place) = place(key(&row, 1)?) {
                learners[place].changes.extend(change(&row)?);
            }
        }
        for user in self.erased_in(tx, users.iter().copied()).await? {
            if let Some(place) = place(Some(user.key())) {
                learners[place].is_erased = true;
            }
        }
        let (firsts, lasts) = (vec![i32::MIN; users.len()], vec![i32::MAX; users.len()]);
        for row in tx.query(&sql.pages, &[&keys, &firsts, &lasts]).await? {
            let learner = &mut learners[place_of(&row, users.len())?];
            let months = if row.try_get(3)? { &mut learner.bases } else { &mut learner.pages };
            months.push((row.try_get(1)?, row.try_get(2)?));
        }
        Ok(learners)
    }
}

/// What adds up all that is stored.
struct SumStatements {
    pages: tokio_postgres::Statement,
    learners: tokio_postgres::Statement,
}

impl SumStatements {
    async fn prepared(db: &Connection, store: &PostgresStore) -> Result<Self, StoreError> {
        Ok(Self {
            pages: db.prepared(&store.sql.verify_pages).await?,
            learners: db.prepared(&store.sql.verify_studying).await?,
        })
    }

    /// The sums, and months that cannot be read and so are not in them.
    async fn add_up(&self, tx: &Transaction<'_>) -> Result<(Sums, Vec<Difference>), StoreError> {
        let (mut sums, mut unreadable) = (Sums::default(), Vec::new());
        let rows = tx.query_raw(&self.pages, NO_PARAMETERS).await?;
        pin_mut!(rows);
        while let Some(row) = rows.next().await {
            let row = row?;
            if let Err(error) = sums.add_page(row.try_get(1)?, row.try_get(2)?) {
                let user = UserId::new(row.try_get::<_, PgKey>(0)?.0);
                unreadable.push(Difference::of_error(user, &corrupt("month page", user, &error)));
            }
        }
        sums.add_learners(tx.query_one(&self.learners, &[]).await?.try_get(0)?);
        Ok((sums, unreadable))
    }
}

//! Bringing stored summaries up to date, in transactions that hold the learners' locks.
//!
//! Order of a fold, under READ COMMITTED, where each statement sees all that was committed before it: lock the learners,
//! read the changes, read the rows, save, remove the changes that were read, commit. A writer who commits in between
//! leaves a change that was not read and so stays; that some of their rows may already be in is harmless.

use std::collections::BTreeMap;

use tokio_postgres::types::ToSql;
use tokio_postgres::{GenericClient, Row, Statement};

use super::super::aging::Presence;
use super::super::checks::check_days;
use super::super::tables::{Tables, zone_of};
use super::super::{Settled, StoreError};
use super::PostgresStore;
use super::aging::BaseStatements;
use super::reading::{Facts, Prepared, active_days, base_of, corrupt, month_of, place_of, zones};
use super::wire::{PgInstant, PgKey, PgKeys};
use crate::fold::{Change, Folded, GlobalDelta, LearnerRecord, Plan, Standing};
use crate::key::UserId;
use crate::local_day::LocalDay;
use crate::month_page::{MonthPage, MonthPages};

/// Learners folded in one transaction by [`PostgresStore::settle_batch`]: their rows are the memory it needs, and its
/// locks make readers of the same learners wait.
const LEARNERS_PER_BATCH: i64 = 200;

/// What is stored of one learner by month.
#[derive(Debug, Clone, Default)]
pub(super) struct StoredMonths {
    pages: MonthPages,
    pub(super) bases: MonthPages,
}

impl PostgresStore {
    /// One batch of learners who changed, else of learners who were never built.
    pub(super) async fn settle_batch(&self) -> Result<Settled, StoreError> {
        self.forget_everything_changed().await?;
        let changed = self.pick(&self.sql.settle_changed).await?;
        if !changed.is_empty() {
            return self.fold_picked(changed).await;
        }
        let db = self.connection().await?;
        let built = db.query_one(&db.prepared(&self.sql.settle_is_built).await?, &[]).await?;
        if built.try_get(0)? {
            return Ok(Settled::default());
        }
        let epoch: i64 = built.try_get(1)?;
        drop(db);
        let unbuilt = self.pick(&self.sql.settle_unbuilt).await?;
        if !unbuilt.is_empty() {
            return self.fold_picked(unbuilt).await;
        }
        let db = self.connection().await?;
        db.execute(&db.prepared(&self.sql.settle_done).await?, &[&epoch]).await?;
        Ok(Settled::default())
    }

    async fn fold_picked(&self, learners: Vec<UserId>) -> Result<Settled, StoreError> {
        self.measure_new_rows().await?;
        let rows = self.fold(&learners).await?;
        let folded = learners.len() as u64;
        Ok(Settled { learners: folded, rows, more: true })
    }

    /// After a first import the planner knows nothing of the rows yet and would read all of them for every batch; the
    /// server's own statistics come minutes later.
    async fn measure_new_rows(&self) -> Result<(), StoreError> {
        let db = self.connection().await?;
        if self.tables != Tables::Own {
            return Ok(()); // the platform's tables are the platform's to look after
        }
        let known = "select reltuples > 0 from pg_class where oid = 'study_sessions'::regclass";
        if !db.query_one(&db.prepared(known).await?, &[]).await?.try_get::<_, bool>(0)? {
            db.batch_execute("analyze study_sessions").await?;
        }
        Ok(())
    }

    async fn pick(&self, text: &str) -> Result<Vec<UserId>, StoreError> {
        let db = self.connection().await?;
        let rows = db.query(&db.prepared(text).await?, &[&LEARNERS_PER_BATCH]).await?;
        rows.iter().map(|row| Ok(UserId::new(row.try_get::<_, PgKey>(0)?.0))).collect()
    }

    /// When anything of anybody may have changed: forgets all summaries by raising the epoch.
    pub(super) async fn forget_everything_changed(&self) -> Result<(), StoreError> {
        let db = self.connection().await?;
        let changed = db.query_one(&db.prepared(&self.sql.changed_everything).await?, &[]).await?;
        if changed.try_get(0)? {
            db.execute(&db.prepared(&self.sql.settle_everything).await?, &[]).await?;
        }
        Ok(())
    }

    /// Folds learners in one transaction and returns how many rows that took.
    pub(super) async fn fold(&self, users: &[UserId]) -> Result<u64, StoreError> {
        let mut users: Vec<UserId> = users.iter().copied().filter(|user| user.key().key_type() == self.keys).collect();
        users.sort_unstable();
        users.dedup();

        let mut db = self.connection().await?;
        let fold = FoldStatements::prepared(&db, self).await?;
        let tx = db.transaction().await?;
        let rows = self.fold_within(&tx, &fold, &users, Presence::AsFound).await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// Folds learners, in the order of their ids and each once, in the caller's transaction.
    pub(super) async fn fold_within(
        &self,
        tx: &tokio_postgres::Transaction<'_>,
        FoldStatements { sql, claim, state, base, save }: &FoldStatements,
        users: &[UserId],
        presence: Presence<'_>,
    ) -> Result<u64, StoreError> {
        let keys = self.pg_keys(users);
        tx.execute(claim, &[&keys]).await?;
        // locks before everything that is read; the epoch before the changes and the rows it vouches for; the changes
        // before the rows, the learners' own among them: a change read later than its rows would be lost
        let records = tx.query(&sql.lock, &[&keys]).await?;
        let state = tx.query_one(state, &[]).await?;
        check_days(state.try_get(3)?, state.try_get(4)?, &self.rules)?;
        if state.try_get::<_, Option<&str>>(5)? != self.mapping.as_deref() {
            return Err(StoreError::MappingChanged);
        }
        let changes = tx.query(&sql.changes, &[&keys]).await?;
        let facts = self.facts(tx, &sql.facts, users).await?;
        let mut standings = standings_of(users, &facts, &records, &changes)?;
        match presence {
            Presence::AsFound | Presence::Aged(_) => {}
            Presence::Anew => standings.iter_mut().for_each(|standing| standing.is_built = false),
            Presence::Gone => standings.iter_mut().for_each(|standing| standing.exists = false),
        }
        let seen = changes.iter().map(|change| change.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
        let plans: Vec<Plan> = standings.iter().map(|standing| standing.plan(&self.rules)).collect();
        if let Presence::Aged(deleted) = presence {
            // before the bases are read, by the calendar that these plans found
            let there = users.iter().zip(&plans).zip(&standings).filter(|(_, standing)| standing.exists);
            self.add_to_bases(tx, base, there.map(|(planned, _)| planned), deleted).await?;
        }
        let stored = self.pages(tx, &sql.pages, users, &plans).await?;
        let folds = self.gather(tx, &sql.session_rows, users, plans, &standings).await?;
        let folded: Vec<(UserId, Folded)> = folds
            .into_iter()
            .zip(stored)
            .zip(standings)
            .zip(users)
            .map(|(((fold, stored), standing), user)| {
                (*user, fold.finish(standing.record, stored.pages, &stored.bases))
            })
            .collect();
        let rows = folded.iter().map(|(_, folded)| folded.rows).sum();
        save.run(tx, self, folded, state.try_get(0)?, state.try_get(1)?).await?;
        tx.execute(&save.consume, &[&seen]).await?;
        Ok(rows)
    }

    /// What is stored of learners and what changed since, in a snapshot.
    pub(super) async fn standings(
        &self,
        db: &impl GenericClient,
        records: &Statement,
        changes: &Statement,
        users: &[UserId],
        facts: &[Facts],
    ) -> Result<Vec<Standing>, StoreError> {
        let keys = self.pg_keys(users);
        let records = db.query(records, &[&keys]).await?;
        let changes = db.query(changes, &[&keys]).await?;
        standings_of(users, facts, &records, &changes)
    }

    /// The stored months that plans need, and their bases.
    pub(super) async fn pages(
        &self,
        db: &impl GenericClient,
        statement: &Statement,
        users: &[UserId],
        plans: &[Plan],
    ) -> Result<Vec<StoredMonths>, StoreError> {
        let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
        for plan in plans {
            let (first, last) = plan.months().map_or((1, 0), |months| (*months.start(), *months.end()));
            firsts.push(first);
            lasts.push(last);
        }
        let mut stored = vec![StoredMonths::default(); users.len()];
        for row in db.query(statement, &[&self.pg_keys(users), &firsts, &lasts]).await? {
            let place = place_of(&row, users.len())?;
            if row.try_get(3)? {
                let (month, base) = base_of(row.try_get(1)?, row.try_get(2)?, users[place])?;
                stored[place].bases.insert(month, base);
                continue;
            }
            let month = month_of(row.try_get(1)?, users[place])?;
            let page = MonthPage::from_bytes(month, row.try_get(2)?)
                .map_err(|error| corrupt("month page", users[place], &error))?;
            stored[place].pages.insert(month, page);
        }
        Ok(stored)
    }
}

/// Puts together what `learner_facts`, `fold_lock` and `fold_changes` say of each learner.
fn standings_of(
    users: &[UserId],
    facts: &[Facts],
    records: &[Row],
    changes: &[Row],
) -> Result<Vec<Standing>, StoreError> {
    let mut standings: BTreeMap<UserId, Standing> = BTreeMap::new();
    for (user, facts) in users.iter().zip(facts) {
        standings.insert(*user, Standing { exists: facts.exists, zone: facts.zone, ..Standing::default() });
    }
    for row in records {
        let user = UserId::new(row.try_get::<_, PgKey>(0)?.0);
        let record = LearnerRecord {
            zones: zones(row.try_get(2)?, user)?,
            active_days: active_days(row.try_get(3)?, user)?,
            sessions: u64::try_from(row.try_get::<_, i64>(4)?).unwrap_or(0),
        };
        if let Some(standing) = standings.get_mut(&user) {
            standing.is_built = row.try_get(1)?;
            standing.record = Some(record);
        }
    }
    for row in changes {
        let user = UserId::new(row.try_get::<_, PgKey>(1)?.0);
        if let Some(standing) = standings.get_mut(&user) {
            standing.changes.extend(change(row)?);
        }
    }
    // a learner may be asked for twice
    Ok(users.iter().map(|user| standings.get(user).cloned().unwrap_or_default()).collect())
}

/// Columns of `fold_changes` and `moved_zones` from the third: at, first start, last start, zone, whether the learner's own
/// row changed. `None`: a session that starts at no time, and so lies on no day.
pub(super) fn change(row: &Row) -> Result<Option<Change>, StoreError> {
    if row.try_get(6)? {
        let at = row.try_get::<_, PgInstant>(2)?.0;
        let zone: Option<&str> = row.try_get(5)?;
        return Ok(Some(zone.map_or(Change::Left, |zone| Change::Zone { at, zone: zone_of(Some(zone)) })));
    }
    let (first, last): (Option<PgInstant>, Option<PgInstant>) = (row.try_get(3)?, row.try_get(4)?);
    Ok(first.zip(last).map(|(first, last)| Change::Sessions { first: first.0, last: last.0 }))
}

/// The statements of a fold, prepared before its transaction begins.
pub(in crate::store) struct FoldStatements {
    sql: Prepared,
    claim: Statement,
    state: Statement,
    base: BaseStatements,
    save: Save,
}

impl FoldStatements {
    pub(in crate::store) async fn prepared(
        db: &tierkeep_db::Connection,
        store: &PostgresStore,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            sql: Prepared::on(db, store).await?,
            claim: db.prepared(&store.sql.fold_claim).await?,
            state: db.prepared(&store.sql.fold_state).await?,
            base: BaseStatements::prepared(db, store).await?,
            save: Save::prepared(db, store).await?,
        })
    }
}

/// The statements that save what was folded.
struct Save {
    learners: Statement,
    pages: Statement,
    delete_pages: Statement,
    delete_learners: Statement,
    note_departed: Statement,
    global: Statement,
    consume: Statement,
}

impl Save {
    async fn prepared(db: &tierkeep_db::Connection, store: &PostgresStore) -> Result<Self, StoreError> {
        Ok(Self {
            learners: db.prepared(&store.sql.fold_save_learners).await?,
            pages: db.prepared(&store.sql.fold_save_pages).await?,
            delete_pages: db.prepared(&store.sql.fold_delete_pages).await?,
            delete_learners: db.prepared(&store.sql.fold_delete_learners).await?,
            note_departed: db.prepared(&store.sql.erase_note_departed).await?,
            global: db.prepared(&store.sql.fold_global).await?,
            consume: db.prepared(&store.sql.fold_consume).await?,
        })
    }

    async fn run(
        &self,
        tx: &tokio_postgres::Transaction<'_>,
        store: &PostgresStore,
        folded: Vec<(UserId, Folded)>,
        epoch: i64,
        position: i64,
    ) -> Result<(), StoreError> {
        let mut delta = GlobalDelta::default();
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        let (mut zones, mut active_days, mut sessions) = (Vec::new(), Vec::new(), Vec::new());
        let mut first_changed = Vec::new();
        let (mut paged, mut months, mut pages) = (Vec::new(), Vec::new(), Vec::new());
        let (mut emptied, mut emptied_months) = (Vec::new(), Vec::new());
        for (user, folded) in folded {
            delta.merge(folded.delta);
            for (month, page) in folded.pages {
                if page.is_empty() {
                    emptied.push(user.key());
                    emptied_months.push(month.number());
                } else {
                    paged.push(user.key());
                    months.push(month.number());
                    pages.push(page.to_bytes());
                }
            }
            match folded.record {
                None => gone.push(user.key()),
                Some(record) => {
                    kept.push(user.key());
                    zones.push(record.zones.as_ref().map(stored_zones));
                    active_days.push(record.active_days.to_bytes());
                    sessions.push(i64::try_from(record.sessions).unwrap_or(i64::MAX));
                    first_changed.push(folded.first_changed.map(LocalDay::number));
                }
            }
        }
        let array = |keys: Vec<crate::key::Key>| PgKeys::new(store.keys, keys);
        if !paged.is_empty() {
            tx.execute(&self.pages, &[&array(paged), &months, &pages]).await?;
        }
        if !emptied.is_empty() {
            tx.execute(&self.delete_pages, &[&array(emptied), &emptied_months]).await?;
        }
        if !kept.is_empty() {
            let kept = array(kept);
            let parameters: [&(dyn ToSql + Sync); 7] =
                [&kept, &zones, &active_days, &sessions, &epoch, &position, &first_changed];
            tx.execute(&self.learners, &parameters).await?;
        }
        if !gone.is_empty() {
            let gone = array(gone);
            tx.execute(&self.delete_learners, &[&gone]).await?;
            // from the changes, before they are consumed
            tx.execute(&self.note_departed, &[&gone]).await?;
        }
        self.add_global(tx, &delta).await
    }

    /// Last, so that the rows every fold shares are locked for as short as can be.
    async fn add_global(&self, tx: &tokio_postgres::Transaction<'_>, delta: &GlobalDelta) -> Result<(), StoreError> {
        add_global(tx, &self.global, delta).await
    }
}

/// Adds to the global sums.
pub(super) async fn add_global(
    tx: &tokio_postgres::Transaction<'_>,
    statement: &Statement,
    delta: &GlobalDelta,
) -> Result<(), StoreError> {
    let (mut days, mut kinds, mut names) = (Vec::new(), Vec::new(), Vec::new());
    let (mut sessions, mut minutes) = (Vec::new(), Vec::new());
    for (key, more_sessions, more_minutes) in delta.iter() {
        days.push(key.day);
        kinds.push(key.kind);
        names.push(key.name.as_str());
        sessions.push(more_sessions);
        minutes.push(more_minutes);
    }
    if !days.is_empty() {
        tx.execute(statement, &[&days, &kinds, &names, &sessions, &minutes]).await?;
    }
    Ok(())
}

fn stored_zones(zones: &crate::calendar::ZoneHistory) -> String {
    serde_json::to_string(zones).expect("a zone history is a JSON array of names and integers")
}

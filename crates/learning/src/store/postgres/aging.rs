//! Deleting archived sessions because of their age.

use async_trait::async_trait;
use tierkeep_db::Connection;
use tokio_postgres::{Statement, Transaction};

use super::super::StoreError;
use super::super::aging::{Aging, DATA, DERIVED, Deleted, KEPT_BESIDE, Keep, Presence};
use super::erasure::hold_off_erasures;
use super::folding::FoldStatements;
use super::reading::{base_of, place_of};
use super::wire::{PgInstant, PgKey, PgKeys};
use super::{PostgresStore, session_facts};
use crate::fold::Plan;
use crate::instant;
use crate::key::{SessionId, UserId};
use crate::local_day::Month;
use crate::month_page::MonthPage;

#[async_trait]
impl Aging for PostgresStore {
    async fn delete_archived(&self, ids: &[SessionId], keep: Keep) -> Result<u64, StoreError> {
        self.refuse_read_only()?;
        let mut db = self.connection().await?;
        let fold = FoldStatements::prepared(&db, self).await?;
        let lock = db.prepared(&self.removal.lock_archived).await?;
        let facts = db.prepared(&self.sql.aging_facts).await?;
        let delete = db.prepared(&self.removal.delete_archived).await?;
        let tx = db.transaction().await?;
        hold_off_erasures(&tx).await?;
        let asked = PgKeys::new(self.keys, ids.iter().map(|id| id.key()));
        let mut locked = Vec::new();
        for row in tx.query(&lock, &[&asked]).await? {
            locked.push(SessionId::new(row.try_get::<_, PgKey>(0)?.0));
        }
        let deleted = self.deleted_facts(&tx, &facts, &locked).await?;
        let locked = PgKeys::new(self.keys, locked.iter().map(|id| id.key()));
        let rows = tx.execute(&delete, &[&locked]).await?;
        self.fold_deleted(&tx, &fold, &deleted, keep).await?;
        tx.commit().await?;
        Ok(rows)
    }

    async fn delete_data(&self, users: &[UserId]) -> Result<u64, StoreError> {
        self.refuse_read_only()?;
        let users: Vec<UserId> = users.iter().copied().filter(|user| user.key().key_type() == self.keys).collect();
        let mut db = self.connection().await?;
        let fold = FoldStatements::prepared(&db, self).await?;
        let tx = db.transaction().await?;
        hold_off_erasures(&tx).await?;
        let rows = self.remove(&tx, &DATA, &users).await? + self.forget_learners(&tx, &fold, &users).await?;
        tx.commit().await?;
        Ok(rows)
    }
}

impl PostgresStore {
    /// What archived rows count for, to be asked before they are deleted and while they are locked. `statement` is
    /// `aging_facts`.
    pub(in crate::store) async fn deleted_facts(
        &self,
        tx: &Transaction<'_>,
        statement: &Statement,
        ids: &[SessionId],
    ) -> Result<Deleted, StoreError> {
        let accepted = instant::accepted();
        let (first, end) = (PgInstant(accepted.start), PgInstant(accepted.end));
        let ids = PgKeys::new(self.keys, ids.iter().map(|id| id.key()));
        let mut deleted = Deleted::new();
        for row in tx.query(statement, &[&ids, &first, &end]).await? {
            let user = UserId::new(row.try_get::<_, PgKey>(0)?.0);
            deleted.entry(user).or_default().push(session_facts(&row)?);
        }
        Ok(deleted)
    }

    /// Folds the learners of archived rows that this transaction has deleted, so that no number changes or, with
    /// [`Keep::Nothing`], the numbers are those of the rows that are left.
    pub(in crate::store) async fn fold_deleted(
        &self,
        tx: &Transaction<'_>,
        statements: &FoldStatements,
        deleted: &Deleted,
        keep: Keep,
    ) -> Result<(), StoreError> {
        let users: Vec<UserId> = deleted.keys().copied().collect();
        let presence = match keep {
            Keep::Summaries => Presence::Aged(deleted),
            Keep::Nothing => Presence::AsFound,
        };
        self.fold_within(tx, statements, &users, presence).await?;
        Ok(())
    }

    /// Makes learners whose rows this transaction has deleted learners without sessions; how many rows beside them went.
    pub(in crate::store) async fn forget_learners(
        &self,
        tx: &Transaction<'_>,
        statements: &FoldStatements,
        users: &[UserId],
    ) -> Result<u64, StoreError> {
        let rows = self.remove(tx, &KEPT_BESIDE, users).await?;
        let mut users = users.to_vec();
        users.sort_unstable();
        users.dedup();
        self.fold_within(tx, statements, &users, Presence::Anew).await?;
        self.remove(tx, &DERIVED, &users).await?;
        Ok(rows)
    }

    pub(super) async fn remove(
        &self,
        tx: &Transaction<'_>,
        tables: &[&str],
        users: &[UserId],
    ) -> Result<u64, StoreError> {
        let mut rows = 0;
        for text in self.removal.only(tables) {
            let statement = tx.prepare(text).await?;
            for user in users {
                rows += tx.execute(&statement, &[&PgKey(user.key())]).await?;
            }
        }
        Ok(rows)
    }

    /// Adds what deleted sessions counted for to the bases of learners whose records are locked.
    pub(super) async fn add_to_bases<'a>(
        &self,
        tx: &Transaction<'_>,
        statements: &BaseStatements,
        planned: impl Iterator<Item = (&'a UserId, &'a Plan)>,
        deleted: &Deleted,
    ) -> Result<(), StoreError> {
        let mut added: Vec<(UserId, Month, MonthPage)> = Vec::new();
        for (user, plan) in planned {
            for (month, page) in plan.place(deleted.get(user).into_iter().flatten()) {
                added.push((*user, month, page));
            }
        }
        if added.is_empty() {
            return Ok(());
        }
        let keys = PgKeys::new(self.keys, added.iter().map(|(user, ..)| user.key()));
        let months: Vec<i32> = added.iter().map(|(_, month, _)| month.number()).collect();
        for row in tx.query(&statements.read, &[&keys, &months]).await? {
            let (user, month, page) = &mut added[place_of(&row, months.len())?];
            let (_, base) = base_of(month.number(), row.try_get(1)?, *user)?;
            for (day, summary) in base.iter() {
                page.add(day, summary);
            }
        }
        let bases: Vec<Vec<u8>> = added.iter().map(|(.., page)| page.to_bytes()).collect();
        tx.execute(&statements.save, &[&keys, &months, &bases]).await?;
        Ok(())
    }
}

/// The statements that add to bases.
pub(super) struct BaseStatements {
    read: Statement,
    save: Statement,
}

impl BaseStatements {
    pub(super) async fn prepared(db: &Connection, store: &PostgresStore) -> Result<Self, StoreError> {
        Ok(Self { read: db.prepared(&store.sql.base_read).await?, save: db.prepared(&store.sql.base_save).await? })
    }
}

//! Nightly rows on PostgreSQL.
//!
//! A batch locks the fence, holds erasures off and shares the learners' locks, in this order, before it reads anything of
//! them. A fold holds a learner until it has committed, so it comes wholly before a batch or wholly after it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use tierkeep_db::{Connection, Fence};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement, Transaction};

use super::super::StoreError;
use super::super::checks::check_days;
use super::super::nightly::{Batch, Due, NightlyAnalytics, Nights, Updated, Waiting, stored_day};
use super::super::verification::first_key;
use super::PostgresStore;
use super::erasure::hold_off_erasures;
use super::reading::{active_days, corrupt, month_of, place_of, zones};
use super::wire::{PgKey, PgKeys};
use crate::calendar::Zone;
use crate::fold::calendar;
use crate::key::UserId;
use crate::local_day::LocalDay;
use crate::month_page::MonthPage;
use crate::statistic::{Days, Nightly};

#[async_trait]
impl NightlyAnalytics for PostgresStore {
    async fn update_analytics(
        &self,
        now: Timestamp,
        active_days: u32,
        after: Option<UserId>,
        limit: u32,
        fence: Option<&Fence>,
    ) -> Result<Updated, StoreError> {
        if self.read_only || !self.tables.have_summaries() {
            return Ok(Updated::default());
        }
        let nights = Nights::new(now, active_days);
        let mut db = self.connection().await?;
        let sql = Prepared::on(&db, self).await?;
        let tx = db.transaction().await?;
        if let Some(fence) = fence {
            fence.hold_postgres(&tx).await?;
        }
        hold_off_erasures(&tx).await?;
        let picked = self.picked(&tx, &sql, nights, after, limit).await?;
        let (batch, last) = self.batch(&tx, &sql, nights, &picked, limit).await?;
        let (written, removed) = self.write_nights(&tx, &sql, &batch).await?;
        tx.commit().await?;
        Ok(batch.updated(written, removed, last))
    }

    async fn nightly_rows(
        &self,
        user: UserId,
        after: Option<LocalDay>,
        limit: u32,
    ) -> Result<Vec<Nightly>, StoreError> {
        if user.key().key_type() != self.keys || !self.tables.have_summaries() {
            return Ok(Vec::new());
        }
        let first = after.map_or(LocalDay::MIN, |after| after.plus(1));
        let db = self.connection().await?;
        let statement = db.prepared(&self.sql.nightly_rows).await?;
        let rows = db.query(&statement, &[&PgKey(user.key()), &first.number(), &i64::from(limit)]).await?;
        rows.iter().map(|row| stored_row(row, user)).collect()
    }
}

impl PostgresStore {
    /// Learners on the list after one, at most `limit`.
    async fn picked(
        &self,
        tx: &Transaction<'_>,
        sql: &Prepared,
        nights: Nights,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<UserId>, StoreError> {
        let from = after.map_or_else(|| first_key(self.keys), UserId::key);
        if from.key_type() != self.keys {
            return Ok(Vec::new());
        }
        // one more: the last of the batch before is among them
        let parameters = (PgKey(from), nights.last_day().number(), i64::from(limit) + 1);
        let rows = tx.query(&sql.pick, &[&parameters.0, &parameters.1, &parameters.2]).await?;
        let mut picked = Vec::with_capacity(rows.len());
        for row in &rows {
            picked.push(UserId::new(row.try_get::<_, PgKey>(0)?.0));
        }
        picked.retain(|user| Some(*user) != after);
        picked.truncate(limit as usize);
        Ok(picked)
    }

    /// What is to be written about learners, and after whom the next batch goes on.
    async fn batch(
        &self,
        tx: &Transaction<'_>,
        sql: &Prepared,
        nights: Nights,
        picked: &[UserId],
        limit: u32,
    ) -> Result<(Batch, Option<UserId>), StoreError> {
        let mut batch = Batch::default();
        let Some(last) = picked.last().copied() else { return Ok((batch, None)) };
        let keys = self.pg_keys(picked);
        let stored = tx.query(&sql.lock, &[&keys]).await?;
        // after the lock: a fold may have been in between
        let mut seen: BTreeMap<UserId, i32> = BTreeMap::new();
        for row in tx.query(&sql.due, &[&keys]).await? {
            seen.insert(UserId::new(row.try_get::<_, PgKey>(0)?.0), row.try_get(1)?);
        }
        let mut learners = Vec::with_capacity(stored.len());
        for row in &stored {
            check_days(row.try_get(4)?, row.try_get(5)?, &self.rules)?;
            let user = UserId::new(row.try_get::<_, PgKey>(0)?.0);
            let is_built: bool = row.try_get(1)?;
            if let (true, Some(seen)) = (is_built, seen.get(&user)) {
                let calendar = calendar(zones(row.try_get(2)?, user)?.as_ref(), &self.rules);
                let active_days = active_days(row.try_get(3)?, user)?;
                let waiting = Waiting { first_day: stored_day(*seen), calendar, active_days, days: Days::new() };
                learners.push((user, *seen, waiting));
            }
        }
        self.add_days(tx, sql, nights, &mut learners).await?;
        for (user, seen, waiting) in &learners {
            if batch.is_full() {
                return Ok((batch, before(picked, *user)));
            }
            if let Some(due) = nights.due(*user, *seen, waiting) {
                batch.push(due);
            }
        }
        Ok((batch, Some(last).filter(|_| picked.len() == limit as usize)))
    }

    async fn add_days(
        &self,
        tx: &Transaction<'_>,
        sql: &Prepared,
        nights: Nights,
        learners: &mut [(UserId, i32, Waiting)],
    ) -> Result<(), StoreError> {
        let keys = PgKeys::new(self.keys, learners.iter().map(|(user, ..)| user.key()));
        let firsts: Vec<i32> = learners.iter().map(|(.., waiting)| nights.first_month(waiting.first_day)).collect();
        for row in tx.query(&sql.pages, &[&keys, &firsts]).await? {
            let (user, _, waiting) = &mut learners[place_of(&row, firsts.len())?];
            let month = month_of(row.try_get(1)?, *user)?;
            MonthPage::days_from_bytes(month, row.try_get(2)?, &(LocalDay::MIN..=LocalDay::MAX), &mut waiting.days)
                .map_err(|error| corrupt("month page", *user, &error))?;
        }
        Ok(())
    }

    /// Rows written and removed.
    async fn write_nights(
        &self,
        tx: &Transaction<'_>,
        sql: &Prepared,
        batch: &Batch,
    ) -> Result<(u64, u64), StoreError> {
        if batch.due.is_empty() {
            return Ok((0, 0));
        }
        let keys = |users: &mut dyn Iterator<Item = UserId>| PgKeys::new(self.keys, users.map(UserId::key));
        let columns = Columns::of(&batch.due);
        let owners = keys(&mut columns.users.iter().copied());
        let written = if columns.users.is_empty() { 0 } else { tx.execute(&sql.save, &columns.with(&owners)).await? };

        let all = keys(&mut batch.due.iter().map(|due| due.user));
        let firsts: Vec<i32> = batch.due.iter().map(|due| due.span.start().number()).collect();
        let lasts: Vec<i32> = batch.due.iter().map(|due| due.span.end().number()).collect();
        let removed = tx.execute(&sql.remove, &[&all, &firsts, &lasts, &owners, &columns.days]).await?;

        let (goes_on, is_done): (Vec<&Due>, Vec<&Due>) = batch.due.iter().partition(|due| due.next.is_some());
        let learners = keys(&mut goes_on.iter().map(|due| due.user));
        let seen: Vec<i32> = goes_on.iter().map(|due| due.seen).collect();
        let next: Vec<i32> = goes_on.iter().filter_map(|due| due.next).map(LocalDay::number).collect();
        tx.execute(&sql.advance, &[&learners, &seen, &next]).await?;
        let learners = keys(&mut is_done.iter().map(|due| due.user));
        let seen: Vec<i32> = is_done.iter().map(|due| due.seen).collect();
        tx.execute(&sql.done, &[&learners, &seen]).await?;
        Ok((written, removed))
    }
}

/// Of those that were picked, the last before one.
fn before(picked: &[UserId], user: UserId) -> Option<UserId> {
    picked.iter().copied().take_while(|other| *other < user).last()
}

/// Statements prepared before a transaction begins, since it borrows the connection that keeps them.
struct Prepared {
    pick: Statement,
    lock: Statement,
    due: Statement,
    pages: Statement,
    save: Statement,
    remove: Statement,
    advance: Statement,
    done: Statement,
}

impl Prepared {
    async fn on(db: &Connection, store: &PostgresStore) -> Result<Self, StoreError> {
        Ok(Self {
            pick: db.prepared(&store.sql.nightly_pick).await?,
            lock: db.prepared(&store.sql.nightly_lock).await?,
            due: db.prepared(&store.sql.nightly_due).await?,
            pages: db.prepared(&store.sql.nightly_pages).await?,
            save: db.prepared(&store.sql.nightly_save).await?,
            remove: db.prepared(&store.sql.nightly_remove).await?,
            advance: db.prepared(&store.sql.nightly_advance).await?,
            done: db.prepared(&store.sql.nightly_done).await?,
        })
    }
}

/// Rows by columns, each an array.
#[derive(Default)]
struct Columns<'a> {
    users: Vec<UserId>,
    days: Vec<i32>,
    iso_years: Vec<i32>,
    iso_weeks: Vec<i32>,
    sessions: Vec<i64>,
    minutes: Vec<i64>,
    ratings: Vec<Option<f64>>,
    focus: Vec<Option<f64>>,
    productive: Vec<i64>,
    rates: Vec<Option<f64>>,
    hours: Vec<Option<i32>>,
    environments: Vec<Option<&'a str>>,
    devices: Vec<Option<&'a str>>,
    subjects: Vec<Option<&'a str>>,
    trends: Vec<&'static str>,
    streaks: Vec<i32>,
    zones: Vec<&'static str>,
}

impl<'a> Columns<'a> {
    fn of(due: &'a [Due]) -> Self {
        let mut columns = Self::default();
        for (user, row) in due.iter().flat_map(|due| due.rows.iter().map(|row| (due.user, row))) {
            columns.users.push(user);
            columns.push(row);
        }
        columns
    }

    fn push(&mut self, row: &'a Nightly) {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.days.push(row.date.number());
        self.iso_years.push(row.iso_year.into());
        self.iso_weeks.push(row.iso_week.into());
        self.sessions.push(count(row.total_sessions));
        self.minutes.push(count(row.total_duration));
        self.ratings.push(row.avg_effectiveness);
        self.focus.push(row.avg_focus_score);
        self.productive.push(count(row.productive_sessions));
        self.rates.push(row.productivity_rate);
        self.hours.push(row.most_productive_hour.map(i32::from));
        self.environments.push(row.preferred_environment.as_deref());
        self.devices.push(row.preferred_device.as_deref());
        self.subjects.push(row.preferred_subject.as_deref());
        self.trends.push(row.improvement_trend.name());
        self.streaks.push(i32::try_from(row.current_streak).unwrap_or(i32::MAX));
        self.zones.push(row.time_zone.name());
    }

    /// The parameters of `nightly_save`.
    fn with<'p>(&'p self, owners: &'p PgKeys) -> [&'p (dyn ToSql + Sync); 17] {
        [
            owners,
            &self.days,
            &self.iso_years,
            &self.iso_weeks,
            &self.sessions,
            &self.minutes,
            &self.ratings,
            &self.focus,
            &self.productive,
            &self.rates,
            &self.hours,
            &self.environments,
            &self.devices,
            &self.subjects,
            &self.trends,
            &self.streaks,
            &self.zones,
        ]
    }
}

/// The columns of `nightly_rows`.
fn stored_row(row: &Row, user: UserId) -> Result<Nightly, StoreError> {
    let unreadable = |what: &dyn std::fmt::Display| corrupt("nightly row", user, what);
    let count = |column| -> Result<u64, StoreError> { Ok(u64::try_from(row.try_get::<_, i64>(column)?).unwrap_or(0)) };
    let small = |column| -> Result<i32, StoreError> { Ok(row.try_get(column)?) };
    let day = small(0)?;
    Ok(Nightly {
        date: LocalDay::from_number(day).ok_or_else(|| unreadable(&day))?,
        iso_year: i16::try_from(small(1)?).map_err(|error| unreadable(&error))?,
        iso_week: i8::try_from(small(2)?).map_err(|error| unreadable(&error))?,
        total_sessions: count(3)?,
        total_duration: count(4)?,
        avg_effectiveness: row.try_get(5)?,
        avg_focus_score: row.try_get(6)?,
        productive_sessions: count(7)?,
        productivity_rate: row.try_get(8)?,
        most_productive_hour: row.try_get::<_, Option<i32>>(9)?.and_then(|hour| u8::try_from(hour).ok()),
        preferred_environment: row.try_get(10)?,
        preferred_device: row.try_get(11)?,
        preferred_subject: row.try_get(12)?,
        improvement_trend: row.try_get::<_, &str>(13)?.parse().map_err(|error| unreadable(&error))?,
        current_streak: u32::try_from(small(14)?).unwrap_or(0),
        time_zone: Zone::new(row.try_get(15)?)?,
    })
}

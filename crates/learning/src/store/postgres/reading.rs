//! Answers about learners: stored summaries where they are current, rows where they are not.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Instant;

use futures_util::{StreamExt, pin_mut};
use jiff::Timestamp;
use tierkeep_db::Connection;
use tokio_postgres::{GenericClient, Row, Statement};

use super::super::checks::check_days;
use super::super::effort::Effort;
use super::super::error::DAY_BASE;
use super::super::tables::{Tables, zone_of};
use super::super::{Basis, LearnerActivity, LearnerClock, LearnerCourses, LearnerDays, StoreError};
use super::wire::{PgInstant, PgKey, PgKeys};
use super::{PostgresStore, session_facts};
use crate::active_days::ActiveDays;
use crate::calendar::{Zone, ZoneHistory};
use crate::fold::{Fold, Plan, Standing, calendar};
use crate::key::UserId;
use crate::local_day::{LocalDay, Month};
use crate::month_page::MonthPage;
use crate::session::SessionFacts;
use crate::statistic::CourseRow;

/// How often changed learners are folded and read again before the answer is computed without saving: writers who are
/// faster than that must not keep a reader waiting.
const FOLDS_PER_READ: usize = 2;
/// Sessions gathered for one learner before they are placed together.
const GATHERED: usize = 128;

/// What a learner's own row says.
pub(super) struct Facts {
    pub(super) exists: bool,
    pub(super) zone: Option<Zone>,
    pub(super) as_of: Timestamp,
}

/// A stored answer about one learner, if the stored values are current.
enum Stored<T> {
    Unknown,
    Stale,
    Current(T),
}

impl PostgresStore {
    pub(super) async fn read_days(
        &self,
        users: &[UserId],
        days: RangeInclusive<LocalDay>,
    ) -> Result<Vec<Option<LearnerDays>>, StoreError> {
        if !self.tables.have_summaries() {
            return self.platform_days(users, days).await;
        }
        for _ in 0..if self.trusts_summaries() { FOLDS_PER_READ + 1 } else { 0 } {
            let stored = self.stored_days(users, &days).await?;
            match self.current(users, stored).await? {
                Some(answers) => return Ok(answers),
                None if self.read_only => break,
                None => {}
            }
        }
        self.derived_days(users, days).await
    }

    pub(super) async fn read_activity(&self, users: &[UserId]) -> Result<Vec<Option<LearnerActivity>>, StoreError> {
        let all = LocalDay::MIN..=LocalDay::MAX;
        if self.trusts_summaries() {
            for _ in 0..=FOLDS_PER_READ {
                let stored = self.stored_activity(users).await?;
                match self.current(users, stored).await? {
                    Some(answers) => return Ok(answers),
                    None if self.read_only => break,
                    None => {}
                }
            }
        }
        let derived = match self.tables {
            Tables::Own | Tables::Attached => self.derived_days(users, all).await?,
            Tables::Platform => self.platform_days(users, all).await?,
        };
        Ok(derived.into_iter().map(|learner| learner.map(LearnerDays::into_activity)).collect())
    }

    /// The answers if all are current; otherwise folds the stale learners (unless read-only) and returns none.
    async fn current<T>(&self, users: &[UserId], stored: Vec<Stored<T>>) -> Result<Option<Vec<Option<T>>>, StoreError> {
        let stale: Vec<UserId> = users
            .iter()
            .zip(&stored)
            .filter(|(_, stored)| matches!(stored, Stored::Stale))
            .map(|(user, _)| *user)
            .collect();
        if stale.is_empty() {
            return Ok(Some(
                stored
                    .into_iter()
                    .map(|stored| if let Stored::Current(answer) = stored { Some(answer) } else { None })
                    .collect(),
            ));
        }
        if !self.read_only {
            let began = Instant::now();
            self.forget_everything_changed().await?;
            let rows = self.fold(&stale).await?;
            Effort::note_fold(stale.len(), rows, began);
        }
        Ok(None)
    }

    async fn stored_days(
        &self,
        users: &[UserId],
        days: &RangeInclusive<LocalDay>,
    ) -> Result<Vec<Stored<LearnerDays>>, StoreError> {
        let db = self.connection().await?;
        let (sql, learners) = self.about(users);
        let statement = db.prepared(&sql.learner_days).await?;
        let months = (days.start().month().number(), days.end().month().number());
        let rows = db.query(&statement, &[&learners, &months.0, &months.1]).await?;

        let mut learners: Vec<Stored<LearnerDays>> = users.iter().map(|_| Stored::Unknown).collect();
        for row in &rows {
            let (place, user) = learner_of(row, users)?;
            if let Stored::Unknown = learners[place] {
                learners[place] = match self.clock(row, user, 9)? {
                    Stored::Unknown => Stored::Unknown,
                    Stored::Stale => Stored::Stale,
                    Stored::Current(clock) => Stored::Current(LearnerDays { clock, days: BTreeMap::new() }),
                };
            }
            if let (Stored::Current(learner), Some(month)) = (&mut learners[place], row.try_get::<_, Option<i32>>(7)?) {
                let month = month_of(month, user)?;
                MonthPage::days_from_bytes(month, row.try_get(8)?, days, &mut learner.days)
                    .map_err(|error| corrupt("month page", user, &error))?;
            }
        }
        Ok(learners)
    }

    async fn stored_activity(&self, users: &[UserId]) -> Result<Vec<Stored<LearnerActivity>>, StoreError> {
        let db = self.connection().await?;
        let (sql, learners) = self.about(users);
        let statement = db.prepared(&sql.learner_activity).await?;
        let rows = db.query(&statement, &[&learners]).await?;

        let mut learners: Vec<Stored<LearnerActivity>> = users.iter().map(|_| Stored::Unknown).collect();
        for row in &rows {
            let (place, user) = learner_of(row, users)?;
            learners[place] = match self.clock(row, user, 8)? {
                Stored::Unknown => Stored::Unknown,
                Stored::Stale => Stored::Stale,
                Stored::Current(clock) => {
                    let active_days = active_days(row.try_get(7)?, user)?;
                    Stored::Current(LearnerActivity { clock, active_days })
                }
            };
        }
        Ok(learners)
    }

    /// Columns 1 to 6 of a stored read: exists, is of this epoch, zones, changed, everything changed, as of. From column
    /// `days`: the zone and the start of the day that summaries are built with, which another node may have changed.
    fn clock(&self, row: &Row, user: UserId, days: usize) -> Result<Stored<LearnerClock>, StoreError> {
        if !row.try_get::<_, bool>(1)? {
            return Ok(Stored::Unknown);
        }
        let is_built = row.try_get::<_, Option<bool>>(2)?.unwrap_or(false)
            && check_days(row.try_get(days)?, row.try_get(days + 1)?, &self.rules).is_ok();
        if !is_built || row.try_get(4)? || row.try_get(5)? {
            return Ok(Stored::Stale);
        }
        let zones = zones(row.try_get(3)?, user)?;
        let calendar = calendar(zones.as_ref(), &self.rules);
        let as_of = row.try_get::<_, PgInstant>(6)?.0;
        Ok(Stored::Current(LearnerClock { calendar, as_of, basis: Basis::Summaries }))
    }

    /// Computes days from rows in one snapshot and saves nothing.
    async fn derived_days(
        &self,
        users: &[UserId],
        days: RangeInclusive<LocalDay>,
    ) -> Result<Vec<Option<LearnerDays>>, StoreError> {
        let mut db = self.connection().await?;
        let sql = Prepared::on(&db, self).await?;
        let tx = db
            .build_transaction()
            .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await?;
        let facts = self.facts(&tx, &sql.facts, users).await?;
        let mut standings = self.standings(&tx, &sql.read, &sql.changes, users, &facts).await?;
        if !self.trusts_summaries() {
            standings.iter_mut().for_each(|standing| standing.is_built = false);
        }
        let plans: Vec<Plan> = standings.iter().map(|standing| standing.plan_for(days.clone(), &self.rules)).collect();
        let stored = self.pages(&tx, &sql.pages, users, &plans).await?;
        let folds = self.gather(&tx, &sql.session_rows, users, plans, &standings).await?;
        tx.commit().await?;

        Ok(folds
            .into_iter()
            .zip(stored)
            .zip(facts)
            .map(|((fold, stored), facts)| {
                let (calendar, days) = fold.into_days(&stored.bases);
                let clock = LearnerClock { calendar, as_of: facts.as_of, basis: Basis::Rows };
                facts.exists.then_some(LearnerDays { clock, days })
            })
            .collect())
    }

    pub(super) async fn read_courses(&self, users: &[UserId]) -> Result<Vec<Option<LearnerCourses>>, StoreError> {
        let activity = match self.tables {
            Tables::Own | Tables::Attached => Some(self.read_activity(users).await?),
            Tables::Platform => None,
        };
        let db = self.connection().await?;
        let facts = self.facts(&*db, &db.prepared(&self.sql.learner_facts).await?, users).await?;
        let mut learners: Vec<Option<LearnerCourses>> = facts
            .iter()
            .map(|facts| {
                let zones = facts.zone.map(ZoneHistory::new);
                let calendar = calendar(zones.as_ref(), &self.rules);
                let clock = LearnerClock { calendar, as_of: facts.as_of, basis: Basis::Rows };
                facts.exists.then_some(LearnerCourses { clock, rows: Vec::new() })
            })
            .collect();
        for (learner, activity) in learners.iter_mut().zip(activity.into_iter().flatten()) {
            if let (Some(learner), Some(activity)) = (learner, activity) {
                learner.clock.calendar = activity.clock.calendar;
            }
        }
        let (sql, parameter) = self.about(users);
        let statement = db.prepared(&sql.course_rows).await?;
        for row in db.query(&statement, &[&parameter]).await? {
            let (place, _) = learner_of(&row, users)?;
            if let Some(learner) = &mut learners[place] {
                learner.rows.push(course_row(&row)?);
            }
        }
        Ok(learners)
    }

    pub(super) async fn facts(
        &self,
        db: &impl GenericClient,
        statement: &Statement,
        users: &[UserId],
    ) -> Result<Vec<Facts>, StoreError> {
        let rows = db.query(statement, &[&self.pg_keys(users)]).await?;
        rows.iter()
            .map(|row| {
                Ok(Facts {
                    exists: row.try_get(1)?,
                    zone: zone_of(row.try_get(2)?),
                    as_of: row.try_get::<_, PgInstant>(3)?.0,
                })
            })
            .collect()
    }

    /// Reads the sessions that plans ask for into folds, in one query.
    pub(super) async fn gather(
        &self,
        db: &impl GenericClient,
        statement: &Statement,
        users: &[UserId],
        plans: Vec<Plan>,
        standings: &[Standing],
    ) -> Result<Vec<Fold>, StoreError> {
        let mut places = Vec::new();
        let (mut keys, mut firsts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for (place, (plan, standing)) in plans.iter().zip(standings).enumerate() {
            if let (true, Some(starts)) = (standing.exists, plan.starts()) {
                places.push(place);
                keys.push(users[place].key());
                firsts.push(PgInstant(starts.start));
                ends.push(PgInstant(starts.end));
            }
        }
        let mut folds: Vec<Fold> =
            plans.into_iter().zip(standings).map(|(plan, standing)| plan.begin(standing.exists)).collect();
        if places.is_empty() {
            return Ok(folds);
        }
        let keys = PgKeys::new(self.keys, keys);
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&keys, &firsts, &ends];
        let rows = db.query_raw(statement, parameters).await?;
        pin_mut!(rows);
        let mut gathered: Vec<Vec<SessionFacts>> = vec![Vec::new(); places.len()];
        while let Some(row) = rows.next().await {
            let row = row?;
            let at = place_of(&row, places.len())?;
            gathered[at].push(session_facts(&row)?);
            if gathered[at].len() == GATHERED {
                folds[places[at]].add(&gathered[at]);
                gathered[at].clear();
            }
        }
        for (at, rest) in gathered.iter().enumerate() {
            folds[places[at]].add(rest);
        }
        Ok(folds)
    }
}

/// Statements prepared before a transaction begins, since it borrows the connection that keeps them.
pub(super) struct Prepared {
    pub(super) facts: Statement,
    pub(super) session_rows: Statement,
    pub(super) lock: Statement,
    pub(super) read: Statement,
    pub(super) changes: Statement,
    pub(super) pages: Statement,
}

impl Prepared {
    pub(super) async fn on(db: &Connection, store: &PostgresStore) -> Result<Self, StoreError> {
        Ok(Self {
            facts: db.prepared(&store.sql.learner_facts).await?,
            session_rows: db.prepared(&store.sql.session_rows).await?,
            lock: db.prepared(&store.sql.fold_lock).await?,
            read: db.prepared(&store.sql.fold_read).await?,
            changes: db.prepared(&store.sql.fold_changes).await?,
            pages: db.prepared(&store.sql.fold_pages).await?,
        })
    }
}

fn course_row(row: &Row) -> Result<CourseRow, StoreError> {
    Ok(CourseRow {
        id: crate::key::CourseProgressId::new(row.try_get::<_, PgKey>(1)?.0),
        content_id: crate::key::ContentId::new(row.try_get::<_, PgKey>(2)?.0),
        subject_name: super::text(row, 3)?.to_owned(),
        proficiency_level: super::integer(row, 4)?.unwrap_or_default(),
        learning_hour_week: super::integer(row, 5)?.unwrap_or_default(),
        learning_hour_total: super::integer(row, 6)?.unwrap_or_default(),
        est_finish_hour: super::integer(row, 7)?,
        updated_at: super::instant_at(row, 8)?.unwrap_or(Timestamp::UNIX_EPOCH),
    })
}

/// The learner a row is about, by its first column: a place that counts from 1.
fn learner_of(row: &Row, users: &[UserId]) -> Result<(usize, UserId), StoreError> {
    let place = place_of(row, users.len())?;
    Ok((place, users[place]))
}

pub(super) fn place_of(row: &Row, places: usize) -> Result<usize, StoreError> {
    let ordinality: i64 = row.try_get(0)?;
    Ok(usize::try_from(ordinality - 1)
        .ok()
        .filter(|place| *place < places)
        .expect("ordinality counts the elements of the array that was sent"))
}

pub(super) fn month_of(number: i32, user: UserId) -> Result<Month, StoreError> {
    Month::from_number(number).ok_or_else(|| corrupt("month", user, &number))
}

/// A base as it is stored.
pub(super) fn base_of(number: i32, bytes: &[u8], user: UserId) -> Result<(Month, MonthPage), StoreError> {
    let unreadable = |reason: &dyn std::fmt::Display| corrupt(DAY_BASE, user, reason);
    let month = Month::from_number(number).ok_or_else(|| unreadable(&format!("month {number}")))?;
    let base = MonthPage::from_bytes(month, bytes).map_err(|error| unreadable(&format!("month {month}: {error}")))?;
    Ok((month, base))
}

pub(super) fn zones(stored: Option<&str>, user: UserId) -> Result<Option<ZoneHistory>, StoreError> {
    stored.map(|text| serde_json::from_str(text).map_err(|error| corrupt("zone history", user, &error))).transpose()
}

pub(super) fn active_days(stored: Option<&[u8]>, user: UserId) -> Result<ActiveDays, StoreError> {
    match stored {
        None | Some([]) => Ok(ActiveDays::default()),
        Some(bytes) => ActiveDays::from_bytes(bytes).map_err(|error| corrupt("set of active days", user, &error)),
    }
}

pub(super) fn corrupt(what: &'static str, user: UserId, reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt { what, learner: user.to_string(), reason: reason.to_string() }
}

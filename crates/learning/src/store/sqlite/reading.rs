//! Answers about learners: stored summaries where they are current, rows where they are not.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Instant;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};

use super::super::checks::check_days;
use super::super::effort::Effort;
use super::super::error::DAY_BASE;
use super::super::tables::{Tables, zone_of};
use super::super::{Basis, LearnerActivity, LearnerClock, LearnerCourses, LearnerDays, StoreError};
use super::wire::{SqlKey, course_row, instant_at, micros, session_facts};
use super::{Shared, SqliteStore, each, folding};
use crate::active_days::ActiveDays;
use crate::calendar::{Zone, ZoneHistory};
use crate::fold::{Fold, Plan, Standing, calendar};
use crate::key::UserId;
use crate::local_day::{LocalDay, Month};
use crate::month_page::{MonthPage, MonthPages};
use crate::session::SessionFacts;

/// How often changed learners are folded and read again before the answer is computed without saving.
const FOLDS_PER_READ: usize = 2;
/// Sessions gathered before they are placed together.
const GATHERED: usize = 128;

/// A stored answer about one learner, if the stored values are current.
enum Stored<T> {
    Unknown,
    Stale,
    Current(T),
}

/// Answers about all learners, or those whose stored values are not current.
enum Answers<T> {
    Current(Vec<Option<T>>),
    Stale(Vec<UserId>),
}

impl SqliteStore {
    pub(super) async fn read_days(
        &self,
        users: &[UserId],
        days: RangeInclusive<LocalDay>,
    ) -> Result<Vec<Option<LearnerDays>>, StoreError> {
        let wanted = days.clone();
        let stored = move |shared: &Shared, db: &Connection, as_of, user| stored_days(shared, db, as_of, user, &wanted);
        if let Some(answers) = self.read_stored(users, stored).await? {
            return Ok(answers);
        }
        self.derived_days(users, days).await
    }

    pub(super) async fn read_activity(&self, users: &[UserId]) -> Result<Vec<Option<LearnerActivity>>, StoreError> {
        if let Some(answers) = self.read_stored(users, stored_activity).await? {
            return Ok(answers);
        }
        let derived = self.derived_days(users, LocalDay::MIN..=LocalDay::MAX).await?;
        Ok(derived.into_iter().map(|learner| learner.map(LearnerDays::into_activity)).collect())
    }

    /// Stored answers, after folding what changed; `None` where they cannot be had.
    async fn read_stored<T: Send + 'static>(
        &self,
        users: &[UserId],
        stored: impl Fn(&Shared, &Connection, Timestamp, UserId) -> Result<Stored<T>, StoreError> + Clone + Send + 'static,
    ) -> Result<Option<Vec<Option<T>>>, StoreError> {
        if !self.shared.trusts_summaries() {
            return Ok(None);
        }
        for _ in 0..=FOLDS_PER_READ {
            let (users, stored) = (users.to_vec(), stored.clone());
            let one = users.len() == 1;
            let work = move |shared: &Shared, db: &Connection, as_of| answers(shared, db, as_of, &users, &stored);
            let found = if one { self.read_statement(work).await? } else { self.read_timed(work).await? };
            match found {
                Answers::Current(answers) => return Ok(Some(answers)),
                Answers::Stale(_) if self.shared.read_only => return Ok(None),
                Answers::Stale(stale) => {
                    let (began, learners) = (Instant::now(), stale.len());
                    let rows = self
                        .write(move |shared, db| {
                            folding::forget_everything_changed(shared, db)?;
                            folding::fold(shared, db, &stale)
                        })
                        .await?;
                    Effort::note_fold(learners, rows, began);
                }
            }
        }
        Ok(None)
    }

    /// Runs `work`, which is one statement and so one snapshot by itself, with the clock read before it.
    async fn read_statement<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Shared, &Connection, Timestamp) -> Result<T, StoreError> + Send + 'static,
    {
        let shared = std::sync::Arc::clone(&self.shared);
        self.db
            .read(move |db| {
                let as_of = clock(db)?;
                work(&shared, db, as_of)
            })
            .await
    }

    /// Runs `work` in one read transaction, with the clock read before it began.
    async fn read_timed<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Shared, &Connection, Timestamp) -> Result<T, StoreError> + Send + 'static,
    {
        let shared = std::sync::Arc::clone(&self.shared);
        self.db
            .read(move |db| {
                // outside the transaction: a statement without a table takes no snapshot
                let as_of = clock(db)?;
                let tx = db.transaction()?;
                let answer = work(&shared, &tx, as_of)?;
                tx.commit()?;
                Ok(answer)
            })
            .await
    }

    /// Computes days from rows in one snapshot and saves nothing.
    async fn derived_days(
        &self,
        users: &[UserId],
        days: RangeInclusive<LocalDay>,
    ) -> Result<Vec<Option<LearnerDays>>, StoreError> {
        let users = users.to_vec();
        self.read_timed(move |shared, db, as_of| {
            users.iter().map(|user| derived(shared, db, as_of, *user, &days)).collect()
        })
        .await
    }

    pub(super) async fn read_courses(&self, users: &[UserId]) -> Result<Vec<Option<LearnerCourses>>, StoreError> {
        // folding first brings the zones up to date
        let mut stored = match self.shared.tables {
            Tables::Own | Tables::Attached => self.read_activity(users).await?,
            Tables::Platform => vec![None; users.len()],
        };
        let users = users.to_vec();
        self.read_timed(move |shared, db, as_of| {
            let mut learners = Vec::with_capacity(users.len());
            for (user, stored) in users.iter().zip(stored.drain(..)) {
                let Some(zone) = facts(shared, db, *user)? else {
                    learners.push(None);
                    continue;
                };
                let from_row = || calendar(zone.map(ZoneHistory::new).as_ref(), &shared.rules);
                let calendar = stored.map_or_else(from_row, |learner| learner.clock.calendar);
                let mut rows = Vec::new();
                each(db, &shared.sql.course_rows, [SqlKey(user.key())], &mut |row| {
                    rows.push(course_row(shared.keys, row)?);
                    Ok(())
                })?;
                let clock = LearnerClock { calendar, as_of, basis: Basis::Rows };
                learners.push(Some(LearnerCourses { clock, rows }));
            }
            Ok(learners)
        })
        .await
    }

    /// The clock of the database, then `work` in a snapshot that is not older.
    pub(super) async fn timed<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Shared, &Connection, Timestamp) -> Result<T, StoreError> + Send + 'static,
    {
        self.read_timed(work).await
    }
}

fn clock(db: &Connection) -> Result<Timestamp, StoreError> {
    let mut statement = db.prepare_cached("select cast(unixepoch('subsec') * 1000 as integer) * 1000")?;
    let mut rows = statement.query([])?;
    instant_at(rows.next()?.expect("a select without a table has one row"), 0)
}

fn answers<T>(
    shared: &Shared,
    db: &Connection,
    as_of: Timestamp,
    users: &[UserId],
    stored: &impl Fn(&Shared, &Connection, Timestamp, UserId) -> Result<Stored<T>, StoreError>,
) -> Result<Answers<T>, StoreError> {
    let mut current = Vec::with_capacity(users.len());
    let mut stale = Vec::new();
    for user in users {
        match stored(shared, db, as_of, *user)? {
            Stored::Unknown => current.push(None),
            Stored::Stale => stale.push(*user),
            Stored::Current(answer) => current.push(Some(answer)),
        }
    }
    Ok(if stale.is_empty() { Answers::Current(current) } else { Answers::Stale(stale) })
}

fn stored_days(
    shared: &Shared,
    db: &Connection,
    as_of: Timestamp,
    user: UserId,
    days: &RangeInclusive<LocalDay>,
) -> Result<Stored<LearnerDays>, StoreError> {
    let months = (days.start().month().number(), days.end().month().number());
    let mut answer = Stored::Unknown;
    each(db, &shared.sql.learner_days, (SqlKey(user.key()), months.0, months.1), &mut |row| {
        if let Stored::Unknown = answer {
            answer = match stored_clock(shared, row, as_of, user, 7)? {
                Stored::Unknown => Stored::Unknown,
                Stored::Stale => Stored::Stale,
                Stored::Current(clock) => Stored::Current(LearnerDays { clock, days: BTreeMap::new() }),
            };
        }
        if let (Stored::Current(learner), Some(month)) = (&mut answer, row.get::<_, Option<i32>>(5)?) {
            let month = month_of(month, user)?;
            let page = row.get_ref(6)?.as_blob().map_err(|error| corrupt("month page", user, &error))?;
            MonthPage::days_from_bytes(month, page, days, &mut learner.days)
                .map_err(|error| corrupt("month page", user, &error))?;
        }
        Ok(())
    })?;
    Ok(answer)
}

fn stored_activity(
    shared: &Shared,
    db: &Connection,
    as_of: Timestamp,
    user: UserId,
) -> Result<Stored<LearnerActivity>, StoreError> {
    let mut answer = Stored::Unknown;
    each(db, &shared.sql.learner_activity, [SqlKey(user.key())], &mut |row| {
        answer = match stored_clock(shared, row, as_of, user, 6)? {
            Stored::Unknown => Stored::Unknown,
            Stored::Stale => Stored::Stale,
            Stored::Current(clock) => {
                let active_days = active_days(row, 5, user)?;
                Stored::Current(LearnerActivity { clock, active_days })
            }
        };
        Ok(())
    })?;
    Ok(answer)
}

/// Columns 0 to 4 of a stored read: exists, is of this epoch, zones, changed, everything changed. From column `days`: the
/// zone and the start of the day that summaries are built with, which another process may have changed.
fn stored_clock(
    shared: &Shared,
    row: &Row<'_>,
    as_of: Timestamp,
    user: UserId,
    days: usize,
) -> Result<Stored<LearnerClock>, StoreError> {
    if !row.get::<_, bool>(0)? {
        return Ok(Stored::Unknown);
    }
    let stored_zone = row.get_ref(days)?.as_str_or_null().ok().flatten();
    let is_built = row.get::<_, Option<bool>>(1)?.unwrap_or(false)
        && check_days(stored_zone, row.get(days + 1)?, &shared.rules).is_ok();
    if !is_built || row.get(3)? || row.get(4)? {
        return Ok(Stored::Stale);
    }
    let zones = zones(row.get_ref(2)?.as_str_or_null(), user)?;
    let calendar = calendar(zones.as_ref(), &shared.rules);
    Ok(Stored::Current(LearnerClock { calendar, as_of, basis: Basis::Summaries }))
}

fn derived(
    shared: &Shared,
    db: &Connection,
    as_of: Timestamp,
    user: UserId,
    days: &RangeInclusive<LocalDay>,
) -> Result<Option<LearnerDays>, StoreError> {
    let mut standing = match shared.tables {
        Tables::Own | Tables::Attached => folding::standing(shared, db, &shared.sql.fold_read, user)?,
        Tables::Platform => {
            let facts = facts(shared, db, user)?;
            Standing { exists: facts.is_some(), zone: facts.flatten(), ..Standing::default() }
        }
    };
    if !standing.exists {
        return Ok(None);
    }
    standing.is_built &= shared.trusts_summaries();
    let plan = standing.plan_for(days.clone(), &shared.rules);
    let bases = match shared.tables {
        Tables::Own | Tables::Attached => folding::months(shared, db, user, &plan)?.bases,
        Tables::Platform => MonthPages::new(),
    };
    let (calendar, days) = gather(shared, db, user, plan, true)?.into_days(&bases);
    Ok(Some(LearnerDays { clock: LearnerClock { calendar, as_of, basis: Basis::Rows }, days }))
}

/// The zone in a learner's own row; `None` = unknown learner.
pub(super) fn facts(shared: &Shared, db: &Connection, user: UserId) -> Result<Option<Option<Zone>>, StoreError> {
    let mut statement = db.prepare_cached(&shared.sql.learner_facts)?;
    let zone = statement.query_row([SqlKey(user.key())], |row| row.get::<_, Option<String>>(0)).optional()?;
    Ok(zone.map(|zone| zone_of(zone.as_deref())))
}

/// Reads the sessions that a plan asks for into a fold.
pub(super) fn gather(
    shared: &Shared,
    db: &Connection,
    user: UserId,
    plan: Plan,
    exists: bool,
) -> Result<Fold, StoreError> {
    let starts = plan.starts().filter(|_| exists);
    let mut fold = plan.begin(exists);
    let Some(starts) = starts else { return Ok(fold) };
    let parameters = (SqlKey(user.key()), micros(starts.start), micros(starts.end));
    let mut gathered: Vec<SessionFacts> = Vec::new();
    let text = match shared.tables {
        Tables::Own | Tables::Attached => &shared.sql.session_rows,
        Tables::Platform => &shared.sql.platform_rows,
    };
    each(db, text, parameters, &mut |row| {
        gathered.push(session_facts(row)?);
        if gathered.len() == GATHERED {
            fold.add(&gathered);
            gathered.clear();
        }
        Ok(())
    })?;
    fold.add(&gathered);
    Ok(fold)
}

pub(super) fn month_of(number: i32, user: UserId) -> Result<Month, StoreError> {
    Month::from_number(number).ok_or_else(|| corrupt("month", user, &number))
}

/// A base as it is stored: the number of its month, and after it its bytes.
pub(super) fn base_of(row: &Row<'_>, column: usize, user: UserId) -> Result<(Month, MonthPage), StoreError> {
    let unreadable = |reason: &dyn std::fmt::Display| corrupt(DAY_BASE, user, reason);
    let number = row.get(column)?;
    let month = Month::from_number(number).ok_or_else(|| unreadable(&format!("month {number}")))?;
    let bytes = row.get_ref(column + 1)?.as_blob().map_err(|error| unreadable(&format!("month {month}: {error}")))?;
    let base = MonthPage::from_bytes(month, bytes).map_err(|error| unreadable(&format!("month {month}: {error}")))?;
    Ok((month, base))
}

pub(super) fn zones(
    stored: Result<Option<&str>, rusqlite::types::FromSqlError>,
    user: UserId,
) -> Result<Option<ZoneHistory>, StoreError> {
    let text = stored.map_err(|error| corrupt("zone history", user, &error))?;
    text.map(|text| serde_json::from_str(text).map_err(|error| corrupt("zone history", user, &error))).transpose()
}

pub(super) fn active_days(row: &Row<'_>, column: usize, user: UserId) -> Result<ActiveDays, StoreError> {
    match row.get_ref(column)?.as_blob_or_null().map_err(|error| corrupt("set of active days", user, &error))? {
        None | Some([]) => Ok(ActiveDays::default()),
        Some(bytes) => ActiveDays::from_bytes(bytes).map_err(|error| corrupt("set of active days", user, &error)),
    }
}

pub(super) fn corrupt(what: &'static str, user: UserId, reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt { what, learner: user.to_string(), reason: reason.to_string() }
}

//! Nightly rows on SQLite. A write transaction holds the lock of the whole database, so nobody folds meanwhile.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tierkeep_db::Fence;

use super::super::StoreError;
use super::super::checks::check_days;
use super::super::nightly::{Batch, Due, NightlyAnalytics, Nights, Updated, Waiting, stored_day};
use super::super::verification::first_key;
use super::reading::{active_days, corrupt, month_of, zones};
use super::wire::{SqlKey, key_at};
use super::{Shared, SqliteStore, each};
use crate::calendar::Zone;
use crate::fold::calendar;
use crate::key::UserId;
use crate::local_day::LocalDay;
use crate::month_page::MonthPage;
use crate::statistic::{Days, Nightly};

#[async_trait]
impl NightlyAnalytics for SqliteStore {
    async fn update_analytics(
        &self,
        now: Timestamp,
        active_days: u32,
        after: Option<UserId>,
        limit: u32,
        fence: Option<&Fence>,
    ) -> Result<Updated, StoreError> {
        if self.shared.read_only || !self.shared.tables.have_summaries() {
            return Ok(Updated::default());
        }
        let nights = Nights::new(now, active_days);
        let fence = fence.cloned();
        self.write(move |shared, tx| {
            if let Some(fence) = fence {
                fence.hold_sqlite(tx)?;
            }
            let picked = picked(shared, tx, nights, after, limit)?;
            let mut batch = Batch::default();
            let mut last = None;
            for user in &picked {
                if batch.is_full() {
                    break;
                }
                last = Some(*user);
                if let Some((seen, waiting)) = waiting(shared, tx, nights, *user)?
                    && let Some(due) = nights.due(*user, seen, &waiting)
                {
                    batch.push(due);
                }
            }
            let is_last = last == picked.last().copied() && picked.len() < limit as usize;
            let (mut written, mut removed) = (0, 0);
            for due in &batch.due {
                let (more, fewer) = write(shared, tx, due)?;
                written += more;
                removed += fewer;
            }
            Ok(batch.updated(written, removed, last.filter(|_| !is_last)))
        })
        .await
    }

    async fn nightly_rows(
        &self,
        user: UserId,
        after: Option<LocalDay>,
        limit: u32,
    ) -> Result<Vec<Nightly>, StoreError> {
        if user.key().key_type() != self.shared.keys || !self.shared.tables.have_summaries() {
            return Ok(Vec::new());
        }
        let first = after.map_or(LocalDay::MIN, |after| after.plus(1)).to_string();
        self.read(move |shared, db| {
            let mut rows = Vec::new();
            each(db, &shared.sql.nightly_rows, (SqlKey(user.key()), first, limit), &mut |row| {
                rows.push(stored_row(row, user)?);
                Ok(())
            })?;
            Ok(rows)
        })
        .await
    }
}

/// Learners on the list after one, at most `limit`.
fn picked(
    shared: &Shared,
    db: &Connection,
    nights: Nights,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<UserId>, StoreError> {
    let from = after.map_or_else(|| first_key(shared.keys), UserId::key);
    let mut picked = Vec::new();
    if from.key_type() != shared.keys {
        return Ok(picked);
    }
    // one more: the last of the batch before is among them
    let parameters = (SqlKey(from), nights.last_day().number(), i64::from(limit) + 1);
    each(db, &shared.sql.nightly_pick, parameters, &mut |row| {
        picked.push(UserId::new(key_at(shared.keys, row, 0)?));
        Ok(())
    })?;
    picked.retain(|user| Some(*user) != after);
    picked.truncate(limit as usize);
    Ok(picked)
}

/// What is stored of a learner on the list; `None` while it waits to be built anew.
fn waiting(
    shared: &Shared,
    db: &Connection,
    nights: Nights,
    user: UserId,
) -> Result<Option<(i32, Waiting)>, StoreError> {
    let key = SqlKey(user.key());
    let mut due = db.prepare_cached(&shared.sql.nightly_due)?;
    let Some(seen) = due.query_row([key], |row| row.get::<_, i32>(0)).optional()? else { return Ok(None) };
    let mut found = None;
    each(db, &shared.sql.nightly_lock, [key], &mut |row| {
        check_days(row.get_ref(3)?.as_str_or_null().ok().flatten(), row.get(4)?, &shared.rules)?;
        if row.get(0)? {
            let calendar = calendar(zones(row.get_ref(1)?.as_str_or_null(), user)?.as_ref(), &shared.rules);
            let active_days = active_days(row, 2, user)?;
            found = Some(Waiting { first_day: stored_day(seen), calendar, active_days, days: Days::new() });
        }
        Ok(())
    })?;
    let Some(mut waiting) = found else { return Ok(None) };
    each(db, &shared.sql.nightly_pages, (key, nights.first_month(waiting.first_day)), &mut |row| {
        let month = month_of(row.get(0)?, user)?;
        let page = row.get_ref(1)?.as_blob().map_err(|error| corrupt("month page", user, &error))?;
        MonthPage::days_from_bytes(month, page, &(LocalDay::MIN..=LocalDay::MAX), &mut waiting.days)
            .map_err(|error| corrupt("month page", user, &error))
    })?;
    Ok(Some((seen, waiting)))
}

/// Rows written and removed.
fn write(shared: &Shared, db: &Connection, due: &Due) -> Result<(u64, u64), StoreError> {
    let key = SqlKey(due.user.key());
    let mut save = db.prepare_cached(&shared.sql.nightly_save)?;
    let mut written = 0;
    for row in &due.rows {
        written += save.execute(params![
            key,
            row.date.to_string(),
            row.iso_year,
            row.iso_week,
            count(row.total_sessions),
            count(row.total_duration),
            row.avg_effectiveness,
            row.avg_focus_score,
            count(row.productive_sessions),
            row.productivity_rate,
            row.most_productive_hour,
            row.preferred_environment,
            row.preferred_device,
            row.preferred_subject,
            row.improvement_trend.name(),
            row.current_streak,
            row.time_zone.name(),
        ])? as u64;
    }
    let dates: Vec<LocalDay> = due.rows.iter().map(|row| row.date).collect();
    let dates = serde_json::to_string(&dates).expect("dates are texts");
    let span = (due.span.start().to_string(), due.span.end().to_string());
    let removed = db.prepare_cached(&shared.sql.nightly_remove)?.execute((key, span.0, span.1, dates))?;
    match due.next {
        Some(next) => db.prepare_cached(&shared.sql.nightly_advance)?.execute((key, due.seen, next.number()))?,
        None => db.prepare_cached(&shared.sql.nightly_done)?.execute((key, due.seen))?,
    };
    Ok((written, removed as u64))
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The columns of `nightly_rows`.
fn stored_row(row: &Row<'_>, user: UserId) -> Result<Nightly, StoreError> {
    let unreadable = |what: &dyn std::fmt::Display| corrupt("nightly row", user, what);
    let count = |column| -> Result<u64, StoreError> { Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0)) };
    Ok(Nightly {
        date: text(row, 0)?.parse().map_err(|error| unreadable(&error))?,
        iso_year: row.get(1)?,
        iso_week: row.get(2)?,
        total_sessions: count(3)?,
        total_duration: count(4)?,
        avg_effectiveness: row.get(5)?,
        avg_focus_score: row.get(6)?,
        productive_sessions: count(7)?,
        productivity_rate: row.get(8)?,
        most_productive_hour: row.get(9)?,
        preferred_environment: row.get(10)?,
        preferred_device: row.get(11)?,
        preferred_subject: row.get(12)?,
        improvement_trend: text(row, 13)?.parse().map_err(|error| unreadable(&error))?,
        current_streak: row.get(14)?,
        time_zone: Zone::new(text(row, 15)?)?,
    })
}

fn text<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a str, rusqlite::Error> {
    let value = row.get_ref(column)?;
    value.as_str().map_err(|_| rusqlite::Error::InvalidColumnType(column, "text".to_owned(), Type::Text))
}

//! The obvious model: all rows in memory, every answer computed from them each time.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tierkeep_learning::active_days::ActiveDays;
use tierkeep_learning::calendar::{Calendar, DayStart, Zone, ZoneHistory};
use tierkeep_learning::key::{SessionId, UserId};
use tierkeep_learning::local_day::LocalDay;
use tierkeep_learning::rows::SessionRow;
use tierkeep_learning::statistic::{Days, GlobalTotals};
use tierkeep_learning::store::Store;
use tierkeep_learning::summary::DaySummary;

use super::rows::{ALL_DAYS, at, facts};

/// The rows, and the zones that were seen.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) default_zone: Zone,
    pub(crate) day_start: DayStart,
    pub(crate) learners: BTreeMap<UserId, ModelLearner>,
    pub(crate) live: BTreeMap<SessionId, SessionRow>,
    pub(crate) archived: BTreeMap<SessionId, SessionRow>,
    /// What sessions that were deleted by age counted for, on the days of their time.
    pub(crate) bases: BTreeMap<UserId, Days>,
    /// Later than any clock this runs by and before the sessions of the future: when the next change of a zone counts.
    next_change: Timestamp,
}

#[derive(Debug, Clone)]
pub(crate) struct ModelLearner {
    /// The text in the row.
    pub(crate) zone: Option<String>,
    zones: Option<ZoneHistory>,
}

impl Model {
    pub(crate) fn new(default_zone: Zone, day_start: DayStart) -> Self {
        Self {
            default_zone,
            day_start,
            learners: BTreeMap::new(),
            live: BTreeMap::new(),
            archived: BTreeMap::new(),
            bases: BTreeMap::new(),
            next_change: at("2060-01-01T00:00:00Z"),
        }
    }

    /// A learner comes, or moves.
    pub(crate) fn put_learner(&mut self, id: UserId, text: Option<String>) {
        let zone = text.as_deref().and_then(|text| Zone::new(text).ok());
        let learner = self.learners.entry(id).or_insert(ModelLearner { zone: None, zones: None });
        learner.zone = text;
        match (&mut learner.zones, zone) {
            (None, None) => {}
            (None, Some(first)) => learner.zones = Some(ZoneHistory::new(first)),
            (Some(zones), zone) => zones.push(self.next_change, zone.unwrap_or(self.default_zone)),
        }
        self.next_change += SignedDuration::from_secs(1);
    }

    pub(crate) fn calendar(&self, id: UserId) -> Option<Calendar> {
        let zones = self.learners.get(&id)?.zones.clone().unwrap_or_else(|| ZoneHistory::new(self.default_zone));
        Some(Calendar::new(zones, self.day_start))
    }

    /// What a write through the store does.
    pub(crate) fn write(&mut self, row: &SessionRow) {
        let place = if !self.live.contains_key(&row.id) && self.archived.contains_key(&row.id) {
            &mut self.archived
        } else {
            &mut self.live
        };
        place.insert(row.id, row.clone());
    }

    /// Archived sessions are deleted by age.
    pub(crate) fn age(&mut self, ids: &[SessionId]) -> u64 {
        let mut deleted = 0;
        for id in ids {
            let Some(row) = self.archived.remove(id) else { continue };
            deleted += 1;
            if let (Some(calendar), false) = (self.calendar(row.user_id), self.live.contains_key(id)) {
                let summary = DaySummary::of(&facts(&row), calendar.hour_of(row.start_time));
                let base = self.bases.entry(row.user_id).or_default();
                base.entry(calendar.day_of(row.start_time)).or_default().merge(&summary);
            }
        }
        deleted
    }

    /// Each session once: live rows, and archived ones whose id is not live.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = &SessionRow> {
        self.live.values().chain(self.archived.values().filter(|row| !self.live.contains_key(&row.id)))
    }

    pub(crate) fn days(&self, id: UserId) -> Option<Days> {
        let calendar = self.calendar(id)?;
        let mut days = self.bases.get(&id).cloned().unwrap_or_default();
        days.retain(|_, base| !base.is_empty());
        for row in self.sessions().filter(|row| row.user_id == id) {
            let summary = DaySummary::of(&facts(row), calendar.hour_of(row.start_time));
            if !summary.is_empty() {
                days.entry(calendar.day_of(row.start_time)).or_default().merge(&summary);
            }
        }
        Some(days)
    }

    pub(crate) fn activity(&self, id: UserId) -> Option<ActiveDays> {
        let days = self.days(id)?;
        Some(days.iter().filter(|(_, summary)| summary.minutes > 0).map(|(day, _)| *day).collect())
    }

    /// Learners with a valid session on one of their last `days` days.
    pub(crate) fn active(&self, days: i32, now: Timestamp) -> Vec<UserId> {
        let is_active = |id: &UserId| {
            let calendar = self.calendar(*id).unwrap();
            let today = calendar.day_of(now);
            let counts = |start| (today.plus(1 - days)..=today).contains(&calendar.day_of(start));
            let mut own = self.sessions().filter(|row| row.user_id == *id);
            own.any(|row| facts(row).fault().is_none() && counts(row.start_time))
        };
        self.learners.keys().copied().filter(is_active).collect()
    }

    pub(crate) fn totals(&self, today: LocalDay) -> GlobalTotals {
        let mut totals = GlobalTotals::default();
        for id in self.learners.keys() {
            let days = self.days(*id).unwrap_or_default();
            totals.users += u64::from(!days.is_empty());
            for (day, summary) in days {
                totals.sessions += summary.sessions;
                totals.minutes += summary.minutes;
                totals.environments.merge(&summary.environments);
                totals.devices.merge(&summary.devices);
                if (today.plus(-6)..=today).contains(&day) {
                    *totals.by_day.entry(day).or_default() += summary.sessions;
                }
            }
        }
        totals
    }

    /// Asks a store everything about some learners and compares.
    pub(crate) async fn compare(&self, store: &dyn Store, users: &[UserId], span: (LocalDay, LocalDay), context: &str) {
        let answers = store.learner_days(users, ALL_DAYS).await.unwrap();
        for (user, answer) in users.iter().zip(answers) {
            assert_eq!(answer.map(|answer| answer.days), self.days(*user), "all days of {user}: {context}");
        }

        let (first, last) = span;
        let answers = store.learner_days(users, first..=last).await.unwrap();
        for (user, answer) in users.iter().zip(answers) {
            let wanted = self.days(*user).map(|mut days| {
                days.retain(|day, _| (first..=last).contains(day));
                days
            });
            assert_eq!(answer.map(|answer| answer.days), wanted, "{first} to {last} of {user}: {context}");
        }

        let answers = store.learner_activity(users).await.unwrap();
        for (user, answer) in users.iter().zip(answers) {
            assert_eq!(answer.map(|answer| answer.active_days), self.activity(*user), "activity of {user}: {context}");
        }
    }

    /// Compares the totals over all learners.
    pub(crate) async fn compare_totals(&self, store: &dyn Store, today: LocalDay, context: &str) {
        let totals = store.global_totals(today).await.unwrap().totals;
        assert_eq!(totals, self.totals(today), "totals on {today}: {context}");
    }
}

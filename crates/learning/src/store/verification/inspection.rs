//! One learner under inspection, without any I/O: what is stored, what a reader would compute anew, and what the rows give.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::Difference;
use crate::active_days::ActiveDays;
use crate::calendar::{Zone, ZoneHistory};
use crate::fold::{Change, DayRules, Fold, LearnerRecord, Plan, Standing};
use crate::key::UserId;
use crate::local_day::{LocalDay, Month};
use crate::month_page::{MonthPage, MonthPages};
use crate::summary::DaySummary;

/// What decides, for all learners, which stored values count.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Era {
    /// Whether every learner was built in the present epoch.
    pub(in crate::store) is_built: bool,
    /// Whether anything of anybody may have changed.
    pub(in crate::store) everything_waits: bool,
}

/// A learner's record as it lies in the database.
#[derive(Debug, Default)]
pub(in crate::store) struct StoredRecord {
    /// Whether it is of the present epoch.
    pub(in crate::store) is_built: bool,
    /// Text of the zones.
    pub(in crate::store) zones: Option<String>,
    /// Bytes of the active days.
    pub(in crate::store) active_days: Vec<u8>,
    /// Valid sessions.
    pub(in crate::store) sessions: i64,
}

/// All that is stored of a learner, undecoded: what cannot be read is a difference and no failure.
#[derive(Debug, Default)]
pub(in crate::store) struct StoredLearner {
    /// Whether the learner's own row is there.
    pub(in crate::store) exists: bool,
    /// The zone in it.
    pub(in crate::store) zone: Option<Zone>,
    /// Whether the learner was erased: a platform may keep their own row.
    pub(in crate::store) is_erased: bool,
    /// The record.
    pub(in crate::store) record: Option<StoredRecord>,
    /// Changes that wait, oldest first.
    pub(in crate::store) changes: Vec<Change>,
    /// Months by their numbers.
    pub(in crate::store) pages: Vec<(i32, Vec<u8>)>,
    /// Bases by the numbers of their months.
    pub(in crate::store) bases: Vec<(i32, Vec<u8>)>,
}

/// A learner whose rows are to be compared with what is stored.
#[derive(Debug)]
pub(in crate::store) struct Inspection {
    user: UserId,
    pub(in crate::store) standing: Standing,
    pages: MonthPages,
    bases: MonthPages,
    unreadable: BTreeSet<Month>,
    has_readable_activity: bool,
    /// Days that a fold would compute anew.
    waiting: Option<RangeInclusive<LocalDay>>,
}

/// What an inspection has found before any row is read.
#[derive(Debug)]
pub(in crate::store) struct Looked {
    pub(in crate::store) differences: Vec<Difference>,
    /// `None`: nothing that is stored counts.
    pub(in crate::store) inspection: Option<Inspection>,
}

/// Decodes what is stored and decides what is to be compared.
pub(in crate::store) fn look(user: UserId, stored: StoredLearner, era: Era, rules: &DayRules) -> Looked {
    let mut findings = Findings { user, differences: Vec::new() };
    let inspection = if era.everything_waits { None } else { findings.decode(stored, era, rules) };
    Looked { differences: findings.differences, inspection }
}

struct Findings {
    user: UserId,
    differences: Vec<Difference>,
}

impl Findings {
    fn add(&mut self, day: Option<LocalDay>, field: impl Into<String>, stored: Value, recomputed: Value) {
        self.differences.push(Difference { learner: Some(self.user), day, field: field.into(), stored, recomputed });
    }

    fn unreadable(&mut self, field: impl Into<String>, reason: &dyn std::fmt::Display) {
        self.add(None, field, json!(format!("cannot be read: {reason}")), Value::Null);
    }

    fn decode(&mut self, stored: StoredLearner, era: Era, rules: &DayRules) -> Option<Inspection> {
        let StoredLearner { exists, zone, is_erased, record, changes, pages, bases } = stored;
        if !exists {
            // a change that waits will take away what is stored
            if changes.is_empty() && (record.is_some() || !pages.is_empty()) {
                self.add(None, "learner", json!(format!("summaries of {} months", pages.len())), Value::Null);
            }
            return None;
        }
        let Some(record) = record.filter(|record| record.is_built) else {
            if era.is_built && changes.is_empty() && !is_erased {
                self.add(None, "learner", Value::Null, json!("is there"));
            }
            return None;
        };
        let zones = match record.zones.as_deref().map(str::parse::<ZoneHistory>).transpose() {
            Ok(zones) => zones,
            Err(error) => {
                self.unreadable("time_zone", &error);
                return None;
            }
        };
        if let (None, Some(zone), true) = (&zones, zone, changes.is_empty()) {
            self.add(None, "time_zone", Value::Null, json!(zone.name()));
            return None;
        }
        let (active_days, has_readable_activity) = match decode_active_days(&record.active_days) {
            Ok(days) => (days, true),
            Err(error) => {
                self.unreadable("active", &error);
                (ActiveDays::default(), false)
            }
        };
        let (pages, mut unreadable) = self.decode_pages("month", pages);
        let (bases, unreadable_bases) = self.decode_pages("base", bases);
        unreadable.extend(unreadable_bases);
        let sessions = u64::try_from(record.sessions).unwrap_or(0);
        let record = Some(LearnerRecord { zones, active_days, sessions });
        let standing = Standing { exists, zone, record, is_built: true, changes };
        let plan = standing.plan(rules);
        if let Some(zone) = zone
            && *plan.calendar().zones().current() != zone
        {
            self.add(None, "time_zone", json!(plan.calendar().zones().current().name()), json!(zone.name()));
        }
        let waiting = plan.days().cloned();
        if waiting == Some(LocalDay::MIN..=LocalDay::MAX) {
            return None;
        }
        Some(Inspection { user: self.user, standing, pages, bases, unreadable, has_readable_activity, waiting })
    }

    /// Months that can be read, and those that cannot.
    fn decode_pages(&mut self, what: &str, stored: Vec<(i32, Vec<u8>)>) -> (MonthPages, BTreeSet<Month>) {
        let (mut pages, mut unreadable) = (MonthPages::new(), BTreeSet::new());
        for (number, bytes) in stored {
            let Some(month) = Month::from_number(number) else {
                self.unreadable(what, &number);
                continue;
            };
            match MonthPage::from_bytes(month, &bytes) {
                Ok(page) => {
                    pages.insert(month, page);
                }
                Err(error) => {
                    self.unreadable(format!("{what} {month}"), &error);
                    unreadable.insert(month);
                }
            }
        }
        (pages, unreadable)
    }
}

fn decode_active_days(bytes: &[u8]) -> Result<ActiveDays, crate::active_days::ActiveDaysError> {
    if bytes.is_empty() { Ok(ActiveDays::default()) } else { ActiveDays::from_bytes(bytes) }
}

impl Inspection {
    /// All rows of the learner.
    pub(in crate::store) fn plan(&self, rules: &DayRules) -> Plan {
        self.standing.plan_for(LocalDay::MIN..=LocalDay::MAX, rules)
    }

    /// Compares with the rows that [`Inspection::plan`] asked for; how many days, and what differs.
    pub(in crate::store) fn compare(self, rows: Fold) -> (u64, Vec<Difference>) {
        let (_, recomputed) = rows.into_days(&self.bases);
        let stored: BTreeMap<LocalDay, &DaySummary> = self.pages.values().flat_map(MonthPage::iter).collect();
        let record = self.standing.record.clone().unwrap_or_default();
        let mut findings = Findings { user: self.user, differences: Vec::new() };
        let nothing = DaySummary::default();
        let (mut compared, mut sessions) = (0, 0_u64);
        let days: BTreeSet<LocalDay> =
            stored.keys().chain(recomputed.keys()).copied().chain(record.active_days.iter()).collect();
        for day in days {
            if self.unreadable.contains(&day.month()) {
                continue;
            }
            let total = stored.get(&day).copied().unwrap_or(&nothing);
            // what a fold will compute anew must be right within what is stored
            let right = if self.waiting.as_ref().is_some_and(|waiting| waiting.contains(&day)) {
                total
            } else {
                compared += 1;
                recomputed.get(&day).unwrap_or(&nothing)
            };
            if total != right {
                findings.add_fields(day, total, right);
            }
            sessions = sessions.saturating_add(right.sessions);
            let is_active = record.active_days.contains(day);
            if self.has_readable_activity && is_active != (right.minutes > 0) {
                findings.add(Some(day), "active", json!(is_active), json!(right.minutes > 0));
            }
        }
        if self.unreadable.is_empty() && record.sessions != sessions {
            findings.add(None, "sessions", json!(record.sessions), json!(sessions));
        }
        (compared, findings.differences)
    }
}

impl Findings {
    /// One difference for each field of a summary that differs.
    fn add_fields(&mut self, day: LocalDay, stored: &DaySummary, right: &DaySummary) {
        let fields = |summary: &DaySummary| serde_json::to_value(summary).unwrap_or_default();
        let (stored, right) = (fields(stored), fields(right));
        for (field, value) in stored.as_object().into_iter().flatten() {
            if *value != right[field] {
                self.add(Some(day), field.clone(), value.clone(), right[field].clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::DayStart;
    use crate::key::Key;
    use crate::session::SessionFacts;

    fn rules() -> DayRules {
        DayRules { default_zone: Zone::utc(), day_start: DayStart::default() }
    }

    fn facts(start: &str, minutes: i32) -> SessionFacts {
        SessionFacts::recorded(start.parse().unwrap(), minutes)
    }

    const ERA: Era = Era { is_built: true, everything_waits: false };

    /// What a fold stores of some sessions.
    fn stored(sessions: &[SessionFacts]) -> StoredLearner {
        let standing = Standing { exists: true, ..Standing::default() };
        let mut fold = standing.plan(&rules()).begin(true);
        fold.add(sessions);
        let folded = fold.finish(None, MonthPages::new(), &MonthPages::new());
        let record = folded.record.unwrap();
        StoredLearner {
            exists: true,
            record: Some(StoredRecord {
                is_built: true,
                zones: None,
                active_days: record.active_days.to_bytes(),
                sessions: i64::try_from(record.sessions).unwrap(),
            }),
            pages: folded.pages.iter().map(|(month, page)| (month.number(), page.to_bytes())).collect(),
            ..StoredLearner::default()
        }
    }

    fn fields(stored: StoredLearner, rows: &[SessionFacts]) -> Vec<String> {
        let looked = look(UserId::new(Key::Int(1)), stored, ERA, &rules());
        let mut differences = looked.differences;
        if let Some(inspection) = looked.inspection {
            let mut fold = inspection.plan(&rules()).begin(true);
            fold.add(rows);
            differences.extend(inspection.compare(fold).1);
        }
        differences.into_iter().map(|difference| difference.field).collect()
    }

    #[test]
    fn what_a_fold_stores_is_what_the_rows_give() {
        let rows = [facts("2025-06-27T08:00:00Z", 30), facts("2025-07-01T08:00:00Z", 5)];

        assert_eq!(fields(stored(&rows), &rows), [] as [&str; 0]);
    }

    #[test]
    fn a_row_that_nobody_noted_is_found_in_every_value_it_is_in() {
        let rows = [facts("2025-06-27T08:00:00Z", 30), facts("2025-07-01T08:00:00Z", 5)];

        let found = fields(stored(&rows[..1]), &rows);

        for field in ["sessions", "minutes", "hours", "active"] {
            assert!(found.iter().any(|found| found == field), "{field}: {found:?}");
        }
    }

    #[test]
    fn days_that_wait_are_left_out_and_the_others_are_not() {
        let rows = [facts("2025-06-27T08:00:00Z", 30), facts("2025-07-01T08:00:00Z", 5)];
        let wait = |day: &str| {
            let at = format!("{day}T08:00:00Z").parse().unwrap();
            StoredLearner { changes: vec![Change::Sessions { first: at, last: at }], ..stored(&rows[..1]) }
        };

        assert_eq!(fields(wait("2025-07-01"), &rows), [] as [&str; 0]);
        assert!(!fields(wait("2025-06-27"), &rows).is_empty());
    }

    #[test]
    fn active_days_are_compared_by_themselves() {
        let rows = [facts("2025-06-27T08:00:00Z", 30)];
        let mut wrong = stored(&rows);
        wrong.record.as_mut().unwrap().active_days.clear();

        assert_eq!(fields(wrong, &rows), ["active"]);
    }

    #[test]
    fn values_that_cannot_be_read_are_differences() {
        let rows = [facts("2025-06-27T08:00:00Z", 30)];
        let mut page = stored(&rows);
        page.pages[0].1 = vec![9];
        let mut zones = stored(&rows);
        zones.record.as_mut().unwrap().zones = Some("[]".to_owned());

        assert_eq!(fields(page, &rows), ["month 2025-06"]);
        assert_eq!(fields(zones, &rows), ["time_zone"]);
    }
}

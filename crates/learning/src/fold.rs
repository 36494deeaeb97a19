//! Folding: from a learner's changed rows to the summaries that are stored, without any I/O.
//!
//! A store reads a [`Standing`] (what is stored, what changed since), asks it for a [`Plan`] (which days to recompute from
//! which rows), feeds the rows to a [`Fold`] and saves the [`Folded`] outcome, all in one transaction that holds the
//! learner's lock. Folding twice, or more days than needed, gives the same stored values.
//!
//! What is stored of a day is its base (what sessions that were deleted by age contributed) and its rows. A fold reads the
//! bases of the months it plans for and never changes one: a base stays on the day it was written for, whatever zones or
//! `[days]` come later. [`Plan::place`] tells which days sessions that are about to be deleted belong to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};

use jiff::Timestamp;

use crate::active_days::ActiveDays;
use crate::calendar::{Calendar, DayStart, Zone, ZoneHistory};
use crate::local_day::LocalDay;
use crate::month_page::{MonthPage, MonthPages};
use crate::session::SessionFacts;
use crate::summary::DaySummary;

/// How an installation counts the days of learners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayRules {
    /// The zone of learners without one.
    pub default_zone: Zone,
    /// The hour at which a local day begins.
    pub day_start: DayStart,
}

/// What is stored about a learner beside the pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LearnerRecord {
    /// Zones seen so far; `None` while the learner never had one.
    pub zones: Option<ZoneHistory>,
    /// Days with a duration above 0.
    pub active_days: ActiveDays,
    /// Valid sessions over all history.
    pub sessions: u64,
}

/// A change that the summaries do not hold yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The learner's own row went. Who comes back under the same key is new here: the zones begin again.
    Left,
    /// Sessions that start between two instants, both included, came, changed or went.
    Sessions {
        /// Earliest start, before or after the change.
        first: Timestamp,
        /// Latest start, before or after the change.
        last: Timestamp,
    },
    /// The learner came with a zone, or moved to another; `None` = the installation's.
    Zone {
        /// When.
        at: Timestamp,
        /// Whereto.
        zone: Option<Zone>,
    },
}

/// All that is known of a learner before folding.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Whether the learner exists; without a learner no session is valid.
    pub exists: bool,
    /// The zone in the learner's row now.
    pub zone: Option<Zone>,
    /// What is stored, if anything.
    pub record: Option<LearnerRecord>,
    /// Whether what is stored was complete before the changes.
    pub is_built: bool,
    /// Changes since, oldest first.
    pub changes: Vec<Change>,
}

/// Which days to recompute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    zones: Option<ZoneHistory>,
    calendar: Calendar,
    days: Option<RangeInclusive<LocalDay>>,
    /// The first day that zones which were not known before may decide anew.
    moved_from: Option<LocalDay>,
}

/// Sums over all learners, by what a row of the global table stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GlobalDelta(BTreeMap<GlobalKey, (i64, i64)>);

/// What a row of the global sums counts: all sessions of a date, those in one environment or on one device, or learners.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GlobalKey {
    /// Days since 1970; 0 for learners.
    pub day: i32,
    /// 0 all, 1 environment, 2 device, 3 learners.
    pub kind: i16,
    /// Which environment or device.
    pub name: String,
}

/// [`GlobalKey::kind`] of all sessions of a date.
pub const KIND_ALL: i16 = 0;
/// [`GlobalKey::kind`] of the sessions in one environment.
pub const KIND_ENVIRONMENT: i16 = 1;
/// [`GlobalKey::kind`] of the sessions on one device.
pub const KIND_DEVICE: i16 = 2;
/// [`GlobalKey::kind`] of the learners who have a valid session.
pub const KIND_LEARNERS: i16 = 3;

/// Rows being gathered into the days of a plan.
#[derive(Debug)]
pub struct Fold {
    plan: Plan,
    exists: bool,
    days: BTreeMap<LocalDay, DaySummary>,
    rows: u64,
}

/// What to save.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// The learner's record; `None` = the learner is gone, nothing of them stays.
    pub record: Option<LearnerRecord>,
    /// Pages that changed; an empty one is to be deleted.
    pub pages: MonthPages,
    /// What to add to the global sums.
    pub delta: GlobalDelta,
    /// The first day of which anything is not what was stored, if that is so of any: what was derived from it and from later
    /// days is outdated.
    pub first_changed: Option<LocalDay>,
    /// Rows read.
    pub rows: u64,
}

impl Standing {
    /// The learner's calendar after all changes, and the days to recompute.
    #[must_use]
    pub fn plan(&self, rules: &DayRules) -> Plan {
        let mut zones = self.record.as_ref().and_then(|record| record.zones.clone());
        let mut days = DaySpan::default();
        if !self.is_built || !self.exists {
            days.everything();
        }
        for change in &self.changes {
            match change {
                Change::Left => {
                    zones = None;
                    days.everything();
                }
                Change::Zone { at, zone } => move_zone(&mut zones, *at, *zone, rules, &mut days),
                Change::Sessions { .. } => {}
            }
        }
        if let (None, Some(zone)) = (&zones, self.zone) {
            zones = Some(ZoneHistory::new(zone));
            days.everything();
        }
        let known = self.record.as_ref().and_then(|record| record.zones.as_ref());
        let moved_from = days.0.as_ref().map(|days| *days.start()).filter(|_| zones.as_ref() != known);
        let calendar = calendar(zones.as_ref(), rules);
        for change in &self.changes {
            if let Change::Sessions { first, last } = change {
                days.sessions(&calendar, *first, *last);
            }
        }
        Plan { zones, calendar, days: days.0, moved_from }
    }

    /// A plan that recomputes exactly some days, whatever is stored: how a read-only store answers.
    #[must_use]
    pub fn plan_for(&self, days: RangeInclusive<LocalDay>, rules: &DayRules) -> Plan {
        Plan { days: Some(days), ..self.plan(rules) }
    }
}

fn move_zone(zones: &mut Option<ZoneHistory>, at: Timestamp, zone: Option<Zone>, rules: &DayRules, days: &mut DaySpan) {
    match (zones.as_mut(), zone) {
        (None, None) => {}
        (None, Some(first)) => {
            // the first zone seen reaches back for ever
            *zones = Some(ZoneHistory::new(first));
            days.everything();
        }
        (Some(history), zone) => {
            let zone = zone.unwrap_or(rules.default_zone);
            if *history.current() == zone {
                return;
            }
            // a clock that was set back must not put the newest change before an older one
            let at = history.changes().last().map_or(at, |(last, _)| last.max(at));
            let before = Calendar::new(history.clone(), rules.day_start).day_of(at);
            history.push(at, zone);
            let after = Calendar::new(history.clone(), rules.day_start).day_of(at);
            days.include(before.min(after).plus(-1)..=LocalDay::MAX);
        }
    }
}

/// The calendar of a learner with these zones.
#[must_use]
pub fn calendar(zones: Option<&ZoneHistory>, rules: &DayRules) -> Calendar {
    let zones = zones.cloned().unwrap_or_else(|| ZoneHistory::new(rules.default_zone));
    Calendar::new(zones, rules.day_start)
}

/// The smallest range that holds all days to recompute. One range and not a list: a learner's whole history is a few
/// thousand rows, and a change seldom touches two distant days.
#[derive(Debug, Default)]
struct DaySpan(Option<RangeInclusive<LocalDay>>);

impl DaySpan {
    fn everything(&mut self) {
        self.0 = Some(LocalDay::MIN..=LocalDay::MAX);
    }

    fn include(&mut self, days: RangeInclusive<LocalDay>) {
        self.0 = Some(match &self.0 {
            None => days,
            Some(known) => *known.start().min(days.start())..=*known.end().max(days.end()),
        });
    }

    fn sessions(&mut self, calendar: &Calendar, first: Timestamp, last: Timestamp) {
        // around a change of zone a later instant may lie on an earlier day, by two days at most (-12 to +14 hours)
        let margin = if calendar.zones().changes().next().is_some() { 2 } else { 0 };
        let (a, b) = (calendar.day_of(first), calendar.day_of(last));
        self.include(a.min(b).plus(-margin)..=a.max(b).plus(margin));
    }
}

impl Plan {
    /// The learner's calendar.
    #[must_use]
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// Days to recompute; `None` when the stored ones are right.
    #[must_use]
    pub fn days(&self) -> Option<&RangeInclusive<LocalDay>> {
        self.days.as_ref()
    }

    /// Months whose pages the fold needs, by [`Month::number`](crate::local_day::Month::number).
    #[must_use]
    pub fn months(&self) -> Option<RangeInclusive<i32>> {
        self.days.as_ref().map(|days| days.start().month().number()..=days.end().month().number())
    }

    /// Starts of the sessions the fold needs. It may hold sessions of other days: the fold leaves them out.
    #[must_use]
    pub fn starts(&self) -> Option<Range<Timestamp>> {
        self.days.as_ref().map(|days| self.calendar.covering(days.clone()))
    }

    /// What sessions contribute to their days, by the calendar that the plan found: what is added to the bases of a learner
    /// who is there when these sessions are deleted by age. Invalid ones contribute nothing.
    #[must_use]
    pub fn place<'a>(&self, sessions: impl IntoIterator<Item = &'a SessionFacts>) -> MonthPages {
        let mut pages = MonthPages::new();
        let mut placer = self.calendar.placer();
        for session in sessions {
            let (day, hour) = placer.place(session.start);
            if session.fault().is_none() {
                pages.entry(day.month()).or_default().add(day, &DaySummary::of(session, hour));
            }
        }
        pages
    }

    /// Begins to gather rows.
    #[must_use]
    pub fn begin(self, exists: bool) -> Fold {
        Fold { plan: self, exists, days: BTreeMap::new(), rows: 0 }
    }
}

impl Fold {
    /// Adds the sessions of the learner, in any order, each once. Sessions of other days are left out.
    pub fn add<'a>(&mut self, sessions: impl IntoIterator<Item = &'a SessionFacts>) {
        let Some(days) = self.plan.days.clone() else { return };
        let mut placer = self.plan.calendar.placer();
        for session in sessions {
            self.rows += 1;
            let (day, hour) = placer.place(session.start);
            if self.exists && days.contains(&day) && session.fault().is_none() {
                self.days.entry(day).or_default().add(session, hour);
            }
        }
    }

    /// The days gathered and their bases: the answer of a store that does not save.
    #[must_use]
    pub fn into_days(mut self, bases: &MonthPages) -> (Calendar, BTreeMap<LocalDay, DaySummary>) {
        self.merge(bases);
        (self.plan.calendar, self.days)
    }

    /// Adds the bases of the days asked for.
    fn merge(&mut self, bases: &MonthPages) {
        let Some(asked) = self.plan.days.clone().filter(|_| self.exists) else { return };
        for (day, base) in bases.values().flat_map(MonthPage::iter).filter(|(day, _)| asked.contains(day)) {
            self.days.entry(day).or_default().merge(base);
        }
    }

    /// What to save: `record`, `pages` and `bases` are what is stored now, of the months that [`Plan::months`] named.
    #[must_use]
    pub fn finish(mut self, record: Option<LearnerRecord>, pages: MonthPages, bases: &MonthPages) -> Folded {
        let before = record.unwrap_or_default();
        let mut delta = GlobalDelta::default();
        if !self.exists {
            for (day, stored) in pages.values().flat_map(MonthPage::iter) {
                delta.add_day(day, stored, -1);
            }
            delta.add_learner(before.sessions, 0);
            let pages = pages.into_keys().map(|month| (month, MonthPage::default())).collect();
            return Folded { record: None, pages, delta, first_changed: None, rows: self.rows };
        }
        let mut record = LearnerRecord { zones: self.plan.zones.clone(), ..before.clone() };
        let rebuilt = self.plan.days == Some(LocalDay::MIN..=LocalDay::MAX);
        if rebuilt {
            record = LearnerRecord { zones: record.zones, ..LearnerRecord::default() };
        }
        self.merge(bases);
        let mut changed = BTreeSet::new();
        // of a learner without sessions nothing was derived
        let mut first_changed = self.plan.moved_from.filter(|_| before.sessions > 0);
        let mut pages = pages;
        for (day, new) in self.recomputed(&pages) {
            let old = pages.entry(day.month()).or_default().set(day, new.clone());
            if !rebuilt {
                record.sessions = record.sessions.saturating_sub(old.sessions);
            }
            record.sessions = record.sessions.saturating_add(new.sessions);
            if old != new {
                changed.insert(day.month());
                first_changed = Some(first_changed.map_or(day, |first| first.min(day)));
                delta.add_day(day, &old, -1);
                delta.add_day(day, &new, 1);
            }
            record.active_days.set(day, new.minutes > 0);
        }
        delta.add_learner(before.sessions, record.sessions);
        pages.retain(|month, _| changed.contains(month));
        Folded { record: Some(record), pages, delta, first_changed, rows: self.rows }
    }

    /// The total of each recomputed day: the days gathered, and stored days of which nothing is left.
    fn recomputed(&mut self, pages: &MonthPages) -> BTreeMap<LocalDay, DaySummary> {
        let mut days = std::mem::take(&mut self.days);
        if let Some(asked) = &self.plan.days {
            for (day, _) in pages.values().flat_map(MonthPage::iter) {
                if asked.contains(&day) {
                    days.entry(day).or_default();
                }
            }
        }
        days
    }
}

impl GlobalDelta {
    /// Rows to add to, in the order in which they are to be locked, with sessions and minutes.
    pub fn iter(&self) -> impl Iterator<Item = (&GlobalKey, i64, i64)> {
        self.0.iter().filter(|(_, sums)| **sums != (0, 0)).map(|(key, (sessions, minutes))| (key, *sessions, *minutes))
    }

    /// Adds another delta.
    pub fn merge(&mut self, other: Self) {
        for (key, (sessions, minutes)) in other.0 {
            self.add(key, sessions, minutes);
        }
    }

    /// Adds a day's totals, or with -1 takes them away.
    pub(crate) fn add_day(&mut self, day: LocalDay, summary: &DaySummary, sign: i64) {
        let day = day.number();
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(sign);
        if summary.sessions > 0 {
            self.add(
                GlobalKey { day, kind: KIND_ALL, name: String::new() },
                signed(summary.sessions),
                signed(summary.minutes),
            );
        }
        for (kind, counts) in [(KIND_ENVIRONMENT, &summary.environments), (KIND_DEVICE, &summary.devices)] {
            for (name, sessions) in counts.iter() {
                self.add(GlobalKey { day, kind, name: name.to_owned() }, signed(sessions), 0);
            }
        }
    }

    fn add_learner(&mut self, sessions_before: u64, sessions_after: u64) {
        let change = i64::from(sessions_after > 0) - i64::from(sessions_before > 0);
        self.add(GlobalKey { day: 0, kind: KIND_LEARNERS, name: String::new() }, change, 0);
    }

    pub(crate) fn add(&mut self, key: GlobalKey, sessions: i64, minutes: i64) {
        let slot = self.0.entry(key).or_default();
        slot.0 = slot.0.saturating_add(sessions);
        slot.1 = slot.1.saturating_add(minutes);
    }
}

#[cfg(test)]
mod tests;

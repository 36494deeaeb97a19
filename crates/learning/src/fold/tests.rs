//! Any history of changes, folded bit by bit, against the same rows folded at once.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::local_day::Month;
use crate::summary::tests::any_facts;

/// Zones whose days lie up to 26 hours apart.
const ZONES: [&str; 5] = ["UTC", "Asia/Shanghai", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago"];
/// The first second in which [`any_facts`] starts a session, and how many there are.
const FIRST_SECOND: i64 = 1_700_000_000;
const SECONDS: i64 = 60_000_000;

fn rules() -> DayRules {
    DayRules { default_zone: Zone::utc(), day_start: DayStart::new(4).unwrap() }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn day(text: &str) -> LocalDay {
    text.parse().unwrap()
}

fn zone(name: &str) -> Zone {
    Zone::new(name).unwrap()
}

/// What happens to a learner and the rows.
#[derive(Debug, Clone)]
enum Event {
    Insert(Box<SessionFacts>),
    Remove(prop::sample::Index),
    Move(prop::sample::Index, i64),
    Shorten(prop::sample::Index),
    /// Deletes a row by age: what it counted for stays as the base of its day.
    Age(prop::sample::Index),
    Zone(Option<usize>),
    Leave,
    Come(Option<usize>),
    Fold,
    /// Forgets what is built, as a raised epoch does.
    Forget,
}

fn any_event() -> impl Strategy<Value = Event> {
    let zone = || prop::option::of(0..ZONES.len());
    prop_oneof![
        6 => any_facts().prop_map(|facts| Event::Insert(Box::new(facts))),
        2 => any::<prop::sample::Index>().prop_map(Event::Remove),
        2 => (any::<prop::sample::Index>(), 0..SECONDS).prop_map(|(row, second)| Event::Move(row, second)),
        1 => any::<prop::sample::Index>().prop_map(Event::Shorten),
        2 => any::<prop::sample::Index>().prop_map(Event::Age),
        2 => zone().prop_map(Event::Zone),
        1 => Just(Event::Leave),
        1 => zone().prop_map(Event::Come),
        4 => Just(Event::Fold),
        1 => Just(Event::Forget),
    ]
}

/// A learner, the rows, and what a store would keep.
#[derive(Debug, Default)]
struct World {
    exists: bool,
    zone: Option<Zone>,
    rows: Vec<SessionFacts>,
    changes: Vec<Change>,
    is_built: bool,
    record: Option<LearnerRecord>,
    pages: MonthPages,
    bases: MonthPages,
    sums: GlobalDelta,
    /// The zones as they were seen, kept beside the code under test.
    seen: Option<ZoneHistory>,
    /// Changes of zone happen one after the other among the sessions.
    clock: i64,
}

impl World {
    fn apply(&mut self, event: Event) {
        let len = self.rows.len();
        match event {
            Event::Insert(facts) => {
                self.touch(facts.start, facts.start);
                self.rows.push(*facts);
            }
            Event::Remove(row) if len > 0 => {
                let gone = self.rows.remove(row.index(len));
                self.touch(gone.start, gone.start);
            }
            Event::Move(row, second) if len > 0 => {
                let row = &mut self.rows[row.index(len)];
                let before = row.start;
                row.start = Timestamp::from_second(FIRST_SECOND + second).unwrap();
                let after = row.start;
                self.touch(before.min(after), before.max(after));
            }
            Event::Shorten(row) if len > 0 => {
                let row = &mut self.rows[row.index(len)];
                row.duration_minutes = 0;
                let start = row.start;
                self.touch(start, start);
            }
            Event::Age(row) if len > 0 => self.age(row.index(len)),
            Event::Remove(_) | Event::Move(..) | Event::Shorten(_) | Event::Age(_) => {}
            Event::Zone(zone) if self.exists => self.settle_in(zone),
            Event::Come(zone) if !self.exists => self.settle_in(zone),
            Event::Zone(_) | Event::Come(_) => {}
            Event::Leave => {
                if self.exists {
                    self.changes.push(Change::Left);
                }
                (self.exists, self.zone, self.seen) = (false, None, None);
            }
            Event::Fold => self.fold(),
            Event::Forget => self.is_built = false,
        }
    }

    fn age(&mut self, row: usize) {
        let gone = self.rows.remove(row);
        self.touch(gone.start, gone.start);
        if self.exists {
            for (month, page) in self.standing().plan(&rules()).place([&gone]) {
                let base = self.bases.entry(month).or_default();
                page.iter().for_each(|(day, summary)| base.add(day, summary));
            }
        }
    }

    fn touch(&mut self, first: Timestamp, last: Timestamp) {
        self.changes.push(Change::Sessions { first, last });
    }

    /// The learner comes with a zone, or moves.
    fn settle_in(&mut self, index: Option<usize>) {
        self.clock += SECONDS / 40;
        let at = Timestamp::from_second(FIRST_SECOND + self.clock).unwrap();
        self.exists = true;
        self.zone = index.map(|index| zone(ZONES[index]));
        self.changes.push(Change::Zone { at, zone: self.zone });
        match (&mut self.seen, self.zone) {
            (None, None) => {}
            (None, Some(first)) => self.seen = Some(ZoneHistory::new(first)),
            (Some(seen), zone) => seen.push(at, zone.unwrap_or(rules().default_zone)),
        }
    }

    fn standing(&self) -> Standing {
        Standing {
            exists: self.exists,
            zone: self.zone,
            record: self.record.clone(),
            is_built: self.is_built && self.record.is_some(),
            changes: self.changes.clone(),
        }
    }

    /// What a store does, with only the rows and pages that the plan asks for.
    fn fold(&mut self) {
        let plan = self.standing().plan(&rules());
        let months = plan.months();
        let asked = |month: &Month| months.as_ref().is_some_and(|months| months.contains(&month.number()));
        let pages = self.pages.iter().filter(|(month, _)| asked(month)).map(|(month, page)| (*month, page.clone()));
        let pages: MonthPages = pages.collect();
        let bases = self.bases.iter().filter(|(month, _)| asked(month)).map(|(month, page)| (*month, page.clone()));
        let bases: MonthPages = bases.collect();
        let starts = plan.starts();
        let mut fold = plan.begin(self.exists);
        fold.add(self.rows.iter().filter(|row| starts.as_ref().is_some_and(|starts| starts.contains(&row.start))));
        let folded = fold.finish(self.record.take(), pages, &bases);
        for (month, page) in folded.pages {
            if page.is_empty() {
                self.pages.remove(&month);
            } else {
                self.pages.insert(month, MonthPage::from_bytes(month, &page.to_bytes()).unwrap());
            }
        }
        self.sums.merge(folded.delta);
        self.record = folded.record;
        self.is_built = self.record.is_some();
        self.changes.clear();
    }

    /// The learner's days by the definition of the calendar.
    fn days(&self) -> BTreeMap<LocalDay, DaySummary> {
        let mut days: BTreeMap<LocalDay, DaySummary> = BTreeMap::new();
        let calendar = calendar(self.seen.as_ref(), &rules());
        for row in self.rows.iter().filter(|row| self.exists && row.fault().is_none()) {
            days.entry(calendar.day_of(row.start)).or_default().add(row, calendar.hour_of(row.start));
        }
        for (day, base) in self.bases.values().flat_map(MonthPage::iter).filter(|_| self.exists) {
            days.entry(day).or_default().merge(base);
        }
        days
    }

    fn sums_of(days: &BTreeMap<LocalDay, DaySummary>) -> BTreeMap<GlobalKey, (i64, i64)> {
        let mut sums: BTreeMap<GlobalKey, (i64, i64)> = BTreeMap::new();
        let signed = |count: u64| i64::try_from(count).unwrap();
        let mut add = |day: i32, kind, name: &str, sessions: u64, minutes: u64| {
            let sum = sums.entry(GlobalKey { day, kind, name: name.to_owned() }).or_default();
            *sum = (sum.0 + signed(sessions), sum.1 + signed(minutes));
        };
        for (day, summary) in days {
            add(day.number(), KIND_ALL, "", summary.sessions, summary.minutes);
            summary.environments.iter().for_each(|(name, count)| add(day.number(), KIND_ENVIRONMENT, name, count, 0));
            summary.devices.iter().for_each(|(name, count)| add(day.number(), KIND_DEVICE, name, count, 0));
        }
        if !days.is_empty() {
            add(0, KIND_LEARNERS, "", 1, 0);
        }
        sums
    }
}

proptest! {
    #[test]
    fn folding_bit_by_bit_equals_building_at_once(events in prop::collection::vec(any_event(), 1..40)) {
        let mut world = World::default();
        for event in events {
            world.apply(event);
        }
        world.fold();

        let wanted = world.days();
        let found: BTreeMap<LocalDay, DaySummary> =
            world.pages.values().flat_map(MonthPage::iter).map(|(day, stored)| (day, stored.clone())).collect();
        prop_assert_eq!(&found, &wanted);
        let sums: BTreeMap<GlobalKey, (i64, i64)> =
            world.sums.iter().map(|(key, sessions, minutes)| (key.clone(), (sessions, minutes))).collect();
        prop_assert_eq!(sums, World::sums_of(&wanted));
        prop_assert_eq!(world.record.is_some(), world.exists);
        if let Some(record) = &world.record {
            let active: ActiveDays = wanted.iter().filter(|(_, day)| day.minutes > 0).map(|(day, _)| *day).collect();
            prop_assert_eq!(&record.active_days, &active);
            prop_assert_eq!(record.sessions, wanted.values().map(|day| day.sessions).sum::<u64>());
            prop_assert_eq!(&record.zones, &world.seen);
        }
    }

    #[test]
    fn folding_again_changes_nothing(events in prop::collection::vec(any_event(), 1..20), forget in any::<bool>()) {
        let mut world = World::default();
        for event in events {
            world.apply(event);
        }
        world.fold();
        let before = (world.record.clone(), world.pages.clone(), world.sums.iter().count());

        world.is_built &= !forget;
        world.fold();

        prop_assert_eq!((world.record.clone(), world.pages.clone(), world.sums.iter().count()), before);
    }

    #[test]
    fn days_that_are_computed_without_saving_are_those_that_folding_stores(
        events in prop::collection::vec(any_event(), 1..30),
        first in 0i32..700,
        length in 0i32..90,
    ) {
        let mut world = World::default();
        for event in events {
            world.apply(event);
        }
        let first = day("2023-11-01").plus(first);
        let asked = first..=first.plus(length);

        let plan = world.standing().plan_for(asked.clone(), &rules());
        let starts = plan.starts().unwrap();
        let mut fold = plan.begin(world.exists);
        fold.add(world.rows.iter().filter(|row| starts.contains(&row.start)));
        let (calendar, days) = fold.into_days(&world.bases);

        let mut wanted = world.days();
        wanted.retain(|day, _| asked.contains(day));
        prop_assert_eq!(days, wanted);
        if world.exists {
            prop_assert_eq!(calendar, super::calendar(world.seen.as_ref(), &rules()));
        }
    }
}

fn built(zones: ZoneHistory) -> Standing {
    let record = LearnerRecord { zones: Some(zones.clone()), ..LearnerRecord::default() };
    Standing { exists: true, zone: Some(*zones.current()), record: Some(record), is_built: true, changes: Vec::new() }
}

#[test]
fn nothing_changed_is_nothing_to_recompute() {
    let plan = built(ZoneHistory::new(zone("Asia/Shanghai"))).plan(&rules());

    assert_eq!((plan.days(), plan.months(), plan.starts()), (None, None, None));
}

#[test]
fn change_of_a_session_is_its_own_day_and_a_change_of_two_the_days_between() {
    let mut standing = built(ZoneHistory::new(zone("Asia/Shanghai")));
    let (first, last) = (at("2025-06-27T19:59:59Z"), at("2025-06-29T20:00:00Z"));
    standing.changes = vec![Change::Sessions { first, last: first }];
    assert_eq!(
        standing.plan(&rules()).days(),
        Some(&(day("2025-06-27")..=day("2025-06-27"))),
        "the day begins at four"
    );

    standing.changes.push(Change::Sessions { first: last, last });

    assert_eq!(standing.plan(&rules()).days(), Some(&(day("2025-06-27")..=day("2025-06-30"))));
}

#[test]
fn change_of_zone_recomputes_from_then_on_only() {
    let mut standing = built(ZoneHistory::new(zone("Pacific/Kiritimati")));
    standing.changes = vec![Change::Zone { at: at("2025-06-27T12:00:00Z"), zone: Some(zone("Pacific/Pago_Pago")) }];

    let plan = standing.plan(&rules());

    let days = plan.days().unwrap();
    assert!(*days.start() <= day("2025-06-26") && *days.start() >= day("2025-06-20"), "{days:?}");
    assert_eq!(*days.end(), LocalDay::MAX);
    assert_eq!(plan.calendar().zones().changes().count(), 1);
}

#[test]
fn first_zone_recomputes_everything_and_the_same_zone_nothing() {
    let mut standing = Standing {
        exists: true,
        record: Some(LearnerRecord::default()),
        is_built: true,
        changes: vec![Change::Zone { at: at("2025-06-27T12:00:00Z"), zone: Some(zone("Asia/Shanghai")) }],
        zone: Some(zone("Asia/Shanghai")),
    };
    let plan = standing.plan(&rules());
    assert_eq!(plan.days(), Some(&(LocalDay::MIN..=LocalDay::MAX)));
    assert_eq!(plan.calendar().zones(), &ZoneHistory::new(zone("Asia/Shanghai")));

    standing.record =
        Some(LearnerRecord { zones: Some(ZoneHistory::new(zone("Asia/Shanghai"))), ..Default::default() });

    assert_eq!(standing.plan(&rules()).days(), None);
}

#[test]
fn newest_zone_is_in_force_although_a_clock_was_set_back() {
    let zones = ZoneHistory::from_changes(zone("UTC"), [(at("2025-06-27T12:00:00Z"), zone("Asia/Shanghai"))]);
    let mut standing = built(zones);
    standing.changes = vec![Change::Zone { at: at("2025-06-27T11:00:00Z"), zone: Some(zone("America/New_York")) }];

    let plan = standing.plan(&rules());

    assert_eq!(*plan.calendar().zones().current(), zone("America/New_York"));
}

#[test]
fn learner_who_left_takes_everything_along() {
    let mut world = World { exists: true, ..World::default() };
    world.apply(Event::Insert(Box::new(SessionFacts::recorded(at("2025-06-27T12:00:00Z"), 30))));
    world.fold();
    assert_eq!((world.pages.len(), world.sums.iter().count()), (1, 2));

    world.apply(Event::Leave);
    world.fold();

    assert_eq!((world.record.is_none(), world.pages.len(), world.sums.iter().count()), (true, 0, 0));
}

#[test]
fn base_of_a_day_outlives_its_rows_and_is_in_every_answer() {
    let rules = rules();
    let session = SessionFacts::recorded(at("2025-06-27T12:00:00Z"), 30);
    let today = day("2025-06-27");
    let mut standing = built(ZoneHistory::new(Zone::utc()));
    standing.record.as_mut().unwrap().sessions = 1;
    standing.changes =
        vec![Change::Sessions { first: session.start, last: session.start + SignedDuration::from_mins(1) }];
    let bases = standing.plan(&rules).place([&session, &SessionFacts::recorded(session.start, -1)]);
    let base = bases[&today.month()].get(today).unwrap().clone();
    assert_eq!(base, DaySummary::of(&session, 12), "the invalid one is not in it");
    let pages = bases.clone();

    let folded = standing.plan(&rules).begin(true).finish(standing.record.clone(), pages.clone(), &bases);
    let (_, days) = standing.plan(&rules).begin(true).into_days(&bases);

    assert_eq!(days, BTreeMap::from([(today, base)]));
    assert!(folded.pages.is_empty() && folded.delta.iter().count() == 0, "the rows are gone, the sum is the same");
    let mut fold = standing.plan(&rules).begin(true);
    fold.add([&session]);
    let folded = fold.finish(standing.record.clone(), pages, &bases);
    assert_eq!(folded.pages[&today.month()].get(today).unwrap().minutes, 60);
}

#[test]
fn learner_who_left_and_is_back_has_the_base_again() {
    let mut world = World { exists: true, ..World::default() };
    world.apply(Event::Insert(Box::new(SessionFacts::recorded(at("2025-06-27T12:00:00Z"), 30))));
    world.age(0);
    world.fold();
    let stored = world.pages.clone();
    world.apply(Event::Leave);
    world.fold();
    assert!(world.pages.is_empty() && !world.bases.is_empty());

    world.apply(Event::Come(None));
    world.fold();

    assert_eq!(world.pages, stored);
}

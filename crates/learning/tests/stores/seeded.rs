//! Random rows and random deeds, inside and outside of the store, against the model after each of them.

use jiff::SignedDuration;
use tierkeep_db::Dialect;
use tierkeep_learning::calendar::{DayStart, Zone};
use tierkeep_learning::key::{KeyType, SessionId, UserId};
use tierkeep_learning::rows::SessionRow;
use tierkeep_learning::store::{Keep, OpenOptions, Store, migrate, open};

use super::fresh::{Fresh, Outside, options};
use super::model::Model;
use super::outside;
use super::rows::{at, key, learner, session, user};

on_both_with_both_keys!(answers_equal_the_model_after_every_deed);

/// Deeds of one history.
const DEEDS: u32 = 60;
/// Histories a database and a type of key.
const SEEDS: u64 = 3;
/// Learners that may exist; sessions also speak of one more.
const LEARNERS: u32 = 6;
const SESSIONS: u32 = 70;
const ZONES: [Option<&str>; 8] = [
    None,
    Some("America/New_York"),
    Some("Asia/Shanghai"),
    Some("Australia/Lord_Howe"),
    Some("Pacific/Apia"),
    Some("Europe/London"),
    Some("Middle-earth/Shire"),
    Some(""),
];
/// Around changes of clocks, the day that Apia skipped, the ends of a year, and far ahead of any change of zone.
const STARTS: [&str; 8] = [
    "2025-03-09T06:30:00Z",
    "2025-11-02T05:30:00Z",
    "2025-04-05T15:00:00Z",
    "2011-12-30T10:00:00Z",
    "2024-12-31T23:00:00Z",
    "2025-06-27T12:00:00Z",
    "2090-02-28T12:00:00Z",
    "1969-12-31T23:59:59.999999Z",
];
const TEXTS: [&str; 8] = ["", "home", "library", "o'clock", "自习室", "📚🦉", "home", "a\"b\\c"];

/// A small generator of numbers (splitmix64), so that a seed is a whole history.
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((z ^ (z >> 31)) % u64::from(end)).unwrap()
    }

    pub(crate) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(u32::try_from(all.len()).unwrap()) as usize]
    }

    pub(crate) fn row(&mut self, keys: KeyType) -> SessionRow {
        let (n, of) = (1 + self.below(SESSIONS), 1 + self.below(LEARNERS + 1));
        let mut row = session(keys, n, of, self.one_of::<&str>(&STARTS), i32::try_from(self.below(90)).unwrap());
        let minutes = i64::from(self.below(4 * 24 * 60)) - 2 * 24 * 60;
        row.start_time += SignedDuration::from_mins(minutes) + SignedDuration::from_micros(self.below(3).into());
        row.end_time = self.or_none(|chance| row.start_time + SignedDuration::from_mins(chance.below(200).into()));
        row.effectiveness_rating = self.or_none(|chance| 1 + i16::try_from(chance.below(5)).unwrap());
        row.focus_hundredths = self.or_none(|chance| i16::try_from(chance.below(101)).unwrap());
        row.break_count = i16::try_from(self.below(5)).unwrap();
        row.is_active = self.below(5) == 0;
        row.learning_environment = (*self.one_of(&TEXTS)).to_owned();
        row.device_type = (*self.one_of(&TEXTS)).to_owned();
        row.subject_category = (*self.one_of(&TEXTS)).to_owned();
        row.notes = (*self.one_of(&TEXTS)).to_owned();
        match self.below(14) {
            0 => row.duration_minutes = -1 - i32::try_from(self.below(50)).unwrap(),
            1 => row.end_time = Some(row.start_time - SignedDuration::from_micros(1)),
            2 => row.effectiveness_rating = Some(*self.one_of(&[0, 6, -3, i16::MAX])),
            3 => row.focus_hundredths = Some(*self.one_of(&[-1, 101, 999, -999])),
            4 => row.duration_minutes = 0,
            5 => row.duration_minutes = i32::MAX,
            _ => {}
        }
        row
    }

    fn or_none<T>(&mut self, some: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(3) > 0).then(|| some(self))
    }

    fn zone(&mut self) -> Option<String> {
        self.one_of(&ZONES).map(str::to_owned)
    }
}

/// A database, the model of it, and everything that can be done to both.
struct History<'a> {
    chance: Chance,
    model: Model,
    fresh: &'a Fresh,
    outside: Outside,
    store: std::sync::Arc<dyn Store>,
}

async fn answers_equal_the_model_after_every_deed(dialect: Dialect, keys: KeyType) {
    for seed in 1..=SEEDS {
        let fresh = Fresh::empty(dialect).await;
        let mut options = OpenOptions {
            default_zone: Zone::new(["UTC", "Asia/Tokyo"][(seed % 2) as usize]).unwrap(),
            day_start: DayStart::new(if seed % 3 == 0 { 4 } else { 0 }).unwrap(),
            ..options(tierkeep_learning::store::OpenMode::Create { ids: Some(keys) })
        };
        migrate(&fresh.url, &options).await.unwrap();
        let store = open(&fresh.url, &options).await.unwrap();
        options.mode = tierkeep_learning::store::OpenMode::ReadOnly;
        let reader = open(&fresh.url, &options).await.unwrap();
        let mut history = History {
            chance: Chance::new(seed),
            model: Model::new(options.default_zone, options.day_start),
            outside: fresh.outside().await,
            fresh: &fresh,
            store: store.clone(),
        };

        for number in 1..=DEEDS {
            let deed = Box::pin(history.deed(keys)).await;
            let context = format!("{dialect:?} {keys:?}, seed {seed}, deed {number}: {deed}");
            Box::pin(history.compare(keys, &*reader, &context)).await;
        }

        Box::pin(history.settle(&*reader, &format!("{dialect:?} {keys:?}, seed {seed}, at the end"))).await;
        store.close().await;
        reader.close().await;
    }
}

impl History<'_> {
    /// Does something to the database and the model, and says what.
    async fn deed(&mut self, keys: KeyType) -> &'static str {
        let dialect = self.fresh.dialect;
        match self.chance.below(25) {
            0..=3 => {
                let count = 1 + self.chance.below(12);
                let rows: Vec<SessionRow> = (0..count).map(|_| self.chance.row(keys)).collect();
                let mut last = std::collections::BTreeMap::new();
                for row in &rows {
                    last.insert(row.id, row.clone());
                }
                let known = last
                    .keys()
                    .filter(|id| self.model.live.contains_key(id) || self.model.archived.contains_key(id))
                    .count();
                let written = self.store.write_sessions(rows).await.unwrap();
                assert_eq!((written.inserted, written.updated), ((last.len() - known) as u64, known as u64));
                last.values().for_each(|row| self.model.write(row));
                "write_sessions"
            }
            4..=5 => {
                let (n, zone) = (1 + self.chance.below(LEARNERS), self.chance.zone());
                self.store.write_users(vec![learner(keys, n, zone.as_deref())]).await.unwrap();
                self.model.put_learner(user(keys, n), zone);
                "write_users"
            }
            6 => {
                self.store.settle().await.unwrap();
                "settle"
            }
            7..=8 => {
                let row = self.chance.row(keys);
                self.outside.run(&outside::upsert(dialect, &row)).await;
                self.model.live.insert(row.id, row);
                "upsert outside"
            }
            9 => {
                let rows: Vec<SessionRow> = (0..3).map(|_| self.chance.row(keys)).collect();
                self.replace_or_copy(&rows).await;
                "replace, or copy, outside"
            }
            10 => {
                let (id, start) = (self.session(keys), self.chance.row(keys).start_time);
                self.outside.run(&outside::set_start(dialect, "study_sessions", id, start)).await;
                if let Some(row) = self.model.live.get_mut(&id) {
                    row.start_time = start;
                }
                "change of start outside"
            }
            11 => {
                let of = user(keys, 1 + self.chance.below(LEARNERS));
                self.outside.run(&outside::set_minutes(of, 17)).await;
                self.model.live.values_mut().filter(|row| row.user_id == of).for_each(|row| row.duration_minutes = 17);
                "change of minutes outside"
            }
            12 => {
                let (from, to) = (1 + self.chance.below(LEARNERS), 1 + self.chance.below(LEARNERS + 1));
                self.outside.run(&outside::give(user(keys, from), user(keys, to))).await;
                let of = self.model.live.values_mut().filter(|row| row.user_id == user(keys, from));
                of.for_each(|row| row.user_id = user(keys, to));
                "change of learner outside"
            }
            13 => {
                let id = self.session(keys);
                self.outside.run(&outside::delete("study_sessions", id)).await;
                self.model.live.remove(&id);
                "delete outside"
            }
            14 if self.chance.below(3) == 0 => {
                let text = match (dialect, self.chance.below(2)) {
                    (Dialect::Postgres, 0) => "truncate study_sessions",
                    _ => "delete from study_sessions",
                };
                self.outside.run(text).await;
                self.model.live.clear();
                "removal of all outside"
            }
            14..=15 => {
                let before = *self.chance.one_of(&STARTS);
                self.outside.run(&outside::archive_before(dialect, at(before))).await;
                let moved: Vec<SessionId> =
                    self.model.live.values().filter(|row| row.start_time < at(before)).map(|row| row.id).collect();
                for id in moved {
                    let row = self.model.live.remove(&id).unwrap();
                    self.model.archived.insert(id, row);
                }
                "move to the archive"
            }
            16 => {
                let row = self.chance.row(keys);
                self.outside.run(&outside::archive_copy(dialect, &row)).await;
                self.model.archived.insert(row.id, row);
                "row of the archive with an id that may be live"
            }
            17 => {
                let (id, start) = (self.session(keys), self.chance.row(keys).start_time);
                if self.chance.below(2) == 0 {
                    self.outside.run(&outside::delete("study_sessions_archive", id)).await;
                    self.model.archived.remove(&id);
                } else {
                    self.outside.run(&outside::set_start(dialect, "study_sessions_archive", id, start)).await;
                    if let Some(row) = self.model.archived.get_mut(&id) {
                        row.start_time = start;
                    }
                }
                "change in the archive"
            }
            18 => {
                let (from, to) = (self.session(keys), SessionId::new(key(keys, 1 + self.chance.below(SESSIONS))));
                if !self.model.live.contains_key(&to) {
                    self.outside.run(&outside::rename_session(from, to)).await;
                    if let Some(mut row) = self.model.live.remove(&from) {
                        row.id = to;
                        self.model.live.insert(to, row);
                    }
                }
                "change of a session's key"
            }
            19 => {
                let of = user(keys, 1 + self.chance.below(LEARNERS));
                self.outside.run(&outside::delete_user(of)).await;
                self.model.learners.remove(&of);
                "delete of a learner"
            }
            20 => {
                let (of, zone) = (user(keys, 1 + self.chance.below(LEARNERS)), self.chance.zone());
                self.outside.run(&outside::set_zone(of, zone.as_deref())).await;
                if self.model.learners.contains_key(&of) {
                    self.model.put_learner(of, zone);
                }
                "change of zone outside"
            }
            21 => {
                let (from, to) =
                    (user(keys, 1 + self.chance.below(LEARNERS)), user(keys, 1 + self.chance.below(LEARNERS)));
                if !self.model.learners.contains_key(&to) {
                    self.outside.run(&outside::rename_user(from, to)).await;
                    if let Some(gone) = self.model.learners.remove(&from) {
                        self.model.put_learner(to, gone.zone);
                    }
                }
                "change of a learner's key"
            }
            22..=23 => {
                let ids: Vec<SessionId> = (0..20).map(|_| self.session(keys)).collect();
                let deleted = self.store.delete_archived(&ids, Keep::Summaries).await.unwrap();
                assert_eq!(deleted, self.model.age(&ids));
                "deletion by age"
            }
            _ => {
                let (n, zone) = (1 + self.chance.below(LEARNERS), self.chance.zone());
                self.outside.run(&outside::replace_user(dialect, &learner(keys, n, zone.as_deref()))).await;
                self.model.put_learner(user(keys, n), zone);
                "replace of a learner"
            }
        }
    }

    async fn replace_or_copy(&mut self, rows: &[SessionRow]) {
        match self.fresh.dialect {
            Dialect::Sqlite => {
                for row in rows {
                    self.outside.run(&outside::replace(row)).await;
                    self.model.live.insert(row.id, row.clone());
                }
            }
            Dialect::Postgres => {
                let mut fresh: Vec<&SessionRow> = Vec::new();
                for row in rows {
                    if !self.model.live.contains_key(&row.id) && fresh.iter().all(|known| known.id != row.id) {
                        fresh.push(row);
                    }
                }
                outside::copy(self.outside.postgres(), &fresh).await;
                for row in fresh {
                    self.model.live.insert(row.id, row.clone());
                }
            }
        }
    }

    /// An id that is likely to be known.
    fn session(&mut self, keys: KeyType) -> SessionId {
        SessionId::new(key(keys, 1 + self.chance.below(SESSIONS)))
    }

    /// Compares some learners or all, first through a store that saves nothing.
    async fn compare(&mut self, keys: KeyType, reader: &dyn Store, context: &str) {
        if self.chance.below(4) == 0 {
            return;
        }
        // one learner is asked about by another statement than several
        let users: Vec<UserId> = match self.chance.below(2) {
            0 => vec![user(keys, 1 + self.chance.below(LEARNERS + 1))],
            _ => (1..=LEARNERS + 1).filter(|_| self.chance.below(3) > 0).map(|n| user(keys, n)).collect(),
        };
        let calendar = tierkeep_learning::calendar::Calendar::new(
            tierkeep_learning::calendar::ZoneHistory::new(self.model.default_zone),
            self.model.day_start,
        );
        let first = calendar.day_of(self.chance.row(keys).start_time);
        let span = (first, first.plus(i32::try_from(self.chance.below(60)).unwrap()));
        for (store, who) in [(reader, "read-only"), (&*self.store, "own")] {
            if self.chance.below(3) > 0 {
                self.model.compare(store, &users, span, &format!("{who}, {context}")).await;
            }
            self.model.compare_totals(store, span.1, &format!("{who}, {context}")).await;
        }
    }

    /// Folds everything and looks at what is stored.
    async fn settle(&mut self, reader: &dyn Store, context: &str) {
        while self.store.settle().await.unwrap().more {}

        assert_eq!(self.outside.count("tierkeep_outbox where not settled").await, 0, "{context}");
        let keys = self.store.key_type();
        let users: Vec<UserId> = (1..=LEARNERS + 1).map(|n| user(keys, n)).collect();
        let today = *self.chance.one_of(&["2025-03-11", "2025-06-30", "2011-12-31", "2090-03-01"]);
        let (first, today) = ("2025-03-01".parse().unwrap(), today.parse().unwrap());
        self.model.compare(&*self.store, &users, (first, first.plus(300)), context).await;
        self.model.compare(reader, &users, (first, first.plus(300)), context).await;
        self.model.compare_totals(reader, today, &format!("stored, {context}")).await;
        for table in ["tierkeep_month", "tierkeep_learner"] {
            let strangers = format!("select count(*) from {table} where user_id not in (select id from users)");
            assert_eq!(self.outside.number(&strangers).await, 0, "{table}: {context}");
        }

        let before = self.outside.texts(outside::STORED_PAGES).await;
        assert_eq!(self.store.settle().await.unwrap(), tierkeep_learning::store::Settled::default(), "{context}");
        assert_eq!(self.outside.texts(outside::STORED_PAGES).await, before, "{context}");

        // an unfolded change of a stranger: the totals now come from one pass over the rows
        self.outside.run(&outside::note(user(keys, LEARNERS + 5))).await;
        self.model.compare_totals(reader, today, &format!("passed, {context}")).await;
    }
}

//! What is planned is what is done, and both are what the model does: on random rows at every edge of every rule.

use std::num::NonZeroU32;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tierkeep_db::Dialect;
use tierkeep_learning::key::{KeyType, SessionId, UserId};
use tierkeep_learning::retention::{ARCHIVE, ARCHIVED, Cutoffs, DELETE, INVALID, PURGE};
use tierkeep_learning::rows::SessionRow;
use tierkeep_learning::store::{Cleanup, Keep, Store};
use tierkeep_retention::{BatchSize, Ended, Order, Outcome, Plan};

use super::super::fresh::{Fresh, Outside};
use super::super::outside;
use super::super::retention::{cleanup, numbers, order};
use super::super::rows::{at, instant_literal, key, learner, progress, session, user};
use super::super::seeded::Chance;
use super::model::{Done, LIVE, Tables};

on_both_with_both_keys!(plan_equals_run_equals_model_whatever_the_phases);

const LIMITS: tierkeep_retention::PlanLimits = super::super::retention::LIMITS;
/// Learners 1 to this have a row; one more has none, and the one after that had one.
const LEARNERS: u32 = 6;
const RULES: [&str; 11] = [
    "negative_duration",
    "end_before_start",
    "bad_rating",
    "bad_focus",
    "duplicate_progress",
    "orphan",
    "superseded",
    "archive",
    "archived_sessions",
    "inactive_users",
    "quarantined",
];

/// Random rows of which every second one lies at the edge of a rule.
struct Rows {
    chance: Chance,
    keys: KeyType,
    cutoffs: Cutoffs,
}

impl Rows {
    fn near(&mut self, edge: Timestamp) -> Timestamp {
        edge + SignedDuration::from_micros(i64::from(self.chance.below(3)) - 1)
    }

    fn start(&mut self) -> Timestamp {
        match self.chance.below(7) {
            0 | 1 => self.near(self.cutoffs.archive),
            2 | 3 => self.near(self.cutoffs.delete),
            4 => self.cutoffs.delete + SignedDuration::from_hours(24 * i64::from(self.chance.below(300))),
            5 => self.cutoffs.archive + SignedDuration::from_hours(24 * i64::from(self.chance.below(300))),
            _ => self.cutoffs.delete - SignedDuration::from_hours(24 * i64::from(self.chance.below(300))),
        }
    }

    fn session(&mut self, n: u32) -> SessionRow {
        let of = 1 + self.chance.below(LEARNERS + 2);
        let mut row = session(self.keys, n, of, "2025-01-01T00:00:00Z", 30);
        row.start_time = self.start();
        // those who are not seen any more do not study, most of the time
        if (4..=LEARNERS).contains(&of) && self.chance.below(8) > 0 {
            row.start_time = row.start_time.min(self.near(self.cutoffs.delete));
        }
        let ends = [None, Some(-1), Some(0), Some(1), Some(60_000_000), None, Some(60_000_000)];
        row.end_time = self.chance.one_of(&ends).map(|micros| row.start_time + SignedDuration::from_micros(micros));
        row.duration_minutes = *self.chance.one_of(&[-1, 0, 1, 30, 30, 30, 30]);
        row.effectiveness_rating =
            *self.chance.one_of(&[None, Some(0), Some(1), Some(5), Some(6), Some(3), None, None]);
        row.focus_hundredths =
            *self.chance.one_of(&[None, Some(-1), Some(0), Some(100), Some(101), Some(999), None, None, None, None]);
        row.is_active = self.chance.below(6) == 0;
        row.course_progress_id = (self.chance.below(2) == 0)
            .then(|| tierkeep_learning::key::CourseProgressId::new(key(self.keys, 1 + n % 20)));
        row
    }

    fn tables(&mut self) -> Tables {
        let (keys, delete) = (self.keys, self.cutoffs.delete);
        let mut tables = Tables::default();
        for n in 1..=LEARNERS {
            let mut row = learner(keys, n, [None, Some("Asia/Shanghai")][n as usize % 2]);
            row.created_at = self.near(delete);
            if n > 3 {
                row.is_active = false;
                row.last_login = *self.chance.one_of(&[None, Some(delete), Some(at("2020-01-01T00:00:00Z"))]);
            }
            tables.users.insert(row.id, row);
        }
        for n in 1..=20 {
            let mut row = progress(keys, n, 1 + self.chance.below(LEARNERS + 1), 1 + self.chance.below(2));
            row.updated_at = *self.chance.one_of(&[at("2024-01-01T00:00:00Z"), at("2024-01-01T00:00:00.000001Z")]);
            tables.progress.insert(row.id.key(), row);
        }
        for n in 1..=60 {
            let row = self.session(n);
            tables.live.insert(row.id, row);
        }
        for n in 50..=90 {
            let row = self.session(n);
            tables.archived.insert(row.id, row);
        }
        for _ in 0..6 {
            let (since, of) = (self.near(self.cutoffs.purge), user(keys, 1 + self.chance.below(LEARNERS)));
            tables.quarantined.push((since, (self.chance.below(2) == 0).then_some(of)));
        }
        tables
    }
}

/// Puts the rows into a database, and says of some that they were restored.
async fn filled(rows: &mut Rows, dialect: Dialect) -> (Fresh, Arc<dyn Store>, Outside, Tables) {
    let keys = rows.keys;
    let mut tables = rows.tables();
    let fresh = Fresh::migrated(dialect, keys).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(tables.users.values().cloned().collect()).await.unwrap();
    // one who was there, and is not any more
    let departed = learner(keys, LEARNERS + 2, None);
    store.write_users(vec![departed.clone()]).await.unwrap();
    store.write_sessions(tables.live.values().cloned().collect()).await.unwrap();
    store.write_progress(tables.progress.values().cloned().collect()).await.unwrap();
    for row in tables.archived.values() {
        outside.run(&outside::insert(dialect, ARCHIVED, row)).await;
    }
    if dialect == Dialect::Postgres {
        outside.run("update study_sessions set focus_score = 'NaN' where focus_score > 2").await;
    }
    while store.settle().await.unwrap().more {}
    outside.run(&outside::delete_user(departed.id)).await;
    tables.departed.insert(departed.id);
    for (since, owner) in &tables.quarantined {
        let since = instant_literal(dialect, *since);
        let owner = owner.map_or_else(|| "null".to_owned(), |owner| format!("'{owner}'"));
        outside
            .run(&format!(
                "insert into tierkeep_quarantine (run_id, kind, source, row_key, owner, quarantined_at, content) \
                 values (0, 'orphan', 'study_sessions', '0', {owner}, {since}, '{{}}')"
            ))
            .await;
    }
    if rows.chance.below(2) == 0 {
        exempt(rows, dialect, &outside, &mut tables).await;
    }
    (fresh, store, outside, tables)
}

/// Some rows were restored; of some of them the grace is over at this very instant.
async fn exempt(rows: &mut Rows, dialect: Dialect, outside: &Outside, tables: &mut Tables) {
    for (table, first, last) in [(LIVE, 1, 60), (ARCHIVED, 50, 90), ("course_progress", 1, 20)] {
        for n in first..=last {
            if rows.chance.below(6) > 0 {
                continue;
            }
            let (until, id) = (rows.near(rows.cutoffs.now), key(rows.keys, n));
            if until > rows.cutoffs.now {
                tables.exempt.insert((table, id));
            }
            let until = instant_literal(dialect, until);
            let row =
                format!("insert into tierkeep_exempt (source, row_key, until) values ('{table}', '{id}', {until})");
            outside.run(&row).await;
        }
    }
}

fn planned(plan: &Plan) -> Done {
    let mut done = Done::default();
    for name in RULES.into_iter().filter(|name| plan.rows(name) > 0) {
        done.rules.insert(name, plan.rows(name));
    }
    let dependants = plan.rule("inactive_users").map(|rule| rule.dependants.clone()).unwrap_or_default();
    if plan.rows("inactive_users") > 0 {
        for subject in [LIVE, ARCHIVED, "course_progress"] {
            let rows = dependants.iter().filter(|(name, _)| name == subject).map(|(_, rows)| rows).sum();
            done.dependants.insert(subject, rows);
        }
    }
    done
}

fn reported(outcome: &Outcome) -> Done {
    let mut done = Done::default();
    for name in RULES.into_iter().filter(|name| outcome.report.rows(name) > 0) {
        done.rules.insert(name, outcome.report.rows(name));
    }
    if outcome.report.rows("inactive_users") > 0 {
        for subject in [LIVE, ARCHIVED, "course_progress"] {
            done.dependants.insert(subject, outcome.report.dependants_of("inactive_users", subject));
        }
    }
    done
}

async fn keys_of(outside: &Outside, table: &str) -> Vec<String> {
    outside.texts(&format!("select cast(id as text) from {table} order by {table}.id")).await
}

/// The control: the rows lie so close to every edge that a rule which is a microsecond off does something else.
#[test]
fn rows_tell_a_microsecond_apart() {
    let cutoffs = cleanup(&[]).cutoffs;
    let tick = SignedDuration::from_micros(1);
    let all = [INVALID, ARCHIVE, DELETE, PURGE];
    let off = [
        Cutoffs { archive: cutoffs.archive + tick, ..cutoffs },
        Cutoffs { archive: cutoffs.archive - tick, ..cutoffs },
        Cutoffs { delete: cutoffs.delete + tick, ..cutoffs },
        Cutoffs { delete: cutoffs.delete - tick, ..cutoffs },
        Cutoffs { purge: cutoffs.purge + tick, ..cutoffs },
        Cutoffs { purge: cutoffs.purge - tick, ..cutoffs },
    ];
    for wrong in off {
        let differs = |seed: u64| {
            let tables = Rows { chance: Chance::new(seed), keys: KeyType::Int, cutoffs }.tables();
            let clean = |cutoffs| tables.clone().clean(&all, cutoffs, Keep::Summaries);
            clean(wrong) != clean(cutoffs)
        };
        assert!((100..116).filter(|seed| differs(*seed)).count() > 4, "{wrong:?}");
    }
}

async fn plan_equals_run_equals_model_whatever_the_phases(dialect: Dialect, keys: KeyType) {
    for seed in 0..16_u64 {
        let all = [INVALID, ARCHIVE, DELETE, PURGE];
        let phases: Vec<&'static str> =
            all.into_iter().enumerate().filter(|(bit, _)| seed & (1 << bit) == 0).map(|(_, phase)| phase).collect();
        let keep = if seed % 3 == 0 { Keep::Nothing } else { Keep::Summaries };
        let cleanup = Cleanup { keep, ..cleanup(&phases) };
        let context = format!("seed {seed}, {phases:?}, {keep:?}");
        let mut rows = Rows { chance: Chance::new(seed + 100), keys, cutoffs: cleanup.cutoffs };
        let (fresh, store, outside, tables) = filled(&mut rows, dialect).await;
        let reader = fresh.reader().await;
        let users: Vec<UserId> = tables.users.keys().copied().collect();
        let before = numbers(&*store, &users).await;
        let mut after = tables.clone();
        let expected = after.clean(&phases, cleanup.cutoffs, keep);

        let plan = Arc::clone(&reader).plan_cleanup(&cleanup, LIMITS, false).await.unwrap();
        let size = NonZeroU32::new(1 + rows.chance.below(20)).unwrap();
        let order = Order { batch: BatchSize::Fixed(size), ..order() };
        let outcome = Arc::clone(&store).clean_up(&cleanup, &order).await.unwrap();

        assert_eq!((outcome.ended, outcome.reason.as_deref()), (Ended::Done, None), "{context}");
        assert_eq!(planned(&plan), expected, "plan: {context}");
        assert_eq!(reported(&outcome), expected, "run: {context}");
        assert_eq!(outcome.report.left, std::collections::BTreeMap::new(), "left: {context}");
        let texts = |ids: Vec<SessionId>| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(keys_of(&outside, LIVE).await, texts(after.live.keys().copied().collect()), "live: {context}");
        assert_eq!(keys_of(&outside, ARCHIVED).await, texts(after.archived.keys().copied().collect()), "{context}");
        let progress: Vec<String> = after.progress.keys().map(ToString::to_string).collect();
        assert_eq!(keys_of(&outside, "course_progress").await, progress, "progress: {context}");

        let now = numbers(&*store, &users).await;
        for (place, user) in users.iter().enumerate() {
            let is_gone = expected.rules.contains_key("inactive_users")
                && !after.live.values().chain(after.archived.values()).any(|row| row.user_id == *user);
            if !is_gone && (keep == Keep::Summaries || !phases.contains(&DELETE)) {
                assert_eq!(now.days[place], before.days[place], "days of {user}: {context}");
            }
        }
        assert_eq!(store.verify(&users).await.unwrap().differences, [], "{context}");
        assert_eq!(store.verify_totals().await.unwrap(), [], "{context}");
        assert_eq!(store.audit_runs().await.unwrap(), [], "{context}");
        let again = after.clean(&phases, cleanup.cutoffs, keep);
        let plan = Arc::clone(&reader).plan_cleanup(&cleanup, LIMITS, false).await.unwrap();
        assert_eq!(planned(&plan), again, "plan afterwards: {context}");
        reader.close().await;
        store.close().await;
    }
}

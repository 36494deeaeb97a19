//! Sessions that are deleted by age leave every number as it was, whatever is dropped, rebuilt or changed afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::SignedDuration;
use tierkeep_db::Dialect;
use tierkeep_learning::calendar::{DayStart, Zone};
use tierkeep_learning::key::{KeyType, SessionId, UserId};
use tierkeep_learning::statistic::{Days, GlobalTotals};
use tierkeep_learning::store::{Basis, Keep, OpenMode, OpenOptions, Store, StoreError, open, rederive};

use super::fresh::{Fresh, Outside, options};
use super::outside;
use super::rows::{ALL_DAYS, at, day, key, key_literal, learner, session, user};
use super::seeded::Chance;
use super::verification::take_off;

on_both_with_both_keys!(no_number_changes_whoever_asks_and_whatever_is_rebuilt);

on_both!(
    without_a_base_the_numbers_are_those_of_the_rows_that_are_left,
    base_stays_on_its_day_when_the_learner_moves_or_days_are_counted_otherwise,
    base_that_somebody_spoilt_is_a_difference,
    learners_who_are_gone_and_sessions_that_do_not_count_leave_no_base,
    deletion_that_breaks_off_changes_nothing,
    base_that_cannot_be_read_is_named_and_not_forgotten,
    reader_deletes_nothing,
    folds_and_deletions_at_full_speed_agree,
);

mod leaving;

const KEYS: KeyType = KeyType::Int;
const LEARNERS: u32 = 4;
const SESSIONS: u32 = 60;
/// The date on which totals are asked for: deleted sessions lie on the last seven dates as well.
const TODAY: &str = "2025-06-28";

async fn settle(store: &dyn Store) {
    while store.settle().await.unwrap().more {}
}

fn ids(keys: KeyType, numbers: impl IntoIterator<Item = u32>) -> Vec<SessionId> {
    numbers.into_iter().map(|n| SessionId::new(key(keys, n))).collect()
}

fn users(keys: KeyType) -> Vec<UserId> {
    (1..=LEARNERS).map(|n| user(keys, n)).collect()
}

/// Learners in several zones, the last of whom has archived sessions only, with two thirds of all sessions in the archive.
async fn filled(dialect: Dialect, keys: KeyType) -> (Fresh, Arc<dyn Store>, Outside) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let store = fresh.store().await;
    let zones = [Some("Asia/Shanghai"), None, Some("America/New_York"), Some("Pacific/Apia")];
    let learners = (1..).zip(zones).map(|(n, zone)| learner(keys, n, zone)).collect();
    store.write_users(learners).await.unwrap();
    let mut chance = Chance::new(7);
    let mut rows = Vec::new();
    for n in 1..=SESSIONS {
        let mut row = chance.row(keys);
        (row.id, row.user_id) = (SessionId::new(key(keys, n)), user(keys, 1 + n % LEARNERS));
        row.start_time = at("2025-05-01T00:00:00Z") + SignedDuration::from_mins(i64::from(n) * 24 * 60 - 300);
        if let Some(end) = &mut row.end_time {
            *end = row.start_time + SignedDuration::from_mins(30);
        }
        rows.push(row);
    }
    store.write_sessions(rows).await.unwrap();
    let outside = fresh.outside().await;
    outside.run(&outside::archive_before(dialect, at("2025-06-10T00:00:00Z"))).await;
    let last = key_literal(user(keys, LEARNERS).key());
    outside.run(&format!("delete from study_sessions where user_id = {last}")).await;
    // the last days are among the archived ones, so that today and this week are concerned
    let late = outside::set_start(dialect, "study_sessions_archive", ids(keys, [3])[0], at("2025-06-27T20:00:00Z"));
    outside.run(&late).await;
    (fresh, store, outside)
}

/// Everything that is told of learners' sessions.
#[derive(Debug, PartialEq)]
struct Numbers {
    days: Vec<Option<Days>>,
    active: Vec<Option<Vec<String>>>,
    totals: GlobalTotals,
}

async fn numbers(store: &dyn Store, keys: KeyType) -> Numbers {
    let users = users(keys);
    let days = store.learner_days(&users, ALL_DAYS).await.unwrap();
    let active = store.learner_activity(&users).await.unwrap();
    let texts = |days: tierkeep_learning::active_days::ActiveDays| days.iter().map(|day| day.to_string()).collect();
    Numbers {
        days: days.into_iter().map(|answer| answer.map(|answer| answer.days)).collect(),
        active: active.into_iter().map(|answer| answer.map(|answer| texts(answer.active_days))).collect(),
        totals: store.global_totals(day(TODAY)).await.unwrap().totals,
    }
}

async fn is_well(store: &dyn Store, context: &str) {
    let users = store.known_learners(None, 100).await.unwrap();
    assert_eq!(store.verify(&users).await.unwrap().differences, [], "{context}");
    assert_eq!(store.verify_totals().await.unwrap(), [], "{context}");
}

/// Deletes all archived sessions in random portions, with what is asked in between.
async fn delete_all(store: &dyn Store, keys: KeyType, keep: Keep, mut between: impl AsyncFnMut(u32)) {
    let mut chance = Chance::new(11);
    let mut left: Vec<u32> = (1..=SESSIONS).collect();
    for portion in 0.. {
        if left.is_empty() {
            break;
        }
        let count = 1 + chance.below(9).min(u32::try_from(left.len()).unwrap() - 1);
        let chosen: Vec<u32> =
            (0..count).map(|_| left.swap_remove(chance.below(u32::try_from(left.len()).unwrap()) as usize)).collect();
        store.delete_archived(&ids(keys, chosen), keep).await.unwrap();
        between(portion).await;
    }
}

async fn no_number_changes_whoever_asks_and_whatever_is_rebuilt(dialect: Dialect, keys: KeyType) {
    let (fresh, store, outside) = filled(dialect, keys).await;
    let reader = fresh.reader().await;
    let before = numbers(&*store, keys).await;
    assert!(before.totals.by_day.len() > 1 && before.totals.users == u64::from(LEARNERS), "{:?}", before.totals);

    delete_all(&*store, keys, Keep::Summaries, async |portion| {
        match portion % 4 {
            0 => settle(&*store).await,
            // without a fold before: the base itself comes with its summaries
            1 => assert_eq!(numbers(&*reader, keys).await, before, "read-only, portion {portion}"),
            2 => store.forget(&[user(keys, 1 + portion % LEARNERS)]).await.unwrap(),
            _ => outside.run("insert into tierkeep_outbox (source) values ('')").await,
        }
        assert_eq!(numbers(&*store, keys).await, before, "portion {portion}");
    })
    .await;

    assert_eq!(outside.count("study_sessions_archive").await, 0);
    settle(&*store).await;
    assert_eq!(store.global_totals(day(TODAY)).await.unwrap().basis, Basis::Summaries);
    is_well(&*store, "deleted").await;
    assert_eq!(numbers(&*store, keys).await, before, "from summaries");
    assert_eq!(numbers(&*reader, keys).await, before, "read-only");
    outside.run(&outside::note(user(keys, 99))).await;
    assert_eq!(store.global_totals(day(TODAY)).await.unwrap().basis, Basis::Rows);
    assert_eq!(numbers(&*store, keys).await, before, "totals from rows");

    for spoilt in ["delete from tierkeep_month", "update tierkeep_learner set sessions = 0, epoch = 0"] {
        outside.run(spoilt).await;
        store.forget(&users(keys)).await.unwrap();
        assert_eq!(numbers(&*store, keys).await, before, "forgotten, {spoilt}");
    }
    rederive(&fresh.url, &options(OpenMode::Existing)).await.unwrap();
    assert_eq!(numbers(&*reader, keys).await, before, "rederived, read-only");
    assert_eq!(numbers(&*store, keys).await, before, "rederived");
    settle(&*store).await;
    is_well(&*store, "rederived").await;

    // gone, and back
    outside.run(&outside::delete_user(user(keys, 1))).await;
    settle(&*store).await;
    let gone = numbers(&*store, keys).await;
    assert_eq!((&gone.days[0], &gone.days[1..]), (&None, &before.days[1..]));
    assert_eq!(gone, numbers(&*reader, keys).await);
    outside.run(&outside::note(user(keys, 99))).await;
    assert_eq!(store.global_totals(day(TODAY)).await.unwrap().totals, gone.totals, "from rows");
    store.write_users(vec![learner(keys, 1, Some("Asia/Shanghai"))]).await.unwrap();
    assert_eq!(numbers(&*reader, keys).await, before, "back, read-only");
    assert_eq!(numbers(&*store, keys).await, before, "back");
    settle(&*store).await;
    is_well(&*store, "back").await;

    // where a change may go unnoticed nothing that was computed counts, and the bases do
    take_off(&outside, dialect, "study_sessions").await;
    outside.run("delete from tierkeep_month").await;
    assert!(!store.changes(0).await.unwrap().unwrap().broken.is_empty());
    assert_eq!(numbers(&*store, keys).await, before, "untrusted");
    // the control of all of the above
    outside.run("delete from tierkeep_base").await;
    assert_ne!(numbers(&*store, keys).await, before);
}

/// The control of the case above.
async fn without_a_base_the_numbers_are_those_of_the_rows_that_are_left(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect, KEYS).await;
    let (_other, expected, expected_outside) = filled(dialect, KEYS).await;
    let before = numbers(&*store, KEYS).await;
    expected_outside.run("delete from study_sessions_archive").await;

    delete_all(&*store, KEYS, Keep::Nothing, async |_| {}).await;

    let left = numbers(&*store, KEYS).await;
    assert_ne!(left, before);
    assert_eq!(left, numbers(&*expected, KEYS).await);
    assert_eq!(outside.count("tierkeep_base").await, 0);
    settle(&*store).await;
    assert_eq!(numbers(&*store, KEYS).await, left);
    is_well(&*store, "nothing is kept").await;
}

async fn minutes(store: &dyn Store, n: u32) -> BTreeMap<String, u64> {
    let answer = store.learner_days(&[user(KEYS, n)], ALL_DAYS).await.unwrap().remove(0).unwrap();
    answer.days.into_iter().map(|(day, summary)| (day.to_string(), summary.minutes)).collect()
}

fn these(days: &[(&str, u64)]) -> BTreeMap<String, u64> {
    days.iter().map(|(day, minutes)| ((*day).to_owned(), *minutes)).collect()
}

async fn base_stays_on_its_day_when_the_learner_moves_or_days_are_counted_otherwise(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(vec![learner(KEYS, 1, None)]).await.unwrap();
    let evenings = (1..=3).map(|n| session(KEYS, n, 1, "2025-06-27T20:00:00Z", 1 << n)).collect();
    store.write_sessions(evenings).await.unwrap();
    outside.run(&outside::archive_before(dialect, at("2026-01-01T00:00:00Z"))).await;

    store.delete_archived(&ids(KEYS, [1]), Keep::Summaries).await.unwrap();
    assert_eq!(minutes(&*store, 1).await, these(&[("2025-06-27", 14)]));
    // the first zone reaches back for ever, over what can be computed again; the deletion itself has to find it
    outside.run(&outside::set_zone(user(KEYS, 1), Some("Asia/Tokyo"))).await;
    store.delete_archived(&ids(KEYS, [2]), Keep::Summaries).await.unwrap();

    assert_eq!(minutes(&*store, 1).await, these(&[("2025-06-27", 2), ("2025-06-28", 12)]));
    // the next one counts from its change on, and for no day that is past
    outside.run(&outside::set_zone(user(KEYS, 1), Some("UTC"))).await;
    assert_eq!(minutes(&*store, 1).await, these(&[("2025-06-27", 2), ("2025-06-28", 12)]));
    settle(&*store).await;
    is_well(&*store, "moved").await;

    let otherwise = OpenOptions {
        default_zone: Zone::new("America/New_York").unwrap(),
        day_start: DayStart::new(6).unwrap(),
        ..options(OpenMode::Existing)
    };
    rederive(&fresh.url, &otherwise).await.unwrap();
    let store = open(&fresh.url, &otherwise).await.unwrap();
    // five in the morning in Tokyo belongs to the day before now; the bases are where they were
    assert_eq!(minutes(&*store, 1).await, these(&[("2025-06-27", 10), ("2025-06-28", 4)]));
    settle(&*store).await;
    is_well(&*store, "other days").await;
    let totals = store.global_totals(day(TODAY)).await.unwrap();
    assert_eq!((totals.basis, totals.totals.minutes, totals.totals.sessions), (Basis::Summaries, 14, 3));
    assert_eq!(totals.totals.by_day.into_values().collect::<Vec<_>>(), [2, 1]);
}

async fn base_that_somebody_spoilt_is_a_difference(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect, KEYS).await;
    store.delete_archived(&ids(KEYS, 1..=SESSIONS), Keep::Summaries).await.unwrap();
    settle(&*store).await;
    is_well(&*store, "deleted").await;
    outside.run("delete from tierkeep_base where user_id = 2").await;

    let found = store.verify(&users(KEYS)).await.unwrap().differences;

    assert!(!found.is_empty() && found.iter().all(|one| one.learner == Some(user(KEYS, 2))), "{found:?}");
    let days: Vec<_> = found.iter().filter(|one| one.field == "sessions" && one.day.is_some()).collect();
    assert!(days.len() > 3 && days.iter().all(|one| one.recomputed == 0), "{days:?}");
}

async fn learners_who_are_gone_and_sessions_that_do_not_count_leave_no_base(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(vec![learner(KEYS, 1, None)]).await.unwrap();
    let rows = vec![
        session(KEYS, 1, 1, "2025-06-27T20:00:00Z", -5),
        session(KEYS, 2, 77, "2025-06-27T20:00:00Z", 5),
        session(KEYS, 3, 1, "2025-06-27T20:00:00Z", 9),
        session(KEYS, 4, 1, "2025-06-27T20:00:00Z", 2),
    ];
    store.write_sessions(rows.clone()).await.unwrap();
    outside.run(&outside::archive_before(dialect, at("2026-01-01T00:00:00Z"))).await;
    // live again: the archived row of this id counts for nothing
    outside.run(&outside::insert(dialect, "study_sessions", &rows[2])).await;
    let beyond = if dialect == Dialect::Postgres { "'infinity'" } else { "9223372036854775807" };
    outside.run(&format!("update study_sessions_archive set start_time = {beyond} where id = 4")).await;

    // asked for twice, of the other type, and not there
    let mut asked = ids(KEYS, [1, 1, 2, 3, 4, 50]);
    asked.extend(ids(KeyType::Uuid, [1]));
    assert_eq!(store.delete_archived(&asked, Keep::Summaries).await.unwrap(), 4);

    assert_eq!(outside.count("study_sessions_archive").await, 0);
    assert_eq!(outside.count("tierkeep_base").await, 0);
    assert_eq!(minutes(&*store, 1).await, these(&[("2025-06-27", 9)]));
}

async fn deletion_that_breaks_off_changes_nothing(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect, KEYS).await;
    settle(&*store).await;
    let before = numbers(&*store, KEYS).await;
    let archived = outside.count("study_sessions_archive").await;
    for (table, what) in [("tierkeep_base", "insert"), ("tierkeep_outbox", "update")] {
        let (make, undo) = match dialect {
            Dialect::Sqlite => (
                format!("create trigger stop before {what} on {table} begin select raise(abort, 'stopped'); end"),
                "drop trigger stop".to_owned(),
            ),
            Dialect::Postgres => (
                format!(
                    "create or replace function stop() returns trigger language plpgsql as \
                     $$ begin raise exception 'stopped'; end $$; \
                     create trigger stop before {what} on {table} for each row execute function stop()"
                ),
                format!("drop trigger stop on {table}"),
            ),
        };
        outside.run(&make).await;

        store.delete_archived(&ids(KEYS, 1..=SESSIONS), Keep::Summaries).await.unwrap_err();

        outside.run(&undo).await;
        assert_eq!(outside.count("study_sessions_archive").await, archived, "{table}");
        assert_eq!(outside.count("tierkeep_base").await, 0, "{table}");
        assert_eq!(numbers(&*store, KEYS).await, before, "{table}");
    }
    store.delete_archived(&ids(KEYS, 1..=SESSIONS), Keep::Summaries).await.unwrap();
    assert_eq!(numbers(&*store, KEYS).await, before);
}

async fn base_that_cannot_be_read_is_named_and_not_forgotten(dialect: Dialect) {
    let (fresh, store, outside) = filled(dialect, KEYS).await;
    store.delete_archived(&ids(KEYS, 1..=20), Keep::Summaries).await.unwrap();
    settle(&*store).await;
    let garbage = if dialect == Dialect::Sqlite { "x'6300'" } else { "'\\x6300'" };
    outside.run(&format!("update tierkeep_base set days = {garbage} where user_id = 1")).await;
    let bases = outside.count("tierkeep_base").await;
    let reader = fresh.reader().await;

    let found = store.verify(&[user(KEYS, 1)]).await.unwrap().differences;
    assert_eq!(found.iter().map(|one| one.field.as_str()).collect::<Vec<_>>(), ["base 2025-05"]);
    assert_eq!(minutes(&*store, 2).await, minutes(&*reader, 2).await, "the others are not concerned");
    let mut errors = vec![
        reader.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap_err(),
        reader.global_totals(day(TODAY)).await.unwrap_err(),
        store.export_base(user(KEYS, 1)).await.unwrap_err(),
    ];
    store.forget(&[user(KEYS, 1)]).await.unwrap();
    errors.push(store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap_err());
    errors.push(store.delete_archived(&ids(KEYS, 21..=30), Keep::Summaries).await.unwrap_err());
    for error in errors {
        let StoreError::Corrupt { what, learner, .. } = &error else { panic!("{error:?}") };
        assert_eq!((*what, learner.as_str()), ("day base", "1"));
        let text = error.to_string();
        assert!(text.contains("tierkeep_base") && text.contains("2025-05") && !text.contains("rederive"), "{text}");
    }
    assert_eq!(outside.count("tierkeep_base").await, bases, "nothing drops it");
    // and it does not keep the learner from being erased
    assert!(store.erase(user(KEYS, 1)).await.unwrap().unwrap().is_complete());
    settle(&*store).await;
    is_well(&*store, "erased").await;
}

async fn reader_deletes_nothing(dialect: Dialect) {
    let (fresh, _store, outside) = filled(dialect, KEYS).await;
    let reader = fresh.reader().await;
    let before = outside.count("study_sessions_archive").await;

    assert!(matches!(reader.delete_archived(&ids(KEYS, [1]), Keep::Summaries).await, Err(StoreError::ReadOnly(_))));
    assert!(matches!(reader.delete_data(&[user(KEYS, 1)]).await, Err(StoreError::ReadOnly(_))));
    assert_eq!(outside.count("study_sessions_archive").await, before);
}

/// Deletions hold rows when they ask for learners, folds hold learners when they read rows.
async fn folds_and_deletions_at_full_speed_agree(dialect: Dialect) {
    let (fresh, store, _) = filled(dialect, KEYS).await;
    let before = numbers(&*store, KEYS).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut others = Vec::new();
    for _ in 0..2 {
        let (store, is_over) = (fresh.store().await, Arc::clone(&is_over));
        others.push(tokio::spawn(async move {
            let mut seen = Vec::new();
            while !is_over.load(Ordering::SeqCst) || seen.is_empty() {
                for n in [1, LEARNERS] {
                    store.forget(&[user(KEYS, n)]).await.unwrap();
                }
                store.settle().await.unwrap();
                seen.push(numbers(&*store, KEYS).await);
            }
            seen
        }));
    }

    delete_all(&*store, KEYS, Keep::Summaries, async |_| tokio::task::yield_now().await).await;
    is_over.store(true, Ordering::SeqCst);

    for other in others {
        for seen in other.await.unwrap() {
            assert_eq!(seen, before);
        }
    }
    settle(&*store).await;
    is_well(&*store, "after all").await;
}

//! What is stored is compared with the rows: nothing is found while all is well, whoever writes meanwhile, and everything
//! that somebody spoilt is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tierkeep_db::Dialect;
use tierkeep_learning::key::{KeyType, UserId};
use tierkeep_learning::store::{Difference, Store, Verified};

use super::fresh::{Fresh, Outside};
use super::outside;
use super::rows::{day, key_literal, learner, session, user};

on_both_with_both_keys!(
    all_is_well_after_writes_of_every_kind,
    spoilt_values_are_found_and_mended,
    learners_are_listed_in_order_and_at_random,
);

on_both!(
    rows_that_no_trigger_noted_are_found_and_mended,
    global_sums_that_were_spoilt_are_found_and_mended,
    learners_whom_no_trigger_noted_are_found,
    what_waits_is_no_difference,
    a_reader_verifies_too,
);

const KEYS: KeyType = KeyType::Int;

async fn settle(store: &dyn Store) {
    while store.settle().await.unwrap().more {}
}

async fn fill(store: &dyn Store, keys: KeyType) {
    store
        .write_users(vec![learner(keys, 1, Some("Asia/Shanghai")), learner(keys, 2, None), learner(keys, 3, None)])
        .await
        .unwrap();
    let mut rows = vec![
        session(keys, 1, 1, "2025-06-27T20:00:00Z", 30),
        session(keys, 2, 1, "2025-08-01T20:00:00Z", 20),
        session(keys, 3, 2, "2025-06-27T20:00:00Z", 5),
        session(keys, 4, 2, "2025-06-28T20:00:00Z", -5),
    ];
    rows[0].learning_environment = "home".to_owned();
    rows[1].device_type = "laptop".to_owned();
    store.write_sessions(rows).await.unwrap();
}

async fn built(dialect: Dialect, keys: KeyType) -> (Fresh, Arc<dyn Store>, Outside) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let store = fresh.store().await;
    fill(&*store, keys).await;
    settle(&*store).await;
    let outside = fresh.outside().await;
    (fresh, store, outside)
}

async fn all(store: &dyn Store) -> Verified {
    let users = store.known_learners(None, 100).await.unwrap();
    store.verify(&users).await.unwrap()
}

fn fields(differences: &[Difference]) -> Vec<&str> {
    differences.iter().map(|difference| difference.field.as_str()).collect()
}

async fn is_well(store: &dyn Store, context: &str) {
    let verified = all(store).await;
    assert_eq!(verified.differences, [], "{context}");
    assert_eq!(store.verify_totals().await.unwrap(), [], "{context}");
}

async fn all_is_well_after_writes_of_every_kind(dialect: Dialect, keys: KeyType) {
    let (_fresh, store, outside) = built(dialect, keys).await;
    let verified = all(&*store).await;
    assert_eq!((verified.learners, verified.unbuilt, verified.days), (3, 0, 3));
    is_well(&*store, "after building").await;

    for sql in [
        outside::set_minutes(user(keys, 1), 77),
        outside::set_zone(user(keys, 1), Some("America/New_York")),
        outside::set_zone(user(keys, 2), Some("Asia/Tokyo")),
        outside::set_zone(user(keys, 1), None),
        outside::archive_before(dialect, "2025-07-01T00:00:00Z".parse().unwrap()),
        outside::give(user(keys, 1), user(keys, 3)),
        outside::delete_user(user(keys, 2)),
        "delete from study_sessions".to_owned(),
    ] {
        outside.run(&sql).await;
        is_well(&*store, &sql).await;
        settle(&*store).await;
        is_well(&*store, &sql).await;
    }
}

async fn spoilt_values_are_found_and_mended(dialect: Dialect, keys: KeyType) {
    let one = key_literal(user(keys, 1).key());
    let two = key_literal(user(keys, 2).key());
    let garbage = match dialect {
        Dialect::Sqlite => "x'6300'",
        Dialect::Postgres => "'\\x6300'",
    };
    let empty = match dialect {
        Dialect::Sqlite => "x''",
        Dialect::Postgres => "''",
    };
    for (damage, field) in [
        // another learner's month: it can be read and is wrong
        (
            format!(
                "update tierkeep_month set days = (select days from tierkeep_month where user_id = {two}) \
                 where user_id = {one} and month = (select min(month) from tierkeep_month where user_id = {one})"
            ),
            "minutes",
        ),
        (format!("update tierkeep_month set days = {garbage} where user_id = {one}"), "month 2025-06"),
        (format!("delete from tierkeep_month where user_id = {one}"), "sessions"),
        (format!("update tierkeep_learner set active_days = {empty} where user_id = {one}"), "active"),
        (format!("update tierkeep_learner set active_days = {garbage} where user_id = {one}"), "active"),
        (format!("update tierkeep_learner set sessions = 9 where user_id = {one}"), "sessions"),
        (format!("update tierkeep_learner set zones = '[]' where user_id = {one}"), "time_zone"),
        (format!("update tierkeep_learner set zones = '[\"UTC\"]' where user_id = {one}"), "time_zone"),
        (format!("update tierkeep_learner set zones = null where user_id = {one}"), "time_zone"),
    ] {
        let (_fresh, store, outside) = built(dialect, keys).await;
        outside.run(&damage).await;

        let found = all(&*store).await.differences;

        assert!(fields(&found).contains(&field), "{damage}: {found:?}");
        assert!(found.iter().all(|difference| difference.learner == Some(user(keys, 1))), "{damage}: {found:?}");
        assert!(store.verify(&[user(keys, 2)]).await.unwrap().differences.is_empty());

        store.forget(&[user(keys, 1)]).await.unwrap();
        settle(&*store).await;
        is_well(&*store, &damage).await;
        let totals = store.global_totals(day("2025-08-02")).await.unwrap().totals;
        assert_eq!((totals.users, totals.sessions, totals.minutes), (2, 3, 55), "{damage}");
    }
}

async fn learners_are_listed_in_order_and_at_random(dialect: Dialect, keys: KeyType) {
    let (_fresh, store, outside) = built(dialect, keys).await;
    let all: Vec<UserId> = (1..=3).map(|n| user(keys, n)).collect();
    // gone, and still stored
    outside.run(&outside::delete_user(user(keys, 1))).await;

    let mut listed = Vec::new();
    loop {
        let page = store.known_learners(listed.last().copied(), 1).await.unwrap();
        if page.is_empty() {
            break;
        }
        listed.extend(page);
    }
    let mut random = store.random_learners(10).await.unwrap();
    random.sort_unstable();

    assert_eq!(listed, all);
    assert_eq!(random, all);
    assert_eq!(store.random_learners(2).await.unwrap().len(), 2);
}

/// Takes off the triggers of a table.
pub(crate) async fn take_off(outside: &Outside, dialect: Dialect, table: &str) {
    match dialect {
        Dialect::Postgres => outside.run(&format!("alter table {table} disable trigger all")).await,
        Dialect::Sqlite => {
            let text = format!("select name from sqlite_schema where type = 'trigger' and tbl_name = '{table}'");
            for name in outside.texts(&text).await {
                outside.run(&format!("drop trigger {name}")).await;
            }
        }
    }
}

async fn rows_that_no_trigger_noted_are_found_and_mended(dialect: Dialect) {
    let (_fresh, store, outside) = built(dialect, KEYS).await;
    take_off(&outside, dialect, "study_sessions").await;
    outside.run(&outside::insert(dialect, "study_sessions", &session(KEYS, 9, 2, "2025-06-28T20:00:00Z", 7))).await;

    let found = all(&*store).await.differences;

    assert!(fields(&found).contains(&"minutes"), "{found:?}");
    assert!(found.iter().all(|one| one.learner == Some(user(KEYS, 2)) && one.day != Some(day("2025-06-27"))));
    let minutes = found.iter().find(|one| one.field == "minutes").unwrap();
    assert_eq!((minutes.day, &minutes.stored, &minutes.recomputed), (Some(day("2025-06-28")), &0.into(), &7.into()));
    store.forget(&[user(KEYS, 2)]).await.unwrap();
    // before the fold, too, nobody is told the wrong sum
    assert_eq!(store.global_totals(day("2025-08-02")).await.unwrap().totals.minutes, 62);
    settle(&*store).await;
    is_well(&*store, "mended").await;
    assert_eq!(store.global_totals(day("2025-08-02")).await.unwrap().totals.minutes, 62);
}

async fn global_sums_that_were_spoilt_are_found_and_mended(dialect: Dialect) {
    for damage in [
        "update tierkeep_global set sessions = sessions + 1 where kind = 0 and minutes = 30",
        "delete from tierkeep_global where kind = 1",
        "insert into tierkeep_global (day, kind, name, sessions, minutes) values (1, 2, 'abacus', 4, 0)",
        "update tierkeep_global set sessions = 7 where kind = 3",
    ] {
        let (_fresh, store, outside) = built(dialect, KEYS).await;
        outside.run(damage).await;

        assert_eq!(all(&*store).await.differences, [], "no learner is concerned");
        let found = store.verify_totals().await.unwrap();

        assert_eq!(found.len(), 1, "{damage}: {found:?}");
        assert!(found[0].field.starts_with("global "), "{found:?}");
        store.forget(&[]).await.unwrap();
        is_well(&*store, damage).await;
    }
}

async fn learners_whom_no_trigger_noted_are_found(dialect: Dialect) {
    let (_fresh, store, outside) = built(dialect, KEYS).await;
    take_off(&outside, dialect, "users").await;
    outside.run("delete from users where id = 1; insert into users (id) values (4)").await;
    outside.run("update users set time_zone = 'Asia/Tokyo' where id = 2").await;

    let found = all(&*store).await.differences;

    let told: Vec<_> = found.iter().map(|one| (one.learner.unwrap(), one.field.as_str())).collect();
    assert_eq!(
        told,
        [(user(KEYS, 1), "learner"), (user(KEYS, 2), "time_zone"), (user(KEYS, 4), "learner")],
        "{found:?}"
    );
    store.forget(&[user(KEYS, 1), user(KEYS, 2), user(KEYS, 4)]).await.unwrap();
    settle(&*store).await;
    is_well(&*store, "mended").await;
}

async fn what_waits_is_no_difference(dialect: Dialect) {
    let (_fresh, store, outside) = built(dialect, KEYS).await;
    outside.run("insert into tierkeep_outbox (source) values ('')").await;
    outside.run("update tierkeep_learner set sessions = 9").await;

    let verified = all(&*store).await;

    assert_eq!((verified.unbuilt, verified.differences), (3, Vec::new()), "nothing stored counts");
}

async fn a_reader_verifies_too(dialect: Dialect) {
    let (fresh, _store, outside) = built(dialect, KEYS).await;
    let reader = fresh.reader().await;
    outside.run(&outside::set_minutes(user(KEYS, 1), 3)).await;
    is_well(&*reader, "a change waits").await;
    outside.run("update tierkeep_learner set sessions = 9 where user_id = 2").await;

    assert_eq!(fields(&all(&*reader).await.differences), ["sessions"]);
    assert!(reader.forget(&[]).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_writers_cause_no_false_alarm() {
    Box::pin(writers_cause_no_false_alarm(Dialect::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_writers_cause_no_false_alarm() {
    Box::pin(writers_cause_no_false_alarm(Dialect::Postgres)).await;
}

async fn writers_cause_no_false_alarm(dialect: Dialect) {
    let (fresh, store, _) = built(dialect, KEYS).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let compared = Arc::new(AtomicU64::new(0));
    let mut writers = Vec::new();
    for writer in 0..3_u32 {
        let outside = fresh.outside().await;
        let (compared, is_over) = (Arc::clone(&compared), Arc::clone(&is_over));
        writers.push(tokio::spawn(async move {
            for n in 0..40 {
                // on a busy machine folds may come too late for all of the writes: half of them wait for a look that compares
                while n == 20 && compared.load(Ordering::SeqCst) == 0 && !is_over.load(Ordering::SeqCst) {
                    tokio::task::yield_now().await;
                }
                let of = 1 + (n + writer) % 3;
                let start = format!("2025-0{}-{:02}T22:30:00Z", 5 + n % 4, 1 + n % 28);
                let row = session(KEYS, 100 + writer * 100 + n, of, &start, i32::try_from(n).unwrap());
                outside.run(&outside::insert(dialect, "study_sessions", &row)).await;
                match n % 5 {
                    0 => outside.run(&outside::set_zone(user(KEYS, of), Some("Asia/Tokyo"))).await,
                    1 => outside.run(&outside::set_zone(user(KEYS, of), Some("Europe/Paris"))).await,
                    2 if writer == 0 => {
                        outside.run("delete from users where id = 3").await;
                        outside.run("insert into users (id, time_zone) values (3, 'UTC')").await;
                    }
                    3 => outside.run(&outside::set_minutes(user(KEYS, of), 11)).await,
                    _ => outside.run(&outside::delete("study_sessions", row.id)).await,
                }
            }
        }));
    }
    let settling = tokio::spawn({
        let (store, is_over) = (Arc::clone(&store), Arc::clone(&is_over));
        async move {
            while !is_over.load(Ordering::SeqCst) {
                store.settle().await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    let verifying = tokio::spawn({
        let (store, is_over, compared) = (Arc::clone(&store), Arc::clone(&is_over), Arc::clone(&compared));
        async move {
            let mut verified = Verified::default();
            while !is_over.load(Ordering::SeqCst) {
                let (found, sums) = (all(&*store).await, store.verify_totals().await.unwrap());
                // nobody waits for a look that failed
                is_over.fetch_or(!found.differences.is_empty() || !sums.is_empty(), Ordering::SeqCst);
                assert_eq!((&found.differences[..], &sums[..]), (&[][..], &[][..]));
                compared.fetch_add(found.days, Ordering::SeqCst);
                verified.merge(found);
            }
            verified
        }
    });
    for writer in writers {
        writer.await.unwrap();
    }
    is_over.store(true, Ordering::SeqCst);
    settling.await.unwrap();
    let verified = verifying.await.unwrap();

    assert!(verified.days > 0, "{verified:?}");
    settle(&*store).await;
    is_well(&*store, "after all").await;
}

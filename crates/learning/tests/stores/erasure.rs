//! Erasing a learner leaves what a database has that never had them, or, if it breaks off, all that was there.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tierkeep_db::Dialect;
use tierkeep_learning::import::{Rejects, Table, import_csv};
use tierkeep_learning::key::{KeyType, UserId};
use tierkeep_learning::store::erasure::Grace;
use tierkeep_learning::store::export::SessionTable;
use tierkeep_learning::store::{Store, StoreError};

use super::fresh::{Fresh, Outside};
use super::outside;
use super::rows::{ALL_DAYS, day, key_literal, learner, progress, session, user};

on_both_with_both_keys!(
    erased_learner_was_never_there,
    erased_learners_rows_are_refused,
    departed_learner_is_erased_after_the_grace,
    export_hands_out_every_row_once,
);

on_both!(
    learner_of_whom_nothing_is_known_is_not_erased,
    erasure_that_breaks_off_changes_nothing,
    damaged_summaries_do_not_keep_a_learner,
    unfolded_changes_are_erased_too,
    learner_who_comes_back_is_kept,
    sessions_of_nobody_are_no_departure,
    two_nodes_erase_a_departed_learner_once,
    reader_erases_nothing,
);

const KEYS: KeyType = KeyType::Int;

async fn settle(store: &dyn Store) {
    while store.settle().await.unwrap().more {}
}

/// Learners 1 to 3 with live and archived sessions and courses; without learner 2 unless `with_two`.
async fn filled(dialect: Dialect, keys: KeyType, with_two: bool) -> (Fresh, Arc<dyn Store>, Outside) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let store = fresh.store().await;
    let mut number = 0;
    for n in 1..=3 {
        for month in 1..=9 {
            number += 1;
            if n == 2 && !with_two {
                continue;
            }
            let mut row =
                session(keys, number, n, &format!("2025-0{month}-27T20:00:00Z"), 30 + i32::try_from(n).unwrap());
            row.learning_environment = if n == 2 { "library" } else { "home" }.to_owned();
            row.device_type = "laptop".to_owned();
            store.write_sessions(vec![row]).await.unwrap();
        }
        if n != 2 || with_two {
            store.write_users(vec![learner(keys, n, Some("Asia/Shanghai"))]).await.unwrap();
            store.write_progress(vec![progress(keys, n, n, 7), progress(keys, n + 10, n, 8)]).await.unwrap();
        }
    }
    let outside = fresh.outside().await;
    outside.run(&outside::archive_before(dialect, "2025-04-01T00:00:00Z".parse().unwrap())).await;
    (fresh, store, outside)
}

/// Every row of every table that speaks of learners, as text.
async fn everything(dialect: Dialect, outside: &Outside) -> Vec<String> {
    let mut all = Vec::new();
    for (table, columns) in [
        ("users", "id"),
        ("study_sessions", "id"),
        ("study_sessions_archive", "id"),
        ("course_progress", "id"),
        ("tierkeep_month", "user_id, month, days"),
        ("tierkeep_learner", "user_id, sessions, active_days"),
        ("tierkeep_departed", "user_id"),
        ("tierkeep_learning_analytics", "user_id"),
        ("tierkeep_analytics_due", "user_id, first_day"),
    ] {
        for column in columns.split(", ") {
            let text = match (dialect, column) {
                (Dialect::Sqlite, "days" | "active_days") => format!("hex({column})"),
                _ => format!("cast({column} as text)"),
            };
            let sql = format!("select coalesce({text}, '') from {table} order by 1");
            all.extend(outside.texts(&sql).await.into_iter().map(|row| format!("{table}.{column} {row}")));
        }
    }
    let sums = "select cast(day as text) || ' ' || cast(kind as text) || ' ' || name || ' ' || cast(sessions as text) || ' ' \
                || cast(minutes as text) from tierkeep_global where sessions <> 0 or minutes <> 0 order by 1";
    all.extend(outside.texts(sums).await);
    all
}

async fn erased_learner_was_never_there(dialect: Dialect, keys: KeyType) {
    let (_never, expected, expected_outside) = filled(dialect, keys, false).await;
    settle(&*expected).await;
    let (_fresh, store, outside) = filled(dialect, keys, true).await;
    settle(&*store).await;
    let position = store.changes(0).await.unwrap().unwrap().position;
    let two = user(keys, 2);
    let before = store.traces(two).await.unwrap();

    let erased = store.erase(two).await.unwrap().unwrap();

    assert_eq!(erased.user_id, two);
    assert!(erased.is_complete(), "{:?}", erased.remaining);
    assert_eq!(erased.removed, before);
    let removed: Vec<_> = erased
        .removed
        .iter()
        .filter(|(table, _)| *table != "tierkeep_outbox")
        .map(|(table, rows)| (table.as_str(), *rows))
        .collect();
    assert_eq!(
        removed,
        [
            ("course_progress", 2),
            ("study_sessions", 6),
            ("study_sessions_archive", 3),
            ("tierkeep_analytics_due", 1),
            ("tierkeep_base", 0),
            ("tierkeep_departed", 0),
            ("tierkeep_idempotency", 0),
            ("tierkeep_idempotency_learner", 0),
            ("tierkeep_learner", 1),
            ("tierkeep_learning_analytics", 0),
            ("tierkeep_month", 9),
            ("tierkeep_quarantine", 0),
            ("users", 1),
        ]
    );
    let changes = store.changes(position).await.unwrap().unwrap();
    assert!(changes.learners.iter().any(|(user, _)| *user == two), "kept answers do not count any more: {changes:?}");
    assert_eq!(
        outside
            .count(&format!(
                "tierkeep_outbox where key = {} and (first is not null or note is not null or not settled)",
                key_literal(two.key())
            ))
            .await,
        0
    );
    assert_eq!(everything(dialect, &outside).await, everything(dialect, &expected_outside).await);
    let users: Vec<_> = (1..=3).map(|n| user(keys, n)).collect();
    for today in ["2025-09-28", "2025-05-30", "2025-02-28"] {
        let (left, right) =
            (store.global_totals(day(today)).await.unwrap(), expected.global_totals(day(today)).await.unwrap());
        assert_eq!(left.totals, right.totals);
        assert_eq!(left.basis, right.basis, "the sums are not computed from rows");
    }
    let days = async |store: &dyn Store| -> Vec<_> {
        let answers = store.learner_days(&users, ALL_DAYS).await.unwrap();
        answers.into_iter().map(|answer| answer.map(|answer| answer.days)).collect()
    };
    assert_eq!(days(&*store).await, days(&*expected).await);
    assert!(store.sessions(two, None, 10).await.unwrap().is_none());
    assert!(store.learner_courses(&[two]).await.unwrap()[0].is_none());
    assert_eq!(store.verify(&users).await.unwrap().differences, []);
    assert_eq!(store.verify_totals().await.unwrap(), []);

    assert_eq!(store.erase(two).await.unwrap(), None, "twice");
    assert_eq!(store.erased_among(&users).await.unwrap(), [two]);
}

async fn erased_learners_rows_are_refused(dialect: Dialect, keys: KeyType) {
    let (_fresh, store, outside) = filled(dialect, keys, true).await;
    let two = user(keys, 2);
    store.erase(two).await.unwrap().unwrap();
    let before = outside.count("study_sessions").await;

    let both = vec![session(keys, 100, 1, "2025-06-27T20:00:00Z", 1), session(keys, 101, 2, "2025-06-27T20:00:00Z", 1)];
    for refused in [
        store.write_sessions(both).await,
        store.write_users(vec![learner(keys, 2, None)]).await,
        store.add_missing_users(vec![learner(keys, 2, None)]).await,
        store.write_progress(vec![progress(keys, 100, 2, 7)]).await,
    ] {
        assert!(matches!(&refused, Err(StoreError::Erased(who)) if *who == [two]), "{refused:?}");
    }
    assert_eq!(outside.count("study_sessions").await, before, "nothing of a refused batch is written");

    let (one, three) = (user(keys, 1), user(keys, 3));
    let id = |n: u32| super::rows::key(keys, n);
    for (table, text, written) in [
        (
            Table::Users,
            format!(
                "id,email,username,is_active,created_at\n{one},a,a,t,2025-01-01T00:00:00Z\n{two},b,b,t,2025-01-01T00:00:00Z\n"
            ),
            1,
        ),
        (
            Table::StudySessions,
            format!(
                "id,user_id,start_time,duration_minutes\n{},{one},2025-06-27T20:00:00Z,3\n\
                 {},{two},2025-06-27T20:00:00Z,3\n{},{three},2025-06-27T20:00:00Z,3\n",
                id(200),
                id(201),
                id(202)
            ),
            2,
        ),
        (
            Table::CourseProgress,
            format!(
                "id,user_id,content_id,proficiency_level,learning_hour_week,learning_hour_total,created_at,updated_at\n\
                 {0},{two},{0},1,1,1,2025-01-01T00:00:00Z,2025-01-01T00:00:00Z\n",
                id(200)
            ),
            0,
        ),
    ] {
        let mut rejects = Rejects::new();
        let imported =
            import_csv(&*store, table, "f.csv", std::io::Cursor::new(text), &mut |_| (), &mut rejects).await.unwrap();

        assert_eq!(
            (imported.rejected, imported.written.inserted + imported.written.updated),
            (1, written),
            "{table:?}"
        );
        let reject = &rejects.first()[0];
        let line = if table == Table::CourseProgress { 2 } else { 3 };
        assert_eq!((reject.line, reject.record.as_str()), (line, ""));
        assert!(reject.reason.contains(&format!("{two} was erased")), "{reject}");
    }
    assert_eq!(store.traces(two).await.unwrap().values().sum::<u64>(), 0);
}

async fn learner_of_whom_nothing_is_known_is_not_erased(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect, KEYS, true).await;
    let before = everything(dialect, &outside).await;

    assert_eq!(store.erase(user(KEYS, 99)).await.unwrap(), None);
    assert_eq!(store.erase(user(KeyType::Uuid, 1)).await.unwrap(), None);
    assert_eq!(everything(dialect, &outside).await, before);
    assert_eq!(outside.count("tierkeep_erased").await, 0);
}

async fn erasure_that_breaks_off_changes_nothing(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect, KEYS, true).await;
    settle(&*store).await;
    let before = everything(dialect, &outside).await;
    // in the middle, at the end of the fold, and at the last statement
    let tables = [("course_progress", "delete"), ("tierkeep_global", "update"), ("tierkeep_erased", "insert")];
    for (table, what) in tables {
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

        store.erase(user(KEYS, 2)).await.unwrap_err();

        outside.run(&undo).await;
        assert_eq!(everything(dialect, &outside).await, before, "{table}");
        assert_eq!(outside.count("tierkeep_erased").await, 0);
    }
    assert!(store.erase(user(KEYS, 2)).await.unwrap().unwrap().is_complete());
}

async fn damaged_summaries_do_not_keep_a_learner(dialect: Dialect) {
    let (_never, expected, _) = filled(dialect, KEYS, false).await;
    settle(&*expected).await;
    let (_fresh, store, outside) = filled(dialect, KEYS, true).await;
    settle(&*store).await;
    let garbage = if dialect == Dialect::Sqlite { "x'6300'" } else { "'\\x6300'" };
    outside.run(&format!("update tierkeep_month set days = {garbage} where user_id = 2")).await;
    outside.run("update tierkeep_learner set zones = '[]' where user_id = 2").await;

    assert!(store.erase(user(KEYS, 2)).await.unwrap().unwrap().is_complete());

    let today = day("2025-09-28");
    let totals = store.global_totals(today).await.unwrap();
    assert_eq!(totals.totals, expected.global_totals(today).await.unwrap().totals);
    assert_eq!(store.verify_totals().await.unwrap(), []);
}

async fn unfolded_changes_are_erased_too(dialect: Dialect) {
    let (_never, expected, expected_outside) = filled(dialect, KEYS, false).await;
    let (_fresh, store, outside) = filled(dialect, KEYS, true).await;

    let erased = store.erase(user(KEYS, 2)).await.unwrap().unwrap();

    assert!(erased.is_complete() && erased.removed["tierkeep_outbox"] > 0, "{erased:?}");
    settle(&*store).await;
    settle(&*expected).await;
    assert_eq!(everything(dialect, &outside).await, everything(dialect, &expected_outside).await);
}

/// A week, and the present of a test: so many hours after the learner left.
fn after(since: Timestamp, hours: i64) -> Grace {
    Grace { length: SignedDuration::from_hours(7 * 24), now: Some(since + SignedDuration::from_hours(hours)) }
}

async fn since(dialect: Dialect, outside: &Outside) -> Timestamp {
    let micros = match dialect {
        Dialect::Sqlite => "select since from tierkeep_departed",
        Dialect::Postgres => "select (extract(epoch from since) * 1000000)::bigint from tierkeep_departed",
    };
    Timestamp::from_microsecond(outside.number(micros).await).unwrap()
}

async fn departed_learner_is_erased_after_the_grace(dialect: Dialect, keys: KeyType) {
    let (_never, expected, expected_outside) = filled(dialect, keys, false).await;
    settle(&*expected).await;
    let (_fresh, store, outside) = filled(dialect, keys, true).await;
    settle(&*store).await;
    outside.run(&outside::delete_user(user(keys, 2))).await;
    // the change may be folded by anybody
    if keys == KeyType::Int {
        settle(&*store).await;
    }
    store.note_departures().await.unwrap();
    let since = since(dialect, &outside).await;

    assert_eq!(store.erase_departed(after(since, 7 * 24 - 1), 10).await.unwrap(), []);
    assert_eq!(store.traces(user(keys, 2)).await.unwrap()["study_sessions"], 6, "they wait");
    let erased = store.erase_departed(after(since, 7 * 24 + 1), 10).await.unwrap();

    assert_eq!(erased.iter().map(|erased| erased.user_id).collect::<Vec<_>>(), [user(keys, 2)]);
    assert!(erased[0].is_complete());
    assert_eq!(everything(dialect, &outside).await, everything(dialect, &expected_outside).await);
    assert_eq!(store.erase_departed(after(since, 9 * 24), 10).await.unwrap(), []);
    assert_eq!(store.erased_among(&[user(keys, 2)]).await.unwrap(), [user(keys, 2)]);
}

async fn learner_who_comes_back_is_kept(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect, KEYS, true).await;
    outside.run(&outside::delete_user(user(KEYS, 2))).await;
    store.note_departures().await.unwrap();
    let first = since(dialect, &outside).await;
    // back before the grace is over, noted or not
    outside.run("insert into users (id) values (2)").await;
    assert_eq!(store.erase_departed(after(first, 9 * 24), 10).await.unwrap(), []);
    store.note_departures().await.unwrap();
    assert_eq!(outside.count("tierkeep_departed").await, 0);
    assert_eq!(store.traces(user(KEYS, 2)).await.unwrap()["study_sessions"], 6);

    // gone again: the grace begins again
    outside.run(&outside::delete_user(user(KEYS, 2))).await;
    store.note_departures().await.unwrap();
    assert!(since(dialect, &outside).await >= first);
}

async fn sessions_of_nobody_are_no_departure(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect, KEYS, true).await;
    store.write_sessions(vec![session(KEYS, 500, 77, "2025-06-27T20:00:00Z", 5)]).await.unwrap();
    // gone with all rows: nothing is left to be erased
    outside.run("delete from users where id = 3; delete from study_sessions where user_id = 3").await;
    outside
        .run("delete from study_sessions_archive where user_id = 3; delete from course_progress where user_id = 3")
        .await;
    settle(&*store).await;
    store.note_departures().await.unwrap();

    assert_eq!(outside.count("tierkeep_departed").await, 0);
    let grace = Grace { length: SignedDuration::ZERO, now: None };
    assert_eq!(store.erase_departed(grace, 10).await.unwrap(), []);
    assert_eq!(outside.count("study_sessions where user_id = 77").await, 1);
}

async fn two_nodes_erase_a_departed_learner_once(dialect: Dialect) {
    let (fresh, store, outside) = filled(dialect, KEYS, true).await;
    let other = fresh.store().await;
    outside.run("delete from users where id <> 1").await;
    store.note_departures().await.unwrap();
    let grace = Grace { length: SignedDuration::ZERO, now: None };

    let (mine, theirs) = tokio::join!(store.erase_departed(grace, 10), other.erase_departed(grace, 10));

    let mut erased: Vec<UserId> = mine.unwrap().into_iter().chain(theirs.unwrap()).map(|one| one.user_id).collect();
    erased.sort_unstable();
    assert_eq!(erased, [user(KEYS, 2), user(KEYS, 3)]);
}

async fn reader_erases_nothing(dialect: Dialect) {
    let (fresh, _store, _outside) = filled(dialect, KEYS, true).await;
    let reader = fresh.reader().await;

    assert!(matches!(reader.erase(user(KEYS, 2)).await, Err(StoreError::ReadOnly(_))));
    assert!(matches!(reader.note_departures().await, Err(StoreError::ReadOnly(_))));
    assert_eq!(reader.traces(user(KEYS, 2)).await.unwrap()["study_sessions"], 6, "a dry run is one of reading");
}

async fn export_hands_out_every_row_once(dialect: Dialect, keys: KeyType) {
    let (_fresh, store, outside) = filled(dialect, keys, true).await;
    let two = user(keys, 2);
    outside
        .run(&format!("update study_sessions set duration_minutes = -1 where user_id = {}", key_literal(two.key())))
        .await;

    let mut sessions = BTreeMap::new();
    for table in [SessionTable::Live, SessionTable::Archive] {
        let mut after = None;
        loop {
            let page = store.export_sessions(two, table, after, 2).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.row.id);
            for listed in page {
                assert_eq!((listed.row.user_id, listed.archived), (two, table == SessionTable::Archive));
                assert!(sessions.insert(listed.row.id, listed.row).is_none());
            }
        }
    }
    let first = store.export_progress(two, None, 1).await.unwrap();
    let second = store.export_progress(two, Some(first[0].id), 5).await.unwrap();

    assert_eq!(sessions.len(), 9);
    assert_eq!((first[0].clone(), second), (progress(keys, 2, 2, 7), vec![progress(keys, 12, 2, 8)]));
    assert_eq!(store.export_user(two).await.unwrap(), Some(learner(keys, 2, Some("Asia/Shanghai"))));
    assert_eq!(store.export_user(user(keys, 99)).await.unwrap(), None);
}

#[tokio::test]
async fn writer_under_way_ends_before_an_erasure_and_leaves_nothing() {
    let (fresh, store, _) = filled(Dialect::Postgres, KEYS, true).await;
    let (writer, watcher) = (fresh.outside().await, fresh.outside().await);
    // as an import in the middle of a chunk
    writer.run("begin; lock table tierkeep_erased in row share mode").await;
    writer
        .run(&outside::insert(Dialect::Postgres, "study_sessions", &session(KEYS, 700, 2, "2025-06-27T20:00:00Z", 5)))
        .await;

    let erasing = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.erase(user(KEYS, 2)).await }
    });
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while watcher.number(waiting).await == 0 {
        tokio::task::yield_now().await;
    }
    writer.run("commit").await;

    let erased = erasing.await.unwrap().unwrap().unwrap();
    assert!(erased.is_complete());
    assert_eq!(erased.removed["study_sessions"], 7);
}

/// The control of the case above: who does not ask is not waited for, is seen by the next look, and erased by the next call.
#[tokio::test]
async fn writer_under_way_who_asks_nobody_is_not_waited_for() {
    let (fresh, store, _) = filled(Dialect::Postgres, KEYS, true).await;
    let writer = fresh.outside().await;
    writer.run("begin").await;
    writer
        .run(&outside::insert(Dialect::Postgres, "study_sessions", &session(KEYS, 700, 2, "2025-06-27T20:00:00Z", 5)))
        .await;
    assert_eq!(store.erase(user(KEYS, 2)).await.unwrap().unwrap().removed["study_sessions"], 6);

    writer.run("commit").await;

    assert_eq!(store.traces(user(KEYS, 2)).await.unwrap()["study_sessions"], 1);
    assert!(store.erase(user(KEYS, 2)).await.unwrap().unwrap().is_complete());
    assert_eq!(store.traces(user(KEYS, 2)).await.unwrap().values().sum::<u64>(), 0);
}

//! Rows that cannot come back: listed, and where they were.

use std::sync::Arc;

use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::retention::{ARCHIVE, INVALID};
use tierkeep_learning::store::{Store, StoreError};
use tierkeep_retention::{Ended, NAMED, RestoreReport, RetentionError, RunId};

use super::super::fresh::{Fresh, Outside};
use super::super::outside;
use super::super::retention::run;
use super::super::rows::{at, key, key_literal, learner, session};
use super::{everything, of_run, restore};

on_both_with_both_keys!(
    a_row_whose_id_is_taken_stays_and_is_listed,
    a_row_whose_parent_is_gone_stays_until_it_is_back,
    rows_that_were_deleted_since_are_not_missed,
    what_is_no_clean_up_is_refused,
    a_row_that_does_not_arrive_as_it_left_does_not_leave,
    an_archived_row_that_was_moved_in_time_is_found,
);

/// Ten sessions that are archived, ten with a negative duration.
async fn twenty(dialect: Dialect, keys: KeyType) -> (Fresh, Arc<dyn Store>, Outside) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(vec![learner(keys, 1, None)]).await.unwrap();
    let mut rows = Vec::new();
    for n in 1..=10 {
        rows.push(session(keys, n, 1, &format!("2024-05-{n:02}T08:00:00Z"), 30));
        rows.push(session(keys, 20 + n, 1, &format!("2026-05-{n:02}T08:00:00Z"), -1));
    }
    store.write_sessions(rows).await.unwrap();
    (fresh, store, outside)
}

fn reasons(report: &RestoreReport) -> Vec<(&str, &str)> {
    report.stays.iter().map(|stay| (stay.key.as_str(), stay.why.as_str())).collect()
}

async fn a_row_whose_id_is_taken_stays_and_is_listed(dialect: Dialect, keys: KeyType) {
    let (fresh, store, outside) = twenty(dialect, keys).await;
    let cleaned = run(&store, &[INVALID, ARCHIVE]).await;
    let take = |n, table| outside::insert(dialect, table, &session(keys, n, 1, "2026-05-20T08:00:00Z", 3));
    for (n, table) in [(3, "study_sessions"), (23, "study_sessions"), (24, "study_sessions_archive")] {
        outside.run(&take(n, table)).await;
    }

    let report = restore(&fresh, &store, &of_run(cleaned.run)).await;

    let [third, other, archived] = [3, 23, 24].map(|n| key(keys, n).to_string());
    let taken = "its id is taken in study_sessions";
    assert_eq!(
        reasons(&report),
        [(&*third, taken), (&archived, "its id is taken in study_sessions_archive"), (&other, taken)]
    );
    assert_eq!((report.restored(), report.stayed), (17, 3));
    assert_eq!(outside.number("select count(*) from study_sessions where duration_minutes = 3").await, 2);
    assert_eq!(outside.count("tierkeep_quarantine").await, 2);
    assert_eq!(outside.count("study_sessions_archive").await, 2);
}

async fn a_row_whose_parent_is_gone_stays_until_it_is_back(dialect: Dialect, keys: KeyType) {
    let (fresh, store, outside) = twenty(dialect, keys).await;
    outside.run("create table groups (number integer primary key); insert into groups values (1), (2)").await;
    let reference = "alter table study_sessions add x_group integer references groups (number)";
    let deferred = if dialect == Dialect::Postgres { " deferrable initially deferred" } else { "" };
    outside.run(&format!("{reference}{deferred}")).await;
    outside.run("update study_sessions set x_group = 1").await;
    for n in [2, 22] {
        outside.run(&format!("update study_sessions set x_group = 2 where id = {}", key_literal(key(keys, n)))).await;
    }
    let before = everything(&outside, dialect).await;
    let cleaned = run(&store, &[INVALID, ARCHIVE]).await;
    outside.run("delete from groups where number = 2").await;

    let report = restore(&fresh, &store, &of_run(cleaned.run)).await;

    let gone = "what it refers to by \"x_group\" is gone";
    assert_eq!(reasons(&report), [(&*key(keys, 2).to_string(), gone), (&key(keys, 22).to_string(), gone)]);
    assert_eq!(report.restored(), 18);
    outside.run("insert into groups values (2)").await;
    restore(&fresh, &store, &of_run(cleaned.run)).await;
    assert_eq!(everything(&outside, dialect).await[1], before[1]);
}

async fn rows_that_were_deleted_since_are_not_missed(dialect: Dialect, keys: KeyType) {
    let (fresh, store, outside) = twenty(dialect, keys).await;
    let cleaned = run(&store, &[INVALID, ARCHIVE]).await;
    outside.run(&outside::delete("study_sessions_archive", session(keys, 4, 1, "2024-01-01T00:00:00Z", 1).id)).await;
    outside.run("delete from tierkeep_quarantine where id = (select min(id) from tierkeep_quarantine)").await;

    let report = restore(&fresh, &store, &of_run(cleaned.run)).await;

    assert_eq!((report.restored(), report.stayed, report.left), (18, 0, 0), "{report:?}");
}

async fn what_is_no_clean_up_is_refused(dialect: Dialect, keys: KeyType) {
    let (_fresh, store, _) = twenty(dialect, keys).await;
    let cleaned = run(&store, &[ARCHIVE]).await;
    let restored = Arc::clone(&store).restore(&of_run(cleaned.run)).await.unwrap();
    let unknown = of_run(RunId::new(77).unwrap());

    for error in [
        Arc::clone(&store).restore(&unknown).await.unwrap_err(),
        Arc::clone(&store).plan_restore(&unknown).await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Retention(RetentionError::UnknownRun(_))), "{error:?}");
    }
    let error = Arc::clone(&store).restore(&of_run(restored.run)).await.unwrap_err();
    assert!(error.to_string().contains("is itself a restore"), "{error}");
}

/// The proof of a move finds a table that changes what is written into it.
async fn a_row_that_does_not_arrive_as_it_left_does_not_leave(dialect: Dialect, keys: KeyType) {
    let (_fresh, store, outside) = twenty(dialect, keys).await;
    let cleaned = run(&store, &[INVALID, ARCHIVE]).await;
    let trigger = match dialect {
        Dialect::Postgres => {
            "create function forget() returns trigger language plpgsql as 'begin new.notes := ''x''; return new; end'; \
             create trigger forget before insert on study_sessions for each row execute function forget()"
        }
        Dialect::Sqlite => {
            "create trigger forget after insert on study_sessions \
             begin update study_sessions set notes = 'x' where id = new.id; end"
        }
    };
    outside.run(trigger).await;
    let before = everything(&outside, dialect).await;

    let restored = Arc::clone(&store).restore(&of_run(cleaned.run)).await.unwrap();

    assert_eq!(everything(&outside, dialect).await, before);
    assert_eq!(restored.report.restored(), 0);
    match dialect {
        Dialect::Postgres => assert!(restored.reason.unwrap().contains("digests"), "the run ends"),
        Dialect::Sqlite => assert_eq!(restored.report.stayed, 20, "{:?}", restored.report),
    }
    outside
        .run(if dialect == Dialect::Postgres { "drop function forget cascade" } else { "drop trigger forget" })
        .await;
    let restored = Arc::clone(&store).restore(&of_run(cleaned.run)).await.unwrap();
    assert_eq!((restored.ended, restored.report.restored()), (Ended::Done, 20));
}

async fn an_archived_row_that_was_moved_in_time_is_found(dialect: Dialect, keys: KeyType) {
    let (fresh, store, outside) = twenty(dialect, keys).await;
    let cleaned = run(&store, &[ARCHIVE]).await;
    let id = session(keys, 4, 1, "2024-01-01T00:00:00Z", 1).id;
    outside.run(&outside::set_start(dialect, "study_sessions_archive", id, at("2020-01-01T00:00:00Z"))).await;

    let report = restore(&fresh, &store, &of_run(cleaned.run)).await;

    assert_eq!((report.restored(), report.left), (10, 0), "{report:?}");
}

/// What others hold is passed over, and met again.
#[tokio::test]
async fn a_locked_row_is_left_for_later() {
    let keys = KeyType::Int;
    let (fresh, store, outside) = twenty(Dialect::Postgres, keys).await;
    let before = everything(&outside, Dialect::Postgres).await;
    let cleaned = run(&store, &[INVALID, ARCHIVE]).await;
    let holder = fresh.outside().await;
    holder.run("begin; select 1 from study_sessions_archive where id = 7 for update").await;

    let restored = Arc::clone(&store).restore(&of_run(cleaned.run)).await.unwrap();

    assert_eq!((restored.ended, restored.report.restored(), restored.report.left), (Ended::Done, 19, 1));
    holder.run("rollback").await;
    let restored = Arc::clone(&store).restore(&of_run(cleaned.run)).await.unwrap();
    assert_eq!((restored.report.restored(), restored.report.left), (1, 0));
    assert_eq!(everything(&outside, Dialect::Postgres).await, before);
}

/// One row that its table refuses does not keep the others, and the list of those that stay has an end.
#[tokio::test]
async fn the_others_of_a_batch_come_back() {
    let keys = KeyType::Int;
    let (_fresh, store, outside) = twenty(Dialect::Postgres, keys).await;
    let more = format!(
        "insert into study_sessions (id, user_id, start_time) select n, 1, '2024-06-01' from generate_series(1000, {}) as n",
        1000 + NAMED + 20
    );
    outside.run(&more).await;
    let cleaned = run(&store, &[INVALID, ARCHIVE]).await;
    // one that the dry run can tell, one that it cannot, and one that takes many
    outside
        .run(
            "alter table study_sessions add constraint positive check (duration_minutes >= 0); \
             create function forbid() returns trigger language plpgsql as \
             'begin if new.id = 5 then raise exception ''not this one''; end if; return new; end'; \
             create trigger forbid before insert on study_sessions for each row execute function forbid(); \
             create table marks (id bigint primary key); insert into marks select generate_series(1000, 1119); \
             alter table study_sessions add x_mark bigint; \
             alter table study_sessions_archive add x_mark bigint; \
             update study_sessions_archive set x_mark = id + 5000 where id >= 1000; \
             alter table study_sessions add foreign key (x_mark) references marks",
        )
        .await;

    let planned = Arc::clone(&store).plan_restore(&of_run(cleaned.run)).await.unwrap();
    let restored = Arc::clone(&store).restore(&of_run(cleaned.run)).await.unwrap();

    assert_eq!(restored.reason, None);
    assert_eq!(outside.number("select count(*) from study_sessions where id <= 10").await, 9);
    let report = restored.report;
    assert_eq!((report.restored(), report.stayed, report.stays.len()), (9, 11 + 121, NAMED));
    assert_eq!((planned.restored(), planned.stayed), (10, 10 + 121));
    let fifth = report.stays.iter().find(|stay| stay.key == "5").unwrap();
    assert_eq!(fifth.why, "a trigger of the table forbids it");
    assert_eq!(report.rows.get("study_sessions"), Some(&9), "{report:?}");
}

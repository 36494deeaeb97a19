//! A node that works on a task dies, or stands still and wakes up: another one finishes it, and the old one writes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tierkeep::config::Config;
use tierkeep_db::{Dialect, Error, Fence};
use tierkeep_learning::mapping::Mapping;
use tierkeep_learning::store::{OpenMode, OpenOptions, Store, StoreError, open};

use crate::http::post;
use crate::node::Node;
use crate::place::{NOW, OLD_SESSIONS, Place, SLOWLY, on_both};

on_both!(a_task_of_a_node_that_was_killed_is_finished_by_another);

/// How long a node that stands still keeps others out. One that is gone does not.
const LEASE: Duration = Duration::from_secs(30);

async fn ask_for(node: &Node, task: &str) {
    let host = node.host().lock().unwrap().clone();
    let asked = post(&host, &format!("/v1/admin/schedule/{task}/run"), &Value::Null).await;
    assert_eq!(asked.status, 202, "{}", node.log());
}

/// What there is of runs of a task.
fn of(task: &str, what: &str) -> String {
    format!("select {what} from tierkeep_schedule_run where task = '{task}'")
}

async fn a_task_of_a_node_that_was_killed_is_finished_by_another(dialect: Dialect) {
    const TASK: &str = "archive-old-data";
    let place = Place::new(dialect).await;
    let first = place.node(SLOWLY).await;
    ask_for(&first, TASK).await;
    let archived = "select count(*) from study_sessions_archive";
    place.until(archived, |rows| rows > 0).await;
    let others = [place.node("").await, place.node("").await];
    assert_eq!(place.number(&of(TASK, "count(*)")).await, 1);
    assert_eq!(place.number(&of(TASK, "max(attempts)")).await, 1, "nobody takes what another works on");

    first.kill9();
    let killed = Instant::now();
    place.until(&of(TASK, "max(attempts)"), |attempts| attempts == 2).await;
    assert!(killed.elapsed() < LEASE, "the lease was not waited for");
    place.until(&of(TASK, "count(*) filter (where state = 'done')"), |done| done == 1).await;

    assert_eq!(place.number(archived).await, OLD_SESSIONS);
    assert_eq!(place.number("select count(*) from study_sessions").await, 6);
    assert_eq!(place.number(&of(TASK, "count(*)")).await, 1, "the same run, not another one");
    assert_eq!(place.number(&of(TASK, "max(attempts)")).await, 2, "one of two took it");
    let told = others.iter().filter(|node| node.log().contains("an attempt has ended task=archive-old-data")).count();
    assert_eq!(told, 1, "{}\n---\n{}", others[0].log(), others[1].log());
}

/// A store in this process, with no part in the schedule.
async fn store(place: &Place) -> Arc<dyn Store> {
    let config = Config::default();
    let options = OpenOptions {
        mode: OpenMode::Existing,
        pool: config.database.pool,
        default_zone: config.days.default_zone,
        day_start: config.days.day_start,
        mapping: Mapping::default(),
    };
    open(&place.url().parse().unwrap(), &options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stood_still_past_its_lease_writes_nothing_when_it_wakes_up() {
    const TASK: &str = "update-analytics";
    let place = Place::new(Dialect::Postgres).await;
    let Place::Postgres(database) = &place else { unreachable!("it was made above") };
    // a transaction whose client stands still ends sooner than by default
    let limit = format!("alter database \"{}\" set idle_in_transaction_session_timeout = '2s'", database.name());
    place.run(&limit).await;
    let token = "select token from tierkeep_fence where name = 'task update-analytics'";
    let minutes = "select coalesce(max(total_duration), 0) from tierkeep_learning_analytics where user_id = 1";

    // the leader is in the middle of its transaction, and stops
    let leader = place.node("").await;
    place.until("select count(distinct user_id) from tierkeep_month", |folded| folded == 6).await;
    let held = place.client().await;
    let row = "set idle_in_transaction_session_timeout = 0; begin; insert into tierkeep_learning_analytics (user_id, date, iso_year, iso_week, total_sessions, total_duration,
            productive_sessions, improvement_trend, current_streak, time_zone, computed_at)
        values (1, '2026-01-30', 2026, 5, 0, 0, 0, 'stable', 0, 'UTC', now())";
    held.batch_execute(row).await.unwrap();
    ask_for(&leader, TASK).await;
    let waits = "select count(*) from pg_locks w join pg_locks f using (pid)
        where not w.granted and w.locktype = 'transactionid' and f.granted and f.relation = 'tierkeep_fence'::regclass";
    place.until(waits, |waiting| waiting > 0).await;
    let old = place.number(token).await;
    leader.signal("STOP");
    let other = place.node("").await;
    place.run("update study_sessions set duration_minutes = 5 where user_id = 1").await;
    place.run("update tierkeep_schedule_run set lease_until = now() - interval '1 second' where state = 'works'").await;
    held.batch_execute("rollback").await.unwrap();

    place.until(&of(TASK, "count(*) filter (where state = 'done')"), |done| done == 1).await;
    assert_eq!(place.number(&of(TASK, "max(attempts)")).await, 2);
    let new = place.number(token).await;
    assert_eq!(new, old + 1);
    assert_eq!(place.number(minutes).await, 5, "what the other one saw");
    let marks = "select coalesce(sum(xmin::text::bigint), 0)::bigint from tierkeep_learning_analytics";
    let (before, rows) =
        (place.number(marks).await, place.number("select count(*) from tierkeep_learning_analytics").await);
    assert!(rows > 0);

    // it wakes up, and finds that the run has passed to another
    leader.signal("CONT");
    leader.until_log("has passed to another node").await;
    assert_eq!((place.number(marks).await, place.number(minutes).await), (before, 5), "nothing was written again");
    assert_eq!(place.number(&of(TASK, "count(*)")).await, 1);
    assert!(other.log().contains("an attempt has ended task=update-analytics"), "{}", other.log());
    assert!(!leader.log().contains("an attempt has ended task=update-analytics"), "{}", leader.log());
    // it works as before
    ask_for(&leader, TASK).await;
    place.until(&of(TASK, "count(*) filter (where state = 'done')"), |done| done == 2).await;

    // the control: what keeps the old one from writing is its number, and nothing else
    let store = store(&place).await;
    let write = async |token: Option<i64>| {
        let fence = token.map(|token| Fence::new("task update-analytics", token));
        store.update_analytics(NOW.parse().unwrap(), 7, None, 100, fence.as_ref()).await
    };
    let current = place.number(token).await;
    for token in [old, new] {
        let refused = write(Some(token)).await;
        assert!(matches!(refused, Err(StoreError::Database(Error::Fenced { .. }))), "{refused:?}");
    }
    assert!(write(Some(current)).await.is_ok() && write(None).await.is_ok());
    store.close().await;
}

//! A platform whose sessions are partitioned by month: whole months pass to the archive by DDL, and nobody notices.

use std::sync::Arc;
use std::time::Duration;

use tierkeep_learning::key::KeyType;
use tierkeep_learning::retention::{ARCHIVE, DELETE};
use tierkeep_learning::rows::SessionRow;
use tierkeep_learning::store::{Cleanup, Store};
use tierkeep_retention::{Ended, Order, Outcome};

use super::super::retention::{cleanup, order};
use super::super::rows::{at, key, key_literal};
use super::site::{PLATFORM, Platform, Site, settle};

/// Before any session of [`Site`].
const MONTHS: [(&str, &str, &str); 4] = [
    ("s_2024_01", "2024-01-01", "2024-02-01"),
    ("s_2024_02", "2024-02-01", "2024-03-01"),
    ("s_2025", "2025-01-01", "2026-01-01"),
    ("s_2026", "2026-01-01", "2027-01-01"),
];

fn schema() -> String {
    let (before, rest) = PLATFORM.split_once("create table study_sessions (").unwrap();
    let (columns, after) = rest.split_once("\n);").unwrap();
    let columns = columns.replace("id uuid primary key", "id uuid not null");
    let months: Vec<String> = MONTHS
        .iter()
        .map(|(name, from, to)| {
            format!("create table {name} partition of study_sessions for values from ('{from}') to ('{to}');")
        })
        .collect();
    format!(
        "set timezone = 'UTC'; {before}create table study_sessions ({columns},\n primary key (id, start_time)) \
         partition by range (start_time); {} create index on study_sessions (start_time);{after}",
        months.concat()
    )
}

/// Ten closed sessions in each of two old months.
async fn partitioned() -> (Site, Arc<dyn Store>) {
    let mut site = Site::with_schema(Platform::Guide, &schema()).await;
    let rows: Vec<_> = (1..=20)
        .map(|n| {
            let mut row = Platform::Guide.row(n, 1 + n % 4, &format!("2024-0{}-{:02}T08:00:00Z", 1 + n % 2, n), 30);
            row.is_active = false;
            row
        })
        .collect();
    site.insert(&rows).await;
    site.run("update study_sessions set is_active = false").await;
    for row in site.model.live.values_mut() {
        row.is_active = false;
    }
    site.attach().await.unwrap();
    let store = site.store().await;
    settle(&*store).await;
    (site, store)
}

async fn clean(store: &Arc<dyn Store>, phases: &[&'static str]) -> Outcome {
    clean_by(store, phases, &order()).await
}

async fn clean_by(store: &Arc<dyn Store>, phases: &[&'static str], order: &Order) -> Outcome {
    let mut what: Cleanup = cleanup(phases);
    // before it are the two months of 2024, and not the sessions of 2025
    what.cutoffs.archive = at("2024-03-01T00:00:00Z");
    let outcome = Arc::clone(store).clean_up(&what, order).await.unwrap();
    assert_eq!((outcome.ended, outcome.reason.as_deref()), (Ended::Done, None));
    outcome
}

/// A closed session is opened again.
async fn open_again(site: &mut Site, n: u32) {
    let id = key(KeyType::Uuid, n);
    site.run(&format!("update study_sessions set is_active = true where id = {}", key_literal(id))).await;
    site.model.live.values_mut().filter(|row| row.id.key() == id).for_each(|row| row.is_active = true);
}

/// Tables whose rows the archive shows beside its own.
async fn children(site: &Site) -> Vec<String> {
    let text = "select inhrelid::regclass::text from pg_inherits where inhparent = 'study_sessions_archive'::regclass order by 1";
    site.outside.texts(text).await
}

/// Moves what was archived in the model.
fn archived(site: &mut Site) {
    let before = at("2024-03-01T00:00:00Z");
    let is_old = |row: &&SessionRow| row.start_time < before && !row.is_active;
    let moved: Vec<_> = site.model.live.values().filter(is_old).cloned().collect();
    for row in moved {
        site.model.live.remove(&row.id);
        site.model.archived.insert(row.id, row);
    }
}

#[tokio::test]
async fn old_partitions_pass_as_they_are_and_no_number_changes() {
    let (mut site, store) = partitioned().await;
    let rows = "select md5(string_agg(to_jsonb(s)::text, '' order by id)) from (select * from study_sessions where start_time < '2024-03-01') as s";
    let before = site.outside.texts(rows).await;
    let places = "select string_agg(relfilenode::text, ',' order by relname) from pg_class where relname in ('s_2024_01', 's_2024_02')";
    let files = site.outside.texts(places).await;
    let position = store.changes(0).await.unwrap().unwrap().position;

    let outcome = clean(&store, &[ARCHIVE]).await;

    assert_eq!(children(&site).await, ["s_2024_01", "s_2024_02"]);
    assert_eq!((outcome.report.rows("archive"), outcome.report.batches), (20, 2), "{:?}", outcome.report);
    assert_eq!(site.outside.texts(places).await, files, "no row was written");
    let same = rows
        .replace("to_jsonb(s)", "(to_jsonb(s) - 'archived_at' - 'archived_by')")
        .replace("from study_sessions ", "from study_sessions_archive ");
    assert_eq!(site.outside.texts(&same).await, before);
    let by = "select count(*) from study_sessions_archive where archived_by is not null and archived_at is not null";
    assert_eq!(site.outside.number(by).await, 20);
    archived(&mut site);
    site.compare(&*store, "after the detach").await;
    let changes = store.changes(position).await.unwrap().unwrap();
    assert!(changes.everybody.is_none() && changes.broken.is_empty(), "{changes:?}");
    assert_eq!(changes.position, position, "nothing was told, since nothing changed");
    assert_eq!(store.audit_runs().await.unwrap(), []);
    // installed as it would be
    site.attach().await.unwrap();
    assert!(store.changes(position).await.unwrap().unwrap().everybody.is_none());

    assert_eq!(clean(&store, &[ARCHIVE]).await.report.batches, 0, "once more does nothing");
    let known = store.known_learners(None, 100).await.unwrap();
    assert_eq!(store.verify(&known).await.unwrap().differences, []);
}

#[tokio::test]
async fn changes_in_a_part_of_the_archive_are_noticed() {
    let (mut site, store) = partitioned().await;
    clean(&store, &[ARCHIVE]).await;
    archived(&mut site);

    let id = key_literal(key(KeyType::Uuid, 1));
    site.run(&format!("update s_2024_02 set duration_minutes = 77 where id = {id}")).await;
    site.model
        .archived
        .values_mut()
        .filter(|row| row.id.key() == key(KeyType::Uuid, 1))
        .for_each(|row| row.duration_minutes = 77);

    site.compare(&*store, "a write to the child").await;
}

#[tokio::test]
async fn age_empties_the_parts_and_empty_ones_go() {
    let (site, store) = partitioned().await;
    clean(&store, &[ARCHIVE]).await;
    let before = store.global_totals("2026-06-01".parse().unwrap()).await.unwrap().totals;
    let position = store.changes(0).await.unwrap().unwrap().position;
    let mut what = cleanup(&[DELETE]);
    what.cutoffs.delete = at("2024-02-01T00:00:00Z");

    let outcome = Arc::clone(&store).clean_up(&what, &order()).await.unwrap();

    assert_eq!((outcome.ended, outcome.report.rows("archived_sessions")), (Ended::Done, 10), "{outcome:?}");
    assert_eq!(children(&site).await, ["s_2024_02"]);
    assert_eq!(site.outside.number("select count(*) from pg_class where relname = 's_2024_01'").await, 0);
    assert_eq!(store.global_totals("2026-06-01".parse().unwrap()).await.unwrap().totals, before);
    let changes = store.changes(position).await.unwrap().unwrap();
    assert!(changes.everybody.is_none() && changes.broken.is_empty(), "{changes:?}");
}

#[tokio::test]
async fn partition_with_an_open_session_goes_row_by_row() {
    let (mut site, store) = partitioned().await;
    open_again(&mut site, 1).await;

    let report = clean(&store, &[ARCHIVE]).await.report;

    assert_eq!(children(&site).await, ["s_2024_01"]);
    assert_eq!(report.rows("archive"), 19);
    assert_eq!(site.outside.number("select count(*) from s_2024_02").await, 1, "the open one stays");
    let advice = report.advice.join("\n");
    assert!(advice.contains("s_2024_02\" goes row by row: 1 of its rows are not to be archived"), "{advice}");
    archived(&mut site);
    site.compare(&*store, "half by half").await;
}

#[tokio::test]
async fn row_that_is_opened_between_the_look_and_the_lock_stays() {
    let (mut site, store) = partitioned().await;
    let watcher = site.fresh.outside().await;
    site.run("begin").await;
    open_again(&mut site, 1).await;

    let commits = async {
        let waits = "select count(*) from pg_locks where not granted and mode = 'AccessExclusiveLock'";
        while watcher.number(waits).await == 0 {}
        site.run("commit").await;
    };
    let (outcome, ()) = tokio::join!(clean(&store, &[ARCHIVE]), commits);

    assert_eq!((children(&site).await, outcome.report.rows("archive")), (vec!["s_2024_01".to_owned()], 19));
    assert_eq!(site.outside.number("select count(*) from study_sessions_archive where is_active").await, 0);
    archived(&mut site);
    site.compare(&*store, "written while it was looked at").await;
}

#[tokio::test]
async fn default_partition_with_rows_leaves_all_to_the_ordinary_way() {
    let (mut site, store) = partitioned().await;
    site.run("create table s_rest partition of study_sessions default").await;
    let row = Platform::Guide.row(900, 1, "2030-01-01T00:00:00Z", 30);
    site.insert(&[row]).await;
    site.attach().await.unwrap();

    let report = clean(&store, &[ARCHIVE]).await.report;

    assert_eq!((children(&site).await, report.rows("archive")), (Vec::new(), 20));
}

#[tokio::test]
async fn long_reader_is_not_waited_for_longer_than_the_limit() {
    let (mut site, store) = partitioned().await;
    site.run("begin; select count(*) from study_sessions").await;
    let brief = Order { lock_timeout: Duration::from_millis(50), ..order() };

    let report = clean_by(&store, &[ARCHIVE], &brief).await.report;

    assert_eq!((children(&site).await, report.rows("archive")), (Vec::new(), 20), "rows need no such lock");
    assert!(report.advice.iter().any(|advice| advice.contains("others held locks")), "{:?}", report.advice);
    site.run("commit").await;
    archived(&mut site);
    site.compare(&*store, "row by row").await;
}

#[tokio::test]
async fn what_fails_in_the_middle_leaves_everything_as_it_was() {
    let (mut site, store) = partitioned().await;
    // the last statement before the record of the batch
    site.run(
        "create function refuse() returns event_trigger language plpgsql as $$ begin raise exception 'not today'; end $$; \
         create event trigger refuse on ddl_command_end when tag in ('COMMENT') execute function refuse()",
    )
    .await;

    let report = clean(&store, &[ARCHIVE]).await.report;

    assert_eq!(children(&site).await, [] as [&str; 0]);
    assert_eq!(
        site.outside.number("select count(*) from pg_inherits where inhparent = 'study_sessions'::regclass").await,
        4
    );
    assert_eq!(report.rows("archive"), 20, "by rows");
    assert!(report.advice.iter().any(|advice| advice.contains("not today")), "{:?}", report.advice);
    let extra = "select count(*) from pg_attribute where attrelid = 's_2024_01'::regclass and attname like 'archived%'";
    assert_eq!(site.outside.number(extra).await, 0);
    archived(&mut site);
    site.compare(&*store, "after the failure").await;
}

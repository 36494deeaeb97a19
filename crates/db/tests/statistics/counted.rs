//! Statements that a program counts of its own SQLite file.

use tempfile::TempDir;
use tierkeep_db::statistics::{Examined, QuerySnapshot, SlowQueries, SlowestBy, query_snapshot_sqlite};
use tierkeep_db::{Error, SqliteConfig, SqliteDatabase, SqlitePath, StatementCounts};

async fn open(directory: &TempDir, statements: StatementCounts) -> SqliteDatabase {
    let path = SqlitePath::new(directory.path().join("a.db"));
    let config = SqliteConfig { statements, readers: 2, ..SqliteConfig::default() };
    SqliteDatabase::open(&path, config).await.unwrap()
}

async fn reading(db: &SqliteDatabase) -> Examined<QuerySnapshot> {
    db.read(|connection| query_snapshot_sqlite(connection)).await.unwrap()
}

async fn snapshot(db: &SqliteDatabase) -> QuerySnapshot {
    let reading = reading(db).await;
    reading.found().unwrap_or_else(|| panic!("{reading:?}")).clone()
}

fn calls(snapshot: &QuerySnapshot, text: &str) -> u64 {
    snapshot.queries.iter().filter(|query| query.text == text).map(|query| query.calls).sum()
}

async fn run(db: &SqliteDatabase, sql: &'static str) {
    db.write(move |tx| Ok::<_, Error>(tx.execute_batch(sql)?)).await.unwrap();
}

#[tokio::test]
async fn statements_are_counted_by_text_on_every_connection_and_added_up_in_the_file() {
    let directory = TempDir::new().unwrap();
    let (one, other) = (open(&directory, StatementCounts::On).await, open(&directory, StatementCounts::On).await);
    run(&one, "create table t (a, b); insert into t values (1, 'ada@example.org'); insert into t values (2, 'b')")
        .await;
    for _ in 0..10 {
        let read = |connection: &mut rusqlite::Connection| {
            let mut statement = connection.prepare_cached("select a from t where b = ?1 -- a comment")?;
            Ok::<_, Error>(statement.exists(["eve@example.org"])?)
        };
        assert!(!one.read(read).await.unwrap() && !other.read(read).await.unwrap());
    }

    assert!(one.note_statements().await.unwrap() > 0 && other.note_statements().await.unwrap() > 0);

    let found = snapshot(&one).await;
    assert_eq!(calls(&found, "select a from t where b = ?1"), 20);
    assert_eq!(calls(&found, "insert into t values (?, ?)"), 2);
    assert!(found.reset_us.unwrap() <= found.taken_us && found.evictions == Some(0), "{found:?}");
    let slowest = found.whole();
    let slowest = slowest.slowest(SlowQueries { threshold_ms: 0.0, by: SlowestBy::Total, limit: 1000 });
    assert!(slowest.iter().all(|query| query.total_ms() >= query.execution.max_ms && query.execution.min_ms > 0.0));
    let file = std::fs::read(one.path()).unwrap();
    let wal = std::fs::read(format!("{}-wal", one.path().display())).unwrap();
    let holds = |text: &[u8]| [&file, &wal].iter().any(|bytes| bytes.windows(text.len()).any(|part| part == text));
    assert!(holds(b"ada@example.org"), "the row itself is there");
    assert!(!holds(b"eve@example.org"), "what was asked for is nowhere");
    assert!(found.queries.iter().all(|query| !query.text.contains("example.org")));
}

#[tokio::test]
async fn time_is_that_of_the_statement_with_its_triggers_and_nested_ones_count_apart() {
    let directory = TempDir::new().unwrap();
    let db = open(&directory, StatementCounts::On).await;
    run(
        &db,
        "create table t (a); create table u (a);
         create trigger tu after insert on t begin
             insert into u with recursive n (i) as (select 1 union all select i + 1 from n where i < 50000) select i from n;
         end",
    )
    .await;
    run(&db, "insert into t values (1)").await;
    db.read(|connection| {
        let mut outer = connection.prepare("select a from u limit 3")?;
        let mut rows = outer.query([])?;
        while rows.next()?.is_some() {
            connection.query_row("select count(*) from u", [], |_| Ok(()))?;
        }
        Ok::<_, Error>(())
    })
    .await
    .unwrap();

    db.note_statements().await.unwrap();

    let found = snapshot(&db).await;
    assert_eq!(calls(&found, "insert into t values (?)"), 1);
    assert!(
        !found.queries.iter().any(|query| query.text.contains("with recursive n") && !query.text.contains("trigger"))
    );
    assert_eq!((calls(&found, "select a from u limit ?"), calls(&found, "select count(*) from u")), (1, 3));
    let of = |text: &str| found.queries.iter().find(|query| query.text == text).unwrap().clone();
    let (insert, outer) = (of("insert into t values (?)"), of("select a from u limit ?"));
    assert!(insert.total_ms() > 1.0, "50,000 rows by its trigger: {insert:?}");
    assert!(outer.total_ms() >= of("select count(*) from u").total_ms(), "it was open all the while: {outer:?}");
}

#[tokio::test]
async fn texts_are_bounded_and_what_had_no_room_is_told() {
    let directory = TempDir::new().unwrap();
    let db = open(&directory, StatementCounts::On).await;
    for round in 0..2 {
        db.write(move |tx| {
            for number in 0..1500 {
                tx.execute_batch(&format!("select 1 as column_{round}_{number}"))?;
            }
            Ok::<_, Error>(())
        })
        .await
        .unwrap();
        assert!(db.note_statements().await.unwrap() <= 1010);
    }

    let found = snapshot(&db).await;

    assert_eq!(found.queries.len(), 1000);
    assert!(found.evictions.unwrap() >= 2000, "{:?}", found.evictions);
    assert!(found.whole().completeness.to_string().contains("incomplete"));
}

/// The control: what nobody opted into is neither counted nor told as an empty list.
#[tokio::test]
async fn without_opting_in_nothing_is_counted_and_that_is_said() {
    let directory = TempDir::new().unwrap();
    let db = open(&directory, StatementCounts::Off).await;
    run(&db, "create table t (a)").await;

    assert_eq!(db.note_statements().await.unwrap(), 0);

    let reason = reading(&db).await.reason().unwrap();
    assert!(reason.contains("SQLite does not count statements"), "{reason}");
}

#[tokio::test]
async fn what_could_not_be_stored_is_stored_the_next_time() {
    let directory = TempDir::new().unwrap();
    let db = open(&directory, StatementCounts::On).await;
    // in the place of our table, so that storing fails
    run(&db, "create table t (a); create table tierkeep_statement (other)").await;
    assert!(db.note_statements().await.is_err());

    run(&db, "drop table tierkeep_statement").await;
    db.note_statements().await.unwrap();

    assert_eq!(calls(&snapshot(&db).await, "create table t (a)"), 1);
}

#[tokio::test]
async fn values_that_an_index_names_stay_so_that_its_use_can_be_told() {
    let directory = TempDir::new().unwrap();
    let before = open(&directory, StatementCounts::Off).await;
    run(&before, "create table t (a, done, name); create index open on t (a) where done = 0").await;
    before.close().await;
    let db = open(&directory, StatementCounts::On).await;
    db.read(|connection| {
        Ok::<_, Error>(connection.prepare("select name from t where done = 0 and a = 7")?.exists([])?)
    })
    .await
    .unwrap();

    db.note_statements().await.unwrap();

    assert_eq!(calls(&snapshot(&db).await, "select name from t where done = 0 and a = ?"), 1);
}

#[tokio::test]
async fn values_of_an_index_that_was_made_later_stay_from_the_next_storing_on() {
    let directory = TempDir::new().unwrap();
    let db = open(&directory, StatementCounts::On).await;
    run(&db, "create table t (a, done, name)").await;
    let ask = async || {
        let sql = "select name from t where done = 0 and a = 7";
        db.read(move |connection| Ok::<_, Error>(connection.prepare(sql)?.exists([])?)).await.unwrap();
    };
    ask().await;
    run(&db, "create index open on t (a) where done = 0").await;
    db.note_statements().await.unwrap();
    assert_eq!(calls(&snapshot(&db).await, "select name from t where done = ? and a = ?"), 1, "nobody knew the index");

    ask().await;
    db.note_statements().await.unwrap();

    let found = snapshot(&db).await;
    // a statement that meets a new schema begins twice
    assert!(calls(&found, "select name from t where done = 0 and a = ?") >= 1, "{found:?}");
    assert_eq!(calls(&found, "select name from t where done = ? and a = ?"), 1);
}

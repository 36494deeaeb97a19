//! The threads of SQLite against real files.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tierkeep_db::{Access, Error, SqliteConfig, SqliteDatabase, SqlitePath, Synchronous};
use tierkeep_testkit::SqliteFile;

use crate::{sqlite, sqlite_path};

async fn with_table(file: &SqliteFile) -> SqliteDatabase {
    let db = sqlite(file).await;
    db.write(|tx| Ok::<_, Error>(tx.execute_batch("create table t (a integer) strict")?)).await.unwrap();
    db
}

async fn insert(db: &SqliteDatabase, value: i64) -> Result<usize, Error> {
    db.write(move |tx| Ok(tx.execute("insert into t values (?1)", [value])?)).await
}

async fn count(db: &SqliteDatabase) -> i64 {
    db.read(|connection| Ok::<_, Error>(connection.query_row("select count(*) from t", [], |row| row.get(0))?))
        .await
        .unwrap()
}

#[tokio::test]
async fn committed_rows_are_read_by_every_reader() {
    let file = SqliteFile::new().unwrap();
    let db = with_table(&file).await;

    insert(&db, 1).await.unwrap();

    for _ in 0..20 {
        assert_eq!(count(&db).await, 1);
    }
    db.close().await;
}

#[tokio::test]
async fn error_of_a_write_rolls_back() {
    let file = SqliteFile::new().unwrap();
    let db = with_table(&file).await;

    let result = db
        .write(|tx| {
            tx.execute("insert into t values (1)", [])?;
            Err::<(), _>(Error::Closed)
        })
        .await;

    assert!(matches!(result, Err(Error::Closed)));
    assert_eq!(count(&db).await, 0);
}

#[tokio::test]
async fn panic_of_a_write_rolls_back_and_the_thread_lives_on() {
    let file = SqliteFile::new().unwrap();
    let db = with_table(&file).await;

    let result: Result<(), Error> = db
        .write(|tx| {
            tx.execute("insert into t values (1)", [])?;
            panic!("out of {}", "luck");
        })
        .await;

    assert!(matches!(result, Err(Error::Panicked { message }) if message == "out of luck"));
    insert(&db, 2).await.unwrap();
    assert_eq!(count(&db).await, 1);
}

#[tokio::test]
async fn panics_of_reads_cost_no_reader() {
    let file = SqliteFile::new().unwrap();
    let db = with_table(&file).await;

    for _ in 0..20 {
        let result: Result<(), Error> = db.read(|_| panic!("no luck")).await;
        assert!(matches!(result, Err(Error::Panicked { .. })));
    }

    assert_eq!(count(&db).await, 0);
}

#[tokio::test]
async fn readers_cannot_write() {
    let file = SqliteFile::new().unwrap();
    let db = with_table(&file).await;

    let result = db.read(|connection| Ok::<_, Error>(connection.execute("insert into t values (1)", [])?)).await;
    let tricked = db
        .read(|connection| {
            connection.pragma_update(None, "query_only", false)?;
            Ok::<_, Error>(connection.execute("insert into t values (1)", [])?)
        })
        .await;

    assert!(matches!(result, Err(Error::Sqlite(_))));
    assert!(matches!(tricked, Err(Error::Sqlite(_))));
}

#[tokio::test]
async fn transaction_left_open_by_a_read_is_ended() {
    let file = SqliteFile::new().unwrap();
    let config = SqliteConfig { readers: 1, ..SqliteConfig::default() };
    let db = SqliteDatabase::open(&sqlite_path(&file), config).await.unwrap();
    db.write(|tx| Ok::<_, Error>(tx.execute_batch("create table t (a integer)")?)).await.unwrap();

    db.read(|connection| Ok::<_, Error>(connection.execute_batch("begin; select * from t")?)).await.unwrap();
    insert(&db, 1).await.unwrap();

    assert_eq!(count(&db).await, 1, "an old snapshot would not see the row");
}

#[tokio::test]
async fn misspelt_column_in_quotes_is_an_error_and_not_a_text() {
    let file = SqliteFile::new().unwrap();
    let db = with_table(&file).await;

    let result = db.read(|connection| Ok::<_, Error>(connection.prepare(r#"select "b" from t"#)?.column_count())).await;

    assert!(matches!(result, Err(Error::Sqlite(_))));
}

#[tokio::test]
async fn write_goes_on_when_its_future_is_dropped() {
    let file = SqliteFile::new().unwrap();
    let db = with_table(&file).await;
    let (started, start) = mpsc::sync_channel(1);
    let (go_on, gone_on) = mpsc::sync_channel(1);
    let writing = tokio::spawn({
        let db = db.clone();
        async move {
            db.write(move |tx| {
                started.send(()).unwrap();
                gone_on.recv().unwrap();
                Ok::<_, Error>(tx.execute("insert into t values (1)", [])?)
            })
            .await
        }
    });
    tokio::task::spawn_blocking(move || start.recv().unwrap()).await.unwrap();

    writing.abort();
    assert!(writing.await.unwrap_err().is_cancelled());
    go_on.send(()).unwrap();
    insert(&db, 2).await.unwrap();

    assert_eq!(count(&db).await, 2);
}

#[tokio::test]
async fn closing_runs_what_is_queued_and_empties_the_log() {
    let file = SqliteFile::new().unwrap();
    let db = with_table(&file).await;
    let writes: Vec<_> = (0..50)
        .map(|number| {
            let db = db.clone();
            tokio::spawn(async move { insert(&db, number).await })
        })
        .collect();
    let mut done = 0;
    for write in writes {
        done += write.await.unwrap().unwrap();
    }

    db.close().await;

    assert!(matches!(insert(&db, 1).await, Err(Error::Closed)));
    assert!(!file.path().with_extension("db-wal").exists());
    let rows: u32 =
        Connection::open(file.path()).unwrap().query_row("select count(*) from t", [], |row| row.get(0)).unwrap();
    assert_eq!(rows as usize, done);
    db.close().await;
}

#[tokio::test]
async fn threads_end_when_the_last_clone_is_dropped() {
    let file = SqliteFile::new().unwrap();
    let db = with_table(&file).await;
    let (done, gone) = mpsc::sync_channel::<()>(0);
    // Dropped with the thread's queue, or when it has run.
    db.read(move |_| {
        drop(done);
        Ok::<_, Error>(())
    })
    .await
    .unwrap();

    drop(db);

    assert!(gone.recv().is_err());
    let connection = Connection::open(file.path()).unwrap();
    connection.busy_timeout(Duration::from_secs(20)).unwrap();
    // Possible only when no other connection is left.
    connection.pragma_update_and_check(None, "locking_mode", "exclusive", |_| Ok(())).unwrap();
    connection.execute_batch("begin exclusive; insert into t values (1); commit").unwrap();
}

#[tokio::test]
async fn file_is_made_only_if_that_was_asked_for() {
    let file = SqliteFile::new().unwrap();
    let path = sqlite_path(&file);

    for access in [Access::ReadWrite, Access::ReadOnly] {
        let result = SqliteDatabase::open(&path, SqliteConfig { access, ..SqliteConfig::default() }).await;
        assert!(matches!(result, Err(Error::FileMissing { path }) if path == file.path()));
    }
    assert!(!file.path().exists());

    let config = SqliteConfig { synchronous: Synchronous::Full, ..SqliteConfig::default() };
    SqliteDatabase::open(&path, config).await.unwrap().close().await;
    assert!(file.path().exists());
}

#[tokio::test]
async fn file_in_a_missing_directory_or_of_another_kind_cannot_be_opened() {
    let file = SqliteFile::new().unwrap();
    let nowhere = SqlitePath::new(file.path().with_extension("d").join("a.db"));
    let result = SqliteDatabase::open(&nowhere, SqliteConfig::default()).await;
    assert!(matches!(result, Err(Error::Open { .. })));

    std::fs::write(
        file.path(),
        "certainly no database, but long enough to have a header of one hundred bytes".repeat(9),
    )
    .unwrap();
    for access in [Access::ReadWriteCreate, Access::ReadOnly] {
        let result =
            SqliteDatabase::open(&sqlite_path(&file), SqliteConfig { access, ..SqliteConfig::default() }).await;
        assert!(matches!(result, Err(Error::Open { .. })));
    }
}

#[tokio::test]
async fn read_only_database_answers_and_refuses_to_write() {
    let file = SqliteFile::new().unwrap();
    let connection = Connection::open(file.path()).unwrap();
    connection.execute_batch("create table t (a); insert into t values (1)").unwrap();
    let before = std::fs::read(file.path()).unwrap();

    let config = SqliteConfig { access: Access::ReadOnly, ..SqliteConfig::default() };
    let db = SqliteDatabase::open(&sqlite_path(&file), config).await.unwrap();

    assert_eq!(count(&db).await, 1);
    assert!(matches!(insert(&db, 2).await, Err(Error::ReadOnly { .. })));
    db.close().await;
    assert_eq!(std::fs::read(file.path()).unwrap(), before);
}

#[tokio::test]
async fn lock_of_another_process_is_waited_for_and_then_reported() {
    let file = SqliteFile::new().unwrap();
    let config = SqliteConfig { busy_timeout: Duration::from_millis(50), ..SqliteConfig::default() };
    let db = SqliteDatabase::open(&sqlite_path(&file), config).await.unwrap();
    db.write(|tx| Ok::<_, Error>(tx.execute_batch("create table t (a integer)")?)).await.unwrap();
    let other = Connection::open(file.path()).unwrap();
    other.execute_batch("begin immediate").unwrap();

    let result = insert(&db, 1).await;

    assert!(matches!(result, Err(Error::Busy { waited, .. }) if waited == Duration::from_millis(50)));
    other.execute_batch("rollback").unwrap();
    insert(&db, 1).await.unwrap();
}

#[tokio::test]
async fn number_of_readers_is_checked() {
    let file = SqliteFile::new().unwrap();

    for readers in [0, 65] {
        let result =
            SqliteDatabase::open(&sqlite_path(&file), SqliteConfig { readers, ..SqliteConfig::default() }).await;
        assert!(matches!(result, Err(Error::InvalidSetting { setting: "readers", .. })));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_callers_than_places_are_all_served() {
    let file = SqliteFile::new().unwrap();
    let db = with_table(&file).await;

    let callers: Vec<_> = (0..3000)
        .map(|number| {
            let db = db.clone();
            tokio::spawn(async move {
                if number % 10 == 0 { insert(&db, number).await.unwrap() as i64 } else { count(&db).await }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }

    assert_eq!(count(&db).await, 300);
}

/// A file that is not in write-ahead mode yet, and somebody who is about to write to it.
fn written_by_another(file: &SqliteFile) -> Connection {
    let other = Connection::open(file.path()).unwrap();
    other.execute_batch("create table t (a integer) strict; begin immediate").unwrap();
    other
}

#[tokio::test]
async fn another_writer_of_a_new_file_is_waited_for() {
    let file = SqliteFile::new().unwrap();
    let other = written_by_another(&file);
    let config = SqliteConfig { busy_timeout: Duration::from_millis(50), ..SqliteConfig::default() };
    let began = Instant::now();

    let error = SqliteDatabase::open(&sqlite_path(&file), config).await.unwrap_err();

    assert!(matches!(error, Error::Open { .. }), "{error}");
    assert!(began.elapsed() >= Duration::from_millis(50), "given up after {:?}", began.elapsed());
    let path = sqlite_path(&file);
    let opening = tokio::spawn(async move { SqliteDatabase::open(&path, SqliteConfig::default()).await });
    tokio::task::yield_now().await;
    other.execute_batch("commit").unwrap();
    opening.await.unwrap().unwrap().close().await;
}

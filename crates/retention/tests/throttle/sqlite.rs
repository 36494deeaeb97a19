//! What SQLite tells.

use std::time::Duration;

use rusqlite::Connection;
use tierkeep_db::{DatabaseUrl, Error, SqliteConfig, SqliteDatabase};
use tierkeep_retention::{Reading, health_sqlite};
use tierkeep_testkit::SqliteFile;

pub(super) async fn open(file: &SqliteFile) -> SqliteDatabase {
    match file.url().parse().unwrap() {
        DatabaseUrl::Sqlite(path) => SqliteDatabase::open(&path, SqliteConfig::default()).await.unwrap(),
        DatabaseUrl::Postgres(url) => panic!("{url} is no file"),
    }
}

async fn unwritten(db: &SqliteDatabase) -> u64 {
    match &health_sqlite(db, Duration::from_millis(7)).await[..] {
        [Reading::WalFile { bytes }, Reading::WriteLock { waited }] if *waited == Duration::from_millis(7) => *bytes,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn reader_that_holds_the_log_back_is_seen_until_it_ends() {
    const MIB: u64 = 1 << 20;
    let file = SqliteFile::new().unwrap();
    let db = open(&file).await;
    db.write(|tx| Ok::<_, Error>(tx.execute_batch("create table t (body blob); insert into t values ('x')")?))
        .await
        .unwrap();
    let reader = Connection::open(file.path()).unwrap();
    reader.execute_batch("begin; select * from t").unwrap();

    let fill = "with recursive n (i) as (select 1 union all select i + 1 from n where i < 20)
                insert into t select zeroblob(1048576) from n";
    db.write(move |tx| Ok::<_, Error>(tx.execute_batch(fill)?)).await.unwrap();
    let held = unwritten(&db).await;
    reader.execute_batch("rollback").unwrap();
    let free = unwritten(&db).await;

    let length = std::fs::metadata(file.path().with_extension("db-wal")).unwrap().len();
    assert!(held > 18 * MIB, "{held}");
    assert_eq!(free, 0);
    assert!(length > 18 * MIB, "the log keeps its length: {length}");
    db.close().await;
}

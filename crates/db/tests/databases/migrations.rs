//! Migrations on both databases: the same rules, the same answers.

use rusqlite::Connection;
use tierkeep_db::{
    Access, Error, MigrationReport, Migrations, SqliteConfig, SqliteDatabase, applied_version_postgres,
    applied_version_sqlite, migrate_postgres, migrate_sqlite,
};
use tierkeep_testkit::SqliteFile;

use crate::{postgres, sqlite, sqlite_path};

const NOTES: (u32, &str, &str) =
    (1, "notes", "create table notes (id integer primary key); insert into notes values (1)");
const TAGS: (u32, &str, &str) = (2, "tags", "create table tags (id integer primary key)");
const BROKEN: (u32, &str, &str) =
    (3, "broken", "create table more (id integer primary key); insert into nowhere values (1)");

fn migrations<const N: usize>(list: [(u32, &str, &str); N]) -> Migrations {
    Migrations::new(list).unwrap()
}

#[tokio::test]
async fn postgres_is_migrated_step_by_step_and_then_left_alone() {
    let database = postgres().await;
    let mut client = database.client().await.unwrap();
    assert_eq!(applied_version_postgres(&client).await.unwrap(), None);

    let first = migrate_postgres(&mut client, &migrations([NOTES])).await.unwrap();
    let second = migrate_postgres(&mut client, &migrations([NOTES, TAGS])).await.unwrap();
    let third = migrate_postgres(&mut client, &migrations([NOTES, TAGS])).await.unwrap();

    assert_eq!(first, MigrationReport { applied: vec![1], version: Some(1) });
    assert_eq!(second, MigrationReport { applied: vec![2], version: Some(2) });
    assert_eq!(third, MigrationReport { applied: vec![], version: Some(2) });
    assert_eq!(applied_version_postgres(&client).await.unwrap(), Some(2));
}

#[tokio::test]
async fn sqlite_is_migrated_step_by_step_and_then_left_alone() {
    let file = SqliteFile::new().unwrap();
    let db = sqlite(&file).await;
    assert_eq!(applied_version_sqlite(&db).await.unwrap(), None);

    let first = migrate_sqlite(&db, &migrations([NOTES])).await.unwrap();
    let second = migrate_sqlite(&db, &migrations([NOTES, TAGS])).await.unwrap();
    let third = migrate_sqlite(&db, &migrations([NOTES, TAGS])).await.unwrap();

    assert_eq!(first, MigrationReport { applied: vec![1], version: Some(1) });
    assert_eq!(second, MigrationReport { applied: vec![2], version: Some(2) });
    assert_eq!(third, MigrationReport { applied: vec![], version: Some(2) });
    assert_eq!(applied_version_sqlite(&db).await.unwrap(), Some(2));
}

#[tokio::test]
async fn failed_migration_leaves_nothing_on_postgres() {
    let database = postgres().await;
    let mut client = database.client().await.unwrap();

    let error = migrate_postgres(&mut client, &migrations([NOTES, TAGS, BROKEN])).await.unwrap_err();

    assert!(matches!(error, Error::MigrationFailed { version: 3, .. }), "{error}");
    assert_eq!(applied_version_postgres(&client).await.unwrap(), None);
    let left =
        client.query_one("select to_regclass('notes') is null and to_regclass('more') is null", &[]).await.unwrap();
    assert!(left.get::<_, bool>(0));
    migrate_postgres(&mut client, &migrations([NOTES])).await.unwrap();
}

#[tokio::test]
async fn failed_migration_leaves_nothing_on_sqlite() {
    let file = SqliteFile::new().unwrap();
    let db = sqlite(&file).await;

    let error = migrate_sqlite(&db, &migrations([NOTES, TAGS, BROKEN])).await.unwrap_err();

    assert!(matches!(error, Error::MigrationFailed { version: 3, .. }), "{error}");
    assert_eq!(applied_version_sqlite(&db).await.unwrap(), None);
    migrate_sqlite(&db, &migrations([NOTES])).await.unwrap();
}

#[tokio::test]
async fn nodes_that_start_at_once_migrate_postgres_once() {
    let database = postgres().await;
    let nodes: Vec<_> = (0..6)
        .map(|_| {
            let url = database.url().to_owned();
            tokio::spawn(async move {
                let pool = crate::pool(&url, tierkeep_db::PoolConfig::default());
                let mut connection = pool.get().await.unwrap();
                migrate_postgres(&mut connection, &migrations([NOTES, TAGS])).await.unwrap().applied
            })
        })
        .collect();

    let mut applied = Vec::new();
    for node in nodes {
        applied.extend(node.await.unwrap());
    }

    assert_eq!(applied, [1, 2]);
}

#[tokio::test]
async fn nodes_that_start_at_once_migrate_sqlite_once() {
    let file = SqliteFile::new().unwrap();
    let path = sqlite_path(&file);
    let nodes: Vec<_> = (0..4)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move {
                let db = SqliteDatabase::open(&path, SqliteConfig::default()).await.unwrap();
                migrate_sqlite(&db, &migrations([NOTES, TAGS])).await.unwrap().applied
            })
        })
        .collect();

    let mut applied = Vec::new();
    for node in nodes {
        applied.extend(node.await.unwrap());
    }

    assert_eq!(applied, [1, 2]);
}

#[tokio::test]
async fn newer_and_edited_databases_are_refused_on_both() {
    let edited = (1, "notes", "create table notes (id integer primary key, text text)");
    let database = postgres().await;
    let mut client = database.client().await.unwrap();
    migrate_postgres(&mut client, &migrations([NOTES, TAGS])).await.unwrap();
    let file = SqliteFile::new().unwrap();
    let db = sqlite(&file).await;
    migrate_sqlite(&db, &migrations([NOTES, TAGS])).await.unwrap();

    for (list, is_expected) in [
        (migrations([NOTES]), (|e| matches!(e, Error::DatabaseNewer { found: 2, known: 1 })) as fn(&Error) -> bool),
        (migrations([edited, TAGS]), |e| matches!(e, Error::MigrationDivergent { version: 1, .. })),
    ] {
        let error = migrate_postgres(&mut client, &list).await.unwrap_err();
        assert!(is_expected(&error), "{error}");
        let error = migrate_sqlite(&db, &list).await.unwrap_err();
        assert!(is_expected(&error), "{error}");
    }
}

#[tokio::test]
async fn version_is_read_with_rights_to_select_only() {
    let database = postgres().await;
    let mut client = database.client().await.unwrap();
    let role = format!("reader_of_{}", database.name());
    client.batch_execute(&format!("create role \"{role}\"; set role \"{role}\"")).await.unwrap();
    assert_eq!(applied_version_postgres(&client).await.unwrap(), None);
    client.batch_execute("reset role").await.unwrap();
    migrate_postgres(&mut client, &migrations([NOTES])).await.unwrap();
    client
        .batch_execute(&format!("grant select on tierkeep_migrations to \"{role}\"; set role \"{role}\""))
        .await
        .unwrap();

    assert_eq!(applied_version_postgres(&client).await.unwrap(), Some(1));
    assert!(migrate_postgres(&mut client, &migrations([NOTES])).await.unwrap().applied.is_empty());

    client.batch_execute(&format!("reset role; drop owned by \"{role}\"; drop role \"{role}\"")).await.unwrap();
}

#[tokio::test]
async fn read_only_file_is_read_and_not_migrated() {
    let file = SqliteFile::new().unwrap();
    Connection::open(file.path()).unwrap().execute_batch("create table t (a)").unwrap();
    let config = SqliteConfig { access: Access::ReadOnly, ..SqliteConfig::default() };
    let db = SqliteDatabase::open(&sqlite_path(&file), config).await.unwrap();

    assert_eq!(applied_version_sqlite(&db).await.unwrap(), None);
    assert!(matches!(migrate_sqlite(&db, &migrations([NOTES])).await, Err(Error::ReadOnly { .. })));
}

//! Making an index among writers, cancellations and leftovers.

use std::time::Duration;

use tierkeep_db::advice::create::{
    CreateError, CreateOptions, Created, Runs, Verdict, create, judge, measure, measure_trials, trials,
};
use tierkeep_db::plan::PlanError;
use tierkeep_db::{Database, Error, Ident, IndexDefinition, IndexKey, IndexMethod, KeyFunction, KeyOrder, Keyed};
use tierkeep_testkit::{DatabaseClient, SqliteFile, TestDatabase};

use crate::{pool, postgres, sources, sqlite};

const TABLE: &str = "
    create table t (id int primary key, a int not null, b text not null, c int not null);
    insert into t select i, i % 500, 'Word ' || i % 900, i % 7 from generate_series(1, 20000) as i;
    analyze t;";

fn ident(name: &str) -> Ident {
    Ident::new(name).unwrap()
}

fn on_a() -> IndexDefinition {
    IndexDefinition {
        method: IndexMethod::Tree,
        table: "public.t".parse().unwrap(),
        keys: vec![IndexKey::ascending(ident("a"))],
        include: vec![],
        predicate: None,
    }
}

fn patient() -> CreateOptions {
    CreateOptions { pause: Duration::from_millis(10), ..CreateOptions::default() }
}

async fn table() -> (TestDatabase, DatabaseClient, Database) {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client.batch_execute(TABLE).await.unwrap();
    let db = Database::Postgres(pool(&database));
    (database, client, db)
}

/// Indexes of the table besides the primary key, with whether they are valid.
async fn indexes(client: &DatabaseClient) -> Vec<(String, bool)> {
    let rows = client
        .query(
            "select c.relname::text, i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid
             where i.indrelid = 't'::regclass and not i.indisprimary order by 1",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Waits until a condition of the server holds.
async fn until(client: &DatabaseClient, condition: &str) {
    let waiting = async {
        while !client.query_one(condition, &[]).await.unwrap().get::<_, bool>(0) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("the condition holds within a minute");
}

const BUILDING: &str = "select exists (select 1 from pg_stat_progress_create_index where datname = current_database())";
const WAITING: &str = "select exists (select 1 from pg_index i join pg_class c on c.oid = i.indexrelid
    where i.indrelid = 't'::regclass and not i.indisvalid)";

#[tokio::test]
async fn index_is_made_once_whatever_it_is_called() {
    let (_database, client, db) = table().await;
    let index = on_a();

    let first = create(&db, &index, &patient()).await.unwrap();
    let second = create(&db, &index, &patient()).await.unwrap();

    assert_eq!(first, Created::New { name: index.name(), failed_attempts: 0 });
    assert_eq!(second, Created::Present { name: index.name() });
    assert_eq!(indexes(&client).await, [(index.name().to_string(), true)]);
}

#[tokio::test]
async fn index_of_another_name_and_wider_one_make_it_needless() {
    let (_database, client, db) = table().await;
    client
        .batch_execute(
            "create index theirs on t (a, c); create index lower_b on t (lower(b) desc nulls last) include (c);
             create index part on t (c) where b = 'it''s'",
        )
        .await
        .unwrap();
    let by_function = IndexDefinition {
        keys: vec![IndexKey {
            by: Keyed::Function(KeyFunction::Lower, ident("b")),
            order: KeyOrder::DescendingNullsLast,
        }],
        include: vec![ident("c")],
        ..on_a()
    };

    assert_eq!(create(&db, &on_a(), &patient()).await.unwrap(), Created::Present { name: ident("theirs") });
    assert_eq!(create(&db, &by_function, &patient()).await.unwrap(), Created::Present { name: ident("lower_b") });
    let other = IndexDefinition { keys: vec![IndexKey::ascending(ident("c"))], ..on_a() };
    assert!(
        matches!(create(&db, &other, &patient()).await.unwrap(), Created::New { .. }),
        "a partial one does not serve"
    );
}

#[tokio::test]
async fn name_of_something_else_is_an_error_and_nothing_is_touched() {
    let (_database, client, db) = table().await;
    let name = on_a().name();
    client.batch_execute(&["create index ", &name.quoted(), " on t (c)"].concat()).await.unwrap();

    let error = create(&db, &on_a(), &patient()).await.unwrap_err();

    assert!(matches!(&error, CreateError::NameTaken { name: taken } if *taken == name), "{error}");
    assert_eq!(indexes(&client).await, [(name.to_string(), true)]);
    // The control: the server, asked with `if not exists`, says nothing and makes nothing.
    client.batch_execute(&["create index if not exists ", &name.quoted(), " on t (a)"].concat()).await.unwrap();
    assert_eq!(indexes(&client).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_index_leaves_nothing() {
    let (database, client, db) = table().await;
    // A transaction that is older than the index keeps it waiting.
    let older = database.client().await.unwrap();
    older.batch_execute("begin; insert into t values (-1, 1, '', 1)").await.unwrap();

    for cancel in ["pg_cancel_backend", "pg_terminate_backend"] {
        let (task_db, index) = (db.clone(), on_a());
        let options = CreateOptions { lock_timeout: Duration::from_secs(600), ..patient() };
        let task = tokio::spawn(async move { create(&task_db, &index, &options).await });
        until(&client, WAITING).await;
        until(&client, BUILDING).await;
        // The removal has to wait for the older transaction as well, so this one ends as soon as the index is cancelled.
        let kill =
            ["select ", cancel, "(pid) from pg_stat_progress_create_index where datname = current_database()"].concat();
        client.batch_execute(&kill).await.unwrap();
        older.batch_execute("rollback; begin; insert into t values (-1, 1, '', 1)").await.unwrap();
        until(
            &client,
            "select not exists (select 1 from pg_stat_progress_create_index where datname = current_database())",
        )
        .await;
        older.batch_execute("rollback").await.unwrap();

        let error = task.await.unwrap().unwrap_err();
        assert!(matches!(error, CreateError::Failed { .. }), "{cancel}: {}", sources(&error));
        assert_eq!(indexes(&client).await, [], "{cancel}");
        older.batch_execute("begin; insert into t values (-1, 1, '', 1)").await.unwrap();
    }
    older.batch_execute("rollback").await.unwrap();
    assert!(matches!(create(&db, &on_a(), &patient()).await.unwrap(), Created::New { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn caller_that_goes_away_leaves_an_index_or_nothing() {
    let (database, client, db) = table().await;
    let older = database.client().await.unwrap();
    older.batch_execute("begin; insert into t values (-1, 1, '', 1)").await.unwrap();
    let (task_db, index) = (db.clone(), on_a());
    let task = tokio::spawn(async move { create(&task_db, &index, &patient()).await });
    until(&client, WAITING).await;

    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    older.batch_execute("rollback").await.unwrap();
    create(&db, &on_a(), &patient()).await.unwrap();

    assert_eq!(indexes(&client).await, [(on_a().name().to_string(), true)]);
}

#[tokio::test]
async fn leftover_of_an_earlier_attempt_is_replaced_and_one_of_others_is_not() {
    let (_database, client, db) = table().await;
    let name = on_a().name();
    // What a process that died in the middle leaves.
    client.batch_execute(&["create index ", &name.quoted(), " on t (a)"].concat()).await.unwrap();
    client.batch_execute("create unique index concurrently theirs on t (a)").await.unwrap_err();
    client
        .batch_execute("update pg_index set indisvalid = false where indrelid = 't'::regclass and not indisprimary")
        .await
        .unwrap();
    assert_eq!(indexes(&client).await, [(name.to_string(), false), ("theirs".to_owned(), false)]);

    let created = create(&db, &on_a(), &patient()).await.unwrap();

    assert_eq!(created, Created::New { name: name.clone(), failed_attempts: 0 });
    assert_eq!(indexes(&client).await, [(name.to_string(), true), ("theirs".to_owned(), false)]);
}

#[tokio::test]
async fn failure_of_the_build_itself_leaves_nothing() {
    let (_database, client, db) = table().await;
    // An entry of an index has at most a third of a page.
    client
        .batch_execute("insert into t select 0, 0, string_agg(md5(i::text), ''), 0 from generate_series(1, 1000) as i")
        .await
        .unwrap();
    let too_wide = IndexDefinition { keys: vec![IndexKey::ascending(ident("b"))], ..on_a() };

    let error = create(&db, &too_wide, &patient()).await.unwrap_err();

    assert!(matches!(error, CreateError::Failed { .. }), "{}", sources(&error));
    assert!(sources(&error).contains("maximum size"), "{}", sources(&error));
    assert_eq!(indexes(&client).await, []);
}

#[tokio::test]
async fn locked_table_is_given_up_after_its_retries() {
    let (_database, client, db) = table().await;
    client.batch_execute("begin; lock table t in share update exclusive mode").await.unwrap();
    let options = CreateOptions { lock_timeout: Duration::from_millis(50), retries: 2, ..patient() };

    let error = create(&db, &on_a(), &options).await.unwrap_err();

    assert!(matches!(error, CreateError::Locked { attempts: 3, .. }), "{}", sources(&error));
    client.batch_execute("rollback").await.unwrap();
    assert_eq!(indexes(&client).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_want_the_same_index_make_one() {
    let (_database, client, db) = table().await;
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let db = db.clone();
            tokio::spawn(async move { create(&db, &on_a(), &patient()).await })
        })
        .collect();

    let mut new = 0;
    for task in tasks {
        new += usize::from(matches!(task.await.unwrap().unwrap(), Created::New { .. }));
    }

    assert_eq!(new, 1);
    assert_eq!(indexes(&client).await.len(), 1);
}

#[tokio::test]
async fn another_process_at_the_table_is_waited_for_and_then_named() {
    let (_database, client, db) = table().await;
    client.batch_execute("select pg_advisory_lock(x'74696478'::int, hashtext('\"public\".\"t\"'))").await.unwrap();
    let options = CreateOptions { patience: Duration::from_millis(100), ..patient() };

    let error = create(&db, &on_a(), &options).await.unwrap_err();

    assert!(matches!(error, CreateError::Occupied { .. }), "{error}");
}

#[tokio::test]
async fn real_runs_say_whether_it_helps() {
    let (_database, client, db) = table().await;
    client
        .batch_execute("insert into t select i, i % 20000, 'x', 1 from generate_series(20001, 200000) as i; analyze t")
        .await
        .unwrap();
    let statements = [("select * from t where a = 77", 10.0)];
    let runs = Runs::default();

    let before = measure(&db, &statements, &runs).await.unwrap();
    create(&db, &on_a(), &patient()).await.unwrap();
    let after = measure(&db, &statements, &runs).await.unwrap();

    let benefit = judge(&before, &after);
    assert_eq!(benefit.verdict, Verdict::Kept, "{benefit:?}");
    assert!(measure(&db, &[("delete from t", 1.0)], &runs).await.is_err());
}

#[tokio::test]
async fn sqlite_makes_an_index_once_and_refuses_a_name_that_is_taken() {
    let file = SqliteFile::new().unwrap();
    let inner = sqlite(&file, "create table t (id integer primary key, a, b, c); create table u (a)").await;
    let db = Database::Sqlite(inner.clone());
    let index = IndexDefinition { table: "main.t".parse().unwrap(), include: vec![ident("c")], ..on_a() };

    assert_eq!(create(&db, &index, &patient()).await.unwrap(), Created::New { name: index.name(), failed_attempts: 0 });
    assert_eq!(create(&db, &index, &patient()).await.unwrap(), Created::Present { name: index.name() });
    let other = IndexDefinition { table: "main.u".parse().unwrap(), include: vec![], ..index.clone() };
    let blocker = ["create table ", &other.name().quoted(), " (x)"].concat();
    inner.write(move |tx| Ok::<_, Error>(tx.execute_batch(&blocker)?)).await.unwrap();
    assert!(matches!(create(&db, &other, &patient()).await.unwrap_err(), CreateError::NameTaken { .. }));
}

/// Statements that were counted have parameters; values for them are taken from the tables.
#[tokio::test]
async fn statements_with_parameters_are_timed_with_values_of_the_tables() {
    let (_database, client, db) = table().await;
    client
        .batch_execute("insert into t select i, i % 20000, 'x', 1 from generate_series(20001, 200000) as i; analyze t")
        .await
        .unwrap();
    let file = SqliteFile::new().unwrap();
    let lite = sqlite(
        &file,
        "create table t (id integer primary key, a, b, c);
         with recursive n (i) as (values (1) union all select i + 1 from n where i < 200000)
         insert into t select i, i % 20000, 'x', 1 from n; analyze",
    )
    .await;
    let on_a_of_main = IndexDefinition { table: "main.t".parse().unwrap(), ..on_a() };
    let both = [
        (db, "select * from t where a = $1", on_a()),
        (Database::Sqlite(lite), "select * from t where a = ?", on_a_of_main),
    ];
    for (db, sql, index) in both {
        let runs = Runs::default();

        let trials = trials(&db, sql, 9.0).await.unwrap().found().unwrap().clone();
        let before = measure_trials(&db, &trials, &runs).await.unwrap();
        create(&db, &index, &patient()).await.unwrap();
        let after = measure_trials(&db, &trials, &runs).await.unwrap();

        let benefit = judge(&before, &after);
        assert_eq!(benefit.verdict, Verdict::Kept, "{benefit:?}");
        assert!(
            trials.len() > 1 && benefit.statements.len() == trials.len(),
            "each set of values is told: {benefit:?}"
        );
        assert!((trials.iter().map(|trial| trial.calls).sum::<f64>() - 9.0).abs() < 1e-9);
        assert!(benefit.statements[0].0.contains("parameter 1"), "{benefit:?}");
        // the control: without values nothing is run, or it would look for null
        assert!(matches!(measure(&db, &[(sql, 1.0)], &runs).await.unwrap_err(), PlanError::ValuesMissing { .. }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_removed_in_time_is_named_with_its_statement() {
    let (database, client, db) = table().await;
    let older = database.client().await.unwrap();
    older.batch_execute("begin; insert into t values (-1, 1, '', 1)").await.unwrap();
    let options =
        CreateOptions { lock_timeout: Duration::from_millis(100), patience: Duration::from_millis(100), ..patient() };

    let error = create(&db, &on_a(), &options).await.unwrap_err();

    let CreateError::Left { statement, .. } = &error else { panic!("{}", sources(&error)) };
    assert!(statement.starts_with("drop index concurrently"), "{statement}");
    older.batch_execute("rollback").await.unwrap();
    assert!(matches!(create(&db, &on_a(), &patient()).await.unwrap(), Created::New { .. }), "the next one clears up");
    assert_eq!(indexes(&client).await, [(on_a().name().to_string(), true)]);
}

//! Many rows at once: boundaries, refusals and what a report says.

use tierkeep_db::bulk::{Bulk, BulkError, BulkReport, Duplicates, Failures, Path};
use tierkeep_db::{Database, Error, Value, ValueError};

use crate::fixture::{Bases, idents, numbers, rows, run};

async fn bases() -> Bases {
    let bases = Bases::new().await;
    bases.run("create table t (id integer not null primary key, a text)").await;
    bases
}

fn pairs(ids: std::ops::Range<i64>, a: &str) -> Vec<Vec<Value>> {
    ids.map(|id| vec![id.into(), a.into()]).collect()
}

fn insert() -> Bulk {
    Bulk::insert("t".parse().unwrap(), idents(&["id", "a"])).unwrap()
}

fn upsert() -> Bulk {
    Bulk::upsert("t".parse().unwrap(), idents(&["id", "a"]), idents(&["id"]), idents(&["a"])).unwrap()
}

fn counts(report: &BulkReport) -> [u64; 5] {
    [report.inserted, report.updated, report.deleted, report.unchanged, report.missing]
}

#[tokio::test]
async fn every_size_around_the_limits_of_the_paths_arrives() {
    let bases = bases().await;

    for db in &bases.all {
        for size in [0, 1, 499, 500, 501, 9_999, 10_000, 10_001] {
            run(db, "delete from t").await;
            let report = insert().run(db, pairs(0..size, "x")).await.unwrap();
            assert_eq!(report.inserted, size.unsigned_abs());
            assert_eq!(numbers(db, "select count(*) from t where a = 'x'").await, [size]);
        }
    }
}

#[tokio::test]
async fn statements_have_at_most_as_many_parameters_as_the_protocol_counts() {
    let bases = Bases::new().await;
    let names: Vec<String> = (0..300).map(|column| format!("c{column}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let columns = names.join(" integer, ");
    run(bases.postgres(), &["create table t (", &columns, " integer)"].concat()).await;
    let row = |number: i64| (0..300).map(|_| number.into()).collect::<Vec<Value>>();

    // 218 rows have 65,400 parameters, 219 have 65,700
    for (count, path) in [(218, Path::BySize), (219, Path::BySize), (500, Path::Values), (1, Path::Values)] {
        let bulk = Bulk::insert("t".parse().unwrap(), idents(&names)).unwrap().path(path);
        let report = bulk.run(bases.postgres(), (0..count).map(row).collect()).await.unwrap();
        assert_eq!(report.inserted, count.unsigned_abs());
    }

    assert_eq!(numbers(bases.postgres(), "select count(distinct c299) from t").await, [500]);
}

#[tokio::test]
async fn a_report_tells_new_changed_and_unchanged_rows_apart() {
    let bases = bases().await;

    for db in &bases.all {
        for path in [Path::Values, Path::Arrays, Path::Copy] {
            run(db, "delete from t").await;
            let rows = |a: &str, range: std::ops::Range<i64>| pairs(range, a);
            let write = async |bulk: Bulk, rows: Vec<Vec<Value>>| counts(&bulk.path(path).run(db, rows).await.unwrap());

            assert_eq!(write(upsert(), rows("x", 0..4)).await, [4, 0, 0, 0, 0]);
            assert_eq!(write(upsert(), [rows("x", 2..4), rows("y", 4..6)].concat()).await, [2, 0, 0, 2, 0]);
            assert_eq!(write(upsert(), rows("y", 3..6)).await, [0, 1, 0, 2, 0]);
            let missing = Bulk::insert_missing("t".parse().unwrap(), idents(&["id", "a"]), idents(&["id"])).unwrap();
            assert_eq!(write(missing, rows("z", 5..7)).await, [1, 0, 0, 1, 0]);
            let update = Bulk::update("t".parse().unwrap(), idents(&["id", "a"]), idents(&["id"])).unwrap();
            assert_eq!(write(update, rows("y", 2..9)).await, [0, 2, 0, 3, 2]);
            let delete = Bulk::delete("t".parse().unwrap(), idents(&["id"])).unwrap();
            let keys = (5..9).map(|id: i64| vec![id.into()]).collect();
            assert_eq!(write(delete, keys).await, [0, 0, 2, 0, 2]);
            assert_eq!(numbers(db, "select id from t order by id").await, [0, 1, 2, 3, 4]);
        }
    }
}

#[tokio::test]
async fn two_rows_of_one_key_are_refused_or_the_last_one_counts() {
    let bases = bases().await;
    let twice = || [pairs(0..3, "first"), pairs(1..2, "last")].concat();

    for db in &bases.all {
        let refused = upsert().run(db, twice()).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "rows 1 and 3 have the same key: give one of them, or choose that the last one wins"
        );
        assert_eq!(numbers(db, "select count(*) from t").await, [0]);

        let last = upsert().duplicates(Duplicates::LastWins).run(db, twice()).await.unwrap();
        assert_eq!((last.inserted, last.replaced), (3, 1));
        assert_eq!(numbers(db, "select id from t where a = 'last'").await, [1]);
        let per_row = upsert().failures(Failures::PerRow).run(db, twice()).await.unwrap();
        assert_eq!(per_row.failures.iter().map(|failure| failure.index).collect::<Vec<_>>(), [3]);
    }
}

#[tokio::test]
async fn keys_that_only_the_database_holds_to_be_equal_do_not_surprise() {
    let bases = Bases::new().await;
    let db = bases.postgres();
    run(db, "create table t (id char(4) primary key, a text)").await;
    let rows_given =
        || vec![vec!["a".into(), "first".into()], vec!["b".into(), "b".into()], vec!["a ".into(), "last".into()]];

    for path in [Path::Values, Path::Arrays, Path::Copy] {
        run(db, "delete from t").await;
        let refused = upsert().path(path).run(db, rows_given()).await.unwrap_err();
        assert!(matches!(refused, Error::Bulk(BulkError::EqualKeys)), "{refused}");
        let last = upsert().path(path).duplicates(Duplicates::LastWins).run(db, rows_given()).await.unwrap();
        assert_eq!((last.inserted, last.updated), (2, 1));
        assert_eq!(rows(db, "select a from t order by id").await[0].get::<String>("a").unwrap(), "last");
        let update = Bulk::update("t".parse().unwrap(), idents(&["id", "a"]), idents(&["id"])).unwrap().path(path);
        let refused = update.run(db, rows_given()).await.unwrap_err();
        assert!(matches!(refused, Error::Bulk(BulkError::EqualKeys)), "{refused}");
    }
}

#[tokio::test]
async fn few_bad_rows_among_many_are_found_and_the_others_kept() {
    let bases = Bases::new().await;
    bases.run("create table t (id integer not null primary key, a text not null)").await;

    for db in &bases.all {
        run(db, "delete from t").await;
        let mut given = pairs(0..12_000, "x");
        given[7][1] = Value::Null;
        given[5_000][0] = 4_999_i64.into();
        given[11_999][1] = 7_i64.into();
        let is_postgres = matches!(db, Database::Postgres(_));
        let report = insert().failures(Failures::PerRow).run(db, given).await.unwrap();

        // SQLite has no quarrel with a number in a column of texts
        let expected: &[usize] = if is_postgres { &[7, 5_000, 11_999] } else { &[7, 5_000] };
        assert_eq!(report.failures.iter().map(|failure| failure.index).collect::<Vec<_>>(), expected);
        assert_eq!(report.inserted, 12_000 - expected.len() as u64);
        assert_eq!(numbers(db, "select count(*) from t").await, [12_000 - expected.len() as i64]);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_value_names_its_row() {
    let bases = bases().await;

    for path in [Path::Values, Path::Arrays, Path::Copy] {
        let mut given = pairs(0..3, "x");
        given[2][1] = "nul\0".into();
        let refused = insert().path(path).run(bases.postgres(), given).await.unwrap_err();
        let Error::Bulk(BulkError::Row { index: 2, source }) = refused else { panic!("{refused:?}") };
        assert!(matches!(*source, Error::Value(ValueError::NulInText { at: 3 })), "{source}");
        assert_eq!(numbers(bases.postgres(), "select count(*) from t").await, [0]);
    }
    let mut given = pairs(0..3, "x");
    given[1][0] = Value::Integer(0);
    let refused = insert().run(bases.sqlite(), given).await.unwrap_err();
    assert!(matches!(refused, Error::Bulk(BulkError::Row { index: 1, .. })), "{refused}");
}

#[tokio::test]
async fn what_no_row_is_to_blame_for_ends_the_call() {
    let bases = bases().await;

    for db in &bases.all {
        let at = async |table: &str, columns: &[&str]| {
            let bulk = Bulk::insert(table.parse().unwrap(), idents(columns)).unwrap().failures(Failures::PerRow);
            bulk.run(db, vec![vec![1_i64.into(); columns.len()]]).await.unwrap_err().to_string()
        };

        assert_eq!(at("nothing", &["id"]).await, "there is no table \"nothing\"");
        assert_eq!(at("t", &["id", "b"]).await, "\"t\" has no column `b`, there are: id, a");
        let narrow = insert().run(db, vec![vec![1_i64.into()]]).await.unwrap_err();
        assert_eq!(narrow.to_string(), "row 0 has 1 values, accepted are 2, one per column");
    }
    run(bases.postgres(), "create table g (id integer generated always as identity, a integer)").await;
    run(bases.sqlite(), "create table g (a integer, id integer generated always as (a * 2) stored)").await;
    for db in &bases.all {
        let bulk = Bulk::insert("g".parse().unwrap(), idents(&["id", "a"])).unwrap();
        let refused = bulk.run(db, vec![vec![1_i64.into(), 1_i64.into()]]).await.unwrap_err();
        assert_eq!(refused.to_string(), "the values of column `id` are generated by the database: leave it out");
    }
}

#[test]
fn columns_that_make_no_sense_are_refused() {
    let table = || "t".parse().unwrap();
    let refusal = |bulk: Result<Bulk, BulkError>| bulk.unwrap_err().to_string();

    assert_eq!(refusal(Bulk::insert(table(), Vec::new())), "no columns are given to write, at least one is needed");
    assert_eq!(refusal(Bulk::insert(table(), idents(&["a", "a"]))), "column `a` is given twice");
    assert_eq!(
        refusal(Bulk::insert_missing(table(), idents(&["a"]), idents(&["b"]))),
        "column `b` is to be used to find rows by, and is none of the columns that the rows have"
    );
    assert!(matches!(Bulk::update(table(), idents(&["a"]), idents(&["a"])), Err(BulkError::NoColumns { .. })));
    assert!(matches!(Bulk::delete(table(), Vec::new()), Err(BulkError::NoColumns { .. })));
}

#[tokio::test]
async fn triggers_and_row_security_hold_on_every_path() {
    let bases = bases().await;
    let db = bases.postgres();
    run(
        db,
        "create table seen (id integer);
         create function note() returns trigger language plpgsql as
             $$ begin if new.id = 3 then raise exception 'not three'; end if; insert into seen values (new.id); return new; end $$;
         create trigger note before insert on t for each row execute function note()",
    )
    .await;

    for path in [Path::Values, Path::Arrays, Path::Copy] {
        run(db, "delete from t; delete from seen").await;
        let report = insert().path(path).failures(Failures::PerRow).run(db, pairs(0..6, "x")).await.unwrap();
        assert_eq!(report.failures.iter().map(|failure| failure.index).collect::<Vec<_>>(), [3]);
        assert_eq!(numbers(db, "select id from seen order by id").await, [0, 1, 2, 4, 5]);
    }
    run(
        db,
        "delete from t; alter table t enable row level security; alter table t force row level security;
         create policy small on t using (true) with check (id < 2);
         drop role if exists weak; create role weak; grant all on t, seen to weak",
    )
    .await;
    let Database::Postgres(pool) = db else { panic!("no pool") };
    for path in [Path::Values, Path::Arrays, Path::Copy] {
        let mut connection = pool.get().await.unwrap();
        let mut tx = connection.transaction().await.unwrap();
        tx.batch_execute("set local role weak").await.unwrap();
        let bulk = insert().path(path);
        assert_eq!(bulk.run_postgres(&mut tx, &pairs(0..2, "x")).await.unwrap().inserted, 2);
        bulk.run_postgres(&mut tx, &pairs(5..7, "x")).await.unwrap_err();
        // the caller's transaction goes on
        assert_eq!(tx.query_one("select count(*) from t", &[]).await.unwrap().get::<_, i64>(0), 2);
        tx.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn constraints_that_are_deferred_fail_for_their_row() {
    let bases = Bases::new().await;
    let db = bases.postgres();
    run(db, "create table t (id integer primary key deferrable initially deferred, a text)").await;
    let twice = || [pairs(0..3, "x"), pairs(1..2, "y")].concat();

    let report = insert().failures(Failures::PerRow).run(db, twice()).await.unwrap();
    insert().run(db, twice()).await.unwrap_err();

    assert_eq!(report.failures.iter().map(|failure| failure.index).collect::<Vec<_>>(), [3]);
    assert_eq!(numbers(db, "select count(*) from t where a = 'x'").await, [3]);
}

#[tokio::test]
async fn rows_of_a_partitioned_table_are_counted_like_others() {
    let bases = Bases::new().await;
    let db = bases.postgres();
    run(
        db,
        "create table t (id integer not null primary key, a text) partition by range (id);
         create table t_low partition of t for values from (0) to (100);
         create table t_high partition of t for values from (100) to (200)",
    )
    .await;

    for path in [Path::Values, Path::Arrays, Path::Copy] {
        run(db, "truncate t").await;
        assert_eq!(insert().path(path).run(db, pairs(90..110, "x")).await.unwrap().inserted, 20);
        let report = upsert().path(path).run(db, pairs(100..120, "y")).await.unwrap();
        assert_eq!(counts(&report), [10, 10, 0, 0, 0]);
        let outside = insert().path(path).failures(Failures::PerRow).run(db, pairs(198..201, "z")).await.unwrap();
        assert_eq!(outside.failures.iter().map(|failure| failure.index).collect::<Vec<_>>(), [2]);
    }
}

#[tokio::test]
async fn columns_with_any_name_and_types_without_equality_are_written() {
    let bases = Bases::new().await;
    let db = bases.postgres();
    run(db, "create table \"or\"\"der\" (\"se\"\"lect\" integer primary key, \"table\" json, \"ä b\" text)").await;
    let columns = idents(&["se\"lect", "table", "ä b"]);
    let bulk =
        Bulk::upsert("\"or\"\"der\"".parse().unwrap(), columns, idents(&["se\"lect"]), idents(&["table", "ä b"]));
    let rows = |json: &str| vec![vec![Value::Integer(1), Value::Json(json.to_owned()), Value::Null]];

    for path in [Path::Values, Path::Arrays, Path::Copy] {
        run(db, "delete from \"or\"\"der\"").await;
        let bulk = bulk.as_ref().unwrap().clone().path(path);
        assert_eq!(counts(&bulk.run(db, rows("{}")).await.unwrap()), [1, 0, 0, 0, 0]);
        assert_eq!(counts(&bulk.run(db, rows("{}")).await.unwrap()), [0, 0, 0, 1, 0]);
        assert_eq!(counts(&bulk.run(db, rows("{ }")).await.unwrap()), [0, 1, 0, 0, 0]);
    }
}

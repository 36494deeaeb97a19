//! Many rows at once against a slow model: the same rows written one after the other by hand-written statements.

use std::collections::HashMap;

use proptest::prelude::*;
use tierkeep_db::bulk::{Bulk, BulkError, Duplicates, Failures, Path};
use tierkeep_db::raw::{Params, Raw};
use tierkeep_db::{Database, Error, Row, Value};

use crate::fixture::{Bases, check, idents, numbers, rows, run};

/// The columns of the tables, one of them odd by name.
const COLUMNS: [&str; 5] = ["k", "order", "s\"x", "f", "u"];
/// Their names in the model's parameters.
const PARAMS: [&str; 5] = ["k", "n", "s", "f", "u"];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Insert,
    Missing,
    Upsert,
    Update,
    Delete,
}

#[derive(Debug, Clone)]
struct Case {
    kind: Kind,
    path: Path,
    last_wins: bool,
    before: Vec<Vec<Value>>,
    rows: Vec<Vec<Value>>,
}

fn row() -> impl Strategy<Value = Vec<Value>> {
    let key = prop_oneof![12 => (0..8_i64).prop_map(Value::Integer), 1 => Just(Value::Null)];
    let number = prop_oneof![
        6 => (0..3_i64).prop_map(Value::Integer),
        1 => Just(Value::Integer(40_000)),
        1 => Just(Value::Null)
    ];
    let text = prop_oneof![
        6 => "[a-c]{0,2}".prop_map(Value::Text),
        1 => Just(Value::from("much too long")),
        1 => Just(Value::Null),
        1 => Just(Value::from(7_i64)),
    ];
    let float = prop_oneof![
        3 => Just(Value::Float(1.5)),
        1 => Just(Value::Float(13.0)),
        1 => Just(Value::Float(f64::INFINITY)),
        1 => Just(Value::Null)
    ];
    let unique = prop_oneof![2 => Just(Value::Null), 2 => (0..9_i64).prop_map(Value::Integer)];
    (key, number, text, float, unique).prop_map(|(a, b, c, d, e)| vec![a, b, c, d, e])
}

fn good_row(key: i64) -> Vec<Value> {
    vec![key.into(), 1_i64.into(), "a".into(), 1.5.into(), Value::Null]
}

fn cases() -> impl Strategy<Value = Case> {
    let kind = prop::sample::select(vec![Kind::Insert, Kind::Missing, Kind::Upsert, Kind::Update, Kind::Delete]);
    let path = prop::sample::select(vec![Path::BySize, Path::Values, Path::Arrays, Path::Copy]);
    let before = prop::collection::btree_set(0..8_i64, 0..5);
    (kind, path, any::<bool>(), before, prop::collection::vec(row(), 0..10)).prop_map(
        |(kind, path, last_wins, before, rows)| Case {
            kind,
            path,
            last_wins,
            before: before.into_iter().map(good_row).collect(),
            rows: match kind {
                Kind::Delete => rows.into_iter().map(|row| row[..1].to_vec()).collect(),
                _ => rows,
            },
        },
    )
}

impl Case {
    fn bulk(&self, failures: Failures) -> Bulk {
        let (table, columns, key) = ("t".parse().unwrap(), idents(&COLUMNS), idents(&["k"]));
        let bulk = match self.kind {
            Kind::Insert => Bulk::insert(table, columns),
            Kind::Missing => Bulk::insert_missing(table, columns, key),
            Kind::Upsert => Bulk::upsert(table, columns, key, idents(&["order", "s\"x", "f", "u"])),
            Kind::Update => Bulk::update(table, columns, key),
            Kind::Delete => Bulk::delete(table, key),
        };
        let duplicates = if self.last_wins { Duplicates::LastWins } else { Duplicates::Refused };
        bulk.unwrap().path(self.path).failures(failures).duplicates(duplicates)
    }

    fn statement(&self) -> &'static str {
        match self.kind {
            Kind::Insert => "insert into m (k, \"order\", \"s\"\"x\", f, u) values (:k, :n, :s, :f, :u)",
            Kind::Missing => {
                "insert into m (k, \"order\", \"s\"\"x\", f, u) values (:k, :n, :s, :f, :u) on conflict (k) do nothing"
            }
            Kind::Upsert => {
                "insert into m (k, \"order\", \"s\"\"x\", f, u) values (:k, :n, :s, :f, :u) on conflict (k) do update
                 set \"order\" = excluded.\"order\", \"s\"\"x\" = excluded.\"s\"\"x\", f = excluded.f, u = excluded.u"
            }
            Kind::Update => "update m set \"order\" = :n, \"s\"\"x\" = :s, f = :f, u = :u where k = :k",
            Kind::Delete => "delete from m where k = :k",
        }
    }
}

/// What a failure is known by.
fn reason(error: &Error) -> String {
    match error {
        Error::Value(error) => error.to_string(),
        Error::Postgres(error) => error.code().expect("a refusal of the server").code().to_owned(),
        Error::Sqlite(error) => error.to_string().replace(" m.", " t."),
        Error::Bulk(BulkError::DuplicateKey { .. }) => "duplicate".to_owned(),
        other => panic!("{other:?}"),
    }
}

/// Writes the rows one after the other, and returns those that failed.
async fn one_by_one(db: &Database, case: &Case) -> Vec<(usize, String)> {
    let finds_by_key = !matches!(case.kind, Kind::Insert | Kind::Missing);
    let mut last: HashMap<i64, usize> = HashMap::new();
    let mut first: HashMap<i64, usize> = HashMap::new();
    let key = |row: &[Value]| if let Value::Integer(key) = row[0] { Some(key) } else { None };
    for (index, row) in case.rows.iter().enumerate() {
        if let Some(key) = key(row) {
            last.insert(key, index);
            first.entry(key).or_insert(index);
        }
    }
    let mut failures = Vec::new();
    for (index, row) in case.rows.iter().enumerate() {
        if let Some(key) = key(row).filter(|_| finds_by_key) {
            if case.last_wins && last[&key] != index {
                continue;
            }
            if !case.last_wins && first[&key] != index {
                failures.push((index, "duplicate".to_owned()));
                continue;
            }
        }
        let params = Params::named(PARAMS.into_iter().zip(row.iter().cloned()));
        let raw = Raw::new(db.dialect(), case.statement(), params).unwrap();
        let finds_one = match key(row) {
            Some(key) => !numbers(db, &["select k from m where k = ", &key.to_string()].concat()).await.is_empty(),
            None => false,
        };
        if let Err(error) = raw.write(db).await {
            // a planner may look at the new values before it finds that there is no row to give them to
            if case.kind == Kind::Update && !finds_one && matches!(error, Error::Postgres(_)) {
                continue;
            }
            failures.push((index, reason(&error)));
        }
    }
    failures
}

async fn table(db: &Database, name: &str) -> Vec<Row> {
    let sql = ["select k, \"order\", \"s\"\"x\", f, u from ", name, " order by k"].concat();
    rows(db, &sql).await
}

/// The same table under both names, with constraints whose names do not tell which.
const POSTGRES: &str = "
    create table t (k bigint not null primary key, \"order\" smallint, \"s\"\"x\" varchar(5) not null,
        f double precision check (f <> 13), u bigint unique);
    create table m (like t including all);";
const SQLITE: &str = "
    create table t (k bigint not null primary key, \"order\" integer,
        \"s\"\"x\" text not null constraint s check (length(\"s\"\"x\") <= 5),
        f real constraint f check (f <> 13), u bigint unique);
    create table m (k bigint not null primary key, \"order\" integer,
        \"s\"\"x\" text not null constraint s check (length(\"s\"\"x\") <= 5),
        f real constraint f check (f <> 13), u bigint unique);";

async fn bases() -> Bases {
    let bases = Bases::new().await;
    run(bases.postgres(), POSTGRES).await;
    run(bases.sqlite(), SQLITE).await;
    bases
}

async fn prepare(db: &Database, case: &Case) {
    run(db, "delete from t; delete from m").await;
    for name in ["t", "m"] {
        let bulk = Bulk::insert(name.parse().unwrap(), idents(&COLUMNS)).unwrap();
        bulk.run(db, case.before.clone()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_leaves_what_writing_one_by_one_leaves_and_fails_for_the_same_rows() {
    let bases = bases().await;

    check(250, &cases(), async |case| {
        for db in &bases.all {
            prepare(db, &case).await;

            let expected = one_by_one(db, &case).await;
            let report = case.bulk(Failures::PerRow).run(db, case.rows.clone()).await.unwrap();

            let failures: Vec<(usize, String)> =
                report.failures.iter().map(|failure| (failure.index, reason(&failure.error))).collect();
            prop_assert_eq!(&failures, &expected);
            prop_assert_eq!(table(db, "t").await, table(db, "m").await);
            let sum = report.inserted + report.updated + report.deleted + report.unchanged + report.missing;
            prop_assert_eq!(sum + report.replaced + failures.len() as u64, case.rows.len() as u64, "{:?}", report);
            let grown = table(db, "t").await.len() as i64 - case.before.len() as i64;
            prop_assert_eq!(report.inserted as i64 - report.deleted as i64, grown, "{:?}", report);
        }
        Ok(())
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_row_that_fails_undoes_all_unless_it_was_asked_otherwise() {
    let bases = bases().await;

    check(120, &cases(), async |case| {
        for db in &bases.all {
            prepare(db, &case).await;
            let before = table(db, "t").await;

            let fails = !one_by_one(db, &case).await.is_empty();
            let outcome = case.bulk(Failures::AllOrNothing).run(db, case.rows.clone()).await;

            prop_assert_eq!(outcome.is_err(), fails, "{:?}", outcome);
            let expected = if fails { before } else { table(db, "m").await };
            prop_assert_eq!(table(db, "t").await, expected);
        }
        Ok(())
    });
}

#[tokio::test]
async fn rows_written_in_another_order_are_found_by_the_same_comparison() {
    let bases = bases().await;
    let row = |text: &str| vec![1_i64.into(), Value::Null, text.into(), Value::Null, Value::Null];
    let case = Case {
        kind: Kind::Insert,
        path: Path::BySize,
        last_wins: false,
        before: Vec::new(),
        rows: vec![row("a"), row("b")],
    };

    for db in &bases.all {
        prepare(db, &case).await;
        let expected = one_by_one(db, &case).await;
        let reversed = case.rows.iter().rev().cloned().collect();
        case.bulk(Failures::PerRow).run(db, reversed).await.unwrap();

        assert_eq!(expected.len(), 1);
        assert_ne!(table(db, "t").await, table(db, "m").await);
    }
}

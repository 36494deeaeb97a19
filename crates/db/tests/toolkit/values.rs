//! What is written is read back exactly.

use proptest::prelude::*;
use tierkeep_db::bulk::{Bulk, Path};
use tierkeep_db::{Database, Error, Kind, Value, ValueError};

use crate::fixture::{Bases, check, idents, rows, run};

const COLUMNS: [(&str, &str, &str, Kind); 11] = [
    ("flag", "boolean", "integer", Kind::Bool),
    ("small", "smallint", "integer", Kind::Integer),
    ("large", "bigint", "integer", Kind::Integer),
    ("float", "double precision", "real", Kind::Float),
    ("decimal", "numeric", "text", Kind::Numeric),
    ("text", "text", "text", Kind::Text),
    ("bytes", "bytea", "blob", Kind::Bytes),
    ("uuid", "uuid", "text", Kind::Uuid),
    ("instant", "timestamptz", "integer", Kind::Instant),
    ("day", "date", "text", Kind::Date),
    ("json", "json", "text", Kind::Json),
];

fn columns(part: impl Fn(&(&str, &str, &str, Kind)) -> String) -> String {
    COLUMNS.iter().map(part).collect::<Vec<_>>().join(", ")
}

fn maybe(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop_oneof![1 => Just(Value::Null), 4 => value]
}

/// Values that both databases hold.
fn row() -> impl Strategy<Value = Vec<Value>> {
    let float = any::<f64>().prop_filter("sqlite has neither", |x| !x.is_nan() && x.to_bits() != (-0.0_f64).to_bits());
    let decimal = "-?[1-9][0-9]{0,20}(\\.[0-9]{1,12})?".prop_map(Value::Numeric);
    let json = prop::sample::select(vec!["{\"b\": 1,  \"a\":2.50}", "null", "[]", "\"ä\""]);
    (
        maybe(any::<bool>().prop_map(Value::Bool)),
        maybe(any::<i16>().prop_map(Value::from)),
        maybe(any::<i64>().prop_map(Value::Integer)),
        maybe(float.prop_map(Value::Float)),
        maybe(decimal),
        maybe("[^\0]{0,20}".prop_map(Value::Text)),
        maybe(any::<Vec<u8>>().prop_map(Value::Bytes)),
        maybe(any::<[u8; 16]>().prop_map(|bytes| Value::Uuid(uuid::Uuid::from_bytes(bytes)))),
        maybe((-210_000_000_000_000_000..9_000_000_000_000_000_000_i64).prop_map(Value::Instant)),
        maybe((-719_528..=2_932_896_i32).prop_map(Value::Date)),
        maybe(json.prop_map(|text| Value::Json(text.to_owned()))),
    )
        .prop_map(|(a, b, c, d, e, f, g, h, i, j, k)| vec![a, b, c, d, e, f, g, h, i, j, k])
}

async fn bases() -> Bases {
    let bases = Bases::new().await;
    for (db, place) in bases.all.iter().zip([1, 2]) {
        let columns = columns(|column| format!("\"{}\" {}", column.0, if place == 1 { column.1 } else { column.2 }));
        run(db, &["create table t (", &columns, ")"].concat()).await;
    }
    bases
}

async fn round_trip(db: &Database, path: Path, row: Vec<Value>) -> Result<Vec<Value>, Error> {
    run(db, "delete from t").await;
    let names: Vec<&str> = COLUMNS.iter().map(|column| column.0).collect();
    Bulk::insert("t".parse().unwrap(), idents(&names)).unwrap().path(path).run(db, vec![row]).await?;
    let sql = ["select ", &columns(|column| format!("\"{}\"", column.0)), " from t"].concat();
    let found = rows(db, &sql).await.remove(0);
    Ok(COLUMNS.iter().map(|(name, _, _, kind)| found.kind(name, *kind).unwrap()).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_survives_every_path_on_both_databases() {
    let bases = bases().await;

    check(80, &row(), async |row| {
        for path in [Path::Values, Path::Arrays, Path::Copy] {
            let found = round_trip(bases.postgres(), path, row.clone()).await.unwrap();
            prop_assert_eq!(&found, &row, "postgresql, {:?}", path);
        }
        let found = round_trip(bases.sqlite(), Path::BySize, row.clone()).await.unwrap();
        prop_assert_eq!(&found, &row, "sqlite");
        Ok(())
    });
}

#[tokio::test]
async fn values_that_only_postgres_has_survive_there_and_are_refused_by_sqlite() {
    let bases = bases().await;
    let with = |place: usize, value: Value| {
        let mut row = vec![Value::Null; COLUMNS.len()];
        row[place] = value;
        row
    };

    for (place, value) in [(3, Value::Float(f64::NAN)), (9, Value::Date(i32::MAX)), (9, Value::Date(-2_440_588))] {
        let row = with(place, value);
        assert_eq!(round_trip(bases.postgres(), Path::Copy, row.clone()).await.unwrap(), row);
        let refused = round_trip(bases.sqlite(), Path::BySize, row).await.unwrap_err();
        assert!(matches!(refused, Error::Bulk(_)), "{refused}");
    }
    for (place, value) in [
        (3, Value::Float(f64::INFINITY)),
        (3, Value::Float(f64::NEG_INFINITY)),
        (8, Value::Instant(i64::MAX)),
        (8, Value::Instant(i64::MIN)),
    ] {
        let row = with(place, value);
        assert_eq!(round_trip(bases.postgres(), Path::Arrays, row.clone()).await.unwrap(), row);
        assert_eq!(round_trip(bases.sqlite(), Path::BySize, row.clone()).await.unwrap(), row);
    }
    let is_infinity = "select count(*) from t where instant = '-infinity'";
    assert_eq!(crate::fixture::numbers(bases.postgres(), is_infinity).await, [1]);
}

#[tokio::test]
async fn types_of_postgres_without_a_kind_are_named() {
    let bases = Bases::new().await;
    let raw = tierkeep_db::raw::Raw::new(
        bases.postgres().dialect(),
        "select interval '1 day' as span",
        tierkeep_db::raw::Params::none(),
    )
    .unwrap();

    let refused = raw.read(bases.postgres()).await.unwrap_err();

    assert_eq!(
        refused.to_string(),
        "column `span`: a column of type interval cannot be read as a value: cast it to text in the statement"
    );
}

#[tokio::test]
async fn enums_domains_and_narrow_types_are_written_as_what_they_are() {
    let bases = Bases::new().await;
    let db = bases.postgres();
    run(
        db,
        "create type mood as enum ('good', 'bad');
         create domain percent as integer check (value between 0 and 100);
         create table t (mood mood, percent percent, code char(4), half real, at timestamp, j jsonb)",
    )
    .await;
    let bulk = Bulk::insert("t".parse().unwrap(), idents(&["mood", "percent", "code", "half", "at", "j"])).unwrap();
    let row = || -> Vec<Value> {
        let j = Value::Json("{\"a\": 1}".to_owned());
        vec!["bad".into(), 7_i64.into(), "ab".into(), 0.5_f64.into(), Value::Instant(1), j]
    };

    for path in [Path::Values, Path::Arrays, Path::Copy] {
        bulk.clone().path(path).run(db, vec![row()]).await.unwrap();
    }

    let found = rows(db, "select mood, percent, code, half, at, j from t").await;
    let mut expected = row();
    expected[2] = "ab  ".into();
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|row| row.values() == expected), "{found:?}");
    let outside = vec!["bad".into(), Value::Integer(101), Value::Null, Value::Null, Value::Null, Value::Null];
    let refused = bulk.run(db, vec![outside]).await.unwrap_err();
    assert!(matches!(refused, Error::Postgres(_)), "{refused}");
}

#[test]
fn rows_say_which_column_is_something_else() {
    let row = tierkeep_db::Row::new(["a"], [Value::from("x")]);

    assert_eq!(
        row.get::<i64>("a").unwrap_err(),
        ValueError::InColumn {
            column: "a".to_owned(),
            source: Box::new(ValueError::Mismatch { kind: Kind::Text, wanted: "i64".to_owned(), accepted: "integer" }),
        }
    );
}

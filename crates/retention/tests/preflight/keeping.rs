//! What is said to keep all values does, on the databases themselves: there and back by plain inserts.

use rusqlite::Connection;
use tierkeep_retention::preflight::{Keeping, TableFacts, keeping};

use crate::Platform;

/// Types of PostgreSQL, and values at their ends.
const TYPES: [(&str, &str); 29] = [
    ("int2", "('-32768'), ('32767')"),
    ("int4", "('-2147483648'), ('2147483647')"),
    ("int8", "('-9223372036854775808'), ('9223372036854775807')"),
    ("float4", "('1.17e-38'), ('3.4028235e38'), ('NaN'), ('-infinity'), ('-0'), ('0.1')"),
    ("float8", "('2.3e-308'), ('1.7976931348623157e308'), ('NaN'), ('infinity'), ('-0'), ('0.1')"),
    ("numeric", "('NaN'), ('1e-300'), ('123456789012345678901234567890.10')"),
    ("numeric(3,2)", "('9.99'), ('-0.01'), ('NaN')"),
    ("numeric(5,2)", "('999.99'), ('NaN')"),
    ("numeric(5,0)", "('-99999')"),
    ("numeric(10,0)", "('9999999999')"),
    ("numeric(19,0)", "('9999999999999999999')"),
    ("numeric(21,2)", "('9999999999999999999.99')"),
    ("text", "(''), (' a  '), (repeat('ü', 3000))"),
    ("varchar", "(''), (' a  '), (repeat('ü', 3000))"),
    ("varchar(3)", "('üüü'), ('a  '), ('')"),
    ("varchar(5)", "('üüüüü'), ('a    ')"),
    ("char(3)", "('üüü'), ('a'), ('')"),
    ("char(5)", "('üüüüü'), ('a  b')"),
    ("timestamptz", "('infinity'), ('2024-03-31 01:30:00.123456+00'), ('294276-12-31 23:59:59+00')"),
    ("timestamptz(3)", "('-infinity'), ('2024-03-31 01:30:00.123+00')"),
    ("timestamp", "('infinity'), ('2024-03-31 02:30:00.123456')"),
    ("timestamp(0)", "('2024-03-31 02:30:00')"),
    ("date", "('infinity'), ('5874897-12-31'), ('4713-01-01 BC')"),
    ("boolean", "('t'), ('f')"),
    ("uuid", "('00000000-0000-0000-0000-00000000000a')"),
    ("json", "('{\"a\": 1, \"a\":2}'), ('null')"),
    ("jsonb", "('{\"b\": [1.50, \"ü\"]}'), ('null')"),
    ("int4[]", "('{1,NULL,-2147483648}'), ('{}'), ('[0:1]={1,2}')"),
    ("int8[]", "('{1,NULL,-9223372036854775808}'), ('{{1},{2}}')"),
];

#[tokio::test]
async fn postgres_gives_back_what_a_wider_column_was_given() {
    let mut ddl = String::new();
    for (at, (name, values)) in TYPES.iter().enumerate() {
        // Each value is read as the type before it is stored.
        ddl.push_str(&format!("create table t{at} (v {name}); insert into t{at} values {values};"));
    }
    let platform = Platform::new(&ddl).await;
    platform.client.batch_execute("set timezone to 'Europe/Berlin'").await.unwrap();
    let mut tables: Vec<TableFacts> = Vec::new();
    for at in 0..TYPES.len() {
        tables.push(platform.facts(&format!("t{at}")).await);
    }
    let mut kept = 0;

    for from in 0..TYPES.len() {
        for to in 0..TYPES.len() {
            let pair = format!("{} in {}", TYPES[from].0, TYPES[to].0);
            let said = keeping(&tables[from].columns[0].column_type, &tables[to].columns[0].column_type);
            assert_eq!(said == Keeping::Same, from == to || pair == "text in varchar" || pair == "varchar in text");
            if said == Keeping::Loses {
                continue;
            }
            let steps = "create temp table there (v TO); create temp table back (v FROM);
                 insert into there select v from SOURCE; insert into back select v from there"
                .replace("TO", TYPES[to].0)
                .replace("FROM", TYPES[from].0)
                .replace("SOURCE", &format!("t{from}"));
            platform.client.batch_execute(&steps).await.unwrap_or_else(|error| panic!("{pair}: {error:?}"));
            let compared = "select (select string_agg(v::text, '|' order by v::text) from SOURCE) as given,
                 (select string_agg(v::text, '|' order by v::text) from back) as got"
                .replace("SOURCE", &format!("t{from}"));
            let row = platform.client.query_one(&compared, &[]).await.unwrap();
            assert_eq!(row.get::<_, String>("got"), row.get::<_, String>("given"), "{pair}");
            platform.client.batch_execute("drop table there, back").await.unwrap();
            kept += 1;
        }
    }
    assert!(kept > TYPES.len() + 20, "{kept}");
}

#[test]
fn sqlite_gives_back_what_another_column_was_given() {
    let values = "(null), (1), (-9223372036854775808), (9007199254740993), (1.5), (2.0), (1e308), ('007'), ('1e3'),
        ('abc'), ('1.0'), (x'00ff'), (x'31')";
    let plain = ["integer", "bigint", "text", "varchar(9)", "blob", "", "real", "double", "numeric", "datetime"];
    let strict = ["int", "integer", "text", "blob", "real", "any"];
    let columns: Vec<(&str, &str)> =
        plain.map(|name| (name, "")).into_iter().chain(strict.map(|name| (name, "strict"))).collect();
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(&format!("create table offered (v); insert into offered values {values}")).unwrap();
    for (at, (name, end)) in columns.iter().enumerate() {
        db.execute_batch(&format!("create table t{at} (v {name}) {end}")).unwrap();
        let mut offered = db.prepare("select rowid from offered").unwrap();
        let numbers: Vec<i64> = offered.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        for number in numbers {
            // A strict column takes some of them only.
            let insert = "insert or ignore into TABLE select v from offered where rowid = ?1";
            drop(db.execute(&insert.replace("TABLE", &format!("t{at}")), [number]));
        }
    }
    let facts = |at: usize| {
        TableFacts::read_sqlite(&db, &format!("t{at}").parse().unwrap()).unwrap().unwrap().columns[0]
            .column_type
            .clone()
    };
    let all = |table: &str| -> String {
        let statement = "select group_concat(typeof(v) || quote(v), '|') from TABLE".replace("TABLE", table);
        db.query_row(&statement, [], |row| row.get(0)).unwrap()
    };
    let mut kept = 0;

    for from in 0..columns.len() {
        for to in 0..columns.len() {
            if keeping(&facts(from), &facts(to)) == Keeping::Loses {
                continue;
            }
            let (name, end) = columns[to];
            let pair = format!("{:?} in {:?}", columns[from], columns[to]);
            let steps = "create table there (v NAME) END; insert into there select v from SOURCE"
                .replace("NAME", name)
                .replace("END", end)
                .replace("SOURCE", &format!("t{from}"));
            db.execute_batch(&steps).unwrap_or_else(|error| panic!("{pair}: {error}"));
            assert_eq!(all("there"), all(&format!("t{from}")), "{pair}");
            db.execute_batch("drop table there").unwrap();
            kept += 1;
        }
    }
    assert!(kept > columns.len() + 20, "{kept}");
}

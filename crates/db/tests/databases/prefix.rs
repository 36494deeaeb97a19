//! The mapping prefix on both databases.

use rusqlite::Connection;
use tierkeep_db::{ColumnExpr, Dialect, Ident, SqlType, projection, with_prefix};

use crate::postgres;

fn ident(name: &str) -> Ident {
    Ident::new(name).unwrap()
}

fn prefix(dialect: Dialect) -> String {
    let columns = [
        (ident("id"), ColumnExpr::Cast(ident("uuid"), SqlType::Uuid)),
        (ident("user_id"), ColumnExpr::Column(ident("Learner Id"))),
        (ident("open"), ColumnExpr::Not(ident("finished"))),
        (ident("rating"), ColumnExpr::Null(SqlType::Smallint)),
        (ident("ended"), ColumnExpr::Null(SqlType::Timestamptz)),
        (ident("note"), ColumnExpr::EmptyText),
        (ident("pauses"), ColumnExpr::Zero),
        (ident("deleted"), ColumnExpr::False),
    ];
    projection(dialect, &ident("study_sessions"), &"core_sessions".parse().unwrap(), &columns)
}

const TABLE: &str = "create table core_sessions (uuid text primary key, \"Learner Id\" bigint, finished boolean);
     create index by_learner on core_sessions (\"Learner Id\");
     insert into core_sessions values ('00000000-0000-0000-0000-000000000007', 7, false);";
const STATEMENT: &str = "-- one learner\nselect cast(id as text), open, rating, note, pauses, deleted from study_sessions where user_id = 7";

#[tokio::test]
async fn postgres_reads_the_platform_table_under_canonical_names() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client.batch_execute(TABLE).await.unwrap();
    let sql = with_prefix(&[prefix(Dialect::Postgres)], STATEMENT).unwrap();

    let row = client.query_one(&sql, &[]).await.unwrap();

    assert_eq!(row.get::<_, String>(0), "00000000-0000-0000-0000-000000000007");
    assert!(row.get::<_, bool>(1));
    assert_eq!(row.get::<_, Option<i16>>(2), None);
    assert_eq!(row.get::<_, String>(3), "");
    assert_eq!(row.get::<_, i32>(4), 0);
    assert!(!row.get::<_, bool>(5));
}

#[tokio::test]
async fn planner_of_postgres_sees_through_the_prefix() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client.batch_execute(TABLE).await.unwrap();
    client.batch_execute("set enable_seqscan = off").await.unwrap();
    let sql = with_prefix(&[prefix(Dialect::Postgres)], STATEMENT).unwrap();

    let plan = client.query(&format!("explain {sql}"), &[]).await.unwrap();

    let plan: String = plan.iter().map(|row| row.get::<_, String>(0)).collect();
    assert!(plan.contains("Index Cond: (\"Learner Id\" = 7)"), "{plan}");
}

#[test]
fn sqlite_reads_the_platform_table_under_canonical_names_by_its_index() {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(TABLE).unwrap();
    let sql = with_prefix(&[prefix(Dialect::Sqlite)], STATEMENT).unwrap();

    let (id, open, rating): (String, bool, Option<i64>) =
        connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let plan: String = connection.query_row(&format!("explain query plan {sql}"), [], |row| row.get("detail")).unwrap();

    assert_eq!((id.as_str(), open, rating), ("00000000-0000-0000-0000-000000000007", true, None));
    assert!(plan.contains("USING INDEX by_learner"), "{plan}");
}

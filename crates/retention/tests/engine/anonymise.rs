//! Columns that are overwritten: of the rows that a rule is about, once, and of no others.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use jiff::Timestamp;
use tierkeep_db::{
    Comparison, Condition, Connection, Database, DatabaseUrl, Ident, Operand, Pool, PoolConfig, Relation, SqliteConfig,
    SqliteDatabase, SqlitePath,
};
use tierkeep_retention::{
    Action, Blank, Companion, CompanionError, Ended, Engine, Order, Policy, Preparation, Removed, RetentionError, Rule,
    Subject, TABLES_POSTGRES, TABLES_SQLITE,
};
use tierkeep_testkit::{PostgresServer, SqliteFile};

const TABLE: &str =
    "create table people (id bigint primary key not null, name text not null, mail text, visits bigint not null);
    insert into people values (1, 'Ada', 'ada@example.org', 7), (2, 'Bob', null, 3), (3, 'Eve', 'eve@example.org', 9)";

/// Nothing is deleted and nothing moved here.
struct Nobody;

#[async_trait]
impl Companion for Nobody {
    async fn prepare_postgres(&self, _: &Connection) -> Result<Preparation, CompanionError> {
        Ok(Box::new(()))
    }

    async fn deleting_postgres(&self, _: &tokio_postgres::Transaction<'_>) -> Result<(), CompanionError> {
        Ok(())
    }

    async fn delete_postgres(
        &self,
        _: &tokio_postgres::Transaction<'_>,
        _: &Preparation,
        rule: &'static str,
        _: &[String],
    ) -> Result<Removed, CompanionError> {
        Err(format!("{rule} deletes nothing").into())
    }

    fn delete_sqlite(
        &self,
        _: &rusqlite::Transaction<'_>,
        rule: &'static str,
        _: &[String],
    ) -> Result<Removed, CompanionError> {
        Err(format!("{rule} deletes nothing").into())
    }

    async fn moving_postgres(&self, _: &tokio_postgres::Transaction<'_>) -> Result<(), CompanionError> {
        Ok(())
    }

    fn moving_sqlite(
        &self,
        _: &rusqlite::Transaction<'_>,
        moving: &mut dyn FnMut() -> Result<(), RetentionError>,
    ) -> Result<(), RetentionError> {
        moving()
    }
}

/// Whoever has an id of 2 or less loses name, mail and visits.
fn policy() -> Result<Policy> {
    let columns = ["id", "name", "mail", "visits"].map(Ident::new).into_iter().collect::<Result<Vec<_>, _>>()?;
    let [id, name, mail, visits] = columns.as_slice() else { anyhow::bail!("four columns") };
    Ok(Policy {
        subjects: vec![Subject {
            name: "people",
            relation: Relation::plain("people".parse()?, &columns),
            key: id.clone(),
            owner: None,
            age: None,
            exported: Vec::new(),
            is_absent: false,
            is_guarded: true,
            dependants: Vec::new(),
        }],
        rules: vec![Rule {
            phase: "forget",
            name: "forgotten",
            subject: "people",
            condition: Condition::Compare(Operand::Column("id"), Comparison::AtMost, Operand::Integer(2)),
            arriving: None,
            action: Action::Anonymise(vec![
                (name.clone(), Blank::Empty),
                (mail.clone(), Blank::Null),
                (visits.clone(), Blank::Zero),
            ]),
            by_age: false,
        }],
    })
}

/// Carries the rule out twice; what each run overwrote.
async fn overwritten_twice(db: Database) -> Result<[u64; 2]> {
    let engine = Engine::new(db, policy()?, Arc::new(Nobody));
    let now: Timestamp = "2026-06-01T12:00:00Z".parse()?;
    let mut rows = [0; 2];
    for rows in &mut rows {
        let outcome = engine.run(&Order::new("forget", Arc::new(move || now))).await?;
        anyhow::ensure!(outcome.ended == Ended::Done, "{:?}", outcome.reason);
        assert_eq!(outcome.report.rows("forgotten"), outcome.plan.rows("forgotten"));
        *rows = outcome.report.rows("forgotten");
    }
    Ok(rows)
}

fn expected() -> BTreeMap<i64, (String, Option<String>, i64)> {
    let eve = ("Eve".to_owned(), Some("eve@example.org".to_owned()), 9);
    BTreeMap::from([(1, (String::new(), None, 0)), (2, (String::new(), None, 0)), (3, eve)])
}

#[tokio::test]
async fn rows_of_a_rule_are_overwritten_once_and_others_left_on_sqlite() -> Result<()> {
    let file = SqliteFile::new()?;
    let outside = rusqlite::Connection::open(file.path())?;
    outside.execute_batch(TABLES_SQLITE)?;
    outside.execute_batch(TABLE)?;

    let db = SqliteDatabase::open(&SqlitePath::new(file.path()), SqliteConfig::default()).await?;
    assert_eq!(Box::pin(overwritten_twice(Database::Sqlite(db))).await?, [2, 0]);

    let mut statement = outside.prepare("select id, name, mail, visits from people")?;
    let found = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?))))?;
    assert_eq!(found.collect::<Result<BTreeMap<_, _>, _>>()?, expected());
    Ok(())
}

#[tokio::test]
async fn rows_of_a_rule_are_overwritten_once_and_others_left_on_postgres() -> Result<()> {
    let database = PostgresServer::shared().await?.database().await?;
    let outside = database.client().await?;
    outside.batch_execute(TABLES_POSTGRES).await?;
    outside.batch_execute(TABLE).await?;
    let DatabaseUrl::Postgres(url) = database.url().parse()? else { anyhow::bail!("an address of PostgreSQL") };

    let pool = Pool::new(&url, PoolConfig::default())?;
    assert_eq!(Box::pin(overwritten_twice(Database::Postgres(pool))).await?, [2, 0]);

    let rows = outside.query("select id, name, mail, visits from people", &[]).await?;
    let found = rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3))));
    assert_eq!(found.collect::<BTreeMap<i64, (String, Option<String>, i64)>>(), expected());
    Ok(())
}

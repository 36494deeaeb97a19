//! Statements of the caller on both databases.

use proptest::prelude::*;
use tierkeep_db::raw::{Params, Raw};
use tierkeep_db::{Database, Error, Row, Value};

use crate::fixture::{Bases, check, numbers, run};

async fn read(db: &Database, sql: &str, params: Params) -> Result<Vec<Row>, Error> {
    Raw::new(db.dialect(), sql, params)?.read(db).await
}

async fn bases() -> Bases {
    let bases = Bases::new().await;
    bases.run("create table t (id integer primary key, a text)").await;
    bases.run("insert into t values (1, 'one'), (2, 'two'), (3, null)").await;
    bases
}

#[tokio::test]
async fn the_same_text_with_names_and_lists_answers_the_same_on_both() {
    let bases = bases().await;

    for db in &bases.all {
        let params = Params::named([("a", "two")]).list("ids", [1_i64, 2]);
        let sql = "select id, ':ids' as text from t where id in (:ids) and (a = :a or a <> :a) order by id;";
        let found = read(db, sql, params).await.unwrap();
        assert_eq!(found.iter().map(|row| row.get::<i64>("id").unwrap()).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(found[0].get::<String>("text").unwrap(), ":ids");

        let empty = Params::none().list("ids", Vec::<i64>::new());
        let none = read(db, "select id from t where id in (:ids)", empty.clone()).await.unwrap();
        assert!(none.is_empty());
        let all = read(db, "select id from t where id not in (:ids)", empty).await.unwrap();
        assert_eq!(all.len(), 3);
        let places = Params::positional([2_i64]).then_list(["two", "three"]);
        let placed = read(db, "select id from t where a in ($2) and id = $1", places).await.unwrap();
        assert_eq!(placed.len(), 1);
    }
}

#[tokio::test]
async fn lists_may_be_longer_than_a_statement_has_parameters() {
    let bases = bases().await;

    for db in &bases.all {
        let ids = Params::none().list("ids", 2..100_000_i64);
        assert_eq!(read(db, "select id from t where id in (:ids)", ids).await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn reading_cannot_write() {
    let bases = bases().await;

    for db in &bases.all {
        for sql in ["delete from t", "insert into t values (:id, null)", "update t set a = 'x'"] {
            let params = if sql.contains(":id") { Params::named([("id", 9_i64)]) } else { Params::none() };
            read(db, sql, params).await.unwrap_err();
        }
        assert_eq!(numbers(db, "select count(*) from t where a in ('one', 'two')").await, [2]);
    }
    run(bases.postgres(), "create sequence s").await;
    for sql in ["select nextval('s')", "explain analyze delete from t"] {
        read(bases.postgres(), sql, Params::none()).await.unwrap_err();
    }
    assert_eq!(numbers(bases.postgres(), "select last_value from s where not is_called").await, [1]);
    assert_eq!(numbers(bases.postgres(), "select count(*) from t").await, [3]);
}

#[tokio::test]
async fn writing_says_what_it_touched_and_returned() {
    let bases = bases().await;

    for db in &bases.all {
        let touched =
            Raw::new(db.dialect(), "update t set a = :a where id < :id", Params::named([("id", 3_i64)]).with("a", "x"));
        assert_eq!(touched.unwrap().write(db).await.unwrap().touched, 2);
        let returned = Raw::new(db.dialect(), "delete from t where id = $1 returning a", Params::positional([1_i64]));
        let returned = returned.unwrap().write(db).await.unwrap();
        assert_eq!((returned.touched, returned.rows[0].get::<String>("a").unwrap()), (1, "x".to_owned()));

        let refused = Raw::new(db.dialect(), "insert into t values (2, 'again')", Params::none()).unwrap();
        refused.write(db).await.unwrap_err();
        assert_eq!(numbers(db, "select count(*) from t").await, [2]);
    }
}

#[tokio::test]
async fn operators_of_postgres_keep_their_question_marks() {
    let bases = bases().await;
    let sql =
        "select '{\"a\": [1, 2]}'::jsonb ? :k as has, $$it's :k$$ as text, (array[1,2,3])[1:2] = array[1,2] as cut";

    let found = read(bases.postgres(), sql, Params::named([("k", "a")])).await.unwrap();

    assert!(found[0].get::<bool>("has").unwrap() && found[0].get::<bool>("cut").unwrap());
    assert_eq!(found[0].get::<String>("text").unwrap(), "it's :k");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_value_is_it_stays_a_value() {
    let bases = bases().await;
    let text = prop_oneof!["[^\0]{0,20}", Just("'; drop table t; --".to_owned()), Just(":a $1 ?1 $$".to_owned())];

    check(48, &text, async |text| {
        for db in &bases.all {
            let sql = "select cast(:a as text) as a, count(*) as n from t";
            let found = read(db, sql, Params::named([("a", text.as_str())])).await.unwrap();
            prop_assert_eq!(found[0].value("a").unwrap(), &Value::Text(text.clone()));
            prop_assert_eq!(found[0].get::<i64>("n").unwrap(), 3);
        }
        Ok(())
    });
}

#[tokio::test]
async fn a_value_of_another_kind_is_refused_before_it_is_sent() {
    let bases = bases().await;

    let refused = read(bases.postgres(), "select id from t where id = :id", Params::named([("id", "1")])).await;

    assert_eq!(refused.unwrap_err().to_string(), "a value of kind text does not fit int4, accepted is integer");
}

#[tokio::test]
async fn a_statement_is_prepared_anew_when_its_table_has_changed() {
    use tierkeep_db::Queries;
    let bases = bases().await;
    let db = bases.postgres();
    let all = Raw::new(db.dialect(), "select * from t where id = 1", Params::none()).unwrap();
    assert_eq!(db.query(all.statement()).await.unwrap()[0].columns().len(), 2);

    run(db, "alter table t add column b integer").await;

    assert_eq!(db.query(all.statement()).await.unwrap()[0].columns().len(), 3);
}

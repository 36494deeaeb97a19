//! Advice for whole workloads: against every other choice, within limits, and honest about what it did not look at.

use serde_json::Value;
use tierkeep_db::advice::{
    Advice, AdviceError, AdviceOptions, Method, OmissionReason, RedundantReason, Unit, Workload, advise,
};
use tierkeep_db::{Database, Dialect, Ident, Pool, PoolConfig, PostgresUrl};
use tierkeep_testkit::{DatabaseClient, TestDatabase};

use crate::pairs::PAIRS;
use crate::suggestions::filled;
use crate::{pool, postgres};

fn workload(statements: &[(&str, f64)]) -> Workload {
    let mut workload = Workload::new(Dialect::Postgres);
    for (sql, calls) in statements {
        workload.add(sql, *calls, None);
    }
    workload
}

async fn advice(db: &Database, statements: &[(&str, f64)]) -> Advice {
    advise(db, &workload(statements), &AdviceOptions::default()).await.unwrap()
}

fn definitions(advice: &Advice) -> Vec<String> {
    advice.suggestions.iter().map(|suggestion| suggestion.index.to_string()).collect()
}

/// Makes tests of functions over a [`Method`], and of those that ask HypoPG itself. All of `hypothetical` need a server
/// that has it: where none was built, these and no others are left out by that name.
macro_rules! by_both_methods {
    ($($case:ident),+; hypothetical only: $($only:ident),+ $(,)?) => {
        mod from_statistics {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                Box::pin(super::$case(tierkeep_db::advice::Method::Statistics)).await;
            })+
        }

        mod hypothetical {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                Box::pin(super::$case(tierkeep_db::advice::Method::Hypothetical)).await;
            })+

            $(#[tokio::test(flavor = "multi_thread")]
            async fn $only() {
                Box::pin(super::$only()).await;
            })+
        }
    };
}

by_both_methods!(
    nothing_that_is_suggested_for_all_statements_could_be_left_out,
    equalities_come_before_ranges_and_what_is_there_is_not_suggested,
    parameters_are_planned_for_all_values,
    indexes_that_cost_more_than_they_save_are_not_suggested,
    limits_are_kept_and_the_best_is_taken_within_them,
    times_are_used_if_all_are_known,
    indexes_that_could_go_are_named_and_those_of_constraints_never,
    what_is_not_looked_at_is_named_with_its_reason;
    hypothetical only:
    no_set_of_plain_indexes_is_noticeably_better,
    connection_that_gave_advice_knows_nothing_of_it_afterwards,
    kinds_of_conditions_get_the_index_that_serves_them,
);

async fn database(setup: &str) -> (TestDatabase, DatabaseClient, Database) {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client.batch_execute(setup).await.unwrap();
    let db = Database::Postgres(pool(&database));
    (database, client, db)
}

/// What the planner expects of all statements together.
async fn cost(client: &DatabaseClient, statements: &[(&str, f64)]) -> f64 {
    let mut total = 0.0;
    for (sql, calls) in statements {
        let answer = client.simple_query(&["explain (format json) ", sql].concat()).await.unwrap();
        let json = answer.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        let plan: Value = serde_json::from_str(json.unwrap()).unwrap();
        total += calls * plan[0]["Plan"]["Total Cost"].as_f64().unwrap();
    }
    total
}

const SMALL: &str = "
    create table t (a int not null, b int not null, c int not null, pad text not null);
    insert into t select (i * 7919) % 3000, (i * 31) % 150, i % 12, repeat('x', 100) from generate_series(1, 12000) as i;
    analyze t;";

/// A small table on a server that is asked by this method.
async fn small(method: Method) -> (TestDatabase, DatabaseClient, Database) {
    let (database, client, db) = database(SMALL).await;
    if method == Method::Hypothetical {
        client.batch_execute("create extension hypopg").await.unwrap();
    }
    (database, client, db)
}

async fn no_set_of_plain_indexes_is_noticeably_better() {
    let (_database, client, db) = small(Method::Hypothetical).await;
    let columns = ["a", "b", "c"];
    let mut candidates: Vec<String> = columns.iter().map(|a| ["create index on t (", a, ")"].concat()).collect();
    for a in columns {
        for b in columns.iter().filter(|b| **b != a) {
            candidates.push(["create index on t (", a, ", ", b, ")"].concat());
        }
    }
    for statements in [
        vec![("select * from t where a = 5", 10.0), ("select * from t where a = 5 and b > 140", 10.0)],
        vec![("select * from t where b = 7 and c = 3", 20.0), ("select * from t where c = 3 order by a limit 5", 5.0)],
        vec![
            ("select * from t where b = 7", 3.0),
            ("select * from t where b = 7 order by a limit 3", 9.0),
            ("select * from t where a between 10 and 12", 1.0),
        ],
    ] {
        let advice = advice(&db, &statements).await;
        assert_eq!(advice.method, Method::Hypothetical);
        assert!(advice.is_optimal);

        let mut best = f64::INFINITY;
        for bits in 0_u32..1 << candidates.len() {
            client.simple_query("select hypopg_reset()").await.unwrap();
            for (_, sql) in candidates.iter().enumerate().filter(|(number, _)| bits & (1 << number) != 0) {
                client.query("select hypopg_create_index($1)", &[sql]).await.unwrap();
            }
            best = best.min(cost(&client, &statements).await);
        }

        assert!(advice.after <= 1.05 * best, "{} after advice, {best} is possible\n{advice}", advice.after);
    }
}

async fn nothing_that_is_suggested_for_all_statements_could_be_left_out(method: Method) {
    let database = filled(method == Method::Hypothetical).await;
    let db = Database::Postgres(pool(&database));
    let client = database.client().await.unwrap();
    let statements: Vec<(&str, f64)> =
        PAIRS.iter().flat_map(|pair| pair.statements).copied().filter(|(sql, _)| sql.starts_with("select")).collect();
    let options = AdviceOptions { max_indexes: 40, ..AdviceOptions::default() };

    let advice = advise(&db, &workload(&statements), &options).await.unwrap();
    for suggestion in &advice.suggestions {
        client.batch_execute(&suggestion.statement).await.unwrap();
    }
    client.batch_execute("analyze").await.unwrap();

    let with_all = cost(&client, &statements).await;
    assert!(advice.suggestions.len() >= 10, "{advice}");
    assert!(with_all < advice.before / 4.0, "{with_all} of {}", advice.before);
    for suggestion in &advice.suggestions {
        client.batch_execute(&["begin; drop index ", &suggestion.index.name().quoted()].concat()).await.unwrap();
        let without = cost(&client, &statements).await;
        client.batch_execute("rollback").await.unwrap();
        assert!(without > with_all, "{} is not missed: {without} and {with_all}", suggestion.statement);
    }
    for (number, one) in advice.suggestions.iter().enumerate() {
        let is_beginning = |other: &tierkeep_db::advice::Suggestion| {
            other.index.table == one.index.table
                && other.index.predicate == one.index.predicate
                && other.index.keys.starts_with(&one.index.keys)
                && one.index.include.iter().all(|column| other.index.columns().any(|of| of == column))
        };
        let others = advice.suggestions.iter().enumerate().filter(|(other, _)| *other != number);
        assert!(!others.map(|(_, other)| other).any(is_beginning), "{} begins another one", one.statement);
    }
}

/// The seed took the columns of a condition in the caller's order, whatever was there already.
async fn equalities_come_before_ranges_and_what_is_there_is_not_suggested(method: Method) {
    let (_database, client, db) = small(method).await;
    let statements = [("select * from t where b > 100 and a = 17", 10.0)];

    assert!(definitions(&advice(&db, &statements).await)[0].starts_with("public.t (a"));
    client.batch_execute("create index on t (a, b)").await.unwrap();
    assert_eq!(definitions(&advice(&db, &statements).await), [] as [String; 0]);
    assert_eq!(definitions(&advice(&db, &[("select * from t", 1.0)]).await), [] as [String; 0]);
    assert_eq!(definitions(&advice(&db, &[("select * from t where c <> 3", 1.0)]).await), [] as [String; 0]);
}

async fn parameters_are_planned_for_all_values(method: Method) {
    let (_database, _client, db) = small(method).await;

    let advice =
        advice(&db, &[("select * from t where a = $1 and b < $2", 10.0), ("select * from t where a = any($1)", 5.0)])
            .await;

    assert!(advice.omissions.is_empty(), "{advice}");
    assert!(definitions(&advice)[0].starts_with("public.t (a"), "{advice}");
}

async fn indexes_that_cost_more_than_they_save_are_not_suggested(method: Method) {
    let (_database, _client, db) = small(method).await;
    let read = ("select * from t where a = 17", 1.0);
    let insert = "insert into t (a, b, c, pad) values (1, 2, 3, 'x')";
    let update = "update t set a = 5 where b = 7 and c = 3";

    let seldom_written = advice(&db, &[read, (insert, 10.0)]).await;
    let often_written = advice(&db, &[read, (insert, 1e6)]).await;
    let often_updated = advice(&db, &[read, (update, 1e6)]).await;

    assert!(definitions(&seldom_written).contains(&"public.t (a)".to_owned()), "{seldom_written}");
    assert!(seldom_written.suggestions[0].upkeep > 0.0);
    assert!(seldom_written.suggestions[0].pays_from_calls > 0.0);
    assert_eq!(definitions(&often_written), [] as [String; 0]);
    assert!(!definitions(&often_updated).iter().any(|index| index.contains("(a")), "{often_updated}");
    assert!(!definitions(&often_updated).is_empty(), "the update itself looks for rows: {often_updated}");
}

async fn limits_are_kept_and_the_best_is_taken_within_them(method: Method) {
    let (_database, _client, db) = small(method).await;
    let statements = workload(&[
        ("select * from t where a = 17", 1000.0),
        ("select * from t where b = 17", 1.0),
        ("select * from t where c = 1 order by pad limit 1", 1.0),
    ]);
    let one = AdviceOptions { max_indexes: 1, ..AdviceOptions::default() };
    let small = AdviceOptions { max_bytes: 100, ..AdviceOptions::default() };

    let advice = advise(&db, &statements, &one).await.unwrap();
    assert_eq!(definitions(&advice), ["public.t (a)"]);
    assert!(advise(&db, &statements, &small).await.unwrap().suggestions.is_empty());
}

async fn times_are_used_if_all_are_known(method: Method) {
    let (_database, _client, db) = small(method).await;
    let mut timed = Workload::new(Dialect::Postgres);
    timed.add("select * from t where a = 17", 100.0, Some(4.0));
    let mut half = timed.clone();
    half.add("select * from t where b = 17", 100.0, None);

    let advice = advise(&db, &timed, &AdviceOptions::default()).await.unwrap();
    assert_eq!(advice.unit, Unit::Milliseconds);
    assert!((advice.before - 400.0).abs() < 1e-6, "{advice}");
    assert!((advice.suggestions[0].gains[0].before - 4.0).abs() < 1e-6);
    assert_eq!(advise(&db, &half, &AdviceOptions::default()).await.unwrap().unit, Unit::Cost);
}

async fn what_is_not_looked_at_is_named_with_its_reason(method: Method) {
    let (database, client, db) = small(method).await;
    client
        .batch_execute(
            "create table tiny (a int); insert into tiny select generate_series(1, 10); analyze tiny;
             create table fresh (a int); alter table fresh set (autovacuum_enabled = off);
             insert into fresh select generate_series(1, 5000);
             create table secret (a int); insert into secret select generate_series(1, 5000); analyze secret;
             create function bad(int) returns int language sql immutable as 'select 1/($1 - $1)';
             create table parts (a int) partition by range (a);
             create table part partition of parts for values from (0) to (10000);
             insert into parts select generate_series(1, 5000); analyze parts;
             create schema closed; create table closed.hidden (a int);
             insert into closed.hidden select generate_series(1, 5000); analyze closed.hidden",
        )
        .await
        .unwrap();
    // A role is of the whole server, and the tests of both methods run at once.
    let role = format!("advised_by_{method:?}").to_lowercase();
    client
        .batch_execute(&format!(
            "drop role if exists {role}; create role {role} login; grant select on t, tiny, fresh to {role}"
        ))
        .await
        .unwrap();
    let statements = workload(&[
        ("selekt 1", 1.0),
        ("vacuum t", 1.0),
        ("select * from nowhere", 1.0),
        ("select * from tiny where a = 1", 1.0),
        ("select * from fresh where a = 1", 1.0),
        ("select * from t where bad(3) = a", 1.0),
        ("select * from t where a = 1", 1.0),
        ("select * from secret where a = 1", 1.0),
        ("select * from closed.hidden where a = 1", 1.0),
        ("select * from parts where a = 1", 1.0),
    ]);
    let url = database.url().replace("postgres@", &format!("{role}@")).parse::<PostgresUrl>().unwrap();
    let limited = Database::Postgres(Pool::new(&url, PoolConfig::default()).unwrap());

    let advice = advise(&db, &statements, &AdviceOptions::default()).await.unwrap();
    let reason = |advice: &Advice, what: &str| {
        let found = advice.omissions.iter().find(|omission| omission.what.contains(what)).map(|o| o.reason.clone());
        found.unwrap_or_else(|| panic!("{what} is not named\n{advice}"))
    };

    assert!(matches!(reason(&advice, "selekt"), OmissionReason::NotUnderstood { .. }));
    assert_eq!(reason(&advice, "vacuum"), OmissionReason::Utility);
    assert!(matches!(reason(&advice, "nowhere"), OmissionReason::Unreadable { .. }));
    assert_eq!(reason(&advice, "public.tiny"), OmissionReason::SmallTable { rows: 10.0 });
    assert_eq!(reason(&advice, "public.fresh"), OmissionReason::NoStatistics);
    assert_eq!(reason(&advice, "public.parts"), OmissionReason::Partitioned);
    // The model asks no planner, which would compute it.
    if method == Method::Hypothetical {
        assert!(matches!(reason(&advice, "bad(3)"), OmissionReason::NotPlanned { .. }));
    }
    assert_eq!(definitions(&advice).len(), 3, "the others are looked at all the same: {advice}");

    let advice = advise(&limited, &statements, &AdviceOptions::default()).await.unwrap();
    assert_eq!(reason(&advice, "public.secret"), OmissionReason::NotPermitted);
    assert_eq!(
        reason(&advice, "closed.hidden"),
        OmissionReason::NotPermitted,
        "not even its schema may be looked into"
    );
    assert!(!advice.suggestions.is_empty(), "{advice}");
}

async fn indexes_that_could_go_are_named_and_those_of_constraints_never(method: Method) {
    let (_database, client, db) = small(method).await;
    client
        .batch_execute(
            "create index one on t (a); create index same on t (a); create index wide on t (b, c); create index narrow on t (b);
             alter table t add column id int generated always as identity; create unique index key on t (id, a);
             alter table t add primary key (id)",
        )
        .await
        .unwrap();
    client.batch_execute("create unique index concurrently broken on t (pad)").await.unwrap_err();

    let advice = advice(&db, &[("select * from t where a = 1", 1.0)]).await;

    let reason = |name: &str| {
        let found = advice.redundant.iter().find(|redundant| redundant.index.as_str() == name);
        found.map(|redundant| redundant.reason.clone())
    };
    assert_eq!(reason("one"), None);
    assert_eq!(reason("same"), Some(RedundantReason::Duplicate { of: Ident::new("one").unwrap() }));
    assert_eq!(reason("narrow"), Some(RedundantReason::Prefix { of: Ident::new("wide").unwrap() }));
    assert_eq!(reason("broken"), Some(RedundantReason::Invalid));
    assert_eq!(reason("key"), None);
    assert_eq!(reason("t_pkey"), None);
}

#[tokio::test]
async fn workload_of_another_database_is_refused() {
    let (_database, _client, db) = database("select 1").await;

    let error = advise(&db, &Workload::new(Dialect::Sqlite), &AdviceOptions::default()).await.unwrap_err();

    assert!(matches!(error, AdviceError::OtherDialect { .. }), "{error}");
}

async fn connection_that_gave_advice_knows_nothing_of_it_afterwards() {
    let (_database, _client, db) = small(Method::Hypothetical).await;
    advice(&db, &[("select * from t where a = 1", 1.0)]).await;
    let Database::Postgres(pool) = &db else { panic!("another database") };

    let connection = pool.get().await.unwrap();
    let hypothetical: i64 = connection.query_one("select count(*) from hypopg()", &[]).await.unwrap().get(0);
    let prepared: i64 = connection
        .query_one("select count(*) from pg_prepared_statements where name like 'tierkeep%'", &[])
        .await
        .unwrap()
        .get(0);

    assert_eq!((hypothetical, prepared), (0, 0));
}

/// Makes what is suggested; the names of the indexes that the statement's plan uses then.
async fn used_after(client: &DatabaseClient, db: &Database, sql: &'static str) -> (Advice, Vec<String>) {
    let advice = advice(db, &[(sql, 100.0)]).await;
    for suggestion in &advice.suggestions {
        client.batch_execute(&suggestion.statement).await.unwrap();
    }
    client.batch_execute("analyze t").await.unwrap();
    let plan = tierkeep_db::plan::explain(db, sql, &tierkeep_db::plan::Options::default()).await.unwrap();
    let used = plan.nodes().iter().filter_map(|(_, node)| node.text("Index Name").map(str::to_owned)).collect();
    (advice, used)
}

/// The model knows nothing of plans that use two indexes for an `or`.
async fn kinds_of_conditions_get_the_index_that_serves_them() {
    for (sql, expected) in [
        ("select * from t where a = 5 or b = 7", vec!["public.t (a)", "public.t (b)"]),
        ("select * from t order by a, b desc limit 5", vec!["public.t (a, b desc)"]),
        (
            "select * from t order by a desc nulls last, b desc nulls last limit 5",
            vec!["public.t (a desc nulls last, b desc nulls last)"],
        ),
        ("select * from t where name like 'name 77%'", vec!["public.t (name text_pattern_ops)"]),
        ("select * from t where upper(name) = 'NAME 77'", vec!["public.t (upper(name))"]),
        ("select * from t where (a, b) > (2990, 3) order by a, b limit 5", vec!["public.t (a, b)"]),
        ("select * from t x join t y on y.a = x.b where x.a = 5", vec!["public.t (a)"]),
    ] {
        let (_database, client, db) = small(Method::Hypothetical).await;
        let statements = [
            "alter table t add column name text collate \"und-x-icu\"",
            "update t set name = 'name ' || a",
            "vacuum full analyze t",
        ];
        for statement in statements {
            client.batch_execute(statement).await.unwrap();
        }

        let (advice, used) = used_after(&client, &db, sql).await;

        let mut found = definitions(&advice);
        found.sort();
        // HypoPG 1.1, which is that of PostgreSQL 13, now and then says of a longer one that it costs less.
        if client.server_version().await.unwrap() == 13 && sql.contains("join") {
            assert!(found.len() == 1 && found[0].starts_with("public.t (a"), "{sql}\n{advice}");
        } else {
            assert_eq!(found, expected, "{sql}\n{advice}");
        }
        for suggestion in &advice.suggestions {
            assert!(used.contains(&suggestion.index.name().to_string()), "{sql}: {used:?}");
        }
    }
}

/// Gives a text piece by piece, which is nowhere as a whole.
struct Stream {
    left: usize,
    piece: Vec<u8>,
    at: usize,
}

impl std::io::Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.piece.len() {
            let Some(left) = self.left.checked_sub(1) else { return Ok(0) };
            let pad = "x".repeat(2000);
            let text = format!("select '{pad};' from t where a = {left}; not sql {}; ", left % 3);
            (self.left, self.piece, self.at) = (left, text.into_bytes(), 0);
        }
        let length = buffer.len().min(self.piece.len() - self.at);
        buffer[..length].copy_from_slice(&self.piece[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

#[test]
fn a_file_of_any_length_is_read_in_one_pass() {
    let count = 20_000;
    let stream = Stream { left: count, piece: Vec::new(), at: 0 };

    let workload = Workload::read(Dialect::Postgres, &mut std::io::BufReader::new(stream)).unwrap();

    let [only] = workload.statements() else { panic!("{} statements", workload.statements().len()) };
    assert_eq!(only.calls, count as f64, "40 MB are more than a text may have");
    assert_eq!(workload.omissions().len(), 3, "each once: {:?}", workload.omissions());
}

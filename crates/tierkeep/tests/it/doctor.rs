//! `doctor`: what it finds, what it refuses, and that it changes nothing unless it is told to.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;
use tierkeep_db::Dialect;
use tierkeep_learning::store::OpenMode;
use tierkeep_testkit::{PostgresServer, TestDatabase};

use crate::cleanup::add_sessions;
use crate::fixture::{ADA, NOW, run};
use crate::node::{Installation, Node, on_both};

on_both!(
    an_index_that_is_gone_is_named_first,
    a_plan_is_told_and_nothing_that_writes_is_explained,
    a_missing_index_is_suggested_made_and_then_not_suggested_again,
    the_api_tells_what_the_command_tells,
);

/// A statement that only an index by the learner's time answers quickly.
const BY_TIME: &str = "select id from study_sessions where start_time > ";

pub(crate) fn doctor(directory: &TempDir, url: &str, words: &[&str]) -> (i32, String, String) {
    run(directory, &[&["--database", url, "doctor"], words].concat())
}

pub(crate) fn json_of(told: &(i32, String, String)) -> Value {
    assert_eq!(told.0, 0, "{told:?}");
    serde_json::from_str(&told.1).unwrap()
}

/// Sessions in such numbers that an index is worth something, and statistics that say so.
pub(crate) async fn grown(dialect: Dialect) -> Installation {
    let installation = Installation::new(dialect).await;
    installation.run("delete from study_sessions").await;
    add_sessions(&installation, 7, ADA, "2025-01-01T00:00:00Z", 20_000, "").await;
    installation.run("analyze study_sessions").await;
    installation
}

async fn an_index_that_is_gone_is_named_first(dialect: Dialect) {
    let installation = grown(dialect).await;
    let (directory, url) = (TempDir::new().unwrap(), installation.url());
    let whole = json_of(&doctor(&directory, &url, &["--json"]));
    let is_calm = |task: &Value| task["urgency"] != "broken" && task["urgency"] != "waste";
    assert!(whole["tasks"].as_array().unwrap().iter().all(is_calm), "nobody has read by most indexes yet: {whole:#}");

    installation.run("drop index study_sessions_user_start").await;
    let found = json_of(&doctor(&directory, &url, &["--json"]));
    let (code, told, _) = doctor(&directory, &url, &[]);

    let first = &found["tasks"][0];
    let how = if dialect == Dialect::Postgres { "index concurrently" } else { "index" };
    assert_eq!(
        (&first["urgency"], &first["command"]),
        (
            &json!("broken"),
            &json!(format!("create {how} study_sessions_user_start on study_sessions (user_id, start_time)"))
        )
    );
    assert_eq!(code, 0);
    assert!(told.starts_with("1. broken: study_sessions_user_start on study_sessions is not there"), "{told}");
    assert!(told.lines().filter(|line| line.starts_with("   ")).count() <= 5, "{told}");
}

async fn a_plan_is_told_and_nothing_that_writes_is_explained(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let (directory, url) = (TempDir::new().unwrap(), installation.url());
    let count = "select count(*) from study_sessions";
    let before = installation.number(count).await;

    let plan = json_of(&doctor(&directory, &url, &["explain", count, "--json"]));
    assert!(plan["plan"]["root"]["kind"].is_string(), "{plan:#}");
    for (sql, code) in [
        ("delete from study_sessions", 3),
        ("with gone as (delete from study_sessions returning id) select * from gone", 3),
        ("explain analyze delete from study_sessions", 3),
        ("select 1; delete from study_sessions", 2),
        ("selekt", 2),
        ("", 2),
        ("select * from no_such_table", 1),
    ] {
        let told = doctor(&directory, &url, &["explain", sql]);
        // SQLite has no statement that deletes and selects
        let is_grammar = dialect == Dialect::Sqlite && sql.starts_with("with");
        assert!(told.0 == code || is_grammar && told.0 != 0, "{sql}: {told:?}");
        assert!(told.1.is_empty() && !told.2.is_empty(), "{sql}: {told:?}");
    }
    let analyze = doctor(&directory, &url, &["explain", count, "--analyze"]);
    assert_eq!(analyze.0, if dialect == Dialect::Postgres { 0 } else { 2 }, "{analyze:?}");

    assert_eq!(installation.number(count).await, before);
}

async fn a_missing_index_is_suggested_made_and_then_not_suggested_again(dialect: Dialect) {
    let installation = grown(dialect).await;
    installation.run("drop index study_sessions_start").await;
    let (directory, url) = (TempDir::new().unwrap(), installation.url());
    let late = match dialect {
        Dialect::Postgres => "'2025-01-14T21:00:00Z'",
        Dialect::Sqlite => "1736888400000000",
    };
    let file = directory.path().join("queries.sql");
    std::fs::write(&file, format!("{BY_TIME}{late};\n{BY_TIME}{late};\nvacuum;\nnonsense")).unwrap();
    let file = file.to_str().unwrap();
    let advise = |more: &[&str]| doctor(&directory, &url, &[&["advise", "--queries", file, "--json"], more].concat());

    let advice = json_of(&advise(&[]));
    let suggestions = advice["advice"]["suggestions"].as_array().unwrap();
    assert_eq!(suggestions.len(), 1, "{advice:#}");
    assert!(suggestions[0]["statement"].as_str().unwrap().contains("start_time"), "{advice:#}");
    assert_eq!(advice["advice"]["omissions"].as_array().unwrap().len(), 2, "{advice:#}");
    assert_eq!(advice["created"], Value::Null);
    assert_eq!(doctor(&directory, &url, &["advise", "--create", "--read-only"]).0, 2);

    let made = json_of(&advise(&["--create"]));
    assert!(made["created"][0]["created"]["new"]["name"].is_string(), "{made:#}");
    assert!(made["created"][0]["timings"][0]["after_ms"].is_number(), "it was looked whether it helps: {made:#}");
    let again = json_of(&advise(&["--create"]));

    assert_eq!((&again["advice"]["suggestions"], &again["created"]), (&json!([]), &json!([])), "{again:#}");
}

async fn the_api_tells_what_the_command_tells(dialect: Dialect) {
    let installation = grown(dialect).await;
    installation.run("drop index course_progress_user").await;
    let node = installation.node(None).await;

    let request = Request::get("/v1/admin/database").body(Body::empty()).unwrap();
    let answer = node.send(request).await.json();

    assert_eq!(answer["database"], if dialect == Dialect::Postgres { "postgresql" } else { "sqlite" });
    assert!(answer["tasks"][0]["what"].as_str().unwrap().starts_with("course_progress_user on course_progress"));
    let tables: Vec<&str> =
        answer["tables"].as_array().unwrap().iter().filter_map(|table| table["table"].as_str()).collect();
    assert!(tables.iter().any(|table| table.ends_with("study_sessions")), "{tables:?}");
    assert_eq!(answer["pool"]["max"], if dialect == Dialect::Postgres { json!(50) } else { Value::Null });
    assert_eq!(answer["slow_queries"], Value::Null, "the server does not count statements");
    assert!(!answer["not_examined"].as_array().unwrap().is_empty());

    let reader = Node::start(&installation.url(), None, NOW, OpenMode::ReadOnly).await;
    let request = Request::get("/v1/admin/database").body(Body::empty()).unwrap();
    assert_eq!(reader.send(request).await.json()["tasks"], answer["tasks"], "a node that only reads may look as well");
}

#[test]
fn a_database_that_is_not_there_is_not_made() {
    let directory = TempDir::new().unwrap();

    for words in [&[][..], &["tables"], &["indexes"], &["slow-queries"], &["explain", "select 1"]] {
        let (code, out, told) = doctor(&directory, "sqlite://absent.db", words);
        assert_eq!((code, out.as_str()), (1, ""), "{words:?}: {told}");
        assert!(told.contains("absent.db"), "{told}");
    }

    assert!(!directory.path().join("absent.db").exists());
}

#[tokio::test]
async fn statements_that_the_server_counts_are_listed_and_advised_on() {
    let server =
        PostgresServer::builder().setting("shared_preload_libraries", "pg_stat_statements").launch().await.unwrap();
    let database: TestDatabase = server.database().await.unwrap();
    let client = database.client().await.unwrap();
    client
        .batch_execute(
            "create extension pg_stat_statements;
             create table visits (id int primary key, page int, at timestamptz);
             insert into visits select n, n % 5000, now() from generate_series(1, 50000) n;
             analyze visits",
        )
        .await
        .unwrap();
    for page in 0..20_i32 {
        client.query("select count(*) from visits where page = $1", &[&page]).await.unwrap();
    }
    let directory = TempDir::new().unwrap();
    let url = database.url();

    let listed = json_of(&doctor(&directory, url, &["slow-queries", "--threshold", "0", "--json"]));
    let statements: Vec<&str> =
        listed["slow_queries"].as_array().unwrap().iter().filter_map(|query| query["sql"].as_str()).collect();
    assert!(statements.iter().any(|sql| sql.contains("where page = $1")), "{statements:?}");
    let found = json_of(&doctor(&directory, url, &["--json"]));

    let tasks = found["tasks"].as_array().unwrap();
    let suggested = tasks.iter().find(|task| task["urgency"] == "missing_index").unwrap_or_else(|| panic!("{found:#}"));
    assert!(suggested["command"].as_str().unwrap().contains("(\"page\")"), "{suggested}");
}

#[tokio::test]
async fn statements_that_nobody_counts_are_no_empty_list() {
    let installation = grown(Dialect::Postgres).await;
    let directory = TempDir::new().unwrap();

    let (code, _, told) = doctor(&directory, &installation.url(), &["slow-queries"]);
    let listed = json_of(&doctor(&directory, &installation.url(), &["slow-queries", "--json"]));

    assert_eq!(code, 0, "{told}");
    assert_eq!(listed["examined"], false);
    assert!(listed["reason"].as_str().unwrap().contains("shared_preload_libraries"), "{listed}");
}

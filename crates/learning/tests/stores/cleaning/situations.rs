//! Tables that somebody has altered: either every value is kept, or nothing is touched and the reason is told.

use std::sync::Arc;

use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::retention::{ARCHIVE, INVALID, PHASES};
use tierkeep_learning::store::{OpenMode, Store};

use super::super::fresh::{Fresh, Outside};
use super::super::retention::{cleanup, filled, order, run};

const KEYS: KeyType = KeyType::Int;

async fn altered(deed: &str) -> (Fresh, Arc<dyn Store>, Outside) {
    let (fresh, store, outside) = filled(Dialect::Postgres, KEYS).await;
    outside.run(deed).await;
    (fresh, store, outside)
}

/// That a run is refused for a reason, and that what is suggested helps, if anything is.
async fn is_refused(deed: &str, reason: &[&str], undo: &str) {
    let (_fresh, store, outside) = altered(deed).await;
    let live = outside.count("study_sessions").await;

    let refused = Arc::clone(&store).clean_up(&cleanup(&[ARCHIVE]), &order()).await.unwrap_err().to_string();

    for word in reason {
        assert!(refused.contains(word), "{word}: {refused}");
    }
    assert_eq!(outside.count("study_sessions").await, live);
    outside.run(undo).await;
    assert_eq!(run(&store, &[ARCHIVE]).await.report.rows("archive"), 44, "{deed}");
}

#[tokio::test]
async fn rows_that_others_point_to_are_not_moved_away_from_them() {
    is_refused(
        "create table remark (id bigint primary key, session bigint references study_sessions); \
         insert into remark values (1, 101)",
        &["remark"],
        "drop table remark",
    )
    .await;
}

#[tokio::test]
async fn archive_that_would_cut_values_takes_none() {
    is_refused(
        "alter table study_sessions_archive alter column notes type varchar(3)",
        &["notes"],
        "alter table study_sessions_archive alter column notes type text",
    )
    .await;
}

#[tokio::test]
async fn archive_that_demands_a_value_nobody_has_takes_none() {
    is_refused(
        "alter table study_sessions_archive add column reviewed_by text; \
         update study_sessions_archive set reviewed_by = ''; \
         alter table study_sessions_archive alter column reviewed_by set not null",
        &["reviewed_by"],
        "alter table study_sessions_archive alter column reviewed_by drop not null",
    )
    .await;
}

/// Columns that were added by hand, with a value for session 101.
const COLUMNS: [(&str, &str, &str); 7] = [
    ("\"{key}\"", "text", "'{condition}'"),
    ("\"it's \"\"quoted\"\" \"", "text", "'a'"),
    ("\" \"", "integer[]", "'{1,null}'"),
    ("\"select\"", "json", "'{\"a\": [1.0, 1.00]}'"),
    ("spot", "point", "'(1.5,2)'"),
    ("moment", "timestamptz", "'2024-05-01 00:00:00.123456+02'"),
    ("\"$1\"", "double precision", "'-0'"),
];

#[tokio::test]
async fn columns_that_were_added_follow_to_the_archive_with_their_values() {
    let (_fresh, store, outside) = altered("").await;
    for (name, kind, value) in COLUMNS {
        let add = format!("alter table study_sessions add column {name} {kind}");
        outside.run(&format!("{add}; update study_sessions set {name} = {value} where id = 101")).await;
    }
    let values = |table: &str, id: u32| {
        let columns: Vec<_> = COLUMNS.iter().map(|(name, ..)| format!("coalesce({name}::text, 'null')")).collect();
        format!("select {} from {table} where id = {id}", columns.join(" || '; ' || "))
    };
    let before = outside.texts(&values("study_sessions", 101)).await;
    let nothing = outside.texts(&values("study_sessions", 102)).await;

    let outcome = run(&store, &[INVALID, ARCHIVE]).await;

    assert_eq!(outcome.report.rows("archive"), 43);
    assert_eq!(outside.texts(&values("study_sessions_archive", 101)).await, before);
    assert_eq!(outside.texts(&values("study_sessions_archive", 102)).await, nothing);
    let kept = "select string_agg(k, ',' order by k) from tierkeep_quarantine, jsonb_object_keys(content) as k \
                where row_key = '401' and k in ('{key}', '$1', ' ', 'spot', 'select', 'it''s \"quoted\" ')";
    assert_eq!(outside.texts(kept).await, [" ,$1,it's \"quoted\" ,select,spot,{key}"]);
    // and a column that the archive has lost
    outside.run("alter table study_sessions_archive drop column spot").await;
    outside.run("update study_sessions set start_time = '2024-01-01Z', spot = '(7,8)' where id = 2").await;
    run(&store, &[ARCHIVE]).await;
    assert_eq!(outside.texts("select spot::text from study_sessions_archive where id = 2").await, ["(7,8)"]);
}

#[tokio::test]
async fn column_that_the_database_computes_is_there_in_the_archive() {
    let (_fresh, store, outside) = altered(
        "alter table study_sessions add column hours numeric generated always as (duration_minutes / 60.0) stored",
    )
    .await;

    let hours = |table: &str| format!("select hours::text from {table} where id = 120");
    let before = outside.texts(&hours("study_sessions")).await;

    let outcome = run(&store, &PHASES).await;

    assert_eq!(outcome.report.rows("archive"), 43);
    assert_eq!(outside.texts(&hours("study_sessions_archive")).await, before);
}

#[tokio::test]
async fn role_that_may_not_delete_is_refused_before_anything_moves() {
    let (fresh, store, outside) = altered("").await;
    let role = outside.texts("select 'moves ' || current_database()").await.remove(0);
    outside
        .run(&format!(
            "create role \"{role}\" login; grant usage on schema public to \"{role}\"; \
             grant all on all tables in schema public to \"{role}\"; grant all on all sequences in schema public to \"{role}\"; \
             revoke delete on study_sessions from \"{role}\""
        ))
        .await;
    let (scheme, rest) = fresh.text.split_once("://").unwrap();
    let rest = rest.split_once('@').map_or(rest, |(_, rest)| rest);
    let url = format!("{scheme}://{}@{rest}", role.replace(' ', "%20"));
    let options = super::super::fresh::options(OpenMode::Existing);
    let other = tierkeep_learning::store::open(&url.parse().unwrap(), &options).await.unwrap();

    let refused = Arc::clone(&other).clean_up(&cleanup(&[ARCHIVE]), &order()).await.unwrap_err().to_string();

    assert!(refused.contains("grant"), "{refused}");
    assert_eq!(outside.count("study_sessions_archive").await, 1);
    other.close().await;
    run(&store, &[ARCHIVE]).await;
    outside.run(&format!("drop owned by \"{role}\"; drop role \"{role}\"")).await;
}

//! Which indexes statements search: what is read as a whole is slow only where there is much of it.

use jiff::SignedDuration;
use rusqlite::Connection;
use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;

use super::fresh::{Fresh, Outside};
use super::outside;
use super::rows::{at, learner, session};

on_both!(only_the_index_of_starts_is_searched_for_active_learners);

const ON_POSTGRES: &str = include_str!("../../src/store/sql/postgres/active_learners.sql");
const ON_SQLITE: &str = include_str!("../../src/store/sql/sqlite/active_learners.sql");

/// Neither all sessions are read, nor one learner's after another's.
async fn only_the_index_of_starts_is_searched_for_active_learners(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KeyType::Int).await;
    let store = fresh.store().await;
    store.write_users((1..=50).map(|n| learner(KeyType::Int, n, None)).collect()).await.unwrap();
    let start = at("2025-01-01T00:00:00Z");
    let rows = (0..6_000).map(|n| {
        let mut row = session(KeyType::Int, n + 1, 1 + n % 50, "2025-01-01T00:00:00Z", 30);
        row.start_time = start + SignedDuration::from_hours(n.into());
        row
    });
    store.write_sessions(rows.collect()).await.unwrap();
    let outside = fresh.outside().await;
    outside.run(&outside::archive_before(dialect, at("2025-05-01T00:00:00Z"))).await;
    outside.run("analyze").await;

    let plans = match &outside {
        Outside::Postgres(_) => {
            let text = ON_POSTGRES.replace("{key}", "bigint");
            outside
                .run(&format!("prepare active (bigint, timestamptz, timestamptz, timestamptz, timestamptz) as {text}"))
                .await;
            let mut plans = Vec::new();
            for mode in ["force_custom_plan", "force_generic_plan"] {
                outside.run(&format!("set plan_cache_mode = {mode}")).await;
                let explain = "explain execute active (1, '2025-05-01Z', '2025-05-08Z', '2025-05-04Z', '2025-05-06Z')";
                plans.push(outside.texts(explain).await.join("\n"));
            }
            plans
        }
        Outside::Sqlite(connection) => {
            vec![plan(&connection.lock().unwrap(), ON_SQLITE, 5)]
        }
    };

    for plan in plans {
        for index in ["study_sessions_start", "study_sessions_archive_start"] {
            assert!(plan.contains(index), "{index} is not searched:\n{plan}");
        }
        for whole in ["Seq Scan on study_sessions", "SCAN s\n", "SCAN study_sessions", "_user_start"] {
            assert!(!plan.contains(whole), "{whole}:\n{plan}");
        }
    }
}

/// How SQLite would run a statement with so many parameters.
fn plan(connection: &Connection, text: &str, parameters: usize) -> String {
    let text = format!("explain query plan {}", text.replace("{key}", "integer"));
    let mut statement = connection.prepare(&text).unwrap();
    let zeros = rusqlite::params_from_iter(vec![0; parameters]);
    let details = statement.query_map(zeros, |row| row.get::<_, String>(3)).unwrap();
    details.map(Result::unwrap).collect::<Vec<_>>().join("\n")
}

/// After an import the outbox is long, and each learner's fold and read look into it.
#[tokio::test]
async fn changes_of_a_learner_are_searched_by_their_index_on_sqlite() {
    let fresh = Fresh::migrated(Dialect::Sqlite, KeyType::Int).await;
    let outside = fresh.outside().await;
    let Outside::Sqlite(connection) = &outside else { panic!("this case is for SQLite") };
    let connection = connection.lock().unwrap();
    let statements = [
        (include_str!("../../src/store/sql/sqlite/learner_days.sql"), 3),
        (include_str!("../../src/store/sql/sqlite/learner_activity.sql"), 1),
        (include_str!("../../src/store/sql/sqlite/fold_changes.sql"), 1),
        (include_str!("../../src/store/sql/sqlite/fold_consume.sql"), 1),
        (include_str!("../../src/store/sql/sqlite/settle_changed.sql"), 1),
        (include_str!("../../src/store/sql/sqlite/settle_everything.sql"), 0),
        (include_str!("../../src/store/sql/sqlite/changed_everything.sql"), 0),
    ];

    for (text, parameters) in statements {
        let plan = plan(&connection, text, parameters);

        assert!(plan.contains("tierkeep_outbox_unsettled"), "{text}\n{plan}");
        assert!(!plan.contains("SCAN o\n") && !plan.contains("SCAN tierkeep_outbox"), "{text}\n{plan}");
    }
}

/// The index holds rows with `settled = 0`, and SQLite does not see that `not settled` says the same.
#[test]
fn every_statement_on_sqlite_asks_for_unsettled_changes_as_their_index_does() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/sql/sqlite");
    let mut asking = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let words: Vec<&str> =
            text.split(|letter: char| !(letter.is_alphanumeric() || "._".contains(letter))).collect();
        let hides =
            words.windows(2).any(|pair| pair[0] == "not" && (pair[1] == "settled" || pair[1].ends_with(".settled")));
        assert!(!hides, "{}: write settled = 0", path.display());
        asking += usize::from(text.contains("settled = 0"));
    }
    assert!(asking > 10, "{asking} statements ask for unsettled changes");
}

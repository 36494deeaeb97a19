//! `precompute`: everybody or who is active, what fails for one, and what a signal does.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tierkeep_db::Dialect;
use tierkeep_testkit::RedisServer;

use crate::fixture::{ADA, BOB};
use crate::node::{Installation, on_both};
use crate::serve::signal;
use crate::served::Site;

on_both!(
    everybody_or_who_is_active_is_computed_into_redis,
    without_redis_summaries_are_brought_up_to_date,
    one_learner_whose_data_cannot_be_read_keeps_nobody_else_waiting,
    a_signal_stops_it_and_the_same_command_goes_on,
);

const LONGER: &str = "update study_sessions set duration_minutes = duration_minutes + 1 where duration_minutes > 0";

fn counts(report: &Value) -> [u64; 5] {
    ["learners", "settled", "computed", "fresh", "failed"].map(|name| report[name].as_u64().unwrap())
}

async fn everybody_or_who_is_active_is_computed_into_redis(dialect: Dialect) {
    let redis = RedisServer::launch().await.unwrap();
    let site = Site::new(dialect, "").await.with_redis(redis.url());

    let active = site.told(&["precompute", "--active-users-only", "--days-active", "7"]);
    let all = site.told(&["precompute_cache", "--precompute-cache"]);
    site.installation.run(LONGER).await;
    let changed = site.told(&["precompute-cache", "--active-users-only"]);

    // daily, weekly, analytics
    assert_eq!(counts(&active), [1, 0, 3, 0, 0], "{active}");
    assert_eq!(counts(&all), [2, 0, 3, 3, 0], "{all}");
    assert_eq!(counts(&changed), [1, 1, 3, 0, 0], "{changed}");
    assert_eq!((&all["kept"], &all["stopped"]), (&json!(true), &json!(false)));
    let node = site.serve(&["--no-scheduler"]);
    assert_eq!(node.tier(&format!("/v1/users/{ADA}/stats/weekly")), "l2", "a node finds it in Redis");
    node.end();
    let (code, stdout, stderr) = site.run(&["precompute"]);
    assert!(
        code == 0 && stdout.starts_with("2 learners in ") && stdout.contains("6 there already"),
        "{stdout} {stderr}"
    );
}

async fn without_redis_summaries_are_brought_up_to_date(dialect: Dialect) {
    let site = Site::new(dialect, "").await;
    site.installation.run(LONGER).await;

    let (code, report, stderr) = site.ask(&["precompute"]);

    assert_eq!((code, counts(&report)[1..].to_vec()), (0, vec![1, 0, 0, 0]), "{report}");
    assert!(stderr.contains("no redis.url is configured"), "{stderr}");
    let wrong: [(&[&str], &str); 4] = [
        (&["--days-active", "7"], "--active-users-only"),
        (&["--active-users-only", "--days-active", "0"], "1 to 36500"),
        (&["--active-users-only", "--days-active", "week"], "1 to 36500"),
        (&["--read-only"], "--read-only"),
    ];
    for (flags, word) in wrong {
        let (code, stdout, stderr) = site.run(&[&["precompute"], flags].concat());
        assert!(code == 2 && stdout.is_empty() && stderr.contains(word), "{flags:?}: {code} {stderr}");
    }
}

async fn one_learner_whose_data_cannot_be_read_keeps_nobody_else_waiting(dialect: Dialect) {
    let redis = RedisServer::launch().await.unwrap();
    let site = Site::new(dialect, "").await.with_redis(redis.url());
    let broken = match dialect {
        Dialect::Sqlite => "x'ff'",
        Dialect::Postgres => "'\\xff'::bytea",
    };
    let update = "update tierkeep_month set days = BROKEN where user_id = 'ADA'";
    site.installation.run(&update.replace("BROKEN", broken).replace("ADA", ADA)).await;

    let (code, report, stderr) = site.ask(&["precompute"]);

    assert!(code == 1 && stderr.contains("3 answers could not be computed"), "{code} {stderr}");
    assert_eq!(counts(&report), [2, 0, 3, 0, 3], "{report}");
    let failures = report["failures"].as_array().unwrap();
    assert!(failures.iter().all(|failure| failure["key"].as_str().unwrap().contains(ADA)), "{report}");
    assert!(failures.iter().all(|failure| !failure["reason"].as_str().unwrap().is_empty()), "{report}");
    let (code, stdout, _) = site.run(&["precompute"]);
    assert!(code == 1 && stdout.contains("3 there already, 3 failed") && stdout.contains(ADA), "{stdout}");
    let node = site.serve(&["--no-scheduler"]);
    assert_eq!(node.tier(&format!("/v1/users/{BOB}/stats/daily")), "l2");
    node.end();
}

/// Keeps everybody from storing summaries, until it is dropped.
enum Held {
    Sqlite(rusqlite::Connection),
    Postgres(tierkeep_testkit::DatabaseClient),
}

impl Held {
    async fn take(installation: &Installation) -> Self {
        match installation {
            Installation::Sqlite(file) => {
                let connection = rusqlite::Connection::open(file.path()).unwrap();
                connection.execute_batch("begin immediate").unwrap();
                Self::Sqlite(connection)
            }
            Installation::Postgres(_) => {
                Self::Postgres(installation.hold("lock table tierkeep_month in exclusive mode").await)
            }
        }
    }

    async fn release(self) {
        match self {
            Self::Sqlite(connection) => connection.execute_batch("rollback").unwrap(),
            Self::Postgres(client) => client.batch_execute("rollback").await.unwrap(),
        }
    }
}

async fn a_signal_stops_it_and_the_same_command_goes_on(dialect: Dialect) {
    let redis = RedisServer::launch().await.unwrap();
    let site = Site::new(dialect, "").await.with_redis(redis.url());
    site.installation.run(LONGER).await;
    let held = Held::take(&site.installation).await;
    let mut child =
        site.command(&["precompute", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("configuration ")));

    // it cannot end while nothing can be stored
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_millis(2200) {
        looks.tick().await;
        assert!(child.try_wait().unwrap().is_none());
    }
    signal(&child, "INT");
    held.release().await;
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();

    assert_eq!(child.wait().unwrap().code(), Some(4), "{rest:?}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&report["stopped"], &report["computed"]), (&json!(true), &json!(0)), "{report}");
    assert!(rest.iter().any(|line| line.contains("the same command goes on")), "{rest:?}");
    assert!(rest.iter().any(|line| line == "precomputing: 1 learners"), "{rest:?}");
    let report = site.told(&["precompute"]);
    assert_eq!(counts(&report), [2, 0, 6, 0, 0], "{report}");
}

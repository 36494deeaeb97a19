//! A node that nobody asks for anything does its four tasks, and so does a cron that calls the binary.

use serde_json::{Value, json};
use tierkeep_db::Dialect;
use tierkeep_testkit::RedisServer;

use crate::cleanup::add_sessions;
use crate::fixture::{ADA, hide_clock};
use crate::node::on_both;
use crate::served::{Site, TASKS, every_second};

on_both!(
    a_node_alone_does_its_four_tasks,
    a_node_with_redis_does_its_four_tasks,
    old_data_is_deleted_only_if_an_age_is_configured,
    the_cron_lines_of_the_guide_run,
    a_cron_does_what_a_node_would_do,
    a_cron_and_a_node_do_each_due_run_once,
);

const NOBODY: &str = "00000000-0000-4000-8000-0000000000ff";

/// Ada has old sessions besides; a row is of nobody, and a run ended long ago.
async fn site(dialect: Dialect, config: &str) -> Site {
    let site = Site::new(dialect, config).await;
    add_sessions(&site.installation, 1, ADA, "2024-05-01T08:00:00Z", 20, "").await;
    add_sessions(&site.installation, 2, ADA, "2022-05-01T08:00:00Z", 3, "").await;
    let (instant, no, computed) = match dialect {
        Dialect::Sqlite => ("1577836800000000", "0", "'2020-01-01T00:00:00Z'"),
        Dialect::Postgres => ("timestamptz '2020-01-01T00:00:00Z'", "false", "now()"),
    };
    site.installation
        .run(
            &"insert into tierkeep_learning_analytics (user_id, date, iso_year, iso_week, total_sessions, total_duration,
                 productive_sessions, improvement_trend, current_streak, time_zone, computed_at)
             values ('NOBODY', '2026-01-30', 2026, 5, 1, 1, 1, 'stable', 1, 'UTC', COMPUTED);
             insert into tierkeep_schedule_run (task, due, run_at, asked_for, only_here, state, ended_at)
             values ('update-analytics', INSTANT, INSTANT, FALSE, FALSE, 'failed', INSTANT)"
                .replace("NOBODY", NOBODY)
                .replace("COMPUTED", computed)
                .replace("INSTANT", instant)
                .replace("FALSE", no),
        )
        .await;
    site
}

/// What learners are told, of old days and of new ones, without the clock.
fn numbers(site: &Site) -> Vec<Value> {
    let questions: [&[&str]; 6] = [
        &["monthly", ADA, "--month", "2024-05"],
        &["monthly", ADA, "--month", "2022-05"],
        &["weekly", ADA],
        &["streaks", ADA],
        &["heatmap", ADA, "--year", "2024"],
        &["global"],
    ];
    let told = |question: &&[&str]| {
        let mut told = site.told(&[&["stats"], *question].concat());
        hide_clock(&mut told);
        told
    };
    questions.iter().map(told).collect()
}

async fn does_its_four_tasks(site: Site) {
    let (before, installation) = (numbers(&site), &site.installation);
    assert!(before[0]["total_sessions"].as_u64() == Some(20), "{}", before[0]);
    let node = site.serve(&[]);

    for task in TASKS {
        site.until_runs(&format!("task = '{task}' and state = 'done'"), 1).await;
    }
    // those after the archive: what it moved is told as a change
    site.until_runs(
        "task = 'precompute-active-cache' and state = 'done' and started_at >
             (select min(ended_at) from tierkeep_schedule_run where task = 'archive-old-data' and state = 'done')",
        2,
    )
    .await;

    // nobody has asked before
    for statistic in ["stats/daily", "stats/weekly", "analytics"] {
        assert_eq!(node.tier(&format!("/v1/users/{ADA}/{statistic}")), "l1", "{statistic}");
    }
    assert_ne!(node.tier(&format!("/v1/users/{ADA}/stats/monthly")), "l1", "precompute.statistics has no monthly");
    // archived, and the invalid one in quarantine; nothing deleted
    assert_eq!(installation.number("select count(*) from study_sessions_archive").await, 23);
    assert_eq!(installation.number("select count(*) from study_sessions").await, 6);
    assert_eq!(installation.number("select count(*) from tierkeep_quarantine").await, 1);
    assert!(!site.directory.path().join("tierkeep-export").exists());
    assert_eq!(numbers(&site), before);
    // swept
    let rows_of = async |learner: &str, condition: &str| {
        let rows = "select count(*) from tierkeep_learning_analytics where user_id = 'LEARNER' and ";
        installation.number(&[&rows.replace("LEARNER", learner), condition].concat()).await
    };
    assert_eq!(rows_of(NOBODY, "1 = 1").await, 0);
    assert_eq!(site.runs("state = 'failed'").await, 0);
    // what a platform reads: 45 and 50 minutes, in the zone of the learner
    let yesterday =
        "date = '2026-01-30' and total_sessions = 2 and total_duration = 95 and productivity_rate is not null
        and most_productive_hour is not null and time_zone = 'Europe/Paris'";
    assert_eq!(rows_of(ADA, yesterday).await, 1);
    assert_eq!(rows_of(ADA, "date > '2026-01-30'").await, 0, "today is not over");

    let runs = site.told(&["schedule", "history", "--limit", "1000"]);
    for task in TASKS {
        let mut of_task = runs.as_array().unwrap().iter().filter(|run| run["task"] == task);
        let done = of_task.rfind(|run| run["state"] == "done").unwrap_or_else(|| panic!("no {task} in {runs}"));
        assert!(done["output"].is_object() && done["node"].as_str().unwrap().starts_with("process "), "{done}");
        assert_eq!((&done["attempts"], &done["error"], &done["asked_for"]), (&json!(1), &Value::Null, &json!(false)));
    }
    node.end();
    assert_eq!(site.runs("state = 'works'").await, 0);
}

async fn a_node_alone_does_its_four_tasks(dialect: Dialect) {
    does_its_four_tasks(site(dialect, &every_second()).await).await;
}

async fn a_node_with_redis_does_its_four_tasks(dialect: Dialect) {
    let redis = RedisServer::launch().await.unwrap();
    does_its_four_tasks(site(dialect, &every_second()).await.with_redis(redis.url())).await;
}

async fn old_data_is_deleted_only_if_an_age_is_configured(dialect: Dialect) {
    let site = site(dialect, "").await;
    let before = numbers(&site);
    let archived = "select count(*) from study_sessions_archive";

    assert_eq!(site.ask(&["schedule", "run", "archive-old-data"]).0, 0);
    assert_eq!(site.installation.number(archived).await, 23);
    site.configure("[retention]\ndelete_after_days = 1095\n");
    assert_eq!(site.ask(&["schedule", "run", "archive-old-data"]).0, 0);

    assert_eq!(site.installation.number(archived).await, 20);
    assert!(site.directory.path().join("tierkeep-export").exists(), "exported before");
    assert_eq!(numbers(&site), before, "what they counted for stays");
}

async fn the_cron_lines_of_the_guide_run(dialect: Dialect) {
    let site = site(dialect, "").await;
    let lines: &[&[&str]] = &[
        &["cleanup_learning_data", "--dry-run"],
        &["cleanup_learning_data", "--cleanup-invalid"],
        &[
            "cleanup_learning_data",
            "--archive-older-than",
            "365",
            "--delete-older-than",
            "1095",
            "--batch-size",
            "1000",
        ],
        &["precompute_cache", "--precompute-cache", "--active-users-only", "--days-active", "7"],
        &["schedule", "run", "update-analytics"],
        &["schedule", "run", "cleanup-expired-cache"],
        &["work", "--once"],
    ];
    for line in lines {
        let (code, stdout, stderr) = site.run(line);
        assert!(code == 0 && !stdout.is_empty(), "{line:?}: {code} {stdout} {stderr}");
    }
    assert_eq!(site.installation.number("select count(*) from study_sessions_archive").await, 20);
    assert_eq!(site.runs("state = 'done' and asked_for").await, 2);
}

async fn a_cron_does_what_a_node_would_do(dialect: Dialect) {
    let site = site(dialect, "").await;
    assert_eq!(site.told(&["work", "--once"]), json!([]), "a new schedule begins with its next instants");
    site.make_due(&TASKS).await;

    let runs = site.told(&["work", "--once"]);

    let mut done: Vec<&str> = runs.as_array().unwrap().iter().filter_map(|run| run["task"].as_str()).collect();
    done.sort_unstable();
    let mut expected = TASKS;
    expected.sort_unstable();
    assert_eq!(done, expected, "{runs}");
    assert!(runs.as_array().unwrap().iter().all(|run| run["state"] == "done"), "{runs}");
    assert_eq!(site.installation.number("select count(*) from study_sessions_archive").await, 23);
    assert_eq!(site.told(&["work", "--once"]), json!([]), "each once");
}

async fn a_cron_and_a_node_do_each_due_run_once(dialect: Dialect) {
    let site = site(dialect, &every_second()).await;
    // two crons at the same time
    let call = || {
        let others = [(); 2].map(|()| {
            let mut command = site.command(&["work", "--once", "--json"]);
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
        });
        others.map(|mut other| other.wait().unwrap().code())
    };
    let workers = "select count(distinct holder) from tierkeep_schedule_run where state = 'done'";
    // alone at first: beside a node they seldom come first
    while site.installation.number(workers).await == 0 {
        assert_eq!(call(), [Some(0); 2]);
    }
    let before = site.installation.number(workers).await;
    let node = site.serve(&[]);
    let mut calls = 0;
    while calls < 6 || site.installation.number(workers).await == before {
        calls += 1;
        assert!(calls < 100, "the node never came first");
        assert_eq!(call(), [Some(0); 2], "{}", node.log());
    }
    node.end();

    // what the end of the node has interrupted waits
    assert_eq!(site.runs("state not in ('done', 'waiting') or attempts > 1").await, 0);
    let at_once = "select count(*) from tierkeep_schedule_run a join tierkeep_schedule_run b
        on a.task = b.task and a.id < b.id and b.started_at < a.ended_at and a.started_at < b.ended_at";
    assert_eq!(site.installation.number(at_once).await, 0);
    let twice = "select count(*) from (select 1 from tierkeep_schedule_run where not asked_for
        group by task, due having count(*) > 1) twice";
    assert_eq!(site.installation.number(twice).await, 0);
}

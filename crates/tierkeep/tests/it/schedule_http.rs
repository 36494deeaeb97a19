//! The schedule over HTTP: who may ask, what is answered, and what is refused.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tierkeep_db::Dialect;

use crate::fixture::{ADA, BOB, NOBODY};
use crate::node::on_both;
use crate::served::{Served, Site, TASKS, Told};

on_both!(
    only_an_admin_is_let_in,
    tasks_are_shown_switched_and_asked_for,
    what_cannot_be_is_a_problem,
    learners_are_warmed_up_and_one_who_is_unknown_keeps_nobody_waiting,
    precomputing_is_asked_for_by_request,
);

const SCHEDULE: &str = "/v1/admin/schedule";
const NAME: &str = "update-analytics";

/// Every admin route of the schedule, with a body that it accepts.
fn routes() -> [(&'static str, String, Value); 6] {
    [
        ("GET", SCHEDULE.to_owned(), Value::Null),
        ("GET", format!("{SCHEDULE}/{NAME}/runs"), Value::Null),
        ("POST", format!("{SCHEDULE}/{NAME}/run"), Value::Null),
        ("PATCH", format!("{SCHEDULE}/{NAME}"), json!({ "enabled": true })),
        ("POST", "/v1/admin/precompute".to_owned(), json!({})),
        ("POST", "/v1/admin/warmup".to_owned(), json!({ "users": [ADA] })),
    ]
}

async fn only_an_admin_is_let_in(dialect: Dialect) {
    let site = Site::new(dialect, "").await;
    let tokens: BTreeMap<&str, String> = ["read", "write", "admin"]
        .into_iter()
        .map(|scope| {
            let made = site.told(&["token", "create", scope, "--scope", scope]);
            (scope, made["token"].as_str().unwrap().to_owned())
        })
        .collect();
    let node = site.serve(&["--no-scheduler"]);
    let described = node.get("/openapi.json").body;

    for (method, path, body) in routes() {
        let status = |token: &str| node.send(token, method, &path, &body).status;
        assert_eq!((status(""), status(&tokens["read"]), status(&tokens["write"])), (401, 403, 403), "{method} {path}");
        let told = node.send(&tokens["admin"], method, &path, &body);
        assert!(matches!(told.status, 200 | 202), "{method} {path}: {told:?}");
        let operation = &described["paths"][path.replace(NAME, "{name}")][method.to_lowercase()];
        assert_eq!(operation["tags"], json!(["operation"]), "{method} {path}");
        assert!(operation["responses"].get(told.status.to_string()).is_some(), "{method} {path}: {}", told.status);
    }
    node.end();
}

fn switch(node: &Served, name: &str, is_on: bool) -> Told {
    node.send("", "PATCH", &format!("{SCHEDULE}/{name}"), &json!({ "enabled": is_on }))
}

async fn tasks_are_shown_switched_and_asked_for(dialect: Dialect) {
    let site = Site::new(dialect, "").await;
    let node = site.serve(&["--no-scheduler"]);
    let tasks = node.get(SCHEDULE).body["tasks"].clone();
    let names: Vec<&Value> = tasks.as_array().unwrap().iter().map(|task| &task["name"]).collect();
    assert_eq!(names, TASKS);
    assert_eq!((&tasks[3]["due"], &tasks[3]["time_zone"]), (&json!("0 3 * * *"), &json!("UTC")));

    let off = switch(&node, NAME, false);
    assert_eq!(
        (off.status, &off.body["tasks"][3]["enabled"], &off.body["tasks"][3]["next_at"]),
        (200, &json!(false), &Value::Null)
    );
    // nobody runs what was asked for: this node has no scheduler
    let (run, runs) = (format!("{SCHEDULE}/{NAME}/run"), format!("{SCHEDULE}/{NAME}/runs"));
    let asked = node.post(&run, &Value::Null);
    assert_eq!((asked.status, asked.header("location")), (202, runs.as_str()), "{asked:?}");
    let busy = node.post(&run, &Value::Null);
    assert_eq!((busy.status, busy.problem(), busy.header("retry-after")), (409, "run-under-way", "60"), "{busy:?}");
    let waits = node.get(&runs).body["items"][0].clone();
    assert_eq!(
        (&waits["state"], &waits["asked_for"], &waits["run_id"]),
        (&json!("waiting"), &json!(true), &asked.body["run_id"])
    );
    // another process has one, though the task is off
    assert_eq!(site.told(&["work", "--once"])[0]["run_id"], asked.body["run_id"]);
    let page = node.get(&format!("{runs}?limit=1"));
    assert_eq!((&page.body["items"][0]["state"], &page.body["items"][0]["attempts"]), (&json!("done"), &json!(1)));
    assert_eq!(node.get(SCHEDULE).body["tasks"][3]["last"]["run_id"], asked.body["run_id"]);

    let on = switch(&node, NAME, true);
    assert!(on.status == 200 && on.body["tasks"][3]["next_at"].is_string(), "{on:?}");
    assert_eq!(switch(&node, "archive-old-data", false).status, 200);
    assert_eq!(switch(&node, "archive-old-data", true).status, 200, "own tables");
    node.end();
    site.configure("[retention]\nenabled = false\n");
    let node = site.serve(&["--no-scheduler"]);
    let refused = switch(&node, "archive-old-data", true);
    assert_eq!((refused.status, refused.problem()), (409, "retention-refused"), "{refused:?}");
    assert_eq!(switch(&node, "archive-old-data", false).status, 200);
    node.end();

    let node = site.serve(&[]);
    let asked = node.post(&run, &Value::Null);
    assert_eq!(asked.status, 202, "{asked:?}");
    let id = asked.body["run_id"].as_str().unwrap();
    site.until_runs(&format!("id = {id} and state = 'done'"), 1).await;
    node.end();
}

async fn what_cannot_be_is_a_problem(dialect: Dialect) {
    let site = Site::new(dialect, "").await;
    let node = site.serve(&["--no-scheduler"]);
    let unknown = [
        node.get(&format!("{SCHEDULE}/update-analytic/runs")),
        node.post(&format!("{SCHEDULE}/update-analytic/run"), &Value::Null),
        switch(&node, "update-analytic", true),
    ];
    for told in unknown {
        assert_eq!((told.status, told.problem()), (404, "unknown-task"), "{told:?}");
        assert_eq!((&told.body["parameter"], &told.body["given"]), (&json!("name"), &json!("update-analytic")));
        let accepted = told.body["accepted"].as_str().unwrap();
        assert!(accepted.starts_with(NAME) && TASKS.iter().all(|task| accepted.contains(task)), "{accepted}");
    }
    let (task, precompute, warmup) = (format!("{SCHEDULE}/{NAME}"), "/v1/admin/precompute", "/v1/admin/warmup");
    let many: Vec<String> = (0..1001).map(|n| format!("00000000-0000-4000-8000-{n:012}")).collect();
    let wrong: &[(&str, &str, Value, u16)] = &[
        ("GET", "/v1/admin/schedule?limit=1", Value::Null, 400),
        ("GET", "/v1/admin/schedule/Update%20it/runs", Value::Null, 400),
        ("GET", "/v1/admin/schedule/update-analytics/runs?limit=0", Value::Null, 422),
        ("GET", "/v1/admin/schedule/update-analytics/runs?limit=x", Value::Null, 400),
        ("DELETE", &task, Value::Null, 405),
        ("PATCH", &task, json!({}), 422),
        ("PATCH", &task, json!({ "enabled": "yes" }), 422),
        ("PATCH", &task, json!({ "enabled": true, "due": "every 5m" }), 422),
        ("PATCH", &task, json!("garbage"), 422),
        ("POST", precompute, json!({ "days_active": 7 }), 422),
        ("POST", precompute, json!({ "active_users_only": true, "days_active": 0 }), 422),
        ("POST", precompute, json!({ "active_users_only": true, "days_active": 36501 }), 422),
        ("POST", precompute, json!({ "users": [ADA] }), 422),
        ("POST", warmup, json!({}), 422),
        ("POST", warmup, json!({ "users": [] }), 422),
        ("POST", warmup, json!({ "users": ["ada"] }), 422),
        ("POST", warmup, json!({ "users": many }), 422),
    ];
    for (method, path, body, status) in wrong {
        let told = node.send("", method, path, body);
        assert_eq!(told.status, *status, "{method} {path} {body}: {told:?}");
        assert!(!told.problem().is_empty(), "{told:?}");
    }
    node.end();
}

async fn learners_are_warmed_up_and_one_who_is_unknown_keeps_nobody_waiting(dialect: Dialect) {
    let site = Site::new(dialect, "").await;
    let node = site.serve(&["--no-scheduler"]);
    let warm = |body: Value| {
        let told = node.post("/v1/admin/warmup", &body);
        assert_eq!(told.status, 200, "{told:?}");
        told.body
    };
    let counts = |told: &Value| ["computed", "fresh", "failed"].map(|name| told[name].as_u64().unwrap());

    let first = warm(json!({ "users": [NOBODY, ADA, ADA] }));
    let again = warm(json!({ "users": [ADA], "global": true }));
    let forced = warm(json!({ "users": [ADA], "global": true, "force": true }));

    // all statistics but the one that is about nobody
    assert_eq!((first["learners"].as_u64(), counts(&first)), (Some(2), [7, 0, 7]), "{first}");
    let failures = first["failures"].as_array().unwrap();
    assert!(failures.iter().all(|failure| failure["key"].as_str().unwrap().contains(NOBODY)), "{first}");
    assert!(failures.iter().all(|failure| failure["reason"].as_str().unwrap().contains("unknown")), "{first}");
    assert_eq!((counts(&again), counts(&forced)), ([1, 7, 0], [8, 0, 0]), "{again} {forced}");
    for statistic in
        ["stats/daily", "stats/weekly", "stats/monthly", "analytics", "streaks", "heatmap", "courses/summary"]
    {
        assert_eq!(node.tier(&format!("/v1/users/{ADA}/{statistic}")), "l1", "{statistic}");
    }
    assert_ne!(node.tier(&format!("/v1/users/{BOB}/stats/daily")), "l1", "nobody has asked for it");

    // the same by command
    let address = node.address();
    let (code, told, stderr) = site.ask(&["warmup", ADA, NOBODY, "--server", &address]);
    assert_eq!((code, counts(&told)), (1, [0, 7, 7]), "{stderr}");
    let (code, stdout, _) = site.run(&["warmup", "--global", "--force", "--server", &address]);
    assert_eq!((code, stdout.trim()), (0, "1 answers computed, 0 there already, 0 failed"));
    assert_eq!(site.run(&["warmup"]).0, 2);
    node.end();
}

async fn precomputing_is_asked_for_by_request(dialect: Dialect) {
    let site = Site::new(dialect, "[http]\nrequest_timeout = \"1s\"\n").await;
    let node = site.serve(&["--no-scheduler"]);
    let precompute = |body: Value| node.post("/v1/admin/precompute", &body);

    let active = precompute(json!({ "active_users_only": true, "days_active": 7 }));
    assert_eq!(
        (active.status, &active.body["learners"], &active.body["computed"]),
        (200, &json!(1), &json!(3)),
        "{active:?}"
    );
    let all = precompute(json!({}));
    assert_eq!(
        (&all.body["learners"], &all.body["computed"], &all.body["fresh"]),
        (&json!(2), &json!(3), &json!(3)),
        "{all:?}"
    );
    assert_eq!(node.tier(&format!("/v1/users/{BOB}/stats/weekly")), "l1");
    if dialect == Dialect::Sqlite {
        return;
    }

    // it does not end before somebody lets it
    let held = site.installation.hold("lock table users in access exclusive mode").await;
    let works = precompute(json!({}));
    let busy = precompute(json!({}));
    assert_eq!((works.status, busy.status, busy.problem()), (202, 409, "run-under-way"), "{works:?} {busy:?}");
    assert_eq!(busy.header("retry-after"), "60");
    held.batch_execute("rollback").await.unwrap();
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(20));
    while precompute(json!({})).status == 409 {
        looks.tick().await;
    }
    node.end();
}

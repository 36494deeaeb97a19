//! The binary on a platform's own tables: from `attach` to `detach`.

use std::process::Child;

use serde_json::Value;
use tempfile::TempDir;
use tierkeep_testkit::{DatabaseClient, PostgresServer, TestDatabase};
use tokio::time::Instant;

use crate::fixture::{run, tierkeep};
use crate::node::BOUND;
use crate::serve::{ask, signal, start};

/// A platform, what its code writes, and what the configuration calls its tables.
pub(crate) struct Platform {
    schema: &'static str,
    fill: &'static str,
    mapping: &'static str,
    learner: &'static str,
    sessions: &'static str,
    /// Another session of 30 minutes on the same day.
    insert: &'static str,
}

pub(crate) const GUIDE: Platform = Platform {
    schema: include_str!("../../../learning/tests/stores/schemas/platform.sql"),
    fill: "insert into users values ('00000000-0000-4000-8000-000000000001', 'a@example.org', 'ann', '!', null, now(), true, false, false);
        insert into study_sessions (id, created_at, updated_at, start_time, duration_minutes, content_covered, is_active,
            notes, subject_category, break_count, learning_environment, device_type, user_id)
        values (gen_random_uuid(), now(), now(), '2025-06-27 12:00Z', 20, '', false, '', '', 0, '', '', '00000000-0000-4000-8000-000000000001')",
    mapping: "[mapping]\npreset = \"platform\"\n",
    learner: "00000000-0000-4000-8000-000000000001",
    sessions: "study_sessions",
    insert: "insert into study_sessions (id, created_at, updated_at, start_time, duration_minutes, content_covered, is_active,
            notes, subject_category, break_count, learning_environment, device_type, user_id)
        values (gen_random_uuid(), now(), now(), '2025-06-27 14:00Z', 30, '', false, '', '', 0, '', '', '00000000-0000-4000-8000-000000000001')",
};

const DJANGO: Platform = Platform {
    schema: include_str!("../../../learning/tests/stores/schemas/django_default.sql"),
    fill: "insert into auth_user values (7, 'ann', 'a@example.org', true, null, now());
        insert into study_studysession (student_id, started_at, minutes, finished, modified)
        values (7, '2025-06-27 12:00Z', 20, true, now())",
    mapping: r#"
[mapping]
preset = "none"
[mapping.users]
table = "auth_user"
created_at = "date_joined"
[mapping.study_sessions]
table = "study_studysession"
user_id = "student_id"
start_time = "started_at"
end_time = "ended_at"
duration_minutes = "minutes"
effectiveness_rating = "rating"
is_active = "not finished"
learning_environment = "place"
subject_category = "subject"
[mapping.course_progress]
table = "courses_enrollment"
user_id = "student_id"
content_id = "course_id"
subject_name = "subject"
proficiency_level = "percent"
learning_hour_total = "hours"
est_finish_hour = "hours_expected"
updated_at = "modified"
"#,
    learner: "7",
    sessions: "study_studysession",
    insert: "insert into study_studysession (student_id, started_at, minutes, finished, modified)
        values (7, '2025-06-27 14:00Z', 30, true, now())",
};

/// A platform's database, and a directory with a configuration.
pub(crate) struct Site {
    pub(crate) directory: TempDir,
    _database: TestDatabase,
    pub(crate) psql: DatabaseClient,
}

impl Site {
    pub(crate) async fn new(platform: &Platform) -> Self {
        let database = PostgresServer::shared().await.unwrap().database().await.unwrap();
        let psql = database.client().await.unwrap();
        psql.batch_execute(platform.schema).await.unwrap();
        psql.batch_execute(platform.fill).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let url = database.url();
        let text = format!("[database]\nurl = \"{url}\"\n[days]\ntime_zone = \"Europe/Paris\"\n{}", platform.mapping);
        std::fs::write(directory.path().join("tierkeep.toml"), text).unwrap();
        Self { directory, _database: database, psql }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        run(&self.directory, arguments)
    }

    fn serve(&self, flags: &[&str]) -> (Child, String) {
        let common = ["serve", "--json", "--listen", "127.0.0.1:0"];
        let (child, started) = start(tierkeep(&self.directory).args(common.iter().chain(flags)));
        (child, started["address"].as_str().unwrap().to_owned())
    }
}

/// Status line and headers, and the body.
fn get(address: &str, path: &str) -> (String, Value) {
    let answer = ask(address, path);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), serde_json::from_str(body).unwrap())
}

/// Asks until the answer is as expected, and tells how long that took.
fn until(address: &str, path: &str, expected: impl Fn(&str, &Value) -> bool) -> std::time::Duration {
    let began = Instant::now();
    loop {
        let (head, body) = get(address, path);
        if expected(&head, &body) {
            return began.elapsed();
        }
        assert!(began.elapsed() < BOUND * 20, "{path}: {head}\n{body}");
    }
}

fn minutes(body: &Value) -> u64 {
    body["total_duration"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platforms_write_is_seen_within_the_bound() {
    for platform in [GUIDE, DJANGO] {
        let site = Site::new(&platform).await;
        let daily = format!("/v1/users/{}/stats/daily?date=2025-06-27", platform.learner);
        let (code, _, stderr) = site.run(&["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(code, 3, "{stderr}");
        assert!(stderr.contains("tierkeep attach"), "{stderr}");

        let (code, stdout, stderr) = site.run(&["attach", "--json"]);
        assert_eq!(code, 0, "{stderr}");
        let attached: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!((&attached["changed"], &attached["archive"]), (&true.into(), &"\"study_sessions_archive\"".into()));
        let (code, stdout, _) = site.run(&["attach"]);
        assert!(code == 0 && stdout.starts_with("nothing to do"), "{stdout}");

        let (child, address) = site.serve(&[]);
        // kept by the tiers
        until(&address, &daily, |head, body| minutes(body) == 20 && head.contains("x-cache: l1"));
        site.psql.batch_execute(platform.insert).await.unwrap();
        let took = until(&address, &daily, |_, body| minutes(body) == 50);
        assert!(took < BOUND, "{took:?}");
        // summaries are stored, and answer
        until(&address, "/v1/stats/global", |head, body| {
            body["total_sessions"] == 2 && (head.contains("x-cache: l3") || head.contains("x-cache: l1"))
        });
        let (code, stdout, _) = site.run(&["stats", "daily", platform.learner, "--date", "2025-06-27", "--json"]);
        assert_eq!((code, minutes(&serde_json::from_str(&stdout).unwrap())), (0, 50));

        // without a trigger the write is not told; the node notices that, and keeps nothing any more
        until(&address, &daily, |head, _| head.contains("x-cache: l1"));
        let drop = format!("drop trigger tierkeep_insert on {}", platform.sessions);
        site.psql.batch_execute(&format!("{drop}; {}", platform.insert)).await.unwrap();
        let took = until(&address, &daily, |head, body| minutes(body) == 80 && head.contains("x-cache: miss"));
        assert!(took < BOUND, "{took:?}");
        let (head, ready) = get(&address, "/readyz");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(ready["checks"]["feed"]["reason"].as_str().unwrap().contains("tierkeep_insert"), "{ready}");
        assert_eq!(site.run(&["attach"]).0, 0);
        until(&address, &daily, |head, body| minutes(body) == 80 && head.contains("x-cache: l1"));

        signal(&child, "TERM");
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_changes_its_tables_is_told_what_to_do() {
    let site = Site::new(&DJANGO).await;
    assert_eq!(site.run(&["attach"]).0, 0);
    let (child, address) = site.serve(&[]);
    let daily = "/v1/users/7/stats/daily?date=2025-06-27";
    until(&address, daily, |head, _| head.contains("x-cache: l1"));

    site.psql.batch_execute("alter table study_studysession rename minutes to duration").await.unwrap();
    let took = until(&address, daily, |head, _| head.starts_with("HTTP/1.1 503"));
    assert!(took < BOUND, "{took:?}");
    let (_, problem) = get(&address, daily);
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("minutes") && detail.contains("tierkeep attach") && detail.contains("[mapping]"),
        "{detail}"
    );
    let (_, ready) = get(&address, "/readyz");
    assert!(ready["checks"]["feed"]["reason"].as_str().unwrap().contains("no column \"minutes\""), "{ready}");
    site.psql.batch_execute(&DJANGO.insert.replace("minutes", "duration")).await.unwrap();
    signal(&child, "TERM");
    let stderr = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert!(stderr.contains("no column") && stderr.contains("tierkeep attach"), "{stderr}");

    // what it says helps
    let file = site.directory.path().join("tierkeep.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("\"minutes\"", "\"duration\"");
    std::fs::write(&file, text).unwrap();
    let (code, _, stderr) = site.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(code == 3 && stderr.contains("another [mapping]"), "{stderr}");
    assert_eq!(site.run(&["attach"]).0, 0);
    let (child, address) = site.serve(&[]);
    until(&address, daily, |_, body| minutes(body) == 50);
    signal(&child, "TERM");
    child.wait_with_output().unwrap();
    let (child, address) = site.serve(&["--read-only"]);
    until(&address, daily, |head, body| minutes(body) == 50 && head.contains("x-cache: miss"));
    signal(&child, "TERM");
    child.wait_with_output().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_ends_with_3_and_what_is_printed_changes_nothing() {
    let site = Site::new(&GUIDE).await;
    let count = "select count(*) from pg_class where relname like 'tierkeep%' or relname = 'study_sessions_archive'";
    let (code, stdout, stderr) = site.run(&["attach", "--print-sql"]);
    assert_eq!(code, 0, "{stderr}");
    for word in
        ["begin;", "lock table", "create table \"study_sessions_archive\"", "create trigger", "commit;", "grant select"]
    {
        assert!(stdout.contains(word), "{word}");
    }
    assert_eq!(site.psql.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 0);

    std::fs::write(site.directory.path().join("users.csv"), "id\n1\n").unwrap();
    let refused: &[(&[&str], &str)] = &[
        (&["detach"], "nothing to detach"),
        (&["migrate"], "tierkeep's own"),
        (&["import", "--users", "users.csv"], "tierkeep's own"),
        (&["attach", "--database", "sqlite://x.db"], "PostgreSQL"),
        (&["detach", "--database", "sqlite://x.db"], "PostgreSQL"),
        (&["stats", "global", "--database", "sqlite://x.db"], "--read-only"),
    ];
    std::fs::File::create(site.directory.path().join("x.db")).unwrap();
    for (arguments, word) in refused {
        let (code, stdout, stderr) = site.run(arguments);
        assert_eq!((code, stdout.as_str()), (3, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(word), "{arguments:?}: {stderr}");
    }
    for wrong in [&["attach", "--read-only"][..], &["detach", "--restore-all", "--keep-archive"]] {
        assert_eq!(site.run(wrong).0, 2);
    }

    assert_eq!(site.run(&["attach"]).0, 0);
    assert_eq!(site.run(&["rederive"]).0, 0);
    let archive =
        "with moved as (delete from study_sessions returning *) insert into study_sessions_archive select * from moved";
    site.psql.batch_execute(archive).await.unwrap();
    let (code, _, stderr) = site.run(&["detach"]);
    assert!(code == 3 && stderr.contains("--restore-all"), "{stderr}");
    let (code, stdout, stderr) = site.run(&["detach", "--restore-all", "--json"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(serde_json::from_str::<Value>(&stdout).unwrap(), serde_json::json!({ "restored": 1, "kept": null }));
    assert_eq!(site.psql.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_is_planned_for_before_it_is_attached_and_cleaned_up_after() {
    for platform in [GUIDE, DJANGO] {
        let site = Site::new(&platform).await;
        let rows = ["select count(*) from ", platform.sessions].concat();
        let told = |arguments: &[&str]| {
            let (code, stdout, stderr) = site.run(&[arguments, &["--json", "--now", "2027-01-01T00:00:00Z"]].concat());
            (code, serde_json::from_str::<Value>(&stdout).unwrap_or_default(), stderr)
        };

        let (code, plan, stderr) = told(&["cleanup", "--dry-run", "--read-only"]);
        assert_eq!((code, &plan["phases"]["archive"]["rows"]), (0, &1.into()), "{stderr}");
        assert_eq!(told(&["runs", "--read-only"]).1, serde_json::json!([]));
        let (code, _, stderr) = told(&["cleanup", "--dry-run"]);
        assert!(code == 3 && stderr.contains("tierkeep attach"), "{stderr}");

        assert_eq!(site.run(&["attach"]).0, 0);
        let (code, done, stderr) = told(&["cleanup"]);
        assert_eq!((code, &done["phases"]), (0, &plan["phases"]), "{stderr}");
        assert_eq!(site.psql.query_one(&rows, &[]).await.unwrap().get::<_, i64>(0), 0);
        let (code, restored, stderr) = told(&["restore", "--run", "1"]);
        assert_eq!((code, &restored["ended"]), (0, &"done".into()), "{stderr}");
        assert_eq!(site.psql.query_one(&rows, &[]).await.unwrap().get::<_, i64>(0), 1);
    }
}

//! `cleanup` and `runs` as a process: what they write, and how they end.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tierkeep_db::{Database, DatabaseUrl, Dialect, Pool, PoolConfig, SqliteConfig, SqliteDatabase};
use tierkeep_retention::Hold;
use tokio_util::sync::CancellationToken;

use crate::fixture::{ADA, NOW, instant, run, tierkeep};
use crate::node::{Installation, on_both};
use crate::serve::signal;

on_both!(
    what_a_run_moved_comes_back,
    a_dry_run_writes_nothing_and_the_run_does_what_it_said,
    a_signal_or_the_end_of_its_time_ends_a_run_and_the_next_goes_on,
    a_second_run_is_refused_while_one_works,
);

const CAROL: &str = "00000000-0000-4000-8000-000000000003";

/// Sessions of a learner, a minute after the other, whose ids begin with a digit of their own.
pub(crate) async fn add_sessions(to: &Installation, digit: u8, user: &str, start: &str, count: u32, columns: &str) {
    let (micros, more) = (instant(start).as_microsecond(), if columns.is_empty() { "" } else { ", is_active" });
    let named = ["insert into study_sessions (id, user_id, start_time, duration_minutes", more, ")"].concat();
    let values = if columns.is_empty() { String::new() } else { format!(", {columns}") };
    to.run(&match to.dialect() {
        Dialect::Sqlite => format!(
            "{named} with recursive n (n) as (select 1 union all select n + 1 from n where n < {count})
             select printf('{digit}0000000-0000-4000-8000-%012d', n), '{user}', {micros} + n * 60000000, 30{values} from n"
        ),
        Dialect::Postgres => format!(
            "{named} select ('{digit}0000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, '{user}',
             timestamptz '{start}' + n * interval '1 minute', 30{values} from generate_series(1, {count}) n"
        ),
    })
    .await;
}

/// An invalid session, ten that are old, three that are older, a learner who was not seen for years, and one that has been
/// in quarantine for long.
pub(crate) async fn worn(dialect: Dialect) -> Installation {
    let installation = Installation::new(dialect).await;
    let (yes, no, long_ago) = match dialect {
        Dialect::Sqlite => ("1", "0", "1577836800000000"),
        Dialect::Postgres => ("true", "false", "timestamptz '2020-01-01T00:00:00Z'"),
    };
    installation
        .run(
            &"insert into users (id, is_active, last_login, created_at) values ('CAROL', NO, AGO, AGO);
              insert into course_progress (id, user_id, content_id) values ('CAROL', 'CAROL', 'CAROL');
              insert into tierkeep_quarantine (run_id, kind, source, row_key, owner, content, quarantined_at)
                  values (1000, 'bad_focus', 'study_sessions', 'CAROL', 'nobody', '{}', AGO)"
                .replace("CAROL", CAROL)
                .replace("NO", no)
                .replace("AGO", long_ago),
        )
        .await;
    add_sessions(&installation, 1, ADA, "2024-05-01T08:00:00Z", 10, "").await;
    add_sessions(&installation, 2, ADA, "2022-05-01T08:00:00Z", 3, "").await;
    add_sessions(&installation, 3, CAROL, "2022-05-01T08:00:00Z", 2, "").await;
    add_sessions(&installation, 4, CAROL, "2022-06-01T08:00:00Z", 1, yes).await;
    installation
}

/// What a clean-up of [`worn`] does.
pub(crate) fn all_phases() -> Value {
    json!({
        "invalid": {
            "negative_duration": 1, "end_before_start": 0, "bad_rating": 0, "bad_focus": 0, "duplicate_progress": 0,
            "orphan": 0,
        },
        "archive": { "rows": 15, "superseded": 0 },
        "delete": { "archived_rows": 5, "inactive_users": 1, "sessions": 1, "course_progress": 1 },
        "purge": { "quarantined": 1 },
    })
}

const TABLES: [&str; 7] = [
    "study_sessions",
    "study_sessions_archive",
    "course_progress",
    "tierkeep_quarantine",
    "tierkeep_run",
    "tierkeep_run_batch",
    "tierkeep_base",
];

async fn counts(installation: &Installation) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in TABLES {
        counts.push(installation.number(&["select count(*) from ", table].concat()).await);
    }
    counts.push(installation.number("select fence from tierkeep_retention").await);
    counts
}

/// The binary on an installation, asked for JSON.
struct Asked<'a> {
    directory: &'a TempDir,
    url: String,
}

impl Asked<'_> {
    /// Exit code, the document on stdout, stderr.
    fn ask(&self, arguments: &[&str]) -> (i32, Value, String) {
        let common = ["--json", "--now", NOW, "--database", &self.url];
        let (code, stdout, stderr) = run(self.directory, &[arguments, &common].concat());
        let document = if stdout.is_empty() { Value::Null } else { serde_json::from_str(&stdout).unwrap() };
        (code, document, stderr)
    }
}

fn keys(document: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

async fn a_dry_run_writes_nothing_and_the_run_does_what_it_said(dialect: Dialect) {
    let installation = worn(dialect).await;
    let directory = tempfile::tempdir().unwrap();
    let asked = Asked { directory: &directory, url: installation.url() };
    let before = counts(&installation).await;

    let (code, plan, stderr) = asked.ask(&["cleanup", "--dry-run"]);

    assert_eq!(code, 0, "{stderr}");
    assert_eq!((&plan["run_id"], &plan["dry_run"], &plan["ended"]), (&Value::Null, &json!(true), &json!("done")));
    assert_eq!(plan["phases"], all_phases(), "{plan}");
    assert_eq!(plan["objections"].as_array().unwrap().len(), 2, "{plan}");
    let expected = json!({
        "now": "2026-01-31T14:00:00Z", "archive": "2025-01-31T14:00:00Z", "delete": "2023-02-01T14:00:00Z",
        "purge": "2025-11-02T14:00:00Z",
    });
    assert_eq!(plan["cutoffs"], expected);
    let rules: Vec<&str> =
        plan["plan"]["rules"].as_array().unwrap().iter().map(|rule| rule["rule"].as_str().unwrap()).collect();
    let (rules, known) = (BTreeSet::from_iter(rules), BTreeSet::from(tierkeep_learning::retention::RULES));
    assert_eq!(rules, known, "every rule has its place in the document");
    assert_eq!(counts(&installation).await, before);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is exported");

    let (code, refused, stderr) = asked.ask(&["cleanup"]);
    assert_eq!((code, &refused["run_id"], &refused["ended"]), (3, &json!(1), &json!("refused")), "{stderr}");
    assert!(refused["reason"].as_str().unwrap().contains("max_fraction"), "{refused}");
    assert!(stderr.contains("would delete"), "{stderr}");
    assert_eq!(counts(&installation).await[..4], before[..4]);

    let (code, done, stderr) = asked.ask(&["cleanup", "--force"]);
    assert_eq!(code, 0, "{stderr}");
    let expected = ["batches", "cutoffs", "dry_run", "ended", "files", "phases", "run_id", "seconds"];
    assert_eq!(keys(&done), expected, "{done}");
    assert_eq!((&done["run_id"], &done["dry_run"], &done["ended"]), (&json!(2), &json!(false), &json!("done")));
    assert_eq!(done["phases"], plan["phases"], "{done}");
    assert!(done["batches"].as_u64().unwrap() >= 5 && done["seconds"].as_f64().unwrap() > 0.0, "{done}");
    let files: Vec<&str> = done["files"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(!files.is_empty() && files.iter().all(|file| file.contains("/tierkeep-export/")), "{files:?}");
    assert!(files.iter().all(|file| directory.path().join(file).exists()), "{files:?}");
    assert_eq!(counts(&installation).await[..4], [6, 10, 2, 1]);

    let (code, again, _) = asked.ask(&["cleanup"]);
    assert_eq!((code, &again["batches"], &again["run_id"]), (0, &json!(0), &json!(3)));

    let (code, runs, stderr) = asked.ask(&["runs"]);
    assert_eq!((code, stderr.contains("altered")), (0, false), "{stderr}");
    let ended: Vec<(&Value, &Value)> =
        runs.as_array().unwrap().iter().map(|run| (&run["run_id"], &run["ended"])).collect();
    let (done, refused) = (json!("done"), json!("refused"));
    assert_eq!(ended, [(&json!(3), &done), (&json!(2), &done), (&json!(1), &refused)], "dry runs are not listed");
    let expected =
        ["batches", "command", "ended", "ended_at", "plan", "reason", "report", "rows", "run_id", "started_at"];
    assert_eq!(keys(&runs[1]), expected);
    assert_eq!((&runs[1]["command"], &runs[1]["report"]["rules"]["archive"]), (&json!("cleanup"), &json!(15)));
    assert_eq!(asked.ask(&["runs", "--limit", "1", "--read-only"]).1[0]["run_id"], 3);
    assert_eq!(asked.ask(&["runs", "--before", "2"]).1.as_array().unwrap().len(), 1);
    let (code, stdout, _) = run(&directory, &["runs", "--database", &asked.url]);
    assert!(code == 0 && stdout.contains("refused") && stdout.contains("cleanup"), "{stdout}");

    assert_eq!(asked.ask(&["runs", "--audit"]).0, 0);
    installation.run("update tierkeep_run_batch set rows = rows + 1 where run_id = 2 and number = 1").await;
    let (code, _, stderr) = asked.ask(&["runs"]);
    assert!(code == 0 && stderr.contains("the record of the runs was altered: run 2, batch 1"), "{stderr}");
    assert_eq!(asked.ask(&["runs", "--audit"]).0, 1);
}

async fn what_a_run_moved_comes_back(dialect: Dialect) {
    let installation = worn(dialect).await;
    let directory = tempfile::tempdir().unwrap();
    let asked = Asked { directory: &directory, url: installation.url() };
    let before = counts(&installation).await;
    let moving = ["cleanup", "--only", "invalid", "--only", "archive"];
    assert_eq!(asked.ask(&moving).0, 0);

    let (code, plan, stderr) = asked.ask(&["restore", "--run", "1", "--dry-run"]);
    assert_eq!((code, &plan["dry_run"], &plan["run_id"]), (0, &json!(true), &Value::Null), "{stderr}");
    let (code, restored, stderr) = asked.ask(&["restore", "--run", "1"]);

    assert_eq!((code, &restored["ended"], &restored["stayed"]), (0, &json!("done"), &json!(0)), "{stderr}");
    assert_eq!((&restored["rows"]["study_sessions"], &restored["rows"]), (&json!(16), &plan["rows"]));
    assert_eq!(counts(&installation).await[..4], before[..4]);
    let (code, again, stderr) = asked.ask(&["restore", "--run", "1"]);
    assert_eq!((code, &again["batches"]), (0, &json!(0)), "{stderr}");
    assert_eq!(asked.ask(&["runs"]).1.as_array().unwrap().len(), 1, "restores are not listed");
    assert_eq!(asked.ask(&moving).1["batches"], 0, "what came back is left alone");

    let (code, stdout, _) = run(&directory, &["restore", "--user", ADA, "--database", &asked.url]);
    assert!(code == 0 && stdout.starts_with("0 rows came back"), "{stdout}");
    let wrong: &[(&[&str], i32, &str)] = &[
        (&["--run", "99"], 1, "no retention run 99"),
        (&["--run", "2"], 3, "restore"),
        (&["--run", "0"], 2, "whole number from 1"),
        (&[], 2, "--run"),
        (&["--run", "1", "--user", ADA], 2, "cannot be used with"),
        (&["--run", "1", "--read-only"], 2, "--read-only"),
    ];
    for (flags, expected, word) in wrong {
        let (code, _, stderr) = asked.ask(&[&["restore"], *flags].concat());
        assert!(code == *expected && stderr.contains(word), "{flags:?}: {code} {stderr}");
    }
}

/// A configuration by which a run spends most of its time resting.
fn slow() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tierkeep.toml"), "[retention]\nshare = 1\n").unwrap();
    directory
}

async fn a_signal_or_the_end_of_its_time_ends_a_run_and_the_next_goes_on(dialect: Dialect) {
    const SESSIONS: u32 = 2000;
    let installation = Installation::new(dialect).await;
    add_sessions(&installation, 1, ADA, "2024-05-01T08:00:00Z", SESSIONS, "").await;
    let directory = slow();
    let asked = Asked { directory: &directory, url: installation.url() };
    let archive = ["cleanup", "--only", "archive"];

    let (code, budget, stderr) = asked.ask(&[&archive[..], &["--batch-size", "1", "--max-seconds", "1"]].concat());
    assert_eq!((code, &budget["ended"]), (4, &json!("budget")), "{stderr}");
    assert!(stderr.contains("run 1 stopped early") && stderr.contains("the same command goes on"), "{stderr}");

    let mut child = tierkeep(&directory)
        .args(archive)
        .args(["--batch-size", "1", "--json", "--now", NOW, "--database", &asked.url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "run 2 begins"));
    signal(&child, "TERM");
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    let stopped: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((child.wait().unwrap().code(), &stopped["ended"]), (Some(4), &json!("signal")), "{rest:?}");

    let moved = |document: &Value| document["phases"]["archive"]["rows"].as_u64().unwrap();
    let before = moved(&budget) + moved(&stopped);
    assert!(before < u64::from(SESSIONS), "{before}");
    assert_eq!(counts(&installation).await[1], i64::try_from(before).unwrap());
    std::fs::remove_file(directory.path().join("tierkeep.toml")).unwrap();
    let (code, done, stderr) = asked.ask(&archive);
    assert_eq!((code, &done["ended"]), (0, &json!("done")), "{stderr}");
    assert_eq!(before + moved(&done), u64::from(SESSIONS));
    let (_, runs, _) = asked.ask(&["runs"]);
    let ended: Vec<&str> = runs.as_array().unwrap().iter().map(|run| run["ended"].as_str().unwrap()).collect();
    assert_eq!(ended, ["done", "signal", "budget"]);
}

/// The lease, as another process would have it.
pub(crate) async fn lease(url: &str) -> Hold {
    let database = match url.parse().unwrap() {
        DatabaseUrl::Sqlite(path) => {
            Database::Sqlite(SqliteDatabase::open(&path, SqliteConfig::default()).await.unwrap())
        }
        DatabaseUrl::Postgres(address) => Database::Postgres(Pool::new(&address, PoolConfig::default()).unwrap()),
    };
    Hold::take(&database, Duration::ZERO, &CancellationToken::new()).await.unwrap()
}

async fn a_second_run_is_refused_while_one_works(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let directory = tempfile::tempdir().unwrap();
    let asked = Asked { directory: &directory, url: installation.url() };
    let hold = lease(&asked.url).await;

    let (code, refused, stderr) = asked.ask(&["cleanup", "--wait", "0"]);

    assert_eq!((code, &refused["run_id"], &refused["ended"]), (3, &Value::Null, &json!("refused")), "{stderr}");
    assert!(stderr.contains("another retention run works"), "{stderr}");
    assert!(refused["reason"].as_str().unwrap().contains("another retention run works"), "{refused}");
    assert_eq!(asked.ask(&["cleanup", "--dry-run"]).0, 0, "a dry run needs no lease");
    hold.release().await.unwrap();
    assert_eq!(asked.ask(&["cleanup", "--wait", "0"]).0, 0);
    installation.run("update tierkeep_retention set stop = 'backup'").await;
    let (code, _, stderr) = asked.ask(&["cleanup"]);
    assert!(code == 3 && stderr.contains("switched off") && stderr.contains("backup"), "{stderr}");
}

#[tokio::test]
async fn the_invocations_of_the_guide_do_what_they_say() {
    let installation = worn(Dialect::Sqlite).await;
    let directory = tempfile::tempdir().unwrap();
    let url = installation.url();
    let human = |arguments: &[&str]| run(&directory, &[arguments, &["--now", NOW, "--database", &url]].concat());

    let (code, stdout, stderr) = human(&["cleanup_learning_data", "--dry-run"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("negative_duration") && stdout.contains("nothing was written"), "{stdout}");
    assert!(stdout.contains("A run would be refused: it would delete 5 of 15 rows"), "{stdout}");
    assert!(stderr.contains("archives sessions that began before 2025-01-31T14:00:00Z"), "{stderr}");

    let (code, stdout, stderr) = human(&["cleanup_learning_data", "--cleanup-invalid"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("Run 1 is done: 1 rows in 1 batches") && !stdout.contains("archived_sessions"), "{stdout}");

    let (code, _, stderr) =
        human(&["cleanup-learning-data", "--archive-older-than=365", "--delete-older-than=1095", "--force"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(counts(&installation).await[..4], [6, 10, 2, 1]);
    assert_eq!(human(&["cleanup_learning_data", "--batch-size=500"]).0, 0);
}

#[tokio::test]
async fn what_is_deleted_goes_to_files_first_unless_that_is_not_wanted() {
    let directory = tempfile::tempdir().unwrap();
    for (flags, is_exported) in [(&["--export", "out"][..], true), (&["--no-export"], false)] {
        let installation = worn(Dialect::Sqlite).await;
        let asked = Asked { directory: &directory, url: installation.url() };

        let (code, done, stderr) = asked.ask(&[&["cleanup", "--force"], flags].concat());

        assert_eq!(code, 0, "{stderr}");
        assert_eq!(done["phases"], all_phases());
        assert_eq!(done["files"].as_array().is_some_and(|files| !files.is_empty()), is_exported, "{done}");
    }
    assert!(directory.path().join("out").exists());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);

    let installation = worn(Dialect::Sqlite).await;
    std::fs::write(
        directory.path().join("tierkeep.toml"),
        "[retention]\nbefore_delete = \"echo no backup >&2; exit 9\"\n",
    )
    .unwrap();
    let asked = Asked { directory: &directory, url: installation.url() };
    let (code, refused, stderr) = asked.ask(&["cleanup", "--force"]);
    assert_eq!((code, &refused["ended"]), (3, &json!("refused")), "{stderr}");
    assert!(refused["reason"].as_str().unwrap().contains("no backup"), "{refused}");
    assert_eq!(
        (&refused["phases"]["archive"]["rows"], &refused["phases"]["delete"]["archived_rows"]),
        (&json!(15), &json!(0))
    );
}

#[test]
fn wrong_words_end_with_2() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(run(&directory, &["migrate"]).0, 0);
    let wrong: &[(&[&str], &[&str])] = &[
        (&["--archive-older-than", "0"], &["1 to 36500"]),
        (&["--archive-older-than", "36501"], &["1 to 36500"]),
        (&["--delete-older-than", "year"], &["1 to 36500"]),
        (&["--delete-older-than=-1"], &["1 to 36500"]),
        (&["--delete-older-than", "100"], &["100 days", "365 days"]),
        (&["--archive-older-than", "2000"], &["1095 days", "2000 days"]),
        (&["--batch-size", "0"], &["1 to 50000"]),
        (&["--batch-size", "50001"], &["1 to 50000"]),
        (&["--max-seconds", "0"], &["max-seconds"]),
        (&["--only", "vacuum"], &["invalid, archive, delete, purge, optimize"]),
        (&["--only", "archive", "--cleanup-invalid"], &["cannot be used with"]),
        (&["--export", "x", "--no-export"], &["cannot be used with"]),
        (&["--read-only"], &["--read-only"]),
        (&["--dry-run", "--now", "-009998-01-01T00:00:00Z"], &[]),
    ];
    for (flags, words) in wrong {
        let (code, stdout, stderr) = run(&directory, &[&["cleanup"], *flags].concat());
        assert_eq!((code, stdout.as_str()), (2, ""), "{flags:?}: {stderr}");
        assert!(words.iter().all(|word| stderr.contains(word)), "{flags:?}: {stderr}");
    }
    assert_eq!(run(&directory, &["cleanup", "--cleanup-invalid", "--delete-older-than", "100"]).0, 0);
    std::fs::write(directory.path().join("tierkeep.toml"), "[retention]\ndelete_after_days = 300\n").unwrap();
    let (code, _, stderr) = run(&directory, &["cleanup", "--dry-run"]);
    assert!(code == 2 && stderr.contains("300 days"), "{stderr}");
    assert_eq!(run(&directory, &["cleanup", "--dry-run", "--archive-older-than", "300"]).0, 0);
}

/// What is old goes by the clock of the database where nobody says what the present is.
#[test]
fn without_an_instant_the_present_is_the_databases() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(run(&directory, &["migrate"]).0, 0);

    let (code, stdout, stderr) = run(&directory, &["cleanup", "--dry-run", "--json"]);

    assert_eq!(code, 0, "{stderr}");
    let plan: Value = serde_json::from_str(&stdout).unwrap();
    let at = |name: &str| -> jiff::Timestamp { plan["cutoffs"][name].as_str().unwrap().parse().unwrap() };
    assert!(at("now") > instant(NOW));
    assert_eq!(at("now").duration_since(at("archive")), jiff::SignedDuration::from_hours(365 * 24));
}

#[test]
fn only_phases_that_run_have_a_cutoff() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(run(&directory, &["migrate"]).0, 0);

    let (code, stdout, stderr) = run(&directory, &["cleanup", "--dry-run", "--json", "--only", "archive"]);

    assert_eq!(code, 0, "{stderr}");
    let plan: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(keys(&plan["cutoffs"]), ["archive", "now"], "{plan}");
}

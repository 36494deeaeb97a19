//! `import`: files in, a report out.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::fixture::{run, tierkeep};

const USERS: &str = "id,email,username,is_active,last_login,created_at,time_zone\n\
                     1,a@example.org,ada,true,,2025-01-01T00:00:00Z,Europe/Paris\n\
                     2,b@example.org,bob,true,,2025-01-01T00:00:00Z,\n";

const HEADER: &str = "id,user_id,course_progress_id,start_time,end_time,duration_minutes,effectiveness_rating,\
                      focus_score,break_count,is_active,learning_environment,device_type,subject_category,\
                      content_covered,notes,created_at,updated_at,goal_id,learning_plan_id\n";

fn row(id: &str, user: u32, minutes: &str) -> String {
    let at = "2026-01-30T10:00:00Z";
    format!("{id},{user},,{at},2026-01-30T11:00:00Z,{minutes},4,0.80,1,false,home,laptop,math,,,{at},{at},,\n")
}

fn files() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let sessions = [HEADER, &row("10", 1, "60"), &row("11", 1, "sixty"), &row("12", 2, "30")].concat();
    fs::write(directory.path().join("users.csv"), USERS).unwrap();
    fs::write(directory.path().join("sessions.csv"), sessions).unwrap();
    directory
}

#[test]
fn rows_are_counted_rejects_are_listed_and_summaries_are_built() {
    let directory = files();
    let arguments =
        ["import", "--users", "users.csv", "--sessions", "sessions.csv", "--rejects", "rejects.csv", "--json"];

    let (code, stdout, stderr) = run(&directory, &arguments);

    assert_eq!(code, 0, "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let sessions = &report["files"][1];
    assert_eq!(sessions["table"], "study_sessions");
    assert_eq!((&sessions["rows"], &sessions["inserted"], &sessions["rejected"]), (&3.into(), &2.into(), &1.into()));
    assert_eq!(
        (&report["rejects"][0]["line"], &report["rejects"][0]["column"]),
        (&3.into(), &"duration_minutes".into())
    );
    assert_eq!(report["summaries"]["learners"], 2);
    let rejects = fs::read_to_string(directory.path().join("rejects.csv")).unwrap();
    assert!(rejects.lines().count() == 2 && rejects.contains("sixty"), "{rejects}");

    // the ids of the file decided the type of the keys
    let (code, stdout, _) = run(&directory, &["stats", "daily", "1", "--date", "2026-01-30", "--json"]);
    let daily: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &daily["total_sessions"], &daily["user_id"]), (0, &1.into(), &1.into()));

    // again: nothing new
    let (_, stdout, _) = run(&directory, &arguments);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&report["files"][1]["inserted"], &report["files"][1]["updated"]), (&0.into(), &2.into()));
}

#[test]
fn columns_of_a_platform_are_named_once_and_skipped() {
    let directory = files();
    let sessions = format!("mood,{HEADER}happy,{}sad,{}", row("10", 1, "60"), row("11", 1, "30"));
    fs::write(directory.path().join("more.csv"), sessions).unwrap();

    let arguments = ["import", "--users", "users.csv", "--sessions", "more.csv", "--json"];
    let (code, stdout, stderr) = run(&directory, &arguments);

    let note = "more.csv: skipped the column \"mood\", which study_sessions does not have";
    assert_eq!((code, stderr.matches("skipped").count()), (0, 1), "{stderr}");
    assert!(stderr.contains(note), "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["files"][1]["skipped_columns"], serde_json::json!(["mood"]));
    assert_eq!((&report["files"][1]["inserted"], &report["files"][0]["skipped_columns"]), (&2.into(), &Value::Null));
}

#[test]
fn people_get_a_table() {
    let directory = files();

    let (code, stdout, stderr) = run(&directory, &["import", "--users", "users.csv", "--sessions", "sessions.csv"]);

    assert_eq!(code, 0, "{stderr}");
    for part in ["inserted", "rows/s", "study_sessions", "1 rejected, the first 1:", "sessions.csv:3: duration_minutes"]
    {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
}

#[test]
fn a_file_that_is_absent_or_of_other_columns_changes_nothing() {
    let directory = files();

    let (code, _, stderr) = run(&directory, &["import", "--users", "users.csv", "--sessions", "absent.csv"]);

    assert_eq!(code, 1);
    assert!(stderr.contains("cannot read absent.csv"), "{stderr}");
    assert!(!directory.path().join("tierkeep.db").exists());
    let (code, _, stderr) = run(&directory, &["import", "--users", "sessions.csv"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("the header of sessions.csv is one of study_sessions"), "{stderr}");
}

#[test]
fn tables_with_rows_keep_the_type_of_their_ids() {
    let directory = files();
    assert_eq!(run(&directory, &["import", "--users", "users.csv"]).0, 0);

    let (code, _, stderr) = run(&directory, &["import", "--users", "users.csv", "--ids", "uuid"]);

    assert_eq!(code, 3, "{stderr}");
    assert_eq!(run(&directory, &["migrate", "--ids", "uuid"]).0, 3);
}

#[test]
fn a_signal_stops_after_a_chunk_and_the_rest_can_be_continued() {
    let directory = files();
    let mut child = tierkeep(&directory)
        .args(["import", "--sessions", "/dev/stdin", "--ids", "int"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let pid = child.id().to_string();
    // a writer that never ends, until nobody reads
    let writer = std::thread::spawn(move || {
        let mut sent = stdin.write_all(HEADER.as_bytes());
        for id in 0u32.. {
            if sent.is_err() {
                return id;
            }
            if id == 50_000 {
                let status = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
                assert!(status.success());
            }
            sent = stdin.write_all(row(&id.to_string(), 1, "10").as_bytes());
        }
        0
    });

    let output = child.wait_with_output().unwrap();
    let written = writer.join().unwrap();

    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains("run the same command again to continue"), "{stderr}");
    assert!(written >= 50_000);
}

#[test]
fn rejects_never_overwrite_a_file_that_the_import_needs() {
    let directory = files();
    let before = fs::read(directory.path().join("sessions.csv")).unwrap();
    run(&directory, &["import", "--users", "users.csv"]);
    let database = directory.path().join("tierkeep.db");
    let size = fs::metadata(&database).unwrap().len();

    for target in ["sessions.csv", "./sessions.csv", "tierkeep.db"] {
        let (code, _, stderr) = run(&directory, &["import", "--sessions", "sessions.csv", "--rejects", target]);

        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("would overwrite") && stderr.contains(target), "{stderr}");
    }
    assert_eq!(fs::read(directory.path().join("sessions.csv")).unwrap(), before);
    assert_eq!(fs::metadata(&database).unwrap().len(), size);
}

#[test]
fn configuration_that_would_be_refused_later_is_refused_by_its_check() {
    let directory = files();
    for (text, word) in
        [("[http]\nlisten = \"0.0.0.0:80\"\n", "loopback"), ("[mapping.users]\nzone = \"tz\"\n", "time_zone")]
    {
        fs::write(directory.path().join("tierkeep.toml"), text).unwrap();

        let (code, _, stderr) = run(&directory, &["config", "check"]);

        assert!(code != 0 && stderr.contains(word), "{code} {stderr}");
    }
}

#[test]
fn any_day_of_the_present_week_is_moved_back_to_its_monday() {
    let directory = files();
    run(&directory, &["import", "--users", "users.csv", "--sessions", "sessions.csv"]);
    let weekly = |day: &str| {
        let now = "2026-01-30T12:00:00Z"; // a Friday
        run(&directory, &["stats", "weekly", "1", "--week-start", day, "--now", now, "--json"])
    };

    let (code, stdout, stderr) = weekly("2026-02-01");
    assert_eq!(code, 0, "the week has begun, though its Sunday has not: {stderr}");
    assert_eq!(serde_json::from_str::<Value>(&stdout).unwrap()["week_start"], "2026-01-26");
    assert_ne!(weekly("2026-02-02").0, 0, "the next week begins after tomorrow");
}

#[test]
fn file_that_can_be_read_only_once_needs_the_type_of_its_ids() {
    let (code, _, stderr) = run(&files(), &["import", "--users", "/dev/stdin"]);

    assert!(code == 2 && stderr.contains("--ids uuid"), "{code} {stderr}");
}

//! Nothing is deleted that is not in a file which can be read back.

use std::fs::File;
use std::path::Path;

use tierkeep_db::Dialect;
use tierkeep_learning::import::{Rejects, Table, import_csv};
use tierkeep_learning::key::KeyType;
use tierkeep_learning::retention::{ARCHIVE, DELETE};
use tierkeep_retention::{Ended, Order};

use super::super::fresh::{Fresh, Outside};
use super::super::retention::{filled, run};
use super::super::rows::SESSION_COLUMNS;
use super::{Beside, attempt, elsewhere, watched};

on_both_with_both_keys!(every_deleted_row_is_read_back_as_it_was);
on_both!(
    row_that_changes_between_export_and_deletion_stays,
    command_that_fails_keeps_everything,
    place_that_cannot_be_written_keeps_everything,
);

const KEYS: KeyType = KeyType::Int;

/// The rows of a table, each as one text.
async fn rows(outside: &Outside, table: &str, columns: &str) -> Vec<String> {
    let columns: Vec<String> =
        columns.split(", ").map(|column| format!("coalesce(cast({column} as text), 'null')")).collect();
    let mut rows = outside.texts(&format!("select {} from {table}", columns.join(" || '|' || "))).await;
    rows.sort_unstable();
    rows
}

const PROGRESS_COLUMNS: &str = "id, user_id, content_id, subject_name, proficiency_level, learning_hour_week, \
     learning_hour_total, est_finish_hour, difficulty, created_at, updated_at";

fn exporting(order: Order, directory: &Path) -> Order {
    Order { export: Some(directory.to_owned()), ..order }
}

async fn every_deleted_row_is_read_back_as_it_was(dialect: Dialect, keys: KeyType) {
    let (_fresh, store, outside) = filled(dialect, keys).await;
    outside.run("update study_sessions set notes = 'a \"b\", c\nd\r' where duration_minutes = 50").await;
    run(&store, &[ARCHIVE]).await;
    let tables = [("study_sessions", SESSION_COLUMNS), ("study_sessions_archive", SESSION_COLUMNS)];
    let mut before = Vec::new();
    for (table, columns) in tables {
        before.extend(rows(&outside, table, columns).await);
    }
    let progress = rows(&outside, "course_progress", PROGRESS_COLUMNS).await;
    let place = tempfile::tempdir().unwrap();

    let outcome = attempt(&store, &[DELETE], &exporting(watched(&Beside::silent()), place.path())).await;

    assert_eq!((outcome.ended, outcome.reason), (Ended::Done, None));
    let again = Fresh::migrated(dialect, keys).await;
    let (copy, copied) = (again.store().await, again.outside().await);
    assert_eq!(outcome.report.files.len(), 3, "archived sessions, a learner's sessions and course progress");
    for path in &outcome.report.files {
        let table = if path.contains("course_progress") { Table::CourseProgress } else { Table::StudySessions };
        let mut rejects = Rejects::new();
        let file = File::open(path).unwrap();
        import_csv(&*copy, table, "exported", file, &mut |_| (), &mut rejects).await.unwrap();
        assert_eq!(rejects.first(), []);
    }
    let mut after = Vec::new();
    for (table, columns) in tables {
        after.extend(rows(&outside, table, columns).await);
        after.extend(rows(&copied, table, columns).await);
    }
    before.sort_unstable();
    after.sort_unstable();
    assert_eq!(after, before);
    let mut both = rows(&outside, "course_progress", PROGRESS_COLUMNS).await;
    both.extend(rows(&copied, "course_progress", PROGRESS_COLUMNS).await);
    both.sort_unstable();
    assert_eq!(both, progress);
}

async fn row_that_changes_between_export_and_deletion_stays(dialect: Dialect) {
    let (fresh, store, outside) = filled(dialect, KEYS).await;
    run(&store, &[ARCHIVE]).await;
    let place = tempfile::tempdir().unwrap();
    let is_first = std::sync::atomic::AtomicBool::new(true);
    // rows of the second batch are in the file already
    let observer = Beside::new(move |what| {
        if what == "moved archived_sessions" && is_first.swap(false, std::sync::atomic::Ordering::SeqCst) {
            let deed = "update study_sessions_archive set notes = 'new' where id in (220, 219)";
            elsewhere(async || fresh.outside().await.run(deed).await);
        }
    });

    let outcome = attempt(&store, &[DELETE], &exporting(watched(&observer), place.path())).await;

    // the next pass exports them as they are now, so that nothing is lost and nothing left
    assert_eq!((outcome.ended, outcome.reason), (Ended::Done, None));
    assert_eq!(outside.number("select count(*) from study_sessions_archive where id in (219, 220)").await, 0);
    let again = Fresh::migrated(dialect, KEYS).await;
    let (copy, copied) = (again.store().await, again.outside().await);
    for path in outcome.report.files.iter().filter(|path| path.contains("study_sessions_archive")) {
        let file = File::open(path).unwrap();
        let rejects = &mut Rejects::new();
        import_csv(&*copy, Table::StudySessions, "exported", file, &mut |_| (), rejects).await.unwrap();
    }
    assert_eq!(copied.number("select count(*) from study_sessions where notes = 'new'").await, 2);
}

async fn command_that_fails_keeps_everything(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect, KEYS).await;
    let before = outside.count("study_sessions_archive").await + outside.count("study_sessions").await;
    let command = |text: &str| Order { before_delete: Some(text.to_owned()), ..watched(&Beside::silent()) };

    let refused = attempt(&store, &[ARCHIVE, DELETE], &command("echo no backup >&2; exit 3")).await;

    assert_eq!(refused.ended, Ended::Refused);
    assert!(refused.reason.unwrap().contains("no backup"));
    assert!(refused.report.rows("archive") > 0, "what is moved can be moved back");
    assert_eq!(outside.count("study_sessions_archive").await + outside.count("study_sessions").await, before - 1);
    let done = attempt(&store, &[ARCHIVE, DELETE], &command("true")).await;
    assert_eq!((done.ended, done.reason), (Ended::Done, None));
    assert!(done.report.rows("archived_sessions") > 0);
}

async fn place_that_cannot_be_written_keeps_everything(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect, KEYS).await;
    run(&store, &[ARCHIVE]).await;
    let before = rows(&outside, "study_sessions_archive", SESSION_COLUMNS).await;
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    std::fs::write(&file, "").unwrap();

    let failed = attempt(&store, &[DELETE], &exporting(watched(&Beside::silent()), &file)).await;

    assert_ne!(failed.ended, Ended::Done);
    assert!(failed.reason.unwrap().contains("file"));
    assert_eq!(failed.report.batches, 0);
    assert_eq!(rows(&outside, "study_sessions_archive", SESSION_COLUMNS).await, before);
    let done = attempt(&store, &[DELETE], &exporting(watched(&Beside::silent()), place.path())).await;
    assert_eq!((done.ended, done.reason), (Ended::Done, None));
}

//! Rows that an export file holds are imported as they were.

use std::fs::File;

use jiff::Timestamp;
use tempfile::TempDir;
use tierkeep_db::Dialect;
use tierkeep_learning::import::{Imported, Rejects, Table, import_csv};
use tierkeep_learning::key::KeyType;
use tierkeep_learning::rows::{ProgressRow, SessionRow, UserRow};
use tierkeep_learning::store::Store;
use tierkeep_learning::store::export::SessionTable;
use tierkeep_retention::export::{ExportDirectory, ExportWriter, FileName, Sealed, verify};

use super::fresh::Fresh;
use super::rows::{at, key, learner, progress, session, user};

on_both_with_both_keys!(exported_rows_are_imported_as_they_were, columns_that_were_left_out_are_not_what_they_were);

/// Column and field.
type Field = (&'static str, Option<String>);

fn text<T: ToString>(value: T) -> Option<String> {
    Some(value.to_string())
}

/// RFC 3339 in UTC with microseconds.
fn instant(instant: Timestamp) -> Option<String> {
    Some(format!("{instant:.6}"))
}

fn user_fields(row: &UserRow) -> Vec<Field> {
    vec![
        ("id", text(row.id)),
        ("email", text(&row.email)),
        ("username", text(&row.username)),
        ("is_active", text(row.is_active)),
        ("last_login", row.last_login.and_then(instant)),
        ("created_at", instant(row.created_at)),
        ("time_zone", row.time_zone.clone()),
    ]
}

fn progress_fields(row: &ProgressRow) -> Vec<Field> {
    vec![
        ("id", text(row.id)),
        ("user_id", text(row.user_id)),
        ("content_id", text(row.content_id)),
        ("subject_name", text(&row.subject_name)),
        ("proficiency_level", text(row.proficiency_level)),
        ("learning_hour_week", text(row.learning_hour_week)),
        ("learning_hour_total", text(row.learning_hour_total)),
        ("est_finish_hour", row.est_finish_hour.map(|hours| hours.to_string())),
        ("difficulty", text(row.difficulty)),
        ("created_at", instant(row.created_at)),
        ("updated_at", instant(row.updated_at)),
    ]
}

fn session_fields(row: &SessionRow) -> Vec<Field> {
    let decimal = |hundredths: i16| {
        let sign = if hundredths < 0 { "-" } else { "" };
        format!("{sign}{}.{:02}", hundredths.abs() / 100, hundredths.abs() % 100)
    };
    vec![
        // columns of a platform stand anywhere
        ("mood", text("good, \"mostly\"")),
        ("id", text(row.id)),
        ("user_id", text(row.user_id)),
        ("course_progress_id", row.course_progress_id.map(|id| id.to_string())),
        ("start_time", instant(row.start_time)),
        ("end_time", row.end_time.and_then(instant)),
        ("duration_minutes", text(row.duration_minutes)),
        ("effectiveness_rating", row.effectiveness_rating.map(|rating| rating.to_string())),
        ("focus_score", row.focus_hundredths.map(decimal)),
        ("break_count", text(row.break_count)),
        ("is_active", text(row.is_active)),
        ("learning_environment", text(&row.learning_environment)),
        ("device_type", text(&row.device_type)),
        ("subject_category", text(&row.subject_category)),
        ("content_covered", text(&row.content_covered)),
        ("notes", text(&row.notes)),
        ("created_at", instant(row.created_at)),
        ("updated_at", instant(row.updated_at)),
        ("goal_id", row.goal_id.map(|id| id.to_string())),
        ("learning_plan_id", row.learning_plan_id.map(|id| id.to_string())),
        ("estimator", row.estimator.map(|estimator| estimator.to_string())),
        ("weather", None),
    ]
}

fn export(directory: &ExportDirectory, table: &str, rows: &[Vec<Field>]) -> Sealed {
    let columns: Vec<String> = rows[0].iter().map(|(column, _)| (*column).to_owned()).collect();
    let mut writer = ExportWriter::create(directory, &FileName::new(table, 1, 1).unwrap(), &columns).unwrap();
    for row in rows {
        writer.write(&row.iter().map(|(_, field)| field.as_deref()).collect::<Vec<_>>()).unwrap();
    }
    let sealed = writer.finish().unwrap();
    verify(&sealed).unwrap();
    sealed
}

async fn import(store: &dyn Store, table: Table, sealed: &Sealed) -> Imported {
    let mut rejects = Rejects::new();
    let file = File::open(&sealed.path).unwrap();
    let imported = import_csv(store, table, "exported", file, &mut |_| (), &mut rejects).await.unwrap();
    assert_eq!(rejects.first(), []);
    assert_eq!(imported.written.inserted, sealed.rows);
    imported
}

fn directory() -> (TempDir, ExportDirectory) {
    let place = tempfile::tempdir().unwrap();
    let directory = ExportDirectory::open(place.path()).unwrap();
    (place, directory)
}

/// Texts that one reader or another takes for something else.
const TEXTS: [&str; 16] = [
    "",
    " leading and trailing ",
    "\t",
    "a,b,,c",
    "\"",
    "\"quoted\", she said",
    "two\nlines\n",
    "\r\nas in\r\nDOS\r",
    "\r",
    "007",
    "-0",
    "1e9",
    "NULL",
    "\\N",
    "=1+1",
    "\u{feff}München 🦀 e\u{301}\u{10ffff}",
];

/// A session for each text in each column of text, and those at the ends of their ranges.
fn sessions(keys: KeyType) -> Vec<SessionRow> {
    let mut rows = Vec::new();
    for (place, text) in (0..).zip(TEXTS) {
        let mut row = session(keys, place + 1, 1, "2025-06-27T20:00:00.000001Z", 30);
        for (turn, column) in [
            &mut row.learning_environment,
            &mut row.device_type,
            &mut row.subject_category,
            &mut row.content_covered,
            &mut row.notes,
        ]
        .into_iter()
        .enumerate()
        {
            *column = TEXTS[(place as usize + turn) % TEXTS.len()].to_owned();
        }
        assert_eq!(row.learning_environment, text);
        rows.push(row);
    }
    let mut full = session(keys, 100, 1, "2025-06-27T20:00:00Z", i32::MAX);
    full.course_progress_id = Some(progress(keys, 1, 1, 7).id);
    full.end_time = Some(at("2025-06-27T21:00:00.999999Z"));
    full.effectiveness_rating = Some(i16::MAX);
    full.focus_hundredths = Some(999);
    full.break_count = i16::MAX;
    full.is_active = true;
    full.goal_id = Some(key(keys, 8));
    full.learning_plan_id = Some(key(keys, 9));
    full.estimator = Some("gap/600/0/1".parse().unwrap());
    let mut least = session(keys, 101, 1, "0001-01-02T00:00:00Z", i32::MIN);
    least.end_time = Some(at("9998-12-30T23:59:59.999999Z"));
    least.effectiveness_rating = Some(i16::MIN);
    least.focus_hundredths = Some(-7);
    least.break_count = i16::MIN;
    rows.extend([full, least]);
    rows
}

async fn exported_rows_are_imported_as_they_were(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let store = fresh.store().await;
    let (_place, directory) = directory();
    let one = user(keys, 1);
    let mut learner = learner(keys, 1, Some("America/Argentina/Buenos_Aires"));
    learner.email = TEXTS.concat();
    learner.last_login = Some(at("1969-12-31T23:59:59.999999Z"));
    let mut courses = vec![progress(keys, 1, 1, 7), progress(keys, 2, 1, 8)];
    courses[1].subject_name = TEXTS.concat();
    (courses[1].est_finish_hour, courses[1].proficiency_level) = (None, i32::MIN);
    let sessions = sessions(keys);

    let file = export(&directory, "users", &[user_fields(&learner)]);
    import(&*store, Table::Users, &file).await;
    let file = export(&directory, "course_progress", &courses.iter().map(progress_fields).collect::<Vec<_>>());
    import(&*store, Table::CourseProgress, &file).await;
    let file = export(&directory, "study_sessions", &sessions.iter().map(session_fields).collect::<Vec<_>>());
    let imported = import(&*store, Table::StudySessions, &file).await;

    assert_eq!(imported.unknown_columns, ["mood", "weather"]);
    assert_eq!(store.export_user(one).await.unwrap(), Some(learner));
    assert_eq!(store.export_progress(one, None, 10).await.unwrap(), courses);
    let found = store.export_sessions(one, SessionTable::Live, None, 1000).await.unwrap();
    assert_eq!(found.into_iter().map(|listed| listed.row).collect::<Vec<_>>(), sessions);
}

/// The comparison above is one that can fail: what is not exported does not come back.
async fn columns_that_were_left_out_are_not_what_they_were(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let store = fresh.store().await;
    let (_place, directory) = directory();
    let rows = sessions(keys);
    let without =
        |row: &SessionRow| session_fields(row).into_iter().filter(|(column, _)| *column != "notes").collect::<Vec<_>>();

    let file = export(&directory, "study_sessions", &rows.iter().map(without).collect::<Vec<_>>());
    import(&*store, Table::StudySessions, &file).await;

    let found = store.export_sessions(user(keys, 1), SessionTable::Live, None, 1000).await.unwrap();
    let differing = found.iter().zip(&rows).filter(|(listed, row)| listed.row != **row).count();
    assert_eq!(differing, rows.iter().filter(|row| !row.notes.is_empty()).count());
    assert!(differing > 10);
}

use std::io::Cursor;
use std::sync::Mutex;

use proptest::prelude::*;

use super::channel::Batch;
use super::*;
use crate::key::{SessionId, UserId};

mod flow;

/// Keeps what it is given; refuses from a number of batches on.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) users: Mutex<Vec<UserRow>>,
    pub(super) missing_users: Mutex<Vec<UserRow>>,
    pub(super) progress: Mutex<Vec<ProgressRow>>,
    pub(super) sessions: Mutex<Vec<SessionRow>>,
    batches: Mutex<usize>,
    refuse_from: Option<usize>,
    stall_from: Option<usize>,
    /// The learner who was erased.
    erased: Option<String>,
}

impl Sink for &Recorder {
    async fn store(&self, batch: Batch) -> Result<Written, StoreError> {
        let before = std::mem::replace(&mut *self.batches.lock().unwrap(), 0);
        *self.batches.lock().unwrap() = before + 1;
        if self.refuse_from.is_some_and(|from| before >= from) {
            return Err(StoreError::ReadOnly("the table".to_owned()));
        }
        if self.stall_from.is_some_and(|from| before >= from) {
            std::future::pending::<()>().await;
        }
        let inserted = match batch {
            Batch::Users(rows) => keep(&self.users, rows),
            Batch::MissingUsers(rows) => keep(&self.missing_users, rows),
            Batch::Progress(rows) => keep(&self.progress, rows),
            Batch::Sessions(rows) => keep(&self.sessions, rows),
        };
        Ok(Written { inserted, updated: 0 })
    }

    async fn erased(&self, learners: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        Ok(learners.iter().copied().filter(|learner| Some(learner.to_string()) == self.erased).collect())
    }
}

fn keep<R>(kept: &Mutex<Vec<R>>, rows: Vec<R>) -> u64 {
    let count = rows.len() as u64;
    kept.lock().unwrap().extend(rows);
    count
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

struct Outcome {
    result: Result<Imported, ImportError>,
    rejects: Rejects,
    recorder: Recorder,
}

impl Outcome {
    fn sessions(&self) -> Vec<SessionRow> {
        self.recorder.sessions.lock().unwrap().clone()
    }

    /// Line, column and reason of every reject (of the first ten).
    fn rejected(&self) -> Vec<(u64, Option<&str>, &str)> {
        self.rejects.first().iter().map(|one| (one.line, one.column.as_deref(), one.reason.as_str())).collect()
    }
}

fn import_with(recorder: Recorder, table: Table, key_type: KeyType, reader: impl Read + Send + 'static) -> Outcome {
    let mut rejects = Rejects::new();
    let result =
        runtime().block_on(import_csv_into(&recorder, key_type, table, "file.csv", reader, &mut |_| (), &mut rejects));
    Outcome { result, rejects, recorder }
}

fn import(table: Table, text: impl AsRef<[u8]>) -> Outcome {
    import_with(Recorder::default(), table, KeyType::Int, Cursor::new(text.as_ref().to_vec()))
}

const SESSION_HEADER: &str = "id,user_id,course_progress_id,start_time,end_time,duration_minutes,effectiveness_rating,\
    focus_score,break_count,is_active,learning_environment,device_type,subject_category,content_covered,notes,\
    created_at,updated_at";
const SESSION: &str = "7,42,3,2025-06-27T08:00:00.000001Z,2025-06-27T08:45:30.000000Z,45,4,0.72,1,f,home,laptop,math,\
    chapter 1,said,2025-06-27T08:00:00.000001Z,2025-06-27T08:45:30.000000Z";

/// A session with other values in some columns.
fn session_with(changes: &[(&str, &str)]) -> String {
    let mut fields: Vec<&str> = SESSION.split(',').collect();
    for (column, value) in changes {
        let at = SESSION_HEADER.split(',').position(|name| name == *column).expect("the column is in the header");
        fields[at] = value;
    }
    fields.join(",")
}

#[test]
fn a_session_has_every_column_of_its_record() {
    let outcome = import(Table::StudySessions, format!("{SESSION_HEADER}\n{SESSION}\n"));

    let row = SessionRow {
        id: "7".parse().unwrap(),
        user_id: "42".parse().unwrap(),
        course_progress_id: Some("3".parse().unwrap()),
        start_time: "2025-06-27T08:00:00.000001Z".parse().unwrap(),
        end_time: Some("2025-06-27T08:45:30Z".parse().unwrap()),
        duration_minutes: 45,
        effectiveness_rating: Some(4),
        focus_hundredths: Some(72),
        break_count: 1,
        is_active: false,
        learning_environment: "home".to_owned(),
        device_type: "laptop".to_owned(),
        subject_category: "math".to_owned(),
        content_covered: "chapter 1".to_owned(),
        notes: "said".to_owned(),
        created_at: "2025-06-27T08:00:00.000001Z".parse().unwrap(),
        updated_at: "2025-06-27T08:45:30Z".parse().unwrap(),
        goal_id: None,
        learning_plan_id: None,
        estimator: None,
    };
    assert_eq!(outcome.sessions(), [row]);
    let written = Written { inserted: 1, updated: 0 };
    let expected = Imported { rows: 1, written, rejected: 0, unknown_columns: Vec::new() };
    assert_eq!(outcome.result.unwrap(), expected);
}

#[test]
fn columns_stand_in_any_order_and_optional_ones_may_be_missing() {
    let outcome = import(
        Table::StudySessions,
        "estimator,duration_minutes,start_time,user_id,id,goal_id,end_time\n\
         gap/600/0/1,5,2025-06-27 08:00:00+00,42,7,9,2025-06-27 08:05:00+00\n",
    );

    let row = &outcome.sessions()[0];
    assert_eq!((row.duration_minutes, row.estimator, row.goal_id), (5, Some(Estimator::default()), "9".parse().ok()));
    assert_eq!((row.break_count, row.is_active, row.focus_hundredths, row.notes.as_str()), (0, false, None, ""));
    assert_eq!((row.created_at, Some(row.updated_at)), (row.start_time, row.end_time));
}

#[test]
fn the_platforms_names_are_read_too() {
    let uuid = "0191f9a0-0000-7000-8000-000000000001";
    let users = format!(
        "uuid,email,username,is_active,last_login,created_at,time_zone\n\
        {uuid},a@example.com,anna,TRUE,,2025-06-27T08:00:00Z,europe/paris\n"
    );
    let progress = format!(
        "course_uuid,user_uuid_id,content_id,subject_name,proficiency_level,learning_hour_week,\
        learning_hour_total,est_finish_hour,difficulty,created_at,updated_at\n\
        {uuid},{uuid},{uuid},math,25,3,40,,7,2025-06-27T08:00:00Z,2025-06-27T08:00:00Z\n"
    );

    let users = import_with(Recorder::default(), Table::Users, KeyType::Uuid, Cursor::new(users));
    let progress = import_with(Recorder::default(), Table::CourseProgress, KeyType::Uuid, Cursor::new(progress));

    let user = users.recorder.users.lock().unwrap()[0].clone();
    assert_eq!((user.id, user.is_active, user.last_login), (uuid.parse().unwrap(), true, None));
    assert_eq!(user.time_zone.as_deref(), Some("Europe/Paris"));
    let row = progress.recorder.progress.lock().unwrap()[0].clone();
    assert_eq!((row.user_id, row.est_finish_hour, row.difficulty), (uuid.parse().unwrap(), None, 7));
}

#[test]
fn a_header_that_does_not_fit_is_an_error_that_lists_what_is_accepted() {
    for (header, said) in [
        ("id,user_id,start_time", "lacks the column \"duration_minutes\""),
        ("id", "lacks the columns \"user_id\", \"start_time\", \"duration_minutes\""),
        (
            "id,user_id,start_time,minutes,mood",
            "names the unknown columns \"minutes\", \"mood\" and lacks the column \"duration",
        ),
        ("id,user_id,start_time,duration_minutes,notes,notes", "names twice the column \"notes\""),
        ("id;user_id;start_time;duration_minutes", "something else than commas"),
        ("id,\"user_id", "cannot be read: the file ends inside a quoted field"),
    ] {
        let error = import(Table::StudySessions, header).result.unwrap_err();

        let message = error.to_string();
        assert!(matches!(error, ImportError::Header { .. }) && message.contains(said), "{message}");
        assert!(message.ends_with("accepted, in any order: id, user_id, [course_progress_id], start_time, [end_time], \
            duration_minutes, [effectiveness_rating], [focus_score], [break_count], [is_active], [learning_environment], \
            [device_type], [subject_category], [content_covered], [notes], [created_at], [updated_at], [goal_id], \
            [learning_plan_id], [estimator]"), "{message}");
    }
    let twice = import(Table::Users, "id,uuid,is_active,created_at").result.unwrap_err().to_string();
    assert!(twice.contains("names twice the column \"uuid\""), "{twice}");
    let utf16 = import(Table::Users, b"\xff\xfei\0d\0\n\0").result.unwrap_err().to_string();
    assert!(utf16.contains("is not UTF-8"), "{utf16}");
}

#[test]
fn columns_of_a_platform_are_passed_over_and_named() {
    let header = format!("mood,{SESSION_HEADER},weather,mood");
    let outcome = import(Table::StudySessions, format!("{header}\n\"a,\n\",{SESSION},1,\n{SESSION}\n"));

    assert_eq!(outcome.sessions(), import(Table::StudySessions, format!("{SESSION_HEADER}\n{SESSION}\n")).sessions());
    assert_eq!(outcome.rejected(), [(4, None, "the record has 17 fields; accepted: 20, as many as the header")]);
    assert_eq!(outcome.result.unwrap().unknown_columns, ["mood", "weather"]);
}

#[test]
fn a_file_of_another_table_is_refused_though_it_has_what_this_one_needs() {
    for header in [SESSION_HEADER, "id,user_id,start_time,duration_minutes,is_active,created_at"] {
        let error = import(Table::Users, header).result.unwrap_err();

        let message = error.to_string();
        assert!(matches!(error, ImportError::Header { .. }), "{message}");
        assert!(message.contains("is one of study_sessions: it names"), "{message}");
        assert_eq!(import(Table::StudySessions, header).result.unwrap(), Imported::default());
    }
    // some columns of another table are no reason
    let wide = "id,email,username,is_active,last_login,created_at,time_zone,user_id,notes,device_type,updated_at";
    assert_eq!(import(Table::Users, wide).result.unwrap().unknown_columns.len(), 4);
}

#[test]
fn an_empty_file_is_an_error_and_a_header_alone_is_none() {
    for text in ["", "\n\n", "\u{feff}"] {
        let error = import(Table::Users, text).result.unwrap_err();
        assert!(matches!(error, ImportError::Empty { .. }), "{error:?}");
        assert!(error.to_string().contains("id (or uuid), [email]"), "{error}");
    }

    assert_eq!(import(Table::StudySessions, SESSION_HEADER).result.unwrap(), Imported::default());
}

#[test]
fn what_cannot_be_stored_is_rejected_with_its_line_and_column() {
    for (column, value, said) in [
        ("id", "", "is empty"),
        ("id", "-0", "is not an id"),
        ("id", "seven", "is not an id"),
        ("id", "0191f9a0-0000-7000-8000-000000000001", "not an id of type int"),
        ("user_id", "9223372036854775808", "is not an id"),
        ("course_progress_id", "0191f9a0-0000-7000-8000-000000000001", "not an id of type int"),
        ("start_time", "", "is empty"),
        ("start_time", "yesterday", "is not an instant"),
        ("start_time", "0000-01-01T00:00:00Z", "is not an instant"),
        ("start_time", "9999-12-31T23:59:59Z", "is not an instant"),
        ("end_time", "2025-02-30T00:00:00Z", "is not an instant"),
        ("duration_minutes", "", "is empty"),
        ("duration_minutes", "-0", "is not an integer"),
        ("duration_minutes", "+5", "is not an integer"),
        ("duration_minutes", " 5", "is not an integer"),
        ("duration_minutes", "1e3", "is not an integer"),
        ("duration_minutes", "2147483648", "accepted: -2147483648 to 2147483647"),
        ("effectiveness_rating", "NaN", "is not an integer"),
        ("effectiveness_rating", "32768", "accepted: -32768 to 32767"),
        ("focus_score", "NaN", "is not a decimal"),
        ("focus_score", "-0.00", "is not a decimal"),
        ("focus_score", "0.725", "is not a decimal"),
        ("focus_score", "10.00", "accepted: -9.99 to 9.99"),
        ("break_count", "-40000", "is not an integer"),
        ("is_active", "yes", "accepted: t, f, true, false, 1, 0"),
        ("notes", "a\0b", "NUL"),
    ] {
        let bad = session_with(&[(column, value)]);
        let good = session_with(&[("id", "8")]);

        let outcome = import(Table::StudySessions, format!("{SESSION_HEADER}\n{bad}\n{good}\n"));

        let (line, found, reason) = outcome.rejected()[0];
        assert_eq!((line, found), (2, Some(column)), "{value}");
        assert!(reason.contains(said), "{column} {value:?}: {reason}");
        assert_eq!(outcome.rejects.first()[0].record, bad);
        let ids: Vec<SessionId> = outcome.sessions().iter().map(|row| row.id).collect();
        assert_eq!(ids, ["8".parse().unwrap()]);
        assert_eq!(outcome.result.unwrap().rejected, 1);
    }
}

#[test]
fn rows_that_are_invalid_but_can_be_stored_are_stored() {
    let rows = [
        session_with(&[("id", "1"), ("duration_minutes", "-300")]),
        session_with(&[("id", "2"), ("effectiveness_rating", "9")]),
        session_with(&[("id", "3"), ("focus_score", "2.50")]),
        session_with(&[("id", "4"), ("focus_score", "-0.10")]),
        session_with(&[("id", "5"), ("end_time", "2025-06-27T07:00:00Z")]),
        session_with(&[("id", "6"), ("user_id", "-1")]),
        session_with(&[("id", "007"), ("start_time", "0001-01-02T00:00:00Z")]),
    ];

    let outcome = import(Table::StudySessions, format!("{SESSION_HEADER}\n{}\n", rows.join("\n")));

    assert_eq!(outcome.rejected(), []);
    assert_eq!(outcome.sessions().len(), rows.len());
}

#[test]
fn a_record_of_the_wrong_length_is_rejected_alone() {
    let text = format!("{SESSION_HEADER}\n1,2,3\n{SESSION},more\n\n{SESSION}\n");

    let outcome = import(Table::StudySessions, text);

    let said = outcome.rejected();
    assert_eq!(said[0], (2, None, "the record has 3 fields; accepted: 17, as many as the header"));
    assert_eq!((said[1].0, said.len()), (3, 2));
    assert_eq!(outcome.sessions().len(), 1);
}

#[test]
fn text_that_is_not_utf8_is_rejected_with_its_column() {
    let mut text = format!("{SESSION_HEADER}\n").into_bytes();
    text.extend(session_with(&[("notes", "caf#")]).bytes().map(|byte| if byte == b'#' { 0xe9 } else { byte }));
    // the halves of one character in two fields
    text.extend(b"\n");
    let halves = session_with(&[("content_covered", "\"x#\""), ("notes", "\"~x\"")]);
    text.extend(halves.bytes().map(|byte| {
        if byte == b'#' {
            0xc3
        } else if byte == b'~' {
            0xa9
        } else {
            byte
        }
    }));

    let outcome = import(Table::StudySessions, text);

    let said = outcome.rejected();
    assert_eq!((said[0].0, said[0].1), (2, Some("notes")));
    assert_eq!(said[0].2, "the text is not UTF-8 from its byte 4 on; accepted: UTF-8");
    assert_eq!((said[1].0, said[1].1), (3, Some("content_covered")));
    assert!(outcome.rejects.first()[0].record.contains("caf\u{fffd}"));
}

#[test]
fn text_is_stored_as_it_stands() {
    let notes = "two\r\nlines, said \"done\"; 复习 🦀\u{10ffff}\t'); DROP TABLE study_sessions; --\\";
    let quoted = format!("\"{}\"", notes.replace('"', "\"\""));
    let text = format!("{SESSION_HEADER}\r\n{},{quoted},,\r\n", session_with(&[]).rsplitn(4, ',').last().unwrap());

    let outcome = import(Table::StudySessions, text);

    assert_eq!(outcome.rejected(), []);
    assert_eq!(outcome.sessions()[0].notes, notes);
}

#[test]
fn a_field_of_ten_megabytes_is_one_reject() {
    let text = format!("{SESSION_HEADER}\n{}\n{SESSION}\n", session_with(&[("notes", &"x".repeat(10 << 20))]));

    let outcome = import(Table::StudySessions, text);

    assert_eq!((outcome.rejected()[0].0, outcome.rejected()[0].1), (2, None));
    assert_eq!(outcome.rejects.first()[0].record.len(), 4096);
    assert_eq!(outcome.sessions().len(), 1);
    let text = format!("{SESSION_HEADER}\n{}\n", session_with(&[("notes", &"x".repeat((1 << 20) + 1))]));
    let outcome = import(Table::StudySessions, text);
    assert_eq!((outcome.rejected()[0].0, outcome.rejected()[0].1), (2, Some("notes")));
}

#[test]
fn an_unclosed_quote_is_one_reject_with_the_line_it_began_on() {
    let text = format!("{SESSION_HEADER}\n{SESSION}\n{}\n", session_with(&[("notes", "\"open")])) + &SESSION.repeat(9);

    let outcome = import(Table::StudySessions, text);

    assert_eq!((outcome.rejected()[0].0, outcome.rejects.count()), (3, 1));
    assert_eq!(outcome.sessions().len(), 1);
}

#[test]
fn an_unknown_zone_is_rejected_with_the_nearest_known() {
    let text = "id,is_active,created_at,time_zone\n1,t,2025-06-27T08:00:00Z,Europe/Pariss\n2,t,2025-06-27T08:00:00Z,\n";

    let outcome = import(Table::Users, text);

    assert_eq!(outcome.rejected()[0].1, Some("time_zone"));
    assert!(outcome.rejected()[0].2.contains("the nearest is Europe/Paris"), "{}", outcome.rejected()[0].2);
    assert_eq!(outcome.recorder.users.lock().unwrap()[0].time_zone, None);
}

#[test]
fn the_type_of_the_ids_is_that_of_the_first_that_can_be_read() {
    let detect = |text: &str| detect_csv_key_type(Table::Users, "users.csv", text.as_bytes()).unwrap();

    assert_eq!(detect("is_active,created_at,id\nt,,7\n"), Some(KeyType::Int));
    assert_eq!(
        detect("created_at,uuid,is_active\n\nx\n,what,t\n,0191f9a0-0000-7000-8000-000000000001,t\n,7,t\n"),
        Some(KeyType::Uuid)
    );
    assert_eq!(detect("id,is_active,created_at\n"), None);
    assert!(detect_csv_key_type(Table::Users, "users.csv", b"".as_slice()).is_err());
    assert!(detect_csv_key_type(Table::Users, "users.csv", b"id,mood".as_slice()).is_err());
}

fn csv_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => Just(b",".to_vec()),
        3 => Just(b"\n".to_vec()),
        1 => Just(b"\"".to_vec()),
        2 => Just(SESSION.as_bytes().to_vec()),
        1 => "-?[0-9.]{1,5}".prop_map(String::into_bytes),
        1 => any::<Vec<u8>>(),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_behind_a_header_are_rows_or_rejects(bytes in csv_like()) {
        let outcome = import(Table::StudySessions, [SESSION_HEADER.as_bytes(), b"\n", &bytes].concat());

        let imported = outcome.result.unwrap();
        prop_assert_eq!(imported.rows, imported.written.inserted + imported.rejected);
        prop_assert_eq!(imported.rejected, outcome.rejects.count());
    }

    #[test]
    fn any_bytes_are_a_file_or_none(bytes: Vec<u8>) {
        prop_assert!(import(Table::Users, bytes).result.is_err());
    }
}

use std::collections::BTreeSet;
use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::json;

use super::super::import_xapi_into;
use super::super::reject::Rejects;
use super::super::tests::{Recorder, runtime};
use super::*;

mod sample;

const ANNA: &str = "11111111-1111-4111-8111-111111111111";
const BERT: &str = "22222222-2222-4222-8222-222222222222";
const PLAYED: &str = "https://w3id.org/xapi/video/verbs/played";
const TERMINATED: &str = "http://adlnet.gov/expapi/verbs/terminated";
const COMPLETED: &str = "http://adlnet.gov/expapi/verbs/completed";
const VOIDED: &str = "http://adlnet.gov/expapi/verbs/voided";

struct Outcome {
    report: XapiImported,
    rejects: Rejects,
    users: Vec<UserRow>,
    sessions: Vec<SessionRow>,
}

impl Outcome {
    /// Start and end as times of the day, minutes, and whether the session was inferred.
    fn times(&self) -> Vec<(String, String, i32, bool)> {
        let time = |at: Timestamp| at.to_string()[11..19].to_owned();
        let row = |row: &SessionRow| {
            let end = row.end_time.expect("sessions of statements have ended");
            (time(row.start_time), time(end), row.duration_minutes, row.estimator.is_some())
        };
        self.sessions.iter().map(row).collect()
    }
}

fn import_bytes(bytes: Vec<u8>, key_type: KeyType, estimator: Estimator) -> Outcome {
    let recorder = Recorder::default();
    let mut rejects = Rejects::new();
    let source = Cursor::new(bytes);
    let mut progress = |_| ();
    let importing = import_xapi_into(&recorder, key_type, "statements", source, estimator, &mut progress, &mut rejects);
    let report = runtime().block_on(importing).unwrap();
    let users = std::mem::take(&mut *recorder.missing_users.lock().unwrap());
    let sessions = std::mem::take(&mut *recorder.sessions.lock().unwrap());
    Outcome { report, rejects, users, sessions }
}

fn lines(statements: &[Value]) -> Vec<u8> {
    statements.iter().map(|statement| format!("{statement}\n")).collect::<String>().into_bytes()
}

fn import(statements: &[Value]) -> Outcome {
    import_bytes(lines(statements), KeyType::Uuid, Estimator::default())
}

/// A statement of Anna's; ids are made of the number.
fn statement(number: u32, verb: &str, time: &str) -> Value {
    json!({
        "id": format!("00000000-0000-4000-8000-{number:012}"),
        "actor": {"account": {"homePage": "https://lms.example.org", "name": ANNA}},
        "verb": {"id": verb},
        "object": {"id": "https://lms.example.org/video/1"},
        "timestamp": format!("2025-06-27T{time}Z"),
    })
}

fn with(mut statement: Value, pointer: &str, value: Value) -> Value {
    let (parents, name) = pointer.rsplit_once('/').unwrap();
    let mut place = &mut statement;
    for parent in parents.split('/').filter(|parent| !parent.is_empty()) {
        place = &mut place[parent];
    }
    place[name] = value;
    statement
}

fn lasting(statement: Value, duration: &str) -> Value {
    with(statement, "/result", json!({"duration": duration}))
}

fn of(statement: Value, learner: &str) -> Value {
    with(statement, "/actor/account/name", json!(learner))
}

fn in_session(statement: Value, session: &str) -> Value {
    with(statement, "/context", json!({"extensions": {"https://w3id.org/xapi/video/extensions/session-id": session}}))
}

fn voiding(number: u32, target: u32) -> Value {
    let object = json!({"objectType": "StatementRef", "id": format!("00000000-0000-4000-8000-{target:012}")});
    with(statement(number, VOIDED, "23:00:00"), "/object", object)
}

#[test]
fn activity_becomes_sittings_and_the_learner_is_added() {
    let outcome = import(&[
        statement(1, PLAYED, "08:00:00"),
        statement(2, PLAYED, "08:09:59.999999"),
        statement(3, PLAYED, "08:19:59.999999"),
    ]);

    assert_eq!(
        outcome.times(),
        [
            ("08:00:00".to_owned(), "08:09:59".to_owned(), 9, true),
            ("08:19:59".to_owned(), "08:19:59".to_owned(), 0, true)
        ]
    );
    assert_eq!((outcome.report.sittings, outcome.report.counted_seconds), (2, 599));
    let user = &outcome.users[0];
    assert_eq!((user.id.to_string().as_str(), user.username.as_str(), user.email.as_str()), (ANNA, ANNA, ""));
    assert_eq!(user.created_at.to_string(), "2025-06-27T08:00:00Z");
    assert_eq!(outcome.sessions[0].estimator, Some(Estimator::default()));
}

#[test]
fn a_closing_duration_is_a_recorded_session_that_takes_its_points() {
    let outcome = import(&[
        statement(1, PLAYED, "08:05:00"),
        statement(2, PLAYED, "08:10:00"),
        lasting(statement(3, TERMINATED, "08:30:00"), "PT25M30S"),
        statement(4, PLAYED, "08:35:00"),
    ]);

    assert_eq!(
        outcome.times(),
        [
            ("08:04:30".to_owned(), "08:30:00".to_owned(), 25, false),
            ("08:30:00".to_owned(), "08:35:00".to_owned(), 5, true)
        ]
    );
    assert_eq!((outcome.report.recorded_sessions, outcome.report.sittings), (1, 1));
}

#[test]
fn a_milestones_duration_counts_only_where_nothing_closed_its_session() {
    let completed = |session| in_session(lasting(statement(1, COMPLETED, "08:30:00"), "PT20M"), session);
    let passed = in_session(lasting(statement(3, "http://adlnet.gov/expapi/verbs/passed", "08:31:00"), "PT21M"), "a");
    let closed = in_session(lasting(statement(2, TERMINATED, "08:40:00"), "PT30M"), "a");

    let both = import(&[completed("a"), passed.clone(), closed.clone()]);
    let other = import(&[completed("b"), closed]);
    let alone = import(&[completed("a"), passed]);

    assert_eq!(both.times(), [("08:10:00".to_owned(), "08:40:00".to_owned(), 30, false)]);
    // of two sessions that begin together the longer one counts
    assert_eq!(other.report.recorded_sessions, 1);
    assert_eq!(other.sessions[0].duration_minutes, 30);
    // of several milestones of one session the longest counts
    assert_eq!(alone.times(), [("08:10:00".to_owned(), "08:31:00".to_owned(), 21, false)]);
}

#[test]
fn durations_without_a_length_leave_a_point() {
    let outcome = import(&[
        statement(1, PLAYED, "08:00:00"),
        lasting(statement(2, TERMINATED, "08:05:00"), "P1Y"),
        lasting(statement(3, TERMINATED, "08:07:00"), "PT0S"),
        lasting(statement(4, PLAYED, "08:08:00"), "PT3H"),
    ]);

    assert_eq!(outcome.times(), [("08:00:00".to_owned(), "08:08:00".to_owned(), 8, true)]);
    assert_eq!((outcome.report.nominal_durations, outcome.report.recorded_sessions), (1, 0));
}

#[test]
fn a_voided_statement_is_gone_wherever_it_stands() {
    let all = [statement(1, PLAYED, "08:00:00"), statement(2, PLAYED, "08:05:00"), voiding(3, 2)];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let outcome = import(&order.map(|at| all[at].clone()));

        assert_eq!(outcome.times(), [("08:00:00".to_owned(), "08:00:00".to_owned(), 0, true)]);
        assert_eq!((outcome.report.voided, outcome.report.statements), (1, 3));
    }
}

#[test]
fn voiding_a_voiding_statement_has_no_effect() {
    let outcome = import(&[statement(1, PLAYED, "08:00:00"), voiding(2, 1), voiding(3, 2), voiding(4, 77)]);

    assert_eq!((outcome.report.voided, outcome.sessions.len(), outcome.users.len()), (1, 0, 0));
}

#[test]
fn an_id_counts_once_and_a_conflict_is_reported() {
    let first = statement(1, PLAYED, "08:00:00");
    let other_display = with(first.clone(), "/verb/display", json!({"en": "played"}));
    let later = with(first.clone(), "/timestamp", json!("2025-06-27T09:00:00Z"));
    let elsewhere = with(first.clone(), "/timestamp", json!("2025-06-27T10:00:00+02:00"));

    let outcome = import(&[later, first, other_display, elsewhere]);

    assert_eq!((outcome.report.duplicates, outcome.report.conflicts), (3, 1));
    assert_eq!(outcome.times(), [("08:00:00".to_owned(), "08:00:00".to_owned(), 0, true)]);
}

#[test]
fn statements_without_an_id_are_known_by_what_they_say() {
    let nameless = |time| with(statement(1, PLAYED, time), "/id", Value::Null);

    let outcome = import(&[nameless("08:00:00"), nameless("08:00:00"), nameless("08:01:00")]);

    assert_eq!((outcome.report.duplicates, outcome.report.conflicts, outcome.sessions.len()), (1, 0, 1));
}

#[test]
fn a_state_or_an_award_is_no_time_but_a_learner() {
    let outcome = import(&[
        statement(1, "https://w3id.org/xapi/adl/verbs/satisfied", "08:00:00"),
        statement(2, "http://adlnet.gov/expapi/verbs/registered", "08:01:00"),
    ]);

    assert_eq!((outcome.sessions.len(), outcome.users.len(), outcome.report.learners), (0, 1, 1));
}

#[test]
fn unknown_verbs_are_activity_and_reported() {
    let outcome = import(&[statement(1, "https://example.org/verbs/hummed", "08:00:00")]);

    assert_eq!(outcome.report.unknown_verbs, ["https://example.org/verbs/hummed"]);
    assert_eq!((outcome.sessions.len(), outcome.report.verbs["https://example.org/verbs/hummed"]), (1, 1));
}

#[test]
fn the_subject_is_the_course_of_most_of_the_activity() {
    let in_course = |statement, course| {
        let parent = json!([
            {"id": "https://lms.example.org/module/9", "definition": {"type": "http://adlnet.gov/expapi/activities/module"}},
            {"id": course, "definition": {"type": "http://adlnet.gov/expapi/activities/course"}},
        ]);
        with(statement, "/context", json!({"contextActivities": {"parent": parent}}))
    };
    let single = |statement: Value| {
        let one = json!({"id": "course-b", "definition": {"type": "http://id.tincanapi.com/activitytype/lms/course"}});
        with(statement, "/context", json!({"contextActivities": {"grouping": one}}))
    };

    let most = import(&[
        in_course(statement(1, PLAYED, "08:00:00"), "course-z"),
        single(statement(2, PLAYED, "08:01:00")),
        single(statement(3, PLAYED, "08:02:00")),
        in_course(statement(4, PLAYED, "08:03:00"), "course-a"),
        statement(5, PLAYED, "10:00:00"),
    ]);

    let subjects: Vec<&str> = most.sessions.iter().map(|row| row.subject_category.as_str()).collect();
    assert_eq!(subjects, ["course-b", ""]);
}

#[test]
fn a_database_of_integers_takes_accounts_named_by_one() {
    let all = [of(statement(1, PLAYED, "08:00:00"), "42"), statement(2, PLAYED, "08:00:00")];

    let outcome = import_bytes(lines(&all), KeyType::Int, Estimator::default());

    assert_eq!(outcome.users[0].id.to_string(), "42");
    assert_eq!((outcome.report.rejected, outcome.rejects.first()[0].column.as_deref()), (1, Some("actor")));
    assert!(matches!(outcome.sessions[0].id.key(), Key::Int(0..)));
    assert_eq!(first_key_type(lines(&all).as_slice()).unwrap(), Some(KeyType::Int));
    assert_eq!(first_key_type(lines(&all[1..]).as_slice()).unwrap(), Some(KeyType::Uuid));
    assert_eq!(first_key_type(b"[]".as_slice()).unwrap(), None);
}

#[test]
fn statements_that_cannot_be_read_are_rejected_with_line_and_field() {
    let good = statement(1, PLAYED, "08:00:00");
    for (bad, field, said) in [
        ("{\"id\": ".to_owned(), None, "is not JSON"),
        ("5".to_owned(), None, "accepted: a JSON object"),
        ("\"\u{1}\"".to_owned(), None, "is not JSON"),
        ("{\"a\":".repeat(500), None, "is not JSON"),
        ("{\"statements\": []}".to_owned(), None, "the array in its `statements`"),
        (with(good.clone(), "/id", json!("1")).to_string(), Some("id"), "is not a UUID"),
        (with(good.clone(), "/id", json!(1)).to_string(), Some("id"), "is not a text"),
        (with(good.clone(), "/actor", Value::Null).to_string(), Some("actor"), "is missing"),
        (
            with(good.clone(), "/actor/objectType", json!("Group")).to_string(),
            Some("actor"),
            "a group is not one learner",
        ),
        (with(good.clone(), "/verb", json!({})).to_string(), Some("verb.id"), "is missing"),
        (with(good.clone(), "/verb", json!("played")).to_string(), Some("verb"), "is not a JSON object"),
        (with(good.clone(), "/object", Value::Null).to_string(), Some("object"), "is missing"),
        (with(good.clone(), "/object/objectType", json!("SubStatement")).to_string(), Some("object"), "SubStatement"),
        (with(good.clone(), "/timestamp", Value::Null).to_string(), Some("timestamp"), "is missing, and so is stored"),
        (with(good.clone(), "/timestamp", json!("2025-06-27T08:00:00")).to_string(), Some("timestamp"), "offset"),
        (with(good.clone(), "/timestamp", json!("9999-12-31T00:00:00Z")).to_string(), Some("timestamp"), "9998-12-31"),
        (with(good.clone(), "/context", json!([])).to_string(), Some("context"), "is not a JSON object"),
        (lasting(good.clone(), "-PT5M").to_string(), Some("result.duration"), "\"-PT5M\" is not a duration"),
        (
            lasting(statement(1, TERMINATED, "08:00:00"), "P999999D").to_string(),
            Some("result.duration"),
            "before the year 1",
        ),
        (
            with(voiding(1, 2), "/object/objectType", json!("Activity")).to_string(),
            Some("object.objectType"),
            "StatementRef",
        ),
    ] {
        let text = format!("\n{bad}\n{}\n", statement(2, PLAYED, "08:00:00"));

        let outcome = import_bytes(text.into_bytes(), KeyType::Uuid, Estimator::default());

        let reject = &outcome.rejects.first()[0];
        assert_eq!((reject.line, reject.column.as_deref()), (2, field), "{bad}");
        assert!(reject.reason.contains(said), "{bad}: {}", reject.reason);
        assert_eq!((outcome.report.statements, outcome.report.rejected, outcome.sessions.len()), (2, 1, 1));
    }
}

#[test]
fn an_array_and_a_compressed_file_are_read_like_lines() {
    let all = [statement(1, PLAYED, "08:00:00"), lasting(statement(2, TERMINATED, "09:00:00"), "PT9M")];
    let array = serde_json::to_string_pretty(&all).unwrap();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&lines(&all)).unwrap();

    let expected = import(&all).sessions;

    assert_eq!(import_bytes(array.into_bytes(), KeyType::Uuid, Estimator::default()).sessions, expected);
    assert_eq!(import_bytes(encoder.finish().unwrap(), KeyType::Uuid, Estimator::default()).sessions, expected);
}

#[test]
fn the_tail_is_part_of_the_session() {
    let bytes = lines(&[statement(1, PLAYED, "08:00:00")]);

    let outcome = import_bytes(bytes, KeyType::Uuid, Estimator::gap(600, 120).unwrap());

    assert_eq!(outcome.times(), [("08:00:00".to_owned(), "08:02:00".to_owned(), 2, true)]);
}

/// Number, verb, second of the day, duration, learner, session, and what it voids if it voids something.
type Random = (u32, &'static str, u32, Option<u32>, bool, u8, Option<u32>);

fn any_statements() -> impl Strategy<Value = Vec<Value>> {
    let verb = prop_oneof![
        4 => Just(PLAYED),
        1 => Just(TERMINATED),
        1 => Just(COMPLETED),
        1 => Just("https://w3id.org/xapi/adl/verbs/satisfied"),
    ];
    let duration = prop::option::weighted(0.3, 0u32..4000);
    let one = (0u32..60, verb, 0u32..86_400, duration, any::<bool>(), 0u8..3, prop::option::weighted(0.05, 0u32..60));
    prop::collection::vec(one, 0..60).prop_map(|all| {
        let make = |(number, verb, second, duration, is_anna, session, target): Random| {
            if let Some(target) = target {
                return voiding(1000 + number, target);
            }
            let time = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
            let deed = in_session(statement(number, verb, &time), &session.to_string());
            let deed = of(deed, if is_anna { ANNA } else { BERT });
            match duration {
                Some(seconds) => lasting(deed, &format!("PT{seconds}S")),
                None => deed,
            }
        };
        all.into_iter().map(make).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_statements_is_irrelevant(
        (all, shuffled) in any_statements().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
    ) {
        let (one, other) = (import(&all), import(&shuffled));

        prop_assert_eq!(one.sessions, other.sessions);
        prop_assert_eq!(one.users, other.users);
        prop_assert_eq!(one.report, other.report);
    }

    #[test]
    fn a_file_twice_over_gives_the_same_rows(all in any_statements()) {
        let (one, twice) = (import(&all), import(&[all.clone(), all].concat()));

        prop_assert_eq!(one.sessions, twice.sessions);
        prop_assert_eq!(one.users, twice.users);
        prop_assert_eq!(one.report.conflicts, twice.report.conflicts);
    }

    #[test]
    fn learners_do_not_interact(all in any_statements()) {
        // ids may be shared in the sample; here each learner has ids of their own
        let own = |statement: &Value| -> Option<(bool, Value)> {
            let is_anna = statement["actor"]["account"]["name"] == ANNA;
            let id = statement["id"].as_str().unwrap().replacen('0', if is_anna { "a" } else { "b" }, 1);
            (statement["verb"]["id"] != VOIDED).then(|| (is_anna, with(statement.clone(), "/id", json!(id))))
        };
        let all: Vec<(bool, Value)> = all.iter().filter_map(own).collect();
        let whole: Vec<Value> = all.iter().map(|(_, statement)| statement.clone()).collect();
        let annas: Vec<Value> = all.iter().filter(|(is_anna, _)| *is_anna).map(|(_, one)| one.clone()).collect();

        let mut together = import(&whole).sessions;
        together.retain(|row| row.user_id.to_string() == ANNA);

        prop_assert_eq!(together, import(&annas).sessions);
    }

    #[test]
    fn no_session_id_is_given_twice(all in any_statements()) {
        let sessions = import(&all).sessions;
        let ids: BTreeSet<SessionId> = sessions.iter().map(|row| row.id).collect();

        prop_assert_eq!(ids.len(), sessions.len());
    }

    #[test]
    fn any_bytes_are_statements_or_rejects(bytes: Vec<u8>, array: bool) {
        let start: &[u8] = if array { b"[{}," } else { b"{}\n" };
        let outcome = import_bytes([start, &bytes].concat(), KeyType::Uuid, Estimator::default());

        prop_assert_eq!(outcome.report.statements, outcome.report.rejected);
    }
}

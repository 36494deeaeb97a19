//! Sessions as bodies say them.

use serde_json::Value;
use tierkeep_learning::efficiency::{Focus, Rating};
use tierkeep_learning::key::{CourseProgressId, KeyType, SessionId, UserId};
use tierkeep_learning::session_change::{Completion, FieldFault, NewSession, SessionChange};

use super::fields::{Fields, Object, integer, key_of};

const ENVIRONMENTS: [&str; 6] = ["home", "library", "cafe", "classroom", "online", "other"];
const DEVICES: [&str; 5] = ["mobile", "tablet", "laptop", "desktop", "other"];
/// Longest name of a subject, in characters: names are kept in every day summary.
const LONGEST_SUBJECT: usize = 100;

/// Fields that a client may say of a session.
const SETTABLE: [&str; 15] = [
    "course_progress_id",
    "start_time",
    "end_time",
    "duration_minutes",
    "effectiveness_rating",
    "focus_score",
    "break_count",
    "is_active",
    "learning_environment",
    "device_type",
    "subject_category",
    "content_covered",
    "notes",
    "goal_id",
    "learning_plan_id",
];

/// A new session, and its id if the client chose one.
pub(super) fn new_session(object: &Object, keys: KeyType) -> Result<(Option<SessionId>, NewSession), Vec<FieldFault>> {
    let known: Vec<&'static str> = ["id", "user_id"].into_iter().chain(SETTABLE).collect();
    let mut fields = Fields::of(object, &known);
    let id_accepted = match keys {
        KeyType::Uuid => "a UUID, as this database has them",
        KeyType::Int => "an integer from -2^63 to 2^63-1, as this database has them",
    };
    let id = fields.nullable("id", id_accepted, key_of(keys)).flatten().map(SessionId::new);
    let user_id = fields.needed("user_id", id_accepted, key_of(keys)).map(UserId::new);
    let start_time = fields.needed_instant("start_time");
    let content = SessionChange { start_time, ..content(&mut fields, false) };
    if start_time.is_some()
        && let Some(user_id) = user_id
    {
        // what contradicts itself is told with what cannot be read
        let new = NewSession { user_id, content };
        let stands_in = id.unwrap_or(SessionId::new(user_id.key()));
        if let Err(faults) = new.row(stands_in, jiff::Timestamp::UNIX_EPOCH) {
            faults.into_iter().for_each(|fault| fields.fault(fault));
        }
        return fields.finish(Some((id, new)));
    }
    fields.finish(None)
}

/// A change of a session.
pub(super) fn change(object: &Object) -> Result<SessionChange, Vec<FieldFault>> {
    let mut fields = Fields::of(object, &SETTABLE);
    let change = content(&mut fields, true);
    fields.finish(Some(change))
}

/// How a session ended.
pub(super) fn completion(object: &Object) -> Result<Completion, Vec<FieldFault>> {
    let mut fields = Fields::of(object, &["end_time", "effectiveness_rating", "focus_score"]);
    let completion = Completion {
        end_time: fields.nullable_instant("end_time").flatten(),
        effectiveness_rating: fields.nullable("effectiveness_rating", RATING, as_rating).flatten(),
        focus_score: fields.nullable("focus_score", FOCUS, as_focus).flatten(),
    };
    fields.finish(Some(completion))
}

const RATING: &str = "an integer from 1 to 5";
const FOCUS: &str = "a number from 0 to 1 with at most two decimals";

fn content(fields: &mut Fields<'_>, with_start: bool) -> SessionChange {
    SessionChange {
        course_progress_id: fields.nullable_key("course_progress_id").map(|course| course.map(CourseProgressId::new)),
        start_time: if with_start { fields.instant("start_time") } else { None },
        end_time: fields.nullable_instant("end_time"),
        duration_minutes: fields.read(
            "duration_minutes",
            "an integer from 0 to 2147483647, in minutes",
            integer(0..=i32::MAX.into()),
        ),
        effectiveness_rating: fields.nullable("effectiveness_rating", RATING, as_rating),
        focus_score: fields.nullable("focus_score", FOCUS, as_focus),
        break_count: fields.read("break_count", "an integer from 0 to 32767", integer(0..=i16::MAX.into())),
        is_active: fields.read("is_active", "true, false", Value::as_bool),
        learning_environment: fields.one_of("learning_environment", &ENVIRONMENTS),
        device_type: fields.one_of("device_type", &DEVICES),
        subject_category: fields.text("subject_category", LONGEST_SUBJECT),
        content_covered: fields.text("content_covered", usize::MAX),
        notes: fields.text("notes", usize::MAX),
        goal_id: fields.nullable_key("goal_id"),
        learning_plan_id: fields.nullable_key("learning_plan_id"),
    }
}

fn as_rating(value: &Value) -> Option<Rating> {
    Rating::new(value.as_i64()?).ok()
}

fn as_focus(value: &Value) -> Option<Focus> {
    let focus = value.as_f64().filter(|focus| (0.0..=1.0).contains(focus))?;
    #[expect(clippy::cast_possible_truncation, reason = "between 0 and 100")]
    let hundredths = (focus * 100.0).round() as i64;
    #[expect(clippy::float_cmp, reason = "the double nearest to two decimals is the one that JSON reads for them")]
    #[expect(clippy::cast_precision_loss, reason = "between 0 and 100")]
    let is_exact = hundredths as f64 / 100.0 == focus;
    if is_exact { Focus::from_hundredths(hundredths).ok() } else { None }
}

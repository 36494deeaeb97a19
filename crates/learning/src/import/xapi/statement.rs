//! One statement: what of it says something about learning time.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value};
use uuid::Uuid;

use super::actor::{Actor, NAMESPACE};
use super::duration::{self, Duration};
use super::verb::Role;
use crate::instant;
use crate::key::KeyType;

/// Where sources put the id of a session, best first.
const SESSION_EXTENSIONS: [&str; 3] = [
    "https://w3id.org/xapi/cmi5/context/extensions/sessionid",
    "https://w3id.org/xapi/video/extensions/session-id",
    "https://w3id.org/xapi/openedx/extensions/session-id",
];
/// Most characters of a verb or of a course that are kept.
const NAME_CHARS: usize = 255;

/// What is wrong with a statement, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Path of the field.
    pub(super) field: &'static str,
    /// What is wrong, and what is accepted.
    pub(super) reason: String,
}

impl Fault {
    pub(super) fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }
}

/// What a statement is, once read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Statement {
    /// A learner did something.
    Deed(Deed),
    /// Another statement is taken back.
    Voiding { id: Uuid, target: Uuid, verb: String },
}

/// What a learner did.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Deed {
    /// The statement's id; one without has one made of what it says.
    pub(super) id: Uuid,
    /// Fingerprint of what it says.
    pub(super) content: u64,
    pub(super) actor: Actor,
    pub(super) verb: String,
    pub(super) role: Role,
    /// Microseconds since 1970.
    pub(super) at: i64,
    /// Fingerprint of what names the session, within the learner.
    pub(super) session: u64,
    /// Only where the verb says whose length it is.
    pub(super) duration: Option<Duration>,
    /// Id of the course activity.
    pub(super) course: Option<String>,
}

impl Statement {
    /// Reads a statement.
    pub(super) fn read(statement: &Value, key_type: KeyType) -> Result<Self, Fault> {
        let Value::Object(statement) = statement else {
            return Err(Fault::new("", "is not a statement; accepted: a JSON object"));
        };
        if statement.contains_key("statements") && !statement.contains_key("actor") {
            return Err(Fault::new(
                "",
                "is the answer of a store of statements; accepted: the array in its `statements`",
            ));
        }
        let id = text(statement, "id", "id")?.map(|id| uuid(id, "id")).transpose()?;
        let actor = map(statement, "actor", "actor")?.ok_or_else(|| Fault::new("actor", "is missing"))?;
        let verb = map(statement, "verb", "verb")?.ok_or_else(|| Fault::new("verb", "is missing"))?;
        let verb = text(verb, "id", "verb.id")?.ok_or_else(|| Fault::new("verb.id", "is missing"))?;
        let object = map(statement, "object", "object")?.ok_or_else(|| Fault::new("object", "is missing"))?;
        let object_type = text(object, "objectType", "object.objectType")?;
        let role = Role::of(verb);

        if role == Role::Void {
            if object_type != Some("StatementRef") {
                return Err(Fault::new("object.objectType", "voids no statement; accepted: StatementRef"));
            }
            let target = text(object, "id", "object.id")?.ok_or_else(|| Fault::new("object.id", "is missing"))?;
            let target = uuid(target, "object.id")?;
            let id = id.unwrap_or_else(|| Uuid::new_v5(&NAMESPACE, format!("voided|{target}").as_bytes()));
            return Ok(Self::Voiding { id, target, verb: verb.to_owned() });
        }
        if object_type == Some("SubStatement") {
            return Err(Fault::new("object", "is a SubStatement, which tells of nothing that happened"));
        }
        let at = match text(statement, "timestamp", "timestamp")? {
            Some(at) => micros(at, "timestamp")?,
            // what has no time of its own happened when it was received
            None => match text(statement, "stored", "stored")? {
                Some(at) => micros(at, "stored")?,
                None => return Err(Fault::new("timestamp", "is missing, and so is stored")),
            },
        };
        let context = map(statement, "context", "context")?;
        let activity = text(object, "id", "object.id")?.unwrap_or_default();
        let deed = Deed {
            id: id.unwrap_or_default(),
            content: 0,
            actor: Actor::read(actor, key_type)?,
            verb: verb.chars().take(NAME_CHARS).collect(),
            role,
            at,
            session: session(context, activity)?,
            duration: length(statement, role, at)?,
            course: context.and_then(course),
        };
        Ok(Self::Deed(deed.fingerprinted(id.is_none(), activity)))
    }
}

impl Deed {
    fn fingerprinted(mut self, without_id: bool, activity: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (self.actor.user, &self.verb, self.at, self.session, self.duration, &self.course).hash(&mut hasher);
        self.content = hasher.finish();
        if without_id {
            let said = format!(
                "statement|{}|{}|{}|{activity}|{}|{:?}",
                self.actor.user, self.verb, self.at, self.session, self.duration
            );
            self.id = Uuid::new_v5(&NAMESPACE, said.as_bytes());
        }
        self
    }
}

/// The text in a field; `None` if there is none.
pub(super) fn text<'v>(
    object: &'v Map<String, Value>,
    name: &str,
    path: &'static str,
) -> Result<Option<&'v str>, Fault> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Fault::new(path, "is not a text")),
    }
}

/// The object in a field; `None` if there is none.
pub(super) fn map<'v>(
    object: &'v Map<String, Value>,
    name: &str,
    path: &'static str,
) -> Result<Option<&'v Map<String, Value>>, Fault> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(_) => Err(Fault::new(path, "is not a JSON object")),
    }
}

fn uuid(text: &str, path: &'static str) -> Result<Uuid, Fault> {
    Uuid::parse_str(text).map_err(|_| Fault::new(path, format!("{:?} is not a UUID", crate::key::clip(text))))
}

fn micros(text: &str, path: &'static str) -> Result<i64, Fault> {
    let at = instant::parse(text).map_err(|error| Fault::new(path, error.to_string()))?;
    Ok(at.as_microsecond())
}

/// The duration of a statement whose verb says what it is the length of; `None` too if nothing lasted.
fn length(statement: &Map<String, Value>, role: Role, at: i64) -> Result<Option<Duration>, Fault> {
    let path = "result.duration";
    let Some(result) = map(statement, "result", "result")? else { return Ok(None) };
    let Some(written) = text(result, "duration", path)? else { return Ok(None) };
    let refuse = |what: &str| Fault::new(path, format!("{:?} {what}", crate::key::clip(written)));
    let length = duration::parse(written)
        .ok_or_else(|| refuse(&format!("is not a duration; accepted: {}", duration::ACCEPTED)))?;
    if !matches!(role, Role::Close | Role::Milestone) || length == Duration::Micros(0) {
        return Ok(None);
    }
    if let Duration::Micros(micros) = length
        && at.checked_sub(micros).and_then(instant::from_micros).is_none()
    {
        return Err(refuse("begins before the year 1"));
    }
    Ok(Some(length))
}

/// A fingerprint of the session's name: the session of the source, else the attempt at the root activity, else the
/// activity.
fn session(context: Option<&Map<String, Value>>, activity: &str) -> Result<u64, Fault> {
    let mut hasher = DefaultHasher::new();
    let extensions = context.and_then(|context| context.get("extensions")).and_then(Value::as_object);
    let named = extensions.and_then(|all| SESSION_EXTENSIONS.iter().find_map(|name| all.get(*name)?.as_str()));
    let registration = match context {
        Some(context) => text(context, "registration", "context.registration")?,
        None => None,
    };
    match (named, registration) {
        (Some(named), _) => ("named", named).hash(&mut hasher),
        (None, Some(registration)) => {
            let root = context.and_then(|context| activities(context, "grouping").next());
            let root = root.and_then(|root| root.get("id")?.as_str()).unwrap_or(activity);
            ("attempt", registration.to_ascii_lowercase(), root).hash(&mut hasher);
        }
        (None, None) => ("activity", activity).hash(&mut hasher),
    }
    Ok(hasher.finish())
}

/// The id of the first parent, else of the first grouping activity, whose type is a course: a type that ends in
/// `/course`, as those of ADL and of the usual learning platforms do.
fn course(context: &Map<String, Value>) -> Option<String> {
    let is_course = |activity: &&Map<String, Value>| {
        let kind = activity.get("definition").and_then(|definition| definition.get("type")?.as_str());
        kind.is_some_and(|kind| kind.ends_with("/course"))
    };
    let found = ["parent", "grouping"].into_iter().find_map(|place| activities(context, place).find(is_course))?;
    let id = found.get("id")?.as_str()?;
    // a NUL is nothing that a database stores or an activity is called
    Some(id.chars().filter(|&character| character != '\0').take(NAME_CHARS).collect())
}

/// Activities of the context; old sources write one activity without an array.
fn activities<'v>(context: &'v Map<String, Value>, place: &str) -> impl Iterator<Item = &'v Map<String, Value>> {
    let found = context.get("contextActivities").and_then(|all| all.get(place));
    let many = found.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    many.iter().chain(found.filter(|one| one.is_object())).filter_map(Value::as_object)
}

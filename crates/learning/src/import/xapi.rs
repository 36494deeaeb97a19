//! xAPI statements into sessions.
//!
//! Statements are read one by one and packed into a ledger; when the file is through, each id counts once, voided
//! statements are gone, and every learner's time becomes sessions:
//!
//! - A closing statement with a duration is a recorded session; a milestone with one, where nothing closed the session.
//! - All other activity becomes sittings by the gap rule, around the recorded sessions; the rule is stored with them.
//! - The subject of a session is the id of its course activity, or nothing; activities have no place in our rows.
//!
//! Sessions have ids derived from learner, start and kind. The same statements give the same rows, so that a file may be
//! imported again. A longer export of the same learners updates sittings that begin at the same instant; one that begins
//! earlier, or a rule with another timeout, makes new sittings beside the old. Voiding works within one file.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use self::actor::NAMESPACE;
use self::element::{Element, Elements};
use self::ledger::{Learner, Ledger, Settled};
use self::statement::{Fault, Statement};
use self::timeline::{Interval, sittings};
use self::verb::Role;
use super::channel::{Batch, Ended, Feeder};
use super::table::CHUNK_ROWS;
use super::{Reject, field, unreadable};
use crate::estimator::Estimator;
use crate::instant;
use crate::key::{Key, KeyType, SessionId, UserId};
use crate::rows::{SessionRow, UserRow};
use crate::store::Written;

mod actor;
mod duration;
mod element;
mod ledger;
mod statement;
mod timeline;
mod verb;

/// How many statements are looked at for an id.
const LOOKED_AT: usize = 1000;
/// Most verbs that are counted by name; a file with more is no file of verbs.
const VERBS: usize = 1000;
/// Counts the verbs above [`VERBS`].
const FURTHER_VERBS: &str = "(further verbs)";

/// What an import of xAPI statements did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct XapiImported {
    /// Statements found, rejected ones included.
    pub statements: u64,
    /// Statements rejected.
    pub rejected: u64,
    /// Statements whose id had been seen: one of each id counts.
    pub duplicates: u64,
    /// Those of the duplicates that say something else than another one of their id.
    pub conflicts: u64,
    /// Statements taken back by a voiding statement of this file.
    pub voided: u64,
    /// Durations stated in years or months: they have no fixed length and count nothing.
    pub nominal_durations: u64,
    /// Statements that could be read, by verb.
    pub verbs: BTreeMap<String, u64>,
    /// Verbs without a role of their own; they were taken as activity.
    pub unknown_verbs: Vec<String>,
    /// Learners with a statement that counts.
    pub learners: u64,
    /// Sessions recorded by their source: statements with a duration.
    pub recorded_sessions: u64,
    /// Sittings inferred by the gap rule.
    pub sittings: u64,
    /// Seconds of the sittings: the sum of their microseconds, cut off.
    pub counted_seconds: u64,
    /// The rule by which sittings were inferred.
    pub estimator: Estimator,
    /// Rows stored: learners that were new, and sessions.
    pub written: Written,
}

/// Reads a file and feeds what it makes of it.
pub(super) fn read(
    file: &str,
    source: impl Read,
    key_type: KeyType,
    estimator: Estimator,
    feeder: &mut Feeder,
) -> Result<XapiImported, Ended> {
    let (report, ledger) = gather(file, source, key_type, feeder)?;
    let Settled { duplicates, conflicts, voided, nominal_durations, courses, learners } = ledger.settle();
    let mut report = XapiImported { estimator, duplicates, conflicts, voided, nominal_durations, ..report };
    feed(&learners, &courses, &mut report, feeder)?;
    Ok(report)
}

/// Reads all statements.
fn gather(
    file: &str,
    source: impl Read,
    key_type: KeyType,
    feeder: &mut Feeder,
) -> Result<(XapiImported, Ledger), Ended> {
    let shared: Arc<str> = Arc::from(file);
    let mut report = XapiImported::default();
    let mut ledger = Ledger::default();
    let mut elements = Elements::new(source);
    while let Some(element) = elements.next().map_err(|source| unreadable(file, source))? {
        report.statements += 1;
        match statement(&element, key_type) {
            Ok(statement) => {
                report.count_verb(&statement);
                ledger.add(statement);
            }
            Err(Fault { field, reason }) => {
                let field = Some(field).filter(|field| !field.is_empty());
                feeder.reject(Reject::new(&shared, element.line, field, reason, element.bytes.trim_ascii_end()))?;
            }
        }
        feeder.beat()?;
    }
    Ok((report, ledger))
}

/// The type of ids that fits the first statement whose actor can be read.
pub(super) fn first_key_type(source: impl Read) -> io::Result<Option<KeyType>> {
    let mut elements = Elements::new(source);
    for _ in 0..LOOKED_AT {
        let Some(element) = elements.next()? else { break };
        let Ok(value) = serde_json::from_slice::<Value>(element.bytes) else { continue };
        let Some(actor) = value.get("actor").filter(|actor| actor.is_object()) else { continue };
        let name = actor.get("account").and_then(|account| account.get("name")?.as_str());
        let is_integer = name.is_some_and(|name| field::integer(name.as_bytes()).is_some());
        return Ok(Some(if is_integer { KeyType::Int } else { KeyType::Uuid }));
    }
    Ok(None)
}

fn statement(element: &Element<'_>, key_type: KeyType) -> Result<Statement, Fault> {
    if let Some(reason) = element.broken {
        return Err(Fault::new("", reason));
    }
    let value: Value = serde_json::from_slice(element.bytes)
        .map_err(|error| Fault::new("", format!("is not JSON: {error}; accepted: one statement, as UTF-8")))?;
    Statement::read(&value, key_type)
}

impl XapiImported {
    fn count_verb(&mut self, statement: &Statement) {
        let (verb, is_unknown) = match statement {
            Statement::Deed(deed) => (&deed.verb, deed.role == Role::Unknown),
            Statement::Voiding { verb, .. } => (verb, false),
        };
        if let Some(count) = self.verbs.get_mut(verb) {
            *count += 1;
            return;
        }
        let verb = if self.verbs.len() < VERBS { verb } else { FURTHER_VERBS };
        *self.verbs.entry(verb.to_owned()).or_default() += 1;
        if is_unknown && self.unknown_verbs.iter().all(|known| known != verb) {
            self.unknown_verbs.push(verb.to_owned());
            self.unknown_verbs.sort_unstable();
        }
    }
}

/// Sends learners, then their sessions.
fn feed(learners: &[Learner], courses: &[String], report: &mut XapiImported, feeder: &mut Feeder) -> Result<(), Ended> {
    report.learners = learners.len() as u64;
    for learners in learners.chunks(CHUNK_ROWS) {
        feeder.send(Batch::MissingUsers(learners.iter().map(user_row).collect()))?;
    }
    let mut counted = 0i128;
    let mut rows = Vec::new();
    for learner in learners {
        let sittings = sittings(&learner.points, &learner.intervals, report.estimator);
        report.recorded_sessions += learner.intervals.len() as u64;
        report.sittings += sittings.len() as u64;
        counted += sittings.iter().map(|sitting| i128::from(sitting.end - sitting.start)).sum::<i128>();
        let recorded = learner.intervals.iter().map(|&stretch| (stretch, None));
        let inferred = sittings.iter().map(|sitting| (sitting.as_interval(), Some(report.estimator)));
        for (stretch, estimator) in recorded.chain(inferred) {
            rows.push(session_row(learner.user, stretch, estimator, courses));
            if rows.len() >= CHUNK_ROWS {
                feeder.send(Batch::Sessions(std::mem::take(&mut rows)))?;
            }
        }
    }
    if !rows.is_empty() {
        feeder.send(Batch::Sessions(rows))?;
    }
    report.counted_seconds = u64::try_from(counted / 1_000_000).unwrap_or(u64::MAX);
    Ok(())
}

/// A learner that the platform may not have told us of.
fn user_row(learner: &Learner) -> UserRow {
    UserRow {
        id: learner.user,
        email: String::new(),
        username: learner.username.clone(),
        is_active: true,
        last_login: None,
        created_at: timestamp(learner.first),
        time_zone: None,
    }
}

fn session_row(user: UserId, stretch: Interval, estimator: Option<Estimator>, courses: &[String]) -> SessionRow {
    let start = timestamp(stretch.start);
    let end = timestamp(stretch.end);
    let subject = stretch.course.map(|course| courses[course as usize].clone());
    SessionRow {
        id: session_id(user, stretch.start, estimator.is_some()),
        user_id: user,
        course_progress_id: None,
        start_time: start,
        end_time: Some(end),
        duration_minutes: i32::try_from((stretch.end - stretch.start) / 60_000_000).unwrap_or(i32::MAX),
        effectiveness_rating: None,
        focus_hundredths: None,
        break_count: 0,
        is_active: false,
        learning_environment: String::new(),
        device_type: String::new(),
        subject_category: subject.unwrap_or_default(),
        content_covered: String::new(),
        notes: String::new(),
        created_at: start,
        updated_at: end,
        goal_id: None,
        learning_plan_id: None,
        estimator,
    }
}

/// The id of a session: a UUID of version 5 or, in a database of integers, 63 bits of one. Two of a million sessions
/// meet in those with a probability of one in ten million.
fn session_id(user: UserId, start: i64, inferred: bool) -> SessionId {
    let kind = if inferred { "inferred" } else { "recorded" };
    let uuid = Uuid::new_v5(&NAMESPACE, format!("session|{user}|{start}|{kind}").as_bytes());
    let (high, low) = uuid.as_u64_pair();
    SessionId::new(match user.key() {
        Key::Uuid(_) => Key::Uuid(uuid),
        Key::Int(_) => Key::Int(((high ^ low) >> 1) as i64),
    })
}

/// Only a tail can lead behind the last instant there is.
fn timestamp(micros: i64) -> Timestamp {
    instant::from_micros(micros.clamp(instant::MIN_MICROS, instant::END_MICROS - 1))
        .expect("the instant was moved into the range")
}

#[cfg(test)]
mod tests;

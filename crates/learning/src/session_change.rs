//! What a client says of a session, and the row that follows from it: strict, unlike what is read from a database.
//!
//! Pure: the row before, what was said and the present instant in, the row after or every fault out.

use jiff::Timestamp;

use crate::efficiency::{Focus, Rating};
use crate::key::{CourseProgressId, Key, SessionId, UserId};
use crate::rows::SessionRow;

mod flags;

pub use flags::{Flag, flags, occupied};

/// What is said of a session. `None` = nothing was said; in a doubled `Option` the inner `None` = "none".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionChange {
    /// The course it belongs to.
    pub course_progress_id: Option<Option<CourseProgressId>>,
    /// When it began; needed for a new session.
    pub start_time: Option<Timestamp>,
    /// When it ended.
    pub end_time: Option<Option<Timestamp>>,
    /// Minutes studied, 0 or more; with an end the whole minutes between start and end, or nothing.
    pub duration_minutes: Option<i32>,
    /// The rating.
    pub effectiveness_rating: Option<Option<Rating>>,
    /// The focus score.
    pub focus_score: Option<Option<Focus>>,
    /// Breaks taken, 0 or more.
    pub break_count: Option<i16>,
    /// Whether the session is open.
    pub is_active: Option<bool>,
    /// Where; empty = unknown.
    pub learning_environment: Option<String>,
    /// On what; empty = unknown.
    pub device_type: Option<String>,
    /// Which subject; empty = none.
    pub subject_category: Option<String>,
    /// What was covered.
    pub content_covered: Option<String>,
    /// The learner's notes.
    pub notes: Option<String>,
    /// The platform's goal.
    pub goal_id: Option<Option<Key>>,
    /// The platform's learning plan.
    pub learning_plan_id: Option<Option<Key>>,
}

/// A session that a client wants to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// Whose.
    pub user_id: UserId,
    /// What is said of it.
    pub content: SessionChange,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Completion {
    /// When; `None` = now.
    pub end_time: Option<Timestamp>,
    /// The rating, if it is given.
    pub effectiveness_rating: Option<Rating>,
    /// The focus score, if it is given.
    pub focus_score: Option<Focus>,
}

/// A field that cannot be taken, and what would have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// Its name.
    pub field: String,
    /// What was given, clipped; empty = nothing.
    pub given: String,
    /// What is accepted.
    pub accepted: String,
}

impl FieldFault {
    /// A fault of one field; `given` is clipped.
    #[must_use]
    pub fn new(field: &str, given: &str, accepted: impl Into<String>) -> Self {
        Self { field: field.to_owned(), given: crate::key::clip(given), accepted: accepted.into() }
    }
}

impl NewSession {
    /// The row of this session. Without an end it is open and has 0 minutes, unless something else was said.
    ///
    /// # Errors
    /// Every field at fault.
    pub fn row(&self, id: SessionId, now: Timestamp) -> Result<SessionRow, Vec<FieldFault>> {
        let content = &self.content;
        let Some(start_time) = content.start_time else {
            return Err(vec![FieldFault::new("start_time", "", "an instant; a session begins some time")]);
        };
        let mut faults = Vec::new();
        let end_time = content.end_time.flatten();
        let (duration_minutes, is_active) = content.course_of_time(start_time, end_time, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        let text = |said: &Option<String>| said.clone().unwrap_or_default();
        Ok(SessionRow {
            id,
            user_id: self.user_id,
            course_progress_id: content.course_progress_id.flatten(),
            start_time,
            end_time,
            duration_minutes,
            effectiveness_rating: content.effectiveness_rating.flatten().map(|rating| rating.get().into()),
            focus_hundredths: content.focus_score.flatten().map(|focus| focus.hundredths().into()),
            break_count: content.break_count.unwrap_or(0),
            is_active,
            learning_environment: text(&content.learning_environment),
            device_type: text(&content.device_type),
            subject_category: text(&content.subject_category),
            content_covered: text(&content.content_covered),
            notes: text(&content.notes),
            created_at: now,
            updated_at: now,
            goal_id: content.goal_id.flatten(),
            learning_plan_id: content.learning_plan_id.flatten(),
            estimator: None,
        })
    }
}

impl SessionChange {
    /// The row after this change; `updated_at` is `now` if anything else differs.
    ///
    /// What was not said stays, valid or not. The minutes follow start and end if one of these was said.
    ///
    /// # Errors
    /// Every field at fault.
    pub fn applied(&self, before: &SessionRow, now: Timestamp) -> Result<SessionRow, Vec<FieldFault>> {
        let mut row = before.clone();
        let set = |to: &mut String, said: &Option<String>| {
            if let Some(said) = said {
                to.clone_from(said);
            }
        };
        set(&mut row.learning_environment, &self.learning_environment);
        set(&mut row.device_type, &self.device_type);
        set(&mut row.subject_category, &self.subject_category);
        set(&mut row.content_covered, &self.content_covered);
        set(&mut row.notes, &self.notes);
        if let Some(course) = self.course_progress_id {
            row.course_progress_id = course;
        }
        if let Some(rating) = self.effectiveness_rating {
            row.effectiveness_rating = rating.map(|rating| rating.get().into());
        }
        if let Some(focus) = self.focus_score {
            row.focus_hundredths = focus.map(|focus| focus.hundredths().into());
        }
        if let Some(breaks) = self.break_count {
            row.break_count = breaks;
        }
        if let Some(goal) = self.goal_id {
            row.goal_id = goal;
        }
        if let Some(plan) = self.learning_plan_id {
            row.learning_plan_id = plan;
        }
        let mut faults = Vec::new();
        self.apply_time(&mut row, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        if row != *before {
            row.updated_at = now;
        }
        Ok(row)
    }

    fn apply_time(&self, row: &mut SessionRow, faults: &mut Vec<FieldFault>) {
        row.start_time = self.start_time.unwrap_or(row.start_time);
        let was_open = row.end_time.is_none();
        row.end_time = self.end_time.unwrap_or(row.end_time);
        let reopened = !was_open && row.end_time.is_none();
        let moved = self.start_time.is_some() || self.end_time.is_some();
        if reopened || (row.end_time.is_some() && (moved || self.duration_minutes.is_some())) {
            let (minutes, is_active) = self.course_of_time(row.start_time, row.end_time, faults);
            row.duration_minutes = minutes;
            if moved || self.is_active.is_some() {
                row.is_active = is_active;
            }
            return;
        }
        row.duration_minutes = self.duration_minutes.unwrap_or(row.duration_minutes);
        row.is_active = self.is_active.unwrap_or(row.is_active);
        if let (Some(end), Some(true)) = (row.end_time, self.is_active) {
            faults.push(both_open_and_ended(end));
        }
    }

    /// Minutes, and whether the session is open.
    fn course_of_time(&self, start: Timestamp, end: Option<Timestamp>, faults: &mut Vec<FieldFault>) -> (i32, bool) {
        let Some(end) = end else {
            return (self.duration_minutes.unwrap_or(0), self.is_active.unwrap_or(true));
        };
        if end < start {
            faults.push(FieldFault::new("end_time", &end.to_string(), format!("not before start_time, {start}")));
            return (0, false);
        }
        if self.is_active == Some(true) {
            faults.push(both_open_and_ended(end));
        }
        let elapsed = end.duration_since(start).as_secs() / 60;
        let Ok(minutes) = i32::try_from(elapsed) else {
            faults.push(FieldFault::new("end_time", &end.to_string(), "at most 2147483647 minutes after start_time"));
            return (0, false);
        };
        if let Some(said) = self.duration_minutes.filter(|said| *said != minutes) {
            let accepted = format!("{minutes}, the whole minutes from start_time to end_time, or nothing");
            faults.push(FieldFault::new("duration_minutes", &said.to_string(), accepted));
            let accepted = format!("an end_time that is {said} min after start_time, or no duration_minutes");
            faults.push(FieldFault::new("end_time", &end.to_string(), accepted));
        }
        (minutes, false)
    }
}

fn both_open_and_ended(end: Timestamp) -> FieldFault {
    FieldFault::new("is_active", "true", format!("false, as end_time is {end}; an open session has no end_time"))
}

impl Completion {
    /// What completing changes in an open session.
    #[must_use]
    pub fn change(&self, now: Timestamp) -> SessionChange {
        SessionChange {
            end_time: Some(Some(self.end_time.unwrap_or(now))),
            effectiveness_rating: self.effectiveness_rating.map(Some),
            focus_score: self.focus_score.map(Some),
            ..SessionChange::default()
        }
    }

    /// Whether a session that has ended ended like this.
    #[must_use]
    pub fn is_of(&self, row: &SessionRow) -> bool {
        row.end_time.is_some()
            && self.end_time.is_none_or(|end| row.end_time == Some(end))
            && self.effectiveness_rating.is_none_or(|rating| row.effectiveness_rating == Some(rating.get().into()))
            && self.focus_score.is_none_or(|focus| row.focus_hundredths == Some(focus.hundredths().into()))
    }
}

/// Whether two rows say the same, whenever each was written.
#[must_use]
pub fn same_content(one: &SessionRow, other: &SessionRow) -> bool {
    let other = SessionRow { created_at: one.created_at, updated_at: one.updated_at, ..other.clone() };
    *one == other
}

#[cfg(test)]
mod tests;

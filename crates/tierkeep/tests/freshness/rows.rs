//! The slow model: rows as they are committed, and what every question must answer about them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;
use tierkeep::tiers::Question;
use tierkeep_learning::key::Key;
use tierkeep_learning::statistic::StatisticKind;

/// Days with sessions, from a Monday on.
pub(crate) const DAYS: [&str; 4] = ["2026-01-26", "2026-01-27", "2026-01-28", "2026-01-29"];
/// The present of every node.
pub(crate) const NOW: &str = "2026-01-31T14:00:00Z";
/// Learners.
pub(crate) const USERS: std::ops::RangeInclusive<i64> = 1..=3;

/// A row of `study_sessions`, or of its archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) user: i64,
    /// An index of [`DAYS`].
    pub(crate) day: usize,
    pub(crate) minutes: u64,
    pub(crate) course: Option<i64>,
    pub(crate) is_archived: bool,
}

/// All rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) users: BTreeSet<i64>,
    /// Whose, and how many hours.
    pub(crate) courses: BTreeMap<i64, (i64, i64)>,
    pub(crate) sessions: BTreeMap<i64, Session>,
}

/// A change of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    PutSession(i64, Session),
    DropSession(i64),
    Archive(i64),
    /// All live sessions are a minute longer.
    Lengthen,
    PutCourse(i64, i64, i64),
    /// Takes its live sessions with it.
    DropCourse(i64),
    PutUser(i64),
    /// Takes everything of theirs with it.
    DropUser(i64),
}

impl Rows {
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::PutSession(id, session) => {
                self.sessions.insert(id, session);
            }
            Change::DropSession(id) => {
                self.sessions.remove(&id);
            }
            Change::Archive(id) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.is_archived = true;
                }
            }
            Change::Lengthen => {
                self.sessions.values_mut().filter(|session| !session.is_archived).for_each(|s| s.minutes += 1);
            }
            Change::PutCourse(id, user, hours) => {
                self.courses.insert(id, (user, hours));
            }
            Change::DropCourse(id) => {
                self.courses.remove(&id);
                self.sessions.retain(|_, session| session.is_archived || session.course != Some(id));
            }
            Change::PutUser(id) => {
                self.users.insert(id);
            }
            Change::DropUser(id) => {
                self.users.remove(&id);
                // others may study in their courses
                for course in self.courses_of(id) {
                    self.apply(Change::DropCourse(course));
                }
                self.sessions.retain(|_, session| session.user != id);
            }
        }
    }

    /// Whose rows a change touches.
    pub(crate) fn touched(&self, change: Change) -> BTreeSet<i64> {
        let before = |id: i64| self.sessions.get(&id).map(|session| session.user);
        match change {
            Change::PutSession(id, session) => before(id).into_iter().chain([session.user]).collect(),
            Change::DropSession(id) | Change::Archive(id) => before(id).into_iter().collect(),
            Change::Lengthen => USERS.collect(),
            Change::PutCourse(id, user, _) => {
                self.courses.get(&id).map(|(user, _)| *user).into_iter().chain([user]).collect()
            }
            Change::PutUser(user) => [user].into(),
            Change::DropUser(user) => {
                let others =
                    self.courses_of(user).into_iter().flat_map(|course| self.touched(Change::DropCourse(course)));
                others.chain([user]).collect()
            }
            Change::DropCourse(id) => {
                let of_course = self.sessions.values().filter(|session| session.course == Some(id));
                let owner = self.courses.get(&id).map(|(user, _)| *user);
                of_course.map(|session| session.user).chain(owner).collect()
            }
        }
    }

    fn courses_of(&self, user: i64) -> Vec<i64> {
        self.courses.iter().filter(|(_, (of, _))| *of == user).map(|(id, _)| *id).collect()
    }

    /// What a question must answer.
    pub(crate) fn answer(&self, question: Question) -> Seen {
        let user = question.user().map(|user| match user.key() {
            Key::Int(user) => user,
            Key::Uuid(_) => 0,
        });
        if user.is_some_and(|user| !self.users.contains(&user)) {
            return Seen::Unknown;
        }
        let text = question.to_string();
        let of_user: Vec<&Session> =
            self.sessions.values().filter(|s| user.is_none_or(|user| s.user == user)).collect();
        let sum = |sessions: &[&Session]| vec![sessions.len() as u64, sessions.iter().map(|s| s.minutes).sum()];
        Seen::Numbers(match question.kind() {
            StatisticKind::Daily => {
                sum(&of_user.into_iter().filter(|s| text.ends_with(DAYS[s.day])).collect::<Vec<_>>())
            }
            StatisticKind::Streaks => vec![longest_run(&of_user)],
            StatisticKind::Courses => {
                let courses: Vec<i64> =
                    self.courses.values().filter(|(of, _)| Some(*of) == user).map(|(_, hours)| *hours).collect();
                vec![courses.len() as u64, courses.iter().sum::<i64>().unsigned_abs()]
            }
            StatisticKind::Global => {
                let users: BTreeSet<i64> = of_user.iter().map(|s| s.user).collect();
                [vec![users.len() as u64], sum(&of_user)].concat()
            }
            // all days lie in the week and the month that are asked for
            StatisticKind::Weekly | StatisticKind::Monthly | StatisticKind::Analytics | StatisticKind::Heatmap => {
                sum(&of_user)
            }
        })
    }
}

fn longest_run(sessions: &[&Session]) -> u64 {
    let (mut longest, mut run) = (0, 0);
    for day in 0..DAYS.len() {
        run = if sessions.iter().any(|session| session.day == day) { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// What an answer says.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The numbers that the model knows.
    Numbers(Vec<u64>),
    /// There is no such learner.
    Unknown,
    /// The database does not answer.
    Failed,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbers(numbers) => write!(f, "{numbers:?}"),
            Self::Unknown => f.write_str("no such learner"),
            Self::Failed => f.write_str("an error"),
        }
    }
}

impl Seen {
    /// Reads the numbers out of an answer.
    pub(crate) fn read(question: Question, json: &[u8]) -> Self {
        let answer: Value = serde_json::from_slice(json).unwrap();
        let of = |name: &str| answer[name].as_u64().unwrap_or_else(|| panic!("{name} of {question}: {answer}"));
        Self::Numbers(match question.kind() {
            StatisticKind::Streaks => vec![of("longest_streak")],
            StatisticKind::Courses => vec![of("total_courses"), of("total_hours")],
            StatisticKind::Global => {
                let mean = answer["avg_session_duration"].as_f64().unwrap_or(0.0);
                let minutes = (mean * of("total_sessions") as f64).round() as u64;
                vec![of("total_users"), of("total_sessions"), minutes]
            }
            _ => vec![of("total_sessions"), of("total_duration")],
        })
    }
}

/// All questions that are asked, but for cold ones.
pub(crate) fn questions() -> Vec<Question> {
    let mut texts = vec!["global".to_owned()];
    for user in USERS {
        texts.extend(DAYS.map(|day| format!("daily/{user}/{day}")));
        texts.push(format!("weekly/{user}/{}", DAYS[0]));
        texts.extend(["monthly", "streaks", "courses"].map(|kind| match kind {
            "monthly" => format!("monthly/{user}/2026-01"),
            kind => format!("{kind}/{user}"),
        }));
    }
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

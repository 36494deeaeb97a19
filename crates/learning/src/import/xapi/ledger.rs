//! All statements of a file, packed, and what is left of them once each id counts once and voided ones are gone.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::duration::Duration;
use super::statement::{Deed, Statement};
use super::timeline::{Interval, Point};
use super::verb::Role;
use crate::key::UserId;

/// Statements as they come in.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: Vec<Entry>,
    targets: Vec<Uuid>,
    learners: HashMap<UserId, u32>,
    usernames: Vec<(UserId, String)>,
    courses: HashMap<String, u32>,
    nominal: u64,
}

/// A statement of 64 bytes. Texts are numbers in the ledger's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    id: Uuid,
    at: i64,
    /// Microseconds; 0 if there is no length of time.
    duration: i64,
    session: u64,
    content: u64,
    /// For a voiding statement the number of its target.
    learner: u32,
    course: u32,
    role: Role,
}

/// Stands for no course.
const NO_COURSE: u32 = u32::MAX;

/// What became of the statements.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) duplicates: u64,
    pub(super) conflicts: u64,
    pub(super) voided: u64,
    pub(super) nominal_durations: u64,
    /// Names of the courses, in order.
    pub(super) courses: Vec<String>,
    /// Learners in the order of their ids.
    pub(super) learners: Vec<Learner>,
}

/// What counts of a learner, in the order of time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Learner {
    pub(super) user: UserId,
    pub(super) username: String,
    /// Instant of the first statement.
    pub(super) first: i64,
    pub(super) points: Vec<Point>,
    /// No two begin together.
    pub(super) intervals: Vec<Interval>,
}

impl Ledger {
    pub(super) fn add(&mut self, statement: Statement) {
        let entry = match statement {
            Statement::Voiding { id, target, .. } => {
                let number = self.targets.len() as u32;
                self.targets.push(target);
                Entry {
                    id,
                    at: 0,
                    duration: 0,
                    session: 0,
                    content: target.as_u64_pair().0 ^ target.as_u64_pair().1,
                    learner: number,
                    course: NO_COURSE,
                    role: Role::Void,
                }
            }
            Statement::Deed(deed) => self.entry(deed),
        };
        self.entries.push(entry);
    }

    fn entry(&mut self, deed: Deed) -> Entry {
        let Deed { id, content, actor, role, at, session, duration, course, .. } = deed;
        let usernames = &mut self.usernames;
        let learner = *self.learners.entry(actor.user).or_insert_with(|| {
            usernames.push((actor.user, actor.username.clone()));
            usernames.len() as u32 - 1
        });
        // one id may be spelt in several ways; which came first must not matter
        let username = &mut usernames[learner as usize].1;
        if actor.username < *username {
            *username = actor.username;
        }
        let courses = self.courses.len() as u32;
        let course = course.map_or(NO_COURSE, |name| *self.courses.entry(name).or_insert(courses));
        let duration = match duration {
            Some(Duration::Micros(micros)) => micros,
            Some(Duration::Nominal) => {
                self.nominal += 1;
                0
            }
            None => 0,
        };
        Entry { id, at, duration, session, content, learner, course, role }
    }

    /// Counts every id once, takes back what is voided, and sorts the rest by learner and time. The order in which
    /// statements came in has no influence.
    pub(super) fn settle(mut self) -> Settled {
        let mut settled = Settled { nominal_durations: self.nominal, ..Settled::default() };
        settled.courses = self.number_courses_by_name();

        self.entries.sort_unstable_by_key(|entry| (entry.id, entry.at, entry.content));
        settled.conflicts = self.entries.windows(2).filter(|pair| conflict(&pair[0], &pair[1])).count() as u64;
        let before = self.entries.len();
        self.entries.dedup_by_key(|entry| entry.id);
        settled.duplicates = (before - self.entries.len()) as u64;

        let voided: BTreeSet<Uuid> = self
            .entries
            .iter()
            .filter(|entry| entry.role == Role::Void)
            .map(|entry| self.targets[entry.learner as usize])
            .collect();
        self.entries.retain(|entry| entry.role != Role::Void);
        let before = self.entries.len();
        self.entries.retain(|entry| !voided.contains(&entry.id));
        settled.voided = (before - self.entries.len()) as u64;

        let users = &self.usernames;
        self.entries.sort_unstable_by_key(|entry| (users[entry.learner as usize].0, entry.at, entry.id));
        settled.learners = self
            .entries
            .chunk_by(|a, b| a.learner == b.learner)
            .map(|entries| learner(entries, &users[entries[0].learner as usize]))
            .collect();
        settled
    }

    /// Gives courses the numbers of their names in order, so that ties between courses do not depend on the input.
    fn number_courses_by_name(&mut self) -> Vec<String> {
        let mut names: Vec<(String, u32)> = std::mem::take(&mut self.courses).into_iter().collect();
        names.sort_unstable();
        let mut numbers = vec![0; names.len()];
        for (number, (_, old)) in names.iter().enumerate() {
            numbers[*old as usize] = number as u32;
        }
        for entry in self.entries.iter_mut().filter(|entry| entry.course != NO_COURSE) {
            entry.course = numbers[entry.course as usize];
        }
        names.into_iter().map(|(name, _)| name).collect()
    }
}

/// Whether two statements of one id say different things.
fn conflict(a: &Entry, b: &Entry) -> bool {
    a.id == b.id && (a.at, a.content) != (b.at, b.content)
}

fn learner(entries: &[Entry], (user, username): &(UserId, String)) -> Learner {
    let course = |entry: &Entry| (entry.course != NO_COURSE).then_some(entry.course);
    let points = entries.iter().filter(|entry| entry.role.is_activity());
    Learner {
        user: *user,
        username: username.clone(),
        first: entries[0].at,
        points: points.map(|entry| Point { at: entry.at, course: course(entry) }).collect(),
        intervals: intervals(entries)
            .into_iter()
            .map(|entry| Interval { start: entry.at - entry.duration, end: entry.at, course: course(entry) })
            .collect(),
    }
}

/// The statements whose durations count. A milestone states the time of the whole attempt, so it counts only where its
/// session has no closing statement that states one, and the longest counts for all milestones of the session.
fn intervals(entries: &[Entry]) -> Vec<&Entry> {
    let timed = |role: Role| entries.iter().filter(move |entry| entry.role == role && entry.duration > 0);
    let mut found: Vec<&Entry> = timed(Role::Close).collect();
    let closed: BTreeSet<u64> = found.iter().map(|entry| entry.session).collect();
    let mut longest: HashMap<u64, &Entry> = HashMap::new();
    for entry in timed(Role::Milestone).filter(|entry| !closed.contains(&entry.session)) {
        let best = longest.entry(entry.session).or_insert(entry);
        // entries are in order of time and id, so the first of equals stays
        if entry.duration > best.duration {
            *best = entry;
        }
    }
    found.extend(longest.into_values());
    found.sort_unstable_by_key(|entry| (entry.at - entry.duration, std::cmp::Reverse(entry.at), entry.id));
    // a session is known by its start: of statements about one start the longest counts
    found.dedup_by_key(|entry| entry.at - entry.duration);
    found
}

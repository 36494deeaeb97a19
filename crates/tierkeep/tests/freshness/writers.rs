//! What is written next, and a transaction that stays open while others go on.

use std::collections::BTreeSet;

use tierkeep_db::Dialect;
use tierkeep_testkit::DatabaseClient;

use crate::doors::{Door, Style};
use crate::rng::Rng;
use crate::rows::{Change, DAYS, Rows, Session, USERS};

/// A transaction on PostgreSQL that has written and neither committed nor rolled back.
pub(crate) struct Open {
    pub(crate) client: DatabaseClient,
    pub(crate) changes: Vec<Change>,
}

impl Open {
    /// Sessions that nobody else can write meanwhile.
    fn locked(&self) -> BTreeSet<i64> {
        self.changes
            .iter()
            .filter_map(|change| match change {
                Change::PutSession(id, _) | Change::DropSession(id) => Some(*id),
                _ => None,
            })
            .collect()
    }
}

/// What one writer does in one transaction.
pub(crate) struct Write {
    pub(crate) door: Door,
    pub(crate) changes: Vec<Change>,
}

/// Chooses what is written.
pub(crate) struct Planner {
    pub(crate) dialect: Dialect,
    pub(crate) is_partitioned: bool,
    pub(crate) next_id: i64,
}

impl Planner {
    pub(crate) fn style(&self, rng: &mut Rng) -> Style {
        Style {
            dialect: self.dialect,
            upserts: !self.is_partitioned && rng.one_in(3),
            names_partitions: self.is_partitioned && rng.percent(70),
        }
    }

    pub(crate) fn new_session(&mut self, rng: &mut Rng, rows: &Rows) -> Option<Change> {
        self.next_id += 1;
        Some(Change::PutSession(self.next_id, session(rng, rows)?))
    }

    /// A change of one session: of a new one, or of a live one that is not locked.
    pub(crate) fn of_session(&mut self, rng: &mut Rng, rows: &Rows, locked: &BTreeSet<i64>) -> Option<Change> {
        let free: Vec<i64> = rows
            .sessions
            .iter()
            .filter(|(id, session)| !session.is_archived && !locked.contains(id))
            .map(|(id, _)| *id)
            .collect();
        if free.is_empty() || rng.one_in(3) {
            return self.new_session(rng, rows);
        }
        let id = free[rng.below(free.len() as u64) as usize];
        Some(match rng.below(6) {
            0 => Change::DropSession(id),
            // moves in time, or to another learner
            1 => Change::PutSession(id, session(rng, rows)?),
            _ => Change::PutSession(id, Session { minutes: rng.between(1, 90), ..rows.sessions[&id] }),
        })
    }

    /// The next write; none if what was chosen cannot be done now.
    pub(crate) fn write(&mut self, rng: &mut Rng, rows: &Rows, open: Option<&Open>) -> Option<Write> {
        let locked = open.map(Open::locked).unwrap_or_default();
        let is_alone = open.is_none();
        if let Some(missing) = USERS.clone().rfind(|id| !rows.users.contains(id)) {
            let door = if rng.one_in(2) && !self.is_partitioned { Door::Api } else { Door::Sql };
            return Some(Write { door, changes: vec![Change::PutUser(missing)] });
        }
        let course = 1 + rng.below(4) as i64;
        let write = |door, changes| Some(Write { door, changes });
        match rng.below(20) {
            0..=4 if !self.is_partitioned => {
                let change = if rng.one_in(5) {
                    Change::PutCourse(course, user(rng, rows)?, rng.between(1, 50) as i64)
                } else {
                    match self.of_session(rng, rows, &locked)? {
                        Change::DropSession(_) => return None,
                        change => change,
                    }
                };
                write(Door::Api, vec![change])
            }
            5..=7 if self.dialect == Dialect::Postgres => {
                let rows: Option<Vec<Change>> = (0..rng.between(1, 4)).map(|_| self.new_session(rng, rows)).collect();
                write(Door::Copy, rows?)
            }
            5 if rng.one_in(2) && self.dialect == Dialect::Sqlite => {
                let rows: Option<Vec<Change>> = (0..rng.between(1, 4)).map(|_| self.new_session(rng, rows)).collect();
                write(Door::Process, rows?)
            }
            8 | 9 if is_alone && rows.courses.contains_key(&course) => {
                write(Door::Cascade, vec![Change::DropCourse(course)])
            }
            10 if is_alone && rng.one_in(2) => write(Door::Cascade, vec![Change::DropUser(user(rng, rows)?)]),
            11 if is_alone => write(Door::Sql, vec![Change::Lengthen]),
            12 => write(Door::Sql, vec![Change::PutCourse(course, user(rng, rows)?, rng.between(1, 50) as i64)]),
            13 if is_alone => {
                let (id, _) = rows.sessions.iter().find(|(_, session)| !session.is_archived)?;
                write(Door::Sql, vec![Change::Archive(*id)])
            }
            14 => {
                let (id, _) = rows.sessions.iter().find(|(_, session)| session.is_archived)?;
                write(Door::Sql, vec![Change::DropSession(*id)])
            }
            _ => {
                // each statement sees what those before it did
                let (mut changes, mut seen) = (Vec::new(), rows.clone());
                for _ in 0..rng.between(1, 3) {
                    let change = self.of_session(rng, &seen, &locked)?;
                    seen.apply(change);
                    changes.push(change);
                }
                write(Door::Sql, changes)
            }
        }
    }
}

fn user(rng: &mut Rng, rows: &Rows) -> Option<i64> {
    rows.users.iter().nth(rng.below(rows.users.len().max(1) as u64) as usize).copied()
}

fn session(rng: &mut Rng, rows: &Rows) -> Option<Session> {
    let courses = rows.courses.keys().nth(rng.below(5) as usize).copied();
    Some(Session {
        user: user(rng, rows)?,
        day: rng.below(DAYS.len() as u64) as usize,
        minutes: rng.between(1, 90),
        course: courses.filter(|_| rng.one_in(2)),
        is_archived: false,
    })
}

//! What a clean-up does, said of rows in memory, one at a time and as slowly as can be.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tierkeep_learning::key::{Key, SessionId, UserId};
use tierkeep_learning::retention::{ARCHIVE, ARCHIVED, Cutoffs, DELETE, INVALID, PURGE};
use tierkeep_learning::rows::{ProgressRow, SessionRow, UserRow};
use tierkeep_learning::store::Keep;

use super::super::rows::facts;

/// All rows of a database that a clean-up looks at.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    pub(super) users: BTreeMap<UserId, UserRow>,
    /// Learners whose row went within the grace of an erasure.
    pub(super) departed: BTreeSet<UserId>,
    pub(super) progress: BTreeMap<Key, ProgressRow>,
    pub(super) live: BTreeMap<SessionId, SessionRow>,
    pub(super) archived: BTreeMap<SessionId, SessionRow>,
    /// Since when, and whose.
    pub(super) quarantined: Vec<(Timestamp, Option<UserId>)>,
    /// Restored rows whose grace is not over, by table and key.
    pub(super) exempt: BTreeSet<(&'static str, Key)>,
    /// Learners of whom sums of deleted sessions are kept.
    pub(super) based: BTreeSet<UserId>,
}

/// Rows that go by each rule, and rows of other tables that go with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) rules: BTreeMap<&'static str, u64>,
    pub(super) dependants: BTreeMap<&'static str, u64>,
}

pub(super) const LIVE: &str = "study_sessions";
const PROGRESS: &str = "course_progress";

impl Tables {
    /// Does what a clean-up does.
    pub(super) fn clean(&mut self, phases: &[&str], cutoffs: Cutoffs, keep: Keep) -> Done {
        let mut done = Done::default();
        // who is inactive is decided before anything is deleted
        let inactive: Vec<UserId> = self
            .users
            .keys()
            .filter(|id| self.is_inactive(**id, cutoffs.delete) && self.has_anything(**id))
            .copied()
            .collect();
        if phases.contains(&INVALID) || phases.contains(&ARCHIVE) {
            self.put_superseded_away(cutoffs.now, &mut done);
        }
        if phases.contains(&INVALID) {
            self.put_invalid_away(cutoffs.now, &mut done);
        }
        if phases.contains(&ARCHIVE) {
            self.archive(cutoffs, &mut done);
        }
        if phases.contains(&DELETE) {
            self.delete_sessions(cutoffs.delete, keep, &mut done);
            for id in inactive.into_iter().filter(|id| self.is_inactive(*id, cutoffs.delete)).collect::<Vec<_>>() {
                self.delete_learner(id, &mut done);
            }
        }
        if phases.contains(&PURGE) {
            let before = self.quarantined.len();
            self.quarantined.retain(|(since, _)| *since >= cutoffs.purge);
            done.count("quarantined", before - self.quarantined.len());
        }
        done
    }

    fn is_exempt(&self, table: &'static str, id: Key) -> bool {
        self.exempt.contains(&(table, id))
    }

    fn put_superseded_away(&mut self, now: Timestamp, done: &mut Done) {
        let hidden = self.archived.keys().filter(|id| self.live.contains_key(id));
        let hidden: Vec<SessionId> = hidden.filter(|id| !self.is_exempt(ARCHIVED, id.key())).copied().collect();
        for id in hidden {
            let row = self.archived.remove(&id).unwrap();
            self.quarantined.push((now, Some(row.user_id)));
            done.count("superseded", 1);
        }
    }

    fn put_invalid_away(&mut self, now: Timestamp, done: &mut Done) {
        let duplicates: Vec<Key> = self
            .progress
            .values()
            .filter(|row| self.progress.values().any(|other| counts_before(other, row)))
            .map(|row| row.id.key())
            .filter(|id| !self.is_exempt(PROGRESS, *id))
            .collect();
        for id in duplicates {
            self.progress.remove(&id);
            done.count("duplicate_progress", 1);
        }
        let faults: Vec<(SessionId, &'static str)> = self
            .live
            .values()
            .filter(|row| !self.is_exempt(LIVE, row.id.key()))
            // without it the older one of its id that was restored would begin to count
            .filter(|row| !self.is_exempt(ARCHIVED, row.id.key()))
            .filter_map(|row| Some((row.id, self.fault(row)?)))
            .collect();
        for (id, kind) in faults {
            let row = self.live.remove(&id).unwrap();
            self.quarantined.push((now, Some(row.user_id)));
            done.count(kind, 1);
        }
    }

    fn fault(&self, row: &SessionRow) -> Option<&'static str> {
        let is_anybodys = self.users.contains_key(&row.user_id) || self.departed.contains(&row.user_id);
        if row.duration_minutes < 0 {
            Some("negative_duration")
        } else if row.end_time.is_some_and(|end| end < row.start_time) {
            Some("end_before_start")
        } else if row.effectiveness_rating.is_some_and(|rating| !(1..=5).contains(&rating)) {
            Some("bad_rating")
        } else if row.focus_hundredths.is_some_and(|focus| !(0..=100).contains(&focus)) {
            Some("bad_focus")
        } else if !is_anybodys {
            Some("orphan")
        } else {
            None
        }
    }

    fn archive(&mut self, cutoffs: Cutoffs, done: &mut Done) {
        let old = self.live.values().filter(|row| row.start_time < cutoffs.archive && !row.is_active);
        let old = old.map(|row| row.id).filter(|id| !self.is_exempt(LIVE, id.key()));
        // a row cannot go where an older one of its id was restored
        let old: Vec<SessionId> = old.filter(|id| !self.is_exempt(ARCHIVED, id.key())).collect();
        for id in old {
            let row = self.live.remove(&id).unwrap();
            self.archived.insert(id, row);
            done.count("archive", 1);
        }
    }

    fn delete_sessions(&mut self, cutoff: Timestamp, keep: Keep, done: &mut Done) {
        let old = self.archived.values().filter(|row| row.start_time < cutoff && !self.live.contains_key(&row.id));
        let old: Vec<SessionId> = old.map(|row| row.id).filter(|id| !self.is_exempt(ARCHIVED, id.key())).collect();
        for id in old {
            let row = self.archived.remove(&id).unwrap();
            let counts = facts(&row).fault().is_none() && self.users.contains_key(&row.user_id);
            if keep == Keep::Summaries && counts {
                self.based.insert(row.user_id);
            }
            done.count("archived_sessions", 1);
        }
    }

    fn delete_learner(&mut self, id: UserId, done: &mut Done) {
        let (live, archived, progress) = (self.live.len(), self.archived.len(), self.progress.len());
        self.live.retain(|_, row| row.user_id != id);
        self.archived.retain(|_, row| row.user_id != id);
        self.progress.retain(|_, row| row.user_id != id);
        self.based.remove(&id);
        let gone = [
            (LIVE, live - self.live.len()),
            (ARCHIVED, archived - self.archived.len()),
            (PROGRESS, progress - self.progress.len()),
        ];
        for (table, rows) in gone {
            *done.dependants.entry(table).or_default() += rows as u64;
        }
        done.count("inactive_users", 1);
    }

    fn is_inactive(&self, id: UserId, cutoff: Timestamp) -> bool {
        let Some(user) = self.users.get(&id) else { return false };
        let sessions = || self.live.values().chain(self.archived.values()).filter(|row| row.user_id == id);
        let is_restored = self.live.values().any(|row| row.user_id == id && self.is_exempt(LIVE, row.id.key()))
            || self.archived.values().any(|row| row.user_id == id && self.is_exempt(ARCHIVED, row.id.key()))
            || self.progress.values().any(|row| row.user_id == id && self.is_exempt(PROGRESS, row.id.key()));
        !user.is_active
            && user.last_login.unwrap_or(user.created_at) < cutoff
            && sessions().all(|row| row.start_time < cutoff)
            && !is_restored
    }

    fn has_anything(&self, id: UserId) -> bool {
        self.live.values().chain(self.archived.values()).any(|row| row.user_id == id)
            || self.progress.values().any(|row| row.user_id == id)
            || self.based.contains(&id)
    }
}

/// Whether of two rows about one course of a learner the first is the one that stays.
fn counts_before(one: &ProgressRow, other: &ProgressRow) -> bool {
    (one.user_id, one.content_id) == (other.user_id, other.content_id)
        && (one.updated_at, one.id.key()) > (other.updated_at, other.id.key())
}

impl Done {
    fn count(&mut self, rule: &'static str, rows: usize) {
        if rows > 0 {
            *self.rules.entry(rule).or_default() += rows as u64;
        }
    }
}

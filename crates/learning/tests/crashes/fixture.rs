//! Rows of every kind that a clean-up is about.

use jiff::{SignedDuration, Timestamp};
use tierkeep_learning::key::{ContentId, CourseProgressId, Key, SessionId, UserId};
use tierkeep_learning::rows::{ProgressRow, SessionRow, UserRow};

pub(crate) const NOW: &str = "2026-06-01T12:00:00Z";
/// Sessions that start before are archived.
pub(crate) const ARCHIVE: &str = "2025-06-01T12:00:00Z";
/// Sessions that start before are deleted from there.
pub(crate) const DELETE: &str = "2023-06-01T12:00:00Z";

/// Ids from here on are those of [`crate::writers`].
pub(crate) const WRITERS: i64 = 1_000_000;
/// Learners of theirs.
pub(crate) const WRITTEN: std::ops::RangeInclusive<i64> = 900..=903;
/// A learner who is not there.
const NOBODY: i64 = 9999;

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) name: &'static str,
    /// Learners who study.
    learners: i64,
    /// Recent sessions of each; there are as many old ones and half as many that are very old.
    sessions: i64,
    /// Rows in a batch.
    pub(crate) batch: u32,
}

/// Enough for several batches of each kind.
pub(crate) const SMALL: Size = Size { name: "small", learners: 6, sessions: 20, batch: 30 };
/// Some thousand sessions.
pub(crate) const LARGE: Size = Size { name: "large", learners: 16, sessions: 60, batch: 60 };

/// All rows, and which of the sessions are in the archive from the beginning.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) users: Vec<UserRow>,
    pub(crate) progress: Vec<ProgressRow>,
    pub(crate) sessions: Vec<SessionRow>,
    pub(crate) archived: Vec<i64>,
    /// Sessions that are in the archive, too, with another content.
    pub(crate) superseded: Vec<i64>,
    /// The learners of whom the clean-up leaves everything that it counts.
    pub(crate) staying: Vec<UserId>,
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn user(n: i64) -> UserId {
    UserId::new(Key::Int(n))
}

impl Rows {
    pub(crate) fn new(size: Size) -> Self {
        let mut rows = Self::default();
        for n in 1..=size.learners {
            rows.learner(n, n % 3, None);
            rows.studies(n, size.sessions);
            rows.faults(n);
        }
        for n in 1..=3 {
            let n = size.learners + n;
            rows.learner(n, 0, Some("2022-01-01T00:00:00Z"));
            rows.many(n, "2022-05-01T05:00:00Z", 17, size.sessions / 2);
            rows.many(n, "2021-05-01T05:00:00Z", 17, 5);
            rows.archive_last(5);
            rows.add(n, "2022-04-01T05:00:00Z").is_active = true;
        }
        // the last of them was seen again
        rows.add(size.learners + 3, "2025-09-01T05:00:00Z");
        for n in 1..=6 {
            rows.add(NOBODY, if n % 2 == 0 { "2026-02-01T05:00:00Z" } else { "2024-02-01T05:00:00Z" });
        }
        rows.staying = (1..=size.learners).chain([size.learners + 3]).map(user).collect();
        for n in WRITTEN {
            rows.learner(n, 0, None);
        }
        rows
    }

    fn learner(&mut self, n: i64, zone: i64, gone_since: Option<&str>) {
        self.users.push(UserRow {
            id: user(n),
            email: format!("learner{n}@example.org"),
            username: format!("learner{n}"),
            is_active: gone_since.is_none(),
            last_login: gone_since.map(at),
            created_at: at("2021-01-01T00:00:00Z"),
            time_zone: [None, Some("Asia/Shanghai"), Some("America/New_York")][usize::try_from(zone).unwrap()]
                .map(str::to_owned),
        });
        if WRITTEN.contains(&n) {
            return;
        }
        for (content, updated) in [
            (1, "2025-01-01T00:00:00Z"),
            (1, "2025-02-01T00:00:00Z"),
            (1, "2025-03-01T00:00:00Z"),
            // of two that are as new the later id counts
            (2, "2025-04-01T00:00:00Z"),
            (2, "2025-04-01T00:00:00Z"),
            (3, "2025-05-01T00:00:00Z"),
        ] {
            let id = i64::try_from(self.progress.len()).unwrap() + 1;
            self.progress.push(ProgressRow {
                id: CourseProgressId::new(Key::Int(id)),
                user_id: user(n),
                content_id: ContentId::new(Key::Int(content)),
                subject_name: format!("subject \"{content}\""),
                proficiency_level: 40,
                learning_hour_week: 2,
                learning_hour_total: 20,
                est_finish_hour: (id % 2 == 0).then_some(30),
                difficulty: 3,
                created_at: at("2024-01-01T00:00:00Z"),
                updated_at: at(updated),
            });
        }
    }

    fn studies(&mut self, n: i64, sessions: i64) {
        self.many(n, "2026-01-05T00:00:00Z", 11, sessions);
        self.many(n, "2024-02-01T03:00:00Z", 13, sessions);
        self.many(n, "2022-09-01T06:00:00Z", 17, sessions / 2);
        self.many(n, "2024-08-01T06:00:00Z", 19, sessions / 4);
        self.archive_last(sessions / 4);
        self.many(n, "2022-03-01T06:00:00Z", 23, sessions / 4);
        self.archive_last(sessions / 4);
        self.add(n, "2026-03-01T06:30:00Z");
        self.superseded.push(i64::try_from(self.sessions.len()).unwrap());
        // an open session stays, however old
        self.add(n, "2024-03-01T06:30:00Z").is_active = true;
    }

    fn faults(&mut self, n: i64) {
        for start in ["2026-04-01T10:00:00Z", "2024-04-01T10:00:00Z"] {
            self.add(n, start).duration_minutes = -5;
            let row = self.add(n, start);
            row.end_time = Some(row.start_time - SignedDuration::from_secs(60));
            self.add(n, start).effectiveness_rating = Some(6);
            self.add(n, start).focus_hundredths = Some(150);
        }
    }

    fn many(&mut self, of: i64, first: &str, hours: i64, sessions: i64) {
        for n in 0..sessions {
            let start = at(first) + SignedDuration::from_hours(n * hours) + SignedDuration::from_mins(of);
            self.add(of, &start.to_string());
        }
    }

    fn archive_last(&mut self, sessions: i64) {
        let end = i64::try_from(self.sessions.len()).unwrap();
        self.archived.extend(end - sessions + 1..=end);
    }

    /// The next session; absent values and references of all kinds come by turns.
    fn add(&mut self, of: i64, start: &str) -> &mut SessionRow {
        let id = i64::try_from(self.sessions.len()).unwrap() + 1;
        let start = at(start);
        let own: Vec<CourseProgressId> =
            self.progress.iter().filter(|row| row.user_id == user(of)).map(|row| row.id).collect();
        let refers = if own.is_empty() { None } else { own.get(usize::try_from(id % 10).unwrap()).copied() };
        let minutes = i32::try_from(10 + id % 50).unwrap();
        self.sessions.push(SessionRow {
            id: SessionId::new(Key::Int(id)),
            user_id: user(of),
            course_progress_id: refers,
            start_time: start,
            end_time: (id % 3 != 0).then(|| start + SignedDuration::from_mins(minutes.into())),
            duration_minutes: minutes,
            effectiveness_rating: (id % 4 != 0).then_some(3),
            focus_hundredths: (id % 5 != 0).then_some(55),
            break_count: 1,
            is_active: false,
            learning_environment: ["", "library", "home"][usize::try_from(id % 3).unwrap()].to_owned(),
            device_type: String::new(),
            subject_category: format!("subject, {}", id % 4),
            content_covered: String::new(),
            notes: format!("it's \"{id}\"\n\u{1f600}"),
            created_at: at("2021-01-01T00:00:00Z"),
            updated_at: at("2021-01-01T00:00:00.000123Z"),
            goal_id: (id % 7 == 0).then_some(Key::Int(id)),
            learning_plan_id: None,
            estimator: None,
        });
        self.sessions.last_mut().unwrap()
    }

    /// The id that stays of each progress row, by a look at all of them.
    pub(crate) fn survivor(&self, id: i64) -> i64 {
        let number = |row: &ProgressRow| match row.id.key() {
            Key::Int(id) => id,
            Key::Uuid(_) => panic!("keys are whole numbers here"),
        };
        let Some(own) = self.progress.iter().find(|row| number(row) == id) else { return id };
        let same = self.progress.iter().filter(|row| (row.user_id, row.content_id) == (own.user_id, own.content_id));
        number(same.max_by_key(|row| (row.updated_at, number(row))).unwrap())
    }
}

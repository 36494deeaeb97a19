//! Rows for the benchmarks: the same for the same arguments, in the order of their start, as a real table grows.

use jiff::{SignedDuration, Timestamp};
use tierkeep_learning::key::{CourseProgressId, Key, SessionId, UserId};
use tierkeep_learning::rows::{SessionRow, UserRow};

/// The end of the generated data; sessions lie in the two years before.
pub(crate) const END: &str = "2025-06-27T12:00:00Z";
const DAYS: u64 = 730;
const PLACES: [&str; 6] = ["home", "library", "cafe", "classroom", "online", "other"];
const DEVICES: [&str; 5] = ["mobile", "tablet", "laptop", "desktop", "other"];
const SUBJECTS: [&str; 8] = ["math", "physics", "english", "history", "python", "databases", "music", ""];
const NOTES: [&str; 4] = ["", "", "reviewed chapter 3, did the exercises", "it's hard; \"try again\" tomorrow"];

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_of<'a>(&mut self, names: &[&'a str]) -> &'a str {
        names[usize::try_from(self.below(names.len() as u64)).expect("a small number")]
    }
}

fn int(number: u64) -> Key {
    Key::Int(i64::try_from(number).expect("a small number"))
}

/// Learners 1 to `count`.
pub(crate) fn users(count: u64) -> Vec<UserRow> {
    let created_at: Timestamp = "2020-01-01T00:00:00Z".parse().expect("an instant");
    (1..=count)
        .map(|number| UserRow {
            id: UserId::new(int(number)),
            email: format!("user{number}@example.com"),
            username: format!("user{number}"),
            is_active: true,
            last_login: None,
            created_at,
            time_zone: (number % 3 == 0).then(|| "Asia/Shanghai".to_owned()),
        })
        .collect()
}

/// Sessions `first` to `first + count - 1` of `total`.
pub(crate) fn sessions(learners: u64, total: u64, first: u64, count: u64) -> Vec<SessionRow> {
    let end: Timestamp = END.parse().expect("an instant");
    let begin = end - SignedDuration::from_hours(24 * i64::try_from(DAYS).expect("a small number"));
    let span_s = DAYS * 24 * 60 * 60;
    (first..first + count)
        .map(|number| {
            let mut random = Random::new(number);
            let offset = number * span_s / total;
            let start_time = begin + SignedDuration::from_secs(i64::try_from(offset).expect("two years"));
            let minutes = 3 + i32::try_from(random.below(120)).expect("a small number");
            let end_time = start_time + SignedDuration::from_mins(minutes.into());
            SessionRow {
                id: SessionId::new(int(number + 1)),
                user_id: UserId::new(int(1 + random.below(learners))),
                course_progress_id: (random.below(10) < 6).then(|| CourseProgressId::new(int(random.below(50_000)))),
                start_time,
                end_time: Some(end_time),
                duration_minutes: minutes,
                effectiveness_rating: [None, Some(2), Some(3), Some(4), Some(5)]
                    [usize::try_from(random.below(5)).expect("small")],
                focus_hundredths: Some(40 + i16::try_from(random.below(60)).expect("small")),
                break_count: i16::try_from(random.below(4)).expect("small"),
                is_active: false,
                learning_environment: random.one_of(&PLACES).to_owned(),
                device_type: random.one_of(&DEVICES).to_owned(),
                subject_category: random.one_of(&SUBJECTS).to_owned(),
                content_covered: String::new(),
                notes: random.one_of(&NOTES).to_owned(),
                created_at: start_time,
                updated_at: end_time,
                goal_id: None,
                learning_plan_id: None,
                estimator: None,
            }
        })
        .collect()
}

//! The JSON of each statistic, as a client sees it.

use tierkeep_learning::counts::NameCounts;
use tierkeep_learning::estimator::Estimator;
use tierkeep_learning::key::{ContentId, CourseProgressId, Key};
use tierkeep_learning::language::Language;
use tierkeep_learning::local_day::{LocalDay, Year};
use tierkeep_learning::session::SessionFacts;
use tierkeep_learning::statistic::{
    CourseRow, Days, GlobalTotals, WindowDays, analytics, course_summary, daily, global, heatmap, monthly, streaks,
    weekly,
};

use super::learner::{active_of, at, calendar, day, days_of};

const ZONE: &str = "Asia/Shanghai";

fn session(start: &str, minutes: i32, rating: Option<i16>, focus: Option<i16>, places: [&str; 3]) -> SessionFacts {
    let start = at(&format!("{start}:00+08:00"));
    let [environment, device, subject] = places.map(Into::into);
    SessionFacts {
        end: Some(start + jiff::SignedDuration::from_mins(minutes.into())),
        rating,
        focus_hundredths: focus,
        break_count: 1,
        environment,
        device,
        subject,
        ..SessionFacts::recorded(start, minutes)
    }
}

/// A learner who studies on some evenings, mostly at home, the last days better than the first.
fn learner() -> Days {
    let mut open = session("2025-06-27T21:10", 0, None, None, ["home", "mobile", ""]);
    open.end = None;
    open.is_active = true;
    let mut inferred = session("2025-06-25T08:00", 12, None, None, ["online", "", "数学"]);
    inferred.estimator = Estimator::gap(300, 30).ok();
    let broken = SessionFacts { duration_minutes: -5, ..open.clone() };
    let rows = [
        session("2025-06-02T20:00", 20, Some(2), Some(40), ["home", "laptop", "algebra"]),
        session("2025-06-15T21:00", 25, Some(2), None, ["home", "laptop", "algebra"]),
        session("2025-06-16T20:30", 20, Some(2), Some(55), ["home", "laptop", "数学"]),
        session("2025-06-23T20:00", 45, Some(3), Some(90), ["library", "laptop", "algebra"]),
        session("2025-06-24T20:00", 30, Some(3), Some(100), ["home", "tablet", "algebra"]),
        inferred,
        session("2025-06-27T20:00", 40, Some(4), Some(85), ["home", "laptop", "algebra"]),
        open,
        broken,
    ];
    days_of(&rows, &calendar(ZONE))
}

fn today() -> LocalDay {
    day("2025-06-27")
}

#[test]
fn daily_json() {
    insta::assert_json_snapshot!(daily(today(), &learner()));
}

#[test]
fn weekly_json() {
    insta::assert_json_snapshot!(weekly(today(), &learner(), &calendar(ZONE), today()));
}

#[test]
fn monthly_json() {
    insta::assert_json_snapshot!(monthly(today().month(), &learner(), &calendar(ZONE), today()));
}

#[test]
fn analytics_json() {
    let window = WindowDays::default();
    insta::assert_json_snapshot!(analytics(today(), window, &learner(), &calendar(ZONE), today(), Language::En));
}

#[test]
fn analytics_json_in_chinese() {
    let window = WindowDays::new(3).unwrap();
    insta::assert_json_snapshot!(analytics(today(), window, &learner(), &calendar(ZONE), today(), Language::Zh));
}

#[test]
fn streaks_json() {
    insta::assert_json_snapshot!(streaks(&active_of(&learner()), &calendar(ZONE), day("2025-06-28")));
}

#[test]
fn heatmap_json() {
    let mut map = heatmap(Year::new(2025).unwrap(), &learner());
    map.days.retain(|cell| (day("2025-06-14")..=day("2025-06-28")).contains(&cell.date));
    insta::assert_json_snapshot!(map);
}

#[test]
fn courses_json() {
    let row = |id, content, subject: &str, hours, finish| CourseRow {
        id: CourseProgressId::new(Key::Int(id)),
        content_id: ContentId::new(Key::Int(content)),
        subject_name: subject.to_owned(),
        proficiency_level: 55,
        learning_hour_week: 2,
        learning_hour_total: hours,
        est_finish_hour: finish,
        updated_at: at("2025-06-27T00:00:00Z"),
    };
    let rows = [
        row(1, 1, "数学", 10, Some(10)),
        row(2, 2, "algebra", 9, Some(10)),
        row(3, 3, "algebra", 90, None),
        row(4, 3, "", 91, None),
    ];
    insta::assert_json_snapshot!(course_summary(&rows));
}

#[test]
fn global_json() {
    let names = |counts: &[(&'static str, u64)]| counts.iter().copied().collect::<NameCounts>();
    let totals = GlobalTotals {
        users: 3,
        sessions: 8,
        minutes: 250,
        environments: names(&[("library", 3), ("home", 3)]),
        devices: names(&[]),
        by_day: [(today(), 2), (today().plus(-6), 1), (today().plus(-7), 5)].into(),
    };
    insta::assert_json_snapshot!(global(&totals, today()));
}

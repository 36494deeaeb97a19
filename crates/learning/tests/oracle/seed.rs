//! The defects of the platform this project follows, as far as they lie in pure statistics: each must not come back.

use jiff::SignedDuration;
use tierkeep_learning::efficiency::{Efficiency, Focus, Rating};
use tierkeep_learning::language::Language;
use tierkeep_learning::recommendation::Code;
use tierkeep_learning::session::{InvalidKind, SessionFacts};
use tierkeep_learning::statistic::{
    Analytics, Days, GlobalTotals, Trend, WindowDays, analytics, daily, global, weekly,
};
use tierkeep_learning::summary::DaySummary;

use super::learner::{at, calendar, day, days_of};

const SHANGHAI: &str = "Asia/Shanghai";

/// A session in Shanghai, whose clock is eight hours ahead of UTC.
fn session(local: &str, minutes: i32) -> SessionFacts {
    SessionFacts::recorded(at(&format!("{local}:00+08:00")), minutes)
}

fn rated(local: &str, rating: i16) -> SessionFacts {
    SessionFacts { rating: Some(rating), ..session(local, 40) }
}

fn days(rows: &[SessionFacts]) -> Days {
    days_of(rows, &calendar(SHANGHAI))
}

/// Ten days up to 27 June 2025, which is also today.
fn last_ten_days(rows: &[SessionFacts]) -> Analytics {
    let today = day("2025-06-27");
    analytics(today, WindowDays::new(10).unwrap(), &days(rows), &calendar(SHANGHAI), today, Language::En)
}

fn codes(analytics: &Analytics) -> Vec<Code> {
    analytics.recommendations.iter().map(|advice| advice.code).collect()
}

#[test]
fn s5_a_session_with_a_focus_score_has_an_efficiency_and_counts_as_productive() {
    let focused =
        SessionFacts { rating: Some(4), focus_hundredths: Some(85), break_count: 1, ..session("2025-06-27T09:00", 60) };

    let found = daily(day("2025-06-27"), &days(&[focused]));

    assert_eq!(Efficiency::of(60, Rating::new(4).ok(), Focus::from_hundredths(85).ok(), 1).to_string(), "0.68");
    assert_eq!((found.productive_sessions, found.avg_focus_score), (1, Some(0.85)));
}

#[test]
fn s6_focus_zero_is_not_a_missing_focus_and_the_cases_around_the_bounds_are_as_agreed() {
    let five = Rating::new(5).ok();
    assert_eq!(Efficiency::of(60, five, Focus::from_hundredths(0).ok(), 1).to_string(), "0.00");

    // minutes, breaks, efficiency with full focus, efficiency without a focus score, productive with full focus
    let table = [
        (24, 0, "0.80", "0.56", false),
        (25, 0, "0.80", "0.56", true),
        (25, 1, "0.60", "0.42", true),
        (25, 2, "0.60", "0.42", true),
        (29, 0, "0.80", "0.56", true),
        (29, 1, "0.60", "0.42", true),
        (29, 2, "0.60", "0.42", true),
        (30, 0, "0.80", "0.56", true),
        (30, 1, "1.00", "0.70", true),
        (30, 2, "0.60", "0.42", true),
    ];
    for (minutes, breaks, full, missing, productive) in table {
        let row = SessionFacts {
            rating: Some(5),
            focus_hundredths: Some(100),
            break_count: breaks,
            ..session("2025-06-27T09:00", minutes)
        };
        assert_eq!(Efficiency::of(minutes, five, row.valid_focus(), breaks).to_string(), full, "{minutes}/{breaks}");
        assert_eq!(Efficiency::of(minutes, five, None, breaks).to_string(), missing, "{minutes}/{breaks}");
        let found = daily(day("2025-06-27"), &days(&[row]));
        assert_eq!(found.productive_sessions, u64::from(productive), "{minutes}/{breaks}");
    }
}

#[test]
fn s7_hour_and_day_come_from_the_learners_zone() {
    let late_in_utc = SessionFacts::recorded(at("2025-06-26T23:30:00Z"), 30);

    let found = daily(day("2025-06-27"), &days(std::slice::from_ref(&late_in_utc)));

    assert_eq!(found.total_sessions, 1);
    assert_eq!(found.hours.iter().collect::<Vec<_>>(), [(7, 1)]);
    assert_eq!(codes(&last_ten_days(&[late_in_utc])), [Code::MorningStudy]);
}

#[test]
fn s9_streak_days_are_consecutive_and_the_most_productive_day_is_filled() {
    let rows = [session("2025-06-23T09:00", 30), session("2025-06-24T09:00", 45), session("2025-06-26T09:00", 30)];

    let week = weekly(day("2025-06-25"), &days(&rows), &calendar(SHANGHAI), day("2025-07-10"));

    assert_eq!((week.active_days, week.streak_days), (3, 2));
    assert_eq!(week.most_productive_day, Some(day("2025-06-24")));
}

#[test]
fn s10_days_still_to_come_do_not_lower_the_consistency() {
    let rows = [session("2025-06-23T09:00", 30)];
    let on = |today| weekly(day("2025-06-23"), &days(&rows), &calendar(SHANGHAI), day(today)).consistency_score;

    assert!((on("2025-06-23") - 1.0).abs() < f64::EPSILON);
    // 30 and 0: mean 15, standard deviation 15
    assert!(on("2025-06-24").abs() < f64::EPSILON);
}

#[test]
fn s11_a_half_without_ratings_makes_the_trend_unknown() {
    let only_later = [rated("2025-06-26T12:00", 5), session("2025-06-19T12:00", 40)];
    let both = [rated("2025-06-26T12:00", 5), rated("2025-06-19T12:00", 4)];

    assert_eq!(last_ten_days(&only_later).improvement_trend, Trend::Unknown);
    assert_eq!(last_ten_days(&only_later).avg_effectiveness, Some(5.0), "missing ratings are no zeros");
    assert_eq!(last_ten_days(&both).improvement_trend, Trend::Improving);
}

#[test]
fn s12_nobody_who_never_rated_is_told_that_effectiveness_is_low() {
    let unrated = [session("2025-06-26T12:00", 40), session("2025-06-27T12:00", 40)];

    assert_eq!(codes(&last_ten_days(&unrated)), []);
    assert_eq!(codes(&last_ten_days(&[rated("2025-06-26T12:00", 2)])), [Code::LowEffectiveness]);
}

#[test]
fn s13_the_week_of_all_learners_has_seven_days() {
    let today = day("2025-06-27");
    let by_day = [(today, 1), (today.plus(-6), 10), (today.plus(-7), 100), (today.plus(1), 1000)].into();

    let found = global(&GlobalTotals { users: 2, sessions: 1111, by_day, ..GlobalTotals::default() }, today);

    assert_eq!((found.total_sessions_today, found.total_sessions_week), (1, 11));
}

#[test]
fn s21_early_on_monday_today_and_this_week_are_those_of_the_learners_clock() {
    let now = at("2025-06-29T20:00:00Z");
    let shanghai = calendar(SHANGHAI);
    let row = SessionFacts::recorded(now, 30);
    let today = shanghai.day_of(now);
    let days = days_of(&[row], &shanghai);

    assert_eq!((daily(today, &days).date, daily(today, &days).total_sessions), (day("2025-06-30"), 1));
    assert_eq!(weekly(today, &days, &shanghai, today).week_start, day("2025-06-30"));
}

#[test]
fn s28_each_kind_of_invalid_row_is_found_and_an_end_at_the_start_is_valid() {
    let good = session("2025-06-27T09:00", 0);
    let start = good.start;
    let kinds = [
        (SessionFacts { duration_minutes: -1, ..good.clone() }, InvalidKind::NegativeDuration),
        (
            SessionFacts { end: Some(start - SignedDuration::from_micros(1)), ..good.clone() },
            InvalidKind::EndBeforeStart,
        ),
        (SessionFacts { rating: Some(6), ..good.clone() }, InvalidKind::BadRating),
        (SessionFacts { focus_hundredths: Some(101), ..good.clone() }, InvalidKind::BadFocus),
    ];
    for (row, kind) in &kinds {
        assert_eq!(row.fault(), Some(*kind));
    }
    let faulty: Vec<SessionFacts> = kinds.into_iter().map(|(row, _)| row).collect();
    assert!(days(&faulty).values().all(DaySummary::is_empty));

    let at_once = daily(day("2025-06-27"), &days(&[SessionFacts { end: Some(start), ..good }]));
    assert_eq!((at_once.total_sessions, at_once.completed_sessions, at_once.total_duration), (1, 1, 0));
}
